"""What became of every session, by the journals of all its members: right, or given up for a good reason.

Nobody cheats in a soak and no disk fails.  So a wrong number, two answers, a culprit, a refusal, an end that
no kill explains and a session without an end are all failures, and of nobody but this project.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from benchmarks import soak_plan
from benchmarks.soak_crowd import Flight
from benchmarks.soak_network import Network
from coordinator.cluster import BROKER
from party_node.daemon import now_ms
from party_node.journal import Journal, SessionRow
from protocol.messages import AbortReason
from protocol.session import LINGER
from protocol.states import Ending, State

RECOVERY_MS = 10_000  # after a restart, until everybody has what was on its way
LATE_MS = 5_000  # after the last deadline, on a machine that does other things as well
_LOOK_AGAIN = 0.3  # seconds between two looks at the journals
# What silence can lead to, and nothing else may happen here.
NAMED = frozenset(
    {AbortReason.NEVER_JOINED, AbortReason.LEFT_OUT, AbortReason.TOO_FEW_INPUTS, AbortReason.TIMEOUT}
)
Rows = Mapping[str, SessionRow]  # member → what its journal has of one session


@dataclass(frozen=True)
class Verdict:
    """One session: its answer, or why there is none, and what should not have been."""

    flight: Flight
    ending: Ending | None  # None: every result party has the right answer
    disturbed: bool  # something that it needed was killed in its time
    problems: list[str] = field(default_factory=list)


def settle(network: Network, flights: list[Flight]) -> Mapping[str, Rows]:
    """Wait until every session is over at every member, or should be; what the journals say then."""
    last = max(flight.spec.close_by for flight in flights) + LINGER + LATE_MS
    while True:
        found = _read(network)
        if all(row.ended is not None for rows in found.values() for row in rows.values()) or now_ms() > last:
            return found
        time.sleep(_LOOK_AGAIN)


def _read(network: Network) -> Mapping[str, Rows]:
    found: dict[str, dict[str, SessionRow]] = {}
    for name in network.plan.names:
        journal = Journal(network.journal(name))
        try:
            for row in journal.sessions():
                found.setdefault(row.id, {})[name] = row
        finally:
            journal.close()
    return found


def judge(network: Network, flight: Flight, rows: Rows) -> Verdict:
    """One session, from what its members say of it."""
    ending = None
    problems = [*_unended(network, flight, rows), *_wrong(flight, rows), *_blaming(rows)]
    if any(name not in rows or rows[name].state is not State.COMPLETED for name in flight.spec.results):
        said = _first(flight, rows)
        ending = said.ending
        problems += [] if problems else _unexplained(network, flight, rows, said)
    began, ended = flight.spec.created, flight.ended_ms
    disturbed = any(network.was_down(each, began, ended) for each in (*flight.spec.members, BROKER))
    return Verdict(flight, ending, disturbed, problems)


@dataclass(frozen=True)
class _Said:
    """Why there is no answer, by whom, and when."""

    ending: Ending
    by: str
    at: int


def _first(flight: Flight, rows: Rows) -> _Said:
    """Whoever has given up first by itself; who was left out of a session says nothing about the others."""
    own = _own_endings(rows).values()
    told = (
        _Said(row.outcome.ending, name, row.ended)
        for name, row in rows.items()
        if row.outcome is not None and row.outcome.ending is not None and row.ended is not None
    )
    nobody = Ending(AbortReason.NEVER_JOINED, "nobody has an end", flight.spec.needed)
    unheard = _Said(nobody, flight.spec.coordinator, flight.ended_ms)
    return min(own or told, key=lambda each: each.at, default=unheard)


def _own_endings(rows: Rows) -> dict[str, _Said]:
    """Of those who gave up by themselves."""
    found = {}
    for name, row in rows.items():
        ending = None if row.outcome is None else row.outcome.ending
        if ending is None or row.ended is None:
            continue
        if ending.reported_by is None and ending.reason is not AbortReason.LEFT_OUT:
            found[name] = _Said(ending, name, row.ended)
    return found


def _unended(network: Network, flight: Flight, rows: Rows) -> Iterator[str]:
    """Whoever was there must know the end in time."""
    limit = flight.spec.close_by + LINGER + LATE_MS
    for name, row in rows.items():
        if row.ended is None:
            yield f"no end at {name}, where it is {row.state}"
        elif row.ended > limit and not network.was_down(name, flight.spec.close_by, row.ended):
            yield f"ended {row.ended - flight.spec.close_by} ms after its time at {name}"


def _wrong(flight: Flight, rows: Rows) -> Iterator[str]:
    """Every answer is checked against the inputs that it says it has counted."""
    spec, counted, texts = flight.spec, set(), set()
    for name in spec.results:
        row = rows.get(name)
        if row is None or row.outcome is None or row.state is not State.COMPLETED:
            if flight.outcome is not None and flight.outcome.state is State.COMPLETED:
                yield f"said to be completed, and not at {name}"
            continue
        outcome = row.outcome
        counted.add(outcome.inputs)
        if outcome.answer is None:
            yield f"completed at {name} without an answer"
            continue
        texts.add(str(outcome.answer.text()))
        if len(outcome.inputs) < spec.min_inputs:
            yield f"an answer over {len(outcome.inputs)} inputs at {name}"
        elif wrong := soak_plan.flaw(spec, outcome.inputs, outcome.answer):
            yield f"{wrong}, at {name}"
    if max(len(counted), len(texts)) > 1:
        yield "two different answers"


def _blaming(rows: Rows) -> Iterator[str]:
    """Nobody is to be blamed, and nobody has a reason to refuse."""
    for name, row in rows.items():
        ending = None if row.outcome is None else row.outcome.ending
        if ending is None:
            continue
        if ending.culprit is not None:
            yield f"{name} says that {ending.culprit} has cheated: {ending.reason}, {ending.detail}"
        elif ending.reason not in NAMED:
            yield f"{ending.reason} at {name}: {ending.detail}"


def _unexplained(network: Network, flight: Flight, rows: Rows, said: _Said) -> Iterator[str]:
    """Whoever was silent, or whoever says so, must have been down then or not long before; or the broker.

    What was missed at an earlier deadline may show only at a later one.

    Who was there may have waited for somebody who was not; who was told of the end, for a compute party.
    """
    spec, ending, own = flight.spec, said.ending, _own_endings(rows)
    moments = [at for at in (spec.join_by, spec.share_by, said.at) if at <= said.at]

    def away(name: str) -> bool:
        return any(network.was_down(name, max(spec.created, at - RECOVERY_MS), at) for at in moments)

    def waited(name: str) -> bool:
        return any(map(away, own[name].ending.silent if name in own else spec.compute))

    if away(BROKER) or away(said.by):
        return
    there = [name for name in ending.silent or spec.members if not away(name) and not waited(name)]
    if there and (ending.silent or len(there) == len(spec.members)):
        yield f"{ending.reason} by {said.by}; {', '.join(there)} had no reason to be silent: {ending.detail}"
