"""Bundles of simulated sessions, and the hand that alters them: every node's key is the test's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from party_node.audit.bundle import Bundle, Content
from party_node.audit.export import content
from party_node.audit.verdict import Verdict, verify
from party_node.post import Post, Publication
from party_node.roster import Roster
from protocol.dp.noise import Noise, Relation
from protocol.functionalities import Functionality
from protocol.functionalities.average import Average
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.letters import ALL, parse
from protocol.messages import Statement, Step
from protocol.spec import SessionSpec, session_id
from tests.support.network import COORDINATOR, Network


class EvidentNetwork(Network):
    """Nodes whose evidence is the test's to look at, and to alter."""

    def ran(self, spec: SessionSpec) -> str:
        """A session from its announcement to its end."""
        session = self.announce(spec)
        self.run()
        return session

    def content(self, session: str, name: str) -> Content:
        """What a node can show of it."""
        row = self.journals[name].session(session)
        assert row is not None
        return content(name, self.journals[name], row, self.now)

    def bundle(self, found: Content, key: str = "") -> bytes:
        """It, signed by its exporter or by somebody else."""
        return Bundle.sign(found, self.keys[key or found.exporter]).encode()

    def bundles(self, session: str, *names: str) -> list[bytes]:
        """What these nodes can show of it."""
        return [self.bundle(self.content(session, name)) for name in names]

    def letter(self, session: str, step: Step, sender: str, said: Statement | bytes, to: str = ALL) -> bytes:
        """A letter of one part that `sender` has really signed."""
        body = said if isinstance(said, bytes) else said.encode()
        (sent,) = Post(sender, self.keys[sender], "sotto").plain(session, step, to, body)
        return sent.payload

    def announcement(self, spec: SessionSpec) -> bytes:
        """A spec, as its coordinator would announce it."""
        return self.letter(session_id(spec.encode()), Step.ANNOUNCE, COORDINATOR, spec)

    def resigns(
        self, step: Step, sender: str, to: str, change: Callable[[bytes], Statement]
    ) -> Callable[[str, Publication], list[Publication]]:
        """A `tamper`: a sender that tells one node something else than the others."""

        def tamper(reader: str, sent: Publication) -> list[Publication]:
            session, _, _ = _address(sent)
            if reader != to or not sent.payload or _address(sent)[1:] != (step, sender):
                return [sent]
            part = parse(sent.payload)
            payload = self.letter(session, step, sender, change(part.body), part.header.to)
            return [Publication(sent.topic, payload, sent.retain)]

        return tamper


def _address(sent: Publication) -> tuple[str, str, str]:
    levels = sent.topic.split("/")
    return levels[3], levels[4], levels[5]


def without(found: Content, step: Step, sender: str) -> Content:
    """A bundle that lacks a letter."""
    kept = tuple(each for each in found.letters if _is_not(each, step, sender))
    assert len(kept) < len(found.letters), f"there is no {step} of {sender}"
    return changed(found, letters=kept)


def put(found: Content, *letters: bytes) -> Content:
    """A bundle with these letters, each in the place of what its sender has really said in this step."""
    headers = [parse(each).header for each in letters]
    for header in headers:
        kept = (each for each in found.letters if _is_not(each, header.step, header.sender))
        found = changed(found, letters=tuple(kept))
    return changed(found, letters=(*found.letters, *letters))


def added(found: Content, *letters: bytes) -> Content:
    """A bundle with more letters than it had."""
    return changed(found, letters=(*found.letters, *letters))


def said(found: Content, step: Step, sender: str) -> bytes:
    """The body of a letter."""
    (body,) = [parse(each).body for each in found.letters if not _is_not(each, step, sender)]
    return body


def changed(found: Content, **fields: Any) -> Content:
    """A content with other fields."""
    return found.model_copy(update=fields)


def _is_not(payload: bytes, step: Step, sender: str) -> bool:
    header = parse(payload).header
    return (header.step, header.sender) != (step, sender)


# -- sessions that are over ---------------------------------------------------------------------------

PARTIES = ("alice", "bob", "carlos")
AVERAGE = Average(lower=Decimal(0), upper=Decimal(10_000))


@dataclass(frozen=True)
class Scene:
    """A session of a network that is over."""

    network: EvidentNetwork
    session: str

    @property
    def roster(self) -> Roster:
        """What the verifier knows."""
        return self.network.roster

    @property
    def spec(self) -> SessionSpec:
        """What was announced."""
        row = self.network.journals["alice"].session(self.session)
        assert row is not None
        return SessionSpec.decode(parse(row.announce).body)

    def content(self, name: str) -> Content:
        """What a node can show of it."""
        return self.network.content(self.session, name)

    def letter(self, step: Step, sender: str, body: Statement | bytes, to: str = ALL) -> bytes:
        """A letter of this session that `sender` has really signed."""
        return self.network.letter(self.session, step, sender, body, to)

    def judge(self, *contents: Content, key: str = "", roster: Roster | None = None) -> Verdict:
        """The verdict on these, signed by their exporters or by somebody else."""
        return verify([self.network.bundle(each, key) for each in contents], roster or self.roster)


def noise(function: Functionality) -> Noise:
    """ε = 0.5 for what the function shares."""
    relation = Relation.REPLACE_ONE
    delta = function.sensitivity(relation)
    return Noise(epsilon=5 * 10**8, sensitivity=delta, relation=relation, colluders=1)


def network(value: str = "1") -> EvidentNetwork:
    """Three who all have the same input."""
    return EvidentNetwork({name: {"raise": value} for name in PARTIES})


def _sum() -> Scene:
    """Alice and bob compute, alice and carlos learn, and everybody may."""
    here = network()
    spec = here.spec(Sum(decimals=0), compute=("alice", "bob"), results=("alice", "carlos"), public=True)
    return Scene(here, here.ran(spec))


def _noised() -> Scene:
    here = network()
    return Scene(here, here.ran(here.spec(AVERAGE, noise=noise(AVERAGE))))


def _referendum() -> Scene:
    here = network()
    spec = here.spec(Referendum(threshold="1/2"), results=("carlos",))
    return Scene(here, here.ran(spec))


def _dropped() -> Scene:
    """Carlos joins and shares nothing, so there are two rounds of commitments."""
    here = network()
    here.leaves = lambda sender, sent: sender != "carlos" or f"/{Step.SHARE}/" not in sent.topic
    roles = ("alice", "bob")
    return Scene(here, here.ran(here.spec(Sum(decimals=0), compute=roles, results=roles, min_inputs=2)))


def _refused() -> Scene:
    """Carlos does not want an answer over fewer than three."""
    here = network()
    here.limits = replace(here.limits, min_inputs=3)
    here.nodes["carlos"] = here.make("carlos")
    return Scene(here, here.ran(here.spec(Sum(decimals=0), min_inputs=2)))


MADE: dict[str, Callable[[], Scene]] = {
    "sum": _sum,
    "noised": _noised,
    "referendum": _referendum,
    "dropped": _dropped,
    "refused": _refused,
}
