"""Referenda at a table: pure sessions whose ballots, thresholds and roles a test names in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256

from protocol.correlation.preparation import Setup
from protocol.functionalities.referendum import Referendum
from protocol.letters import Part
from protocol.messages import AbortReason, Statement, Step
from protocol.rounds import Setups
from protocol.spec import SessionSpec
from protocol.states import Ending, State
from tests.support.sessions import Table, Wire, make_spec, rewritten

TRIO = ("alice", "bob", "carlos")
VOTERS = (*TRIO, "david")

YES = dict.fromkeys(VOTERS, 1)
MANY = tuple(f"voter-{number}" for number in range(130))

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


# -- specs with names ---------------------------------------------------------------------------------

FOUR = vote_spec("2/3")  # four who do everything; alice leads; two rounds of gates


def trio(label: str, setups: Kept | None = None, wire: Wire = lambda _reader, part: [part]) -> Table:
    """Three who know each other or not, in a session of this name."""
    return vote(dict.fromkeys(TRIO, 1), vote_spec("1/1", TRIO, label=label), wire, setups)


def many(label: str) -> SessionSpec:
    """So many ballots that no two rounds open the same bits by chance."""
    return vote_spec("1/2", MANY, ("carl", "cora"), ("rosa",), label=label)


def without(kept_by_all: Kept, *pairs: tuple[str, str]) -> Kept:
    """What is left when some parties have lost what they kept of some peers."""
    return {
        name: {peer: dict(ids) for peer, ids in peers.items() if (name, peer) not in pairs}
        for name, peers in kept_by_all.items()
    }


# -- endings -------------------------------------------------------------------------------------------


def aborted(table: Table, reason: AbortReason, culprit: str | None, *, liar: str = "") -> None:
    """Nobody has an answer, everybody knows why and who is to blame, and no honest party has revealed."""
    assert table.texts() == {}
    for name in table.sessions:
        outcome = table.outcome(name)
        assert outcome.state is State.ABORTED, name
        assert outcome.ending is not None
        assert (outcome.ending.reason, outcome.ending.culprit) == (reason, culprit), (name, outcome.ending)
    assert {name for name, letter in table.letters if letter.step is Step.REVEAL} <= {liar}


def ending(table: Table, name: str) -> Ending:
    """How it ended at one party."""
    found = table.outcome(name).ending
    assert found is not None
    return found


def resealed(step: Step, sender: str, round_: int, change: Callable[[bytes], bytes], *readers: str) -> Wire:
    """The sender seals something else in one round; behind the first 32 bytes, where our envelopes say
    under which view they open."""

    def wire(reader: str, part: Part) -> list[Part]:
        header = part.header
        hit = (header.step, header.sender, header.round) == (step, sender, round_)
        if not hit or (readers and reader not in readers):
            return [part]
        return [rewritten(part, part.body[:32] + change(part.body[32:]))]

    return wire
