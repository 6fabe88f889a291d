"""Judges how a schedule ended: in the right answer or in a named abort, in time, and nothing used twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations

import pytest

from party_node import seal
from party_node.post import Publication
from party_node.setups import SETUPS_KEPT
from protocol import bounds
from protocol.messages import AbortReason, Step
from protocol.states import OVER, Ending, Outcome, State
from tests.simulation.ideal import Brought, ideal, recorded
from tests.simulation.run import Run
from tests.simulation.schedule import CoordinatorGone, Crash, Schedule
from tests.support.ledger import audited

GRACE = 5_000  # milliseconds after close_by, or after a node's last start, by which it must be done
# Nobody lies in these schedules, so that no abort may speak of lies.
HONEST = {AbortReason.NEVER_JOINED, AbortReason.LEFT_OUT, AbortReason.TOO_FEW_INPUTS, AbortReason.TIMEOUT}


def simulate(schedule: Schedule) -> str:
    """Run a schedule to its end and say how it ended; AssertionError if a promise was broken."""
    with parts_of(schedule.part_bytes), audited(), recorded() as brought:
        return _judged(Run(schedule), brought)


@contextmanager
def parts_of(size: int) -> Iterator[None]:
    """Cut sealed letters into parts of `size` bytes for the length of a `with` block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seal, "PART_BYTES", size)
        patch.setattr(bounds, "PART_BYTES", size)
        yield


def _judged(run: Run, brought: Brought) -> str:
    try:
        run.network.run()
        check_letters(run.network.tap)
        check_answers(run, brought)
        check_endings(run)
        check_remains(run)
        check_setups(run)
        check_ledgers(run)
        return summary(run)
    except BaseException as error:
        error.add_note(repr(run.schedule))
        raise
    finally:
        run.close()


def summary(run: Run) -> str:
    """How the session ended, in a word for each way, for statistics."""
    outcomes = run.network.outcomes(run.session)
    ways = {str(each.ending.reason if each.ending else each.state) for each in outcomes.values()}
    return " + ".join(sorted(ways)) or "never announced"


def check_letters(tap: list[Publication]) -> None:
    """Nobody ever signs two different letters under one address."""
    seen: dict[str, bytes] = {}
    for sent in tap:
        if sent.payload and sent.topic.split("/")[4] != "request":
            first = seen.setdefault(sent.topic, sent.payload)
            assert first == sent.payload, f"two different payloads under {sent.topic}"


def check_answers(run: Run, brought: Brought) -> None:
    """Whoever completes has counted the same inputs and, as a result party, holds the right answer."""
    outcomes = run.network.outcomes(run.session)
    counted = {each.inputs for each in outcomes.values() if each.state is State.COMPLETED}
    assert len(counted) < 2, f"they counted different inputs: {counted}"
    for name, each in outcomes.items():
        if name not in run.schedule.results or each.state is not State.COMPLETED:
            assert each.state is not State.COMPLETED or each.answer is None, f"{name} learned an answer"
            continue
        assert len(each.inputs) >= run.schedule.min_inputs, f"{name} counted too few inputs"
        assert each.answer is not None, f"{name} completed without an answer"
        assert each.answer.text() == ideal(run, each.inputs, brought), f"{name} has a wrong answer"


def check_endings(run: Run) -> None:
    """Everybody who is there ends in time, with the answer or with a plausible reason."""
    schedule, network = run.schedule, run.network
    there = [name for name in schedule.members if name not in network.down]
    outcomes = network.outcomes(run.session)
    limit = max(run.spec.close_by, run.last_start) + GRACE
    for name in there:
        if name in outcomes:
            row = network.journals[name].session(run.session)
            assert outcomes[name].state in OVER, f"{name} is still {outcomes[name].state}"
            assert row is not None
            assert row.ended is not None
            assert row.ended <= limit, f"{name} ended {row.ended - run.spec.close_by} ms late"
            check_ending(name, outcomes[name].ending, schedule)
    check_silent(run, outcomes)
    if schedule.must_complete and outcomes:  # with no outcome, the announcement reached nobody
        check_complete(schedule, outcomes)


def check_ending(name: str, ending: Ending | None, schedule: Schedule) -> None:
    """Silence is not guilt: nobody lied, so nobody is accused, and those waited for are named."""
    if ending is None:
        return
    assert ending.reason in HONEST, f"{name}: {ending}"
    assert ending.culprit is None, f"{name}: {ending}"
    assert set(ending.silent) <= set(schedule.members), f"{name}: {ending}"
    if ending.reported_by is None:
        assert name not in ending.silent, f"{name} waited for itself: {ending}"
    if ending.reason in (AbortReason.NEVER_JOINED, AbortReason.TIMEOUT):
        assert ending.silent or lacks_noise(name, ending, schedule), f"{name}: {ending}"


