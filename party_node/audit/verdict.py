"""The verdict on one or more bundles of one session, from their bytes and a roster alone.

VALID: every signature is its sender's, all that was signed goes together, and what must be there is.
INCOMPLETE: nothing is wrong, but something is missing.
INVALID: something is wrong, and the first such thing is the reason.
A breach of the protocol is wrong where an answer rests on it.  Where there is no answer it is proven, and the
bundle that proves it may be VALID.

No bundle can show that an input was true, that shares were right, or that nobody told more in other ways.
What a node leaves out of its own bundle, only another node's shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from party_node.audit.bundle import Bundle, Content
from party_node.audit.case import Case
from party_node.audit.checks import CHECKS
from party_node.audit.finding import Check, Finding, Mark, failed, unseen
from party_node.audit.own import OWN
from party_node.audit.reading import read
from party_node.post import check_signature
from party_node.roster import Roster
from protocol.letters import ALL, parse
from protocol.messages import MOST_DETAIL, MalformedError, Step
from protocol.spec import SessionSpec, session_id


class Standing(StrEnum):
    """What the bundles are worth."""

    VALID = "VALID"
    INCOMPLETE = "INCOMPLETE"
    INVALID = "INVALID"


@dataclass(frozen=True)
class Verdict:
    """What was found, in the order of the checks; `case` is None where there is no spec to speak of."""

    findings: tuple[Finding, ...]
    case: Case | None

    @property
    def standing(self) -> Standing:
        """The worst finding decides."""
        marks = {each.mark for each in self.findings}
        if Mark.FAILED in marks:
            return Standing.INVALID
        return Standing.INCOMPLETE if Mark.MISSING in marks else Standing.VALID

    @property
    def reason(self) -> str:
        """The first thing that is wrong, or else missing; empty if the bundles are valid."""
        for mark in (Mark.FAILED, Mark.MISSING):
            for each in self.findings:
                if each.mark is mark:
                    return f"{each.check}: {each.text}"
        return ""


def verify(bundles: Sequence[bytes], roster: Roster) -> Verdict:
    """Check bundles of one session together."""
    findings: list[Finding] = []
    contents: list[Content] = []
    for number, raw in enumerate(bundles, 1):
        try:
            bundle = Bundle.decode(raw)
        except MalformedError as error:
            place = f"bundle {number}: " if len(bundles) > 1 else ""
            return Verdict((failed(Check.FORMAT, _shown(f"{place}{error.message}")),), None)
        contents.append(bundle.content)
        findings += _exporter(bundle, roster)
    try:
        spec = _announced(contents, roster)
    except MalformedError as error:
        findings.append(failed(Check.ANNOUNCEMENT, _shown(error.message)))
        return Verdict(tuple(findings), None)
    case = Case(spec, session_id(spec.encode()), contents, roster)
    findings += _strangers(case)
    findings += read(case)
    for check in CHECKS.values():
        findings += check(case)
    for own in OWN.values():
        here = [list(own(case, content)) for content in contents]
        some = [each for each in here if not each or each[0].mark is not Mark.NOTHING]
        findings += [found for each in some or here for found in each]
    weighed = [_excused(case, each) for each in findings]
    return Verdict(tuple(_in_order([*weighed, *_unproven(case, weighed)])), case)


def _exporter(bundle: Bundle, roster: Roster) -> Iterable[Finding]:
    """Whose bundle it is; what a node says of itself is worth no more than that."""
    name = bundle.content.exporter
    identity = roster.identity(name)
    if identity is None:
        yield failed(Check.EXPORTER, f"the bundle is {name}'s, who {roster.objection(name)}")
    elif not bundle.signed_by(identity):
        yield failed(Check.EXPORTER, f"the signature on the bundle is not {name}'s")


def _announced(contents: Sequence[Content], roster: Roster) -> SessionSpec:
    """The one spec of all bundles; MalformedError unless its coordinator has signed exactly these bytes."""
    bodies = {_spec(each.announce, roster) for each in contents}
    if len(bodies) > 1:
        raise MalformedError("the bundles are of different sessions")
    return SessionSpec.decode(bodies.pop())


def _spec(payload: bytes, roster: Roster) -> bytes:
    part = parse(payload)
    header = part.header
    spec = SessionSpec.decode(part.body)
    if (header.step, header.to) != (Step.ANNOUNCE, ALL) or header.session != session_id(part.body):
        raise MalformedError("no announcement whose id is the hash of its spec")
    if header.sender != spec.coordinator or spec.coordinator not in roster.coordinators:
        who = f"{header.sender} announces a session of {spec.coordinator}"
        raise MalformedError(f"{who}, expected one of the roster's coordinators")
    if objection := roster.objection(spec.coordinator):
        raise MalformedError(f"{spec.coordinator}, who announces it, {objection}")
    check_signature(part, roster.coordinators[spec.coordinator])
    return part.body


def _strangers(case: Case) -> Iterable[Finding]:
    """Bundles are made by members, each of whom makes one."""
    names = [each.exporter for each in case.bundles]
    for name in dict.fromkeys(names):
        if name not in case.spec.members:
            yield failed(Check.EXPORTER, f"{name} has made the bundle, and is no member")
        elif names.count(name) > 1:
            yield failed(Check.EXPORTER, f"two bundles of {name}")


def _excused(case: Case, found: Finding) -> Finding:
    """Where no answer rests on it, a breach of the protocol is a thing that the letters prove."""
    text = _shown(found.text)
    if found.fault and case.ends and not case.completed:
        return replace(found, mark=Mark.PROVEN, text=text)
    return replace(found, text=text)


def _unproven(case: Case, findings: Sequence[Finding]) -> Iterable[Finding]:
    """An abort is a claim of its signer; it can be true all the same, as a reveal is in no bundle."""
    proven = {each.culprit for each in findings if each.mark is Mark.PROVEN}
    for name, end in case.ends.items():
        if end.culprit is not None and end.culprit not in proven:
            teller = end.reported_by or name
            yield unseen(
                Check.ENDING, f"{teller} blames {end.culprit} ({end.reason}): no letter here proves it"
            )


def _shown(text: str) -> str:
    """A text that may quote a bundle, and ends on a terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)[:MOST_DETAIL]


def _in_order(findings: Iterable[Finding]) -> list[Finding]:
    """One finding at least for each check: what found nothing wrong is in order."""
    found: dict[Check, list[Finding]] = {check: [] for check in Check}
    for each in findings:
        found[each.check].append(each)
    for check, here in found.items():
        telling = [each for each in here if each.mark is not Mark.NOTHING or each.text]
        found[check] = telling or here[:1] or [Finding(check, Mark.OK)]
    return [each for here in found.values() for each in here]
