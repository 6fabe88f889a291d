"""A verdict for people, on one screen, and for machines."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from party_node import privacy
from party_node.audit.bundle import Content, Ended
from party_node.audit.case import Case
from party_node.audit.checks import opened
from party_node.audit.finding import Finding, Mark, listed
from party_node.audit.verdict import Verdict
from party_node.privacy import PrivacyView
from party_node.times import utc
from protocol.dp import epsilon
from protocol.messages import Refuse, printable
from protocol.states import State

COLUMNS, MOST_LINES = 100, 24
_MARGIN = 14
QUIET = (Mark.OK, Mark.NOTHING)


def lines(found: Verdict) -> list[str]:
    """All of it in 24 lines."""
    head = textwrap.wrap(": ".join(filter(None, (found.standing, found.reason))), COLUMNS)
    said = [] if found.case is None else [line for row in _story(found.case) for line in _row(*row)]
    checked = _checked(found)
    head = _cut(head, 2)
    said = _cut(said, MOST_LINES - len(head) - len(checked) - 2)
    return [*head, "", *said, *([""] if said else []), *checked]


def data(found: Verdict) -> dict[str, Any]:
    """The same as one object."""
    case = found.case
    return {
        "verdict": str(found.standing),
        "reason": found.reason,
        "session": None if case is None else case.session,
        "bundles": [] if case is None else [each.exporter for each in case.bundles],
        "story": {} if case is None else dict(_story(case)),
        "counted": list((case and case.counted) or ()),
        "confirmed": [] if case is None else list(case.confirms),
        "ends": {}
        if case is None
        else {name: end.model_dump(mode="json") for name, end in case.ends.items()},
        "checks": [
            {"check": str(each.check), "mark": str(each.mark), "text": each.text, "culprit": each.culprit}
            for each in found.findings
        ],
    }


# -- what happened -----------------------------------------------------------------------------------


def _story(case: Case) -> Iterator[tuple[str, str]]:
    spec = case.spec
    yield "session", case.session
    yield "question", _question(case)
    yield "asked by", f"{spec.coordinator}, {utc(spec.created)}, open until {utc(spec.close_by)}"
    yield "computed by", listed(spec.compute) + f" ({spec.leader} leads)"
    yield "inputs of", _inputs(case)
    yield "learned by", _learned(case)
    if noise := privacy.view(spec, len(case.counted or spec.inputs)):
        yield "noise", _noise(noise, spec.function.name)
    if answer := _answer(case):
        yield "answer", answer
    for each in case.bundles:
        yield f"at {each.exporter}", "; ".join(_at(case, each))
    alone = "; what one node leaves out, another's bundle shows" if len(case.bundles) == 1 else ""
    yield "not shown", f"whether inputs were true and shares right, and what was told in other ways{alone}"


def _question(case: Case) -> str:
    function = case.spec.function
    fields = function.model_dump(mode="json", exclude={"name"}, exclude_none=True)
    details = ", ".join(f"{key} {value}" for key, value in fields.items())
    return f"{function.name} of {case.spec.input}" + (f" ({details})" if details else "")


def _noise(found: PrivacyView, function: str) -> str:
    if found["mechanism"] == "randomised-response":
        return f"each respondent's own coins, ε {found['epsilon']}"
    _, _, told = privacy.line(found, function).partition(": ")
    return f"{told}{privacy.place(function)}"


def _inputs(case: Case) -> str:
    spec = case.spec
    if case.counted is None:
        return f"{listed(spec.inputs)} were asked, at least {spec.min_inputs} needed; none is known to count"
    lost = [name for name in spec.inputs if name not in case.counted]
    left = f"; without {listed(lost)}" if lost else ""
    return f"{listed(case.counted)}: {len(case.counted)} of {len(spec.inputs)}{left}"


def _learned(case: Case) -> str:
    agreed = listed(case.spec.results) + (", and everybody" if case.spec.public else "")
    if not case.confirms:
        return f"nobody has said so; agreed on: {agreed}"
    if len(case.confirms) == len(case.spec.results):
        return f"{agreed}, as agreed; all have confirmed"
    return f"{listed(case.confirms)} have confirmed; agreed on: {agreed}"


def _answer(case: Case) -> str:
    """Only a public one is in a bundle."""
    function = case.spec.function
    for said in case.results.values():
        if (elements := opened(case, said)) is not None:
            text = function.text(function.decode(elements, len(said.inputs)), len(said.inputs))
            return text if isinstance(text, str) else f"[{len(text)} elements]"
    return ""


def _at(case: Case, bundle: Content) -> Iterator[str]:
    """What one node has decided, paid, and come to."""
    decision = bundle.decision
    if decision is not None:
        why = ": ".join(each for each in (str(decision.code or ""), decision.detail) if each)
        yield f"{decision.made} by {decision.by}" + (f" ({why})" if why else "")
    for each in bundle.ledger[-1:]:
        yield f"ε {epsilon.text(each.nano)} of {each.input} {each.event}"
    yield _end(case, bundle.exporter, bundle.ended) if bundle.ended else "still running"
    yield f"exported {utc(bundle.exported)}"


def _end(case: Case, me: str, end: Ended) -> str:
    at = utc(end.at)
    if end.reason is None:
        late = f", unconfirmed by {listed(end.unconfirmed)}" if end.unconfirmed else ""
        return f"{end.state} {at}{late}"
    teller = end.reported_by or me
    told = case.abort(teller, end) if end.state is State.ABORTED else None
    detail = "" if told is None else f", {told.detail}"
    refusals = [name for name in case.of(Refuse, case.spec.members) if name != me]
    blamed = f", culprit {end.culprit}" if end.culprit else ""
    blamed += f", silent {listed(end.silent)}" if end.silent else ""
    refused = f", refused by {listed(refusals)}" if refusals and end.state is State.ABORTED else ""
    by = f" by {teller}" if end.state is State.ABORTED else ""
    return printable(f"{end.state}{by} {at}: {end.reason}{detail}{blamed}{refused}")


# -- what was checked --------------------------------------------------------------------------------


def _checked(found: Verdict) -> list[str]:
    """What is in order in one line, everything else in its own."""
    fine = ", ".join(str(each.check) for each in found.findings if each.mark is Mark.OK)
    idle = ", ".join(str(each.check) for each in found.findings if each.mark is Mark.NOTHING)
    loud = [each for each in found.findings if each.mark not in QUIET]
    loud.sort(key=lambda each: list(Mark).index(each.mark), reverse=True)
    told = [line for each in loud for line in _loud(each)]
    rows = [*_cut(told, MOST_LINES // 3), *(_row("ok", fine) if fine else [])]
    return [*rows, *(_row("no occasion", idle) if idle else [])]


def _loud(found: Finding) -> list[str]:
    blamed = f" (proven against {found.culprit})" if found.culprit else ""
    return _cut(_row(str(found.mark), f"{found.check}: {found.text}{blamed}"), 2)


def _row(title: str, text: str) -> list[str]:
    wrapped = textwrap.wrap(text, COLUMNS - _MARGIN, break_on_hyphens=False) or [""]
    first, *rest = wrapped
    return [f"{title:{_MARGIN}}{first}", *(" " * _MARGIN + each for each in rest)]


def _cut(rows: list[str], most: int) -> list[str]:
    """Not more lines than there is room for; the longest are cut, too."""
    shown = (
        rows
        if len(rows) <= most
        else [*rows[: most - 1], f"{'':{_MARGIN}}… {len(rows) - most + 1} lines more: --json"]
    )
    return [row if len(row) <= COLUMNS else f"{row[: COLUMNS - 1]}…" for row in shown]