def lacks_noise(name: str, ending: Ending, schedule: Schedule) -> bool:
    """Whether time was up for a compute party that had waited for nobody but itself."""
    who = ending.reported_by or name
    return schedule.slow and who in schedule.compute and "noise" in ending.detail


def check_silent(run: Run, outcomes: dict[str, Outcome]) -> None:
    """On a network that loses nothing, somebody names those to whom something has happened, or who still ask
    them for something.

    Not everybody: whoever waits for a party that itself waits can only name that one.
    """
    schedule, endings = run.schedule, {name: each.ending for name, each in outcomes.items() if each.ending}
    chance = any(isinstance(each, Crash | CoordinatorGone) for each in schedule.operations)
    if not endings or chance or schedule.lose or schedule.delay > 50:
        return
    named = {silent for ending in endings.values() for silent in ending.silent}
    named |= {name for name, ending in endings.items() if lacks_noise(name, ending, schedule)}
    levels = [sent.topic.split("/")[4:7] for sent in run.network.tap]
    asked = {to for step, sender, to in levels if step == "request" and sender in named}
    assert (named | asked) & schedule.disturbed, f"only {named} are named: {endings}"


def check_complete(schedule: Schedule, outcomes: dict[str, Outcome]) -> None:
    """Faults that pass leave no trace."""
    for name in schedule.members:
        assert name in outcomes, f"{name} never heard of the session"
        each = outcomes[name]
        assert each.state is State.COMPLETED, f"{name}: {each}"
        assert each.inputs == schedule.inputs, f"{name} counted {each.inputs}"
        assert not each.unconfirmed, f"{name}: {each}"


def check_remains(run: Run) -> None:
    """After the session, no node that runs keeps a secret, and the broker none of its letters."""
    network = run.network
    running = [name for name in run.schedule.members if name not in network.down]
    for name in running:
        row = network.journals[name].session(run.session)
        if row is not None:
            assert row.seed is None, f"{name} keeps its seed"
            assert network.journals[name].value(run.session) is None, f"{name} keeps its input"
            assert not network.journals[name].outbox(run.session), f"{name} keeps its letters"
    # Who dies while it takes its letters off the broker leaves some there (see test_bad_luck.py).
    unlucky = {name for at, name in network.crashes if at >= run.spec.close_by}
    tidy = set(running) - unlucky
    left = [topic for topic in network.retained if topic.split("/")[5] in tidy]
    assert not left, f"the broker keeps {left}"


def check_setups(run: Run) -> None:
    """What extensions leave for later sessions is kept, the newest with each peer; no session holds it any
    more, and those who computed together have some in common."""
    network, schedule = run.network, run.schedule
    running = [name for name in schedule.members if name not in network.down]
    kept = {name: kept_setups(run, name) for name in running}
    for name, peers in kept.items():
        used = "SELECT count(keys) FROM setup WHERE lent IS NOT NULL"
        assert network.journals[name]._db.execute(used).fetchone() == (0,), f"{name} keeps what was used"
        assert all(len(ids) <= SETUPS_KEPT for ids in peers.values()), f"{name} keeps {peers}"
        assert set(peers) <= set(schedule.compute) - {name} if schedule.votes else not peers
    outcomes = network.outcomes(run.session)
    done = {name for name, each in outcomes.items() if each.state is State.COMPLETED}
    if schedule.votes and run.spec.triples:  # one ballot needs none, if no noise is added
        for one, other in combinations(sorted(done & set(running) & set(schedule.compute)), 2):
            assert kept[one].get(other, set()) & kept[other].get(one, set()), f"{one} and {other} share none"


def check_ledgers(run: Run) -> None:
    """Whose share has left has spent what was announced, once; whose has not, by the end, nothing."""
    senders = {
        levels[5]
        for levels in (sent.topic.split("/") for sent in run.network.tap if sent.payload)
        if levels[3:5] == [run.session, Step.SHARE]
    }
    for name in run.network.names:
        journal = run.network.journals[name]
        entries = [each for each in journal.ledger.entries() if each.session == run.session]
        assert {each.nano for each in entries} <= {run.spec.epsilon}, f"{name} pays another price"
        events = [str(each.event) for each in entries]
        assert events in ([], ["reserved"], ["reserved", "spent"], ["reserved", "released"]), (
            f"{name}: {events}"
        )
        if run.spec.epsilon is not None and name in senders:
            assert "spent" in events, f"{name} has sent a share and paid nothing"
        if (row := journal.session(run.session)) is not None and row.ended is not None:
            assert events != ["reserved"], f"{name} has ended and keeps a reserve"


def kept_setups(run: Run, name: str) -> dict[str, set[bytes]]:
    """The ids of the setups that a node keeps, by peer."""
    names = {identity: peer for peer, identity in run.spec.members.items()}
    found: dict[str, set[bytes]] = {}
    unused = "SELECT peer, id FROM setup WHERE lent IS NULL"
    for peer, setup in run.network.journals[name]._db.execute(unused):
        found.setdefault(names[peer], set()).add(setup)
    return found
