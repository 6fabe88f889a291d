"""Referenda at a table: pure sessions whose ballots, thresholds and roles a test names in one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

from protocol.correlation.preparation import Setup
from protocol.functionalities.referendum import Referendum
from protocol.letters import Part
from protocol.messages import Statement, Step
from protocol.rounds import Setups
from protocol.spec import SessionSpec
from tests.support.sessions import Table, Wire, make_spec, rewritten

TRIO = ("alice", "bob", "carlos")
VOTERS = (*TRIO, "david")

Kept = dict[str, dict[str, dict[bytes, Setup]]]  # party → peer → id → our half


def vote_spec(
    threshold: str = "2/3",
    inputs: tuple[str, ...] = VOTERS,
    compute: tuple[str, ...] | None = None,
    results: tuple[str, ...] | None = None,
    *,
    label: str = "",
    **fields: object,
) -> SessionSpec:
    """A referendum; another label is another session."""
    nonce = sha256(label.encode()).digest()[:16]
    return make_spec(Referendum(threshold=threshold), inputs, compute, results, nonce=nonce, **fields)


def vote(
    ballots: Mapping[str, int],
    spec: SessionSpec | None = None,
    wire: Wire = lambda _reader, part: [part],
    setups: Mapping[str, Setups] | None = None,
    absent: Iterable[str] = (),
) -> Table:
    """A table at which everybody has joined."""
    spec = spec or vote_spec(inputs=tuple(ballots))
    return Table(spec, dict(ballots), absent=absent, wire=wire, setups=setups).start()


def kept(*tables: Table) -> Kept:
    """What each party has kept of these sessions, the last one first, as a journal would give it out."""
    found: Kept = {}
    for table in reversed(tables):
        for party, made in table.made.items():
            for peer, name, setup in made:
                found.setdefault(party, {}).setdefault(peer, {})[name] = setup
    return found


def stages(table: Table, sender: str | None = None) -> list[str]:
    """The stages of what was sent, by one party or by all, in order."""
    return [letter.stage for name, letter in table.letters if sender in (None, name)]


def parts_of(table: Table, step: Step, sender: str | None = None) -> list[Part]:
    """What was sent of one step."""
    return [part for part in table.parts if part.header.step is step and sender in (None, part.header.sender)]


def retelling(
    kind: type[Statement], step: Step, sender: str, lie: Mapping[str, object], *readers: str, round_: int = 0
) -> Wire:
    """The sender says something else in some fields of one statement, to `readers` or to everybody."""

    def wire(reader: str, part: Part) -> list[Part]:
        header = part.header
        hit = (header.step, header.sender, header.round) == (step, sender, round_)
        if not hit or (readers and reader not in readers):
            return [part]
        return [rewritten(part, kind.decode(part.body).model_copy(update=dict(lie)).encode())]

    return wire
