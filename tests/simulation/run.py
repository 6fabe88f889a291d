"""Runs a schedule on real nodes and judges how it ended: the right number or a named abort, in time."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial

import pytest

from party_node import seal
from party_node.post import Publication
from protocol.functionalities import CATALOGUE, FixedPoint
from protocol.messages import AbortReason
from protocol.states import OVER, Ending, Outcome, State
from tests.simulation.schedule import (
    BrokerReset,
    CoordinatorGone,
    Crash,
    Cut,
    Late,
    Leave,
    Operation,
    Replay,
    Schedule,
    Vanish,
)
from tests.support.network import COORDINATOR, START, Faults, Network

GRACE = 5_000  # milliseconds after close_by, or after a node's last start, by which it must be done
# Nobody lies in these schedules, so that no abort may speak of lies.
HONEST = {AbortReason.NEVER_JOINED, AbortReason.LEFT_OUT, AbortReason.TOO_FEW_INPUTS, AbortReason.TIMEOUT}


class Run:
    """One schedule as it happened."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        names = tuple(sorted(schedule.members, key=lambda name: int(name[1:])))
        self.values = _values(schedule)
        self.network = Network({name: {"raise": self.values[name]} for name in names}, seed=schedule.seed)
        self.function: FixedPoint = CATALOGUE[schedule.function]()
        self.last_start = START
        self._old: list[Publication] = []
        if any(isinstance(each, Replay) for each in schedule.operations):
            self._finish_another_session()
        self._start()

    def close(self) -> None:
        """Release what the nodes hold."""
        self.network.close()

    # -- setting up -----------------------------------------------------------------------------------

    def _finish_another_session(self) -> None:
        network, roles = self.network, self.schedule
        old = network.announce(
            network.spec(
                self.function,
                within=10_000,
                inputs=roles.inputs,
                compute=roles.compute,
                results=roles.results,
            )
        )
        network.run()
        assert {each.state for each in network.outcomes(old).values()} == {State.COMPLETED}
        self._old, network.tap = network.tap, []

    def _start(self) -> None:
        schedule, network = self.schedule, self.network
        network.actions = 0
        network.faults = Faults(schedule.lose, schedule.double, schedule.delay)
        self.spec = network.spec(
            self.function,
            within=schedule.within,
            inputs=schedule.inputs,
            compute=schedule.compute,
            results=schedule.results,
            min_inputs=schedule.min_inputs,
            public=schedule.public,
        )
        self._vanishing = [each for each in schedule.operations if isinstance(each, Vanish)]
        self._left: dict[Vanish, int] = defaultdict(int)
        network.leaves = self._leaves
        for operation in schedule.operations:
            self._plan(operation)
        self.session = network.announce(self.spec)
        if CoordinatorGone() in schedule.operations:
            network.stop(COORDINATOR)

    def _plan(self, operation: Operation) -> None:
        network = self.network
        now = network.now
        match operation:
            case Crash(action, committed):
                network.crash_at[action] = committed
            case Late(party, start):
                network.stop(party)
                if start is not None:
                    network.at(now + start, partial(self._return, party))
            case Leave(party, at, back):
                network.at(now + at, partial(self._leave, party))
                network.at(now + back, partial(self._return, party))
            case Cut(parties, at, heals):
                network.at(now + at, partial(self._cut, frozenset(parties)))
                network.at(now + heals, partial(self._heal, parties))
            case BrokerReset(at):
                network.at(now + at, self._reset)
            case Replay(at):
                network.at(now + at, self._replay)

    # -- what happens ---------------------------------------------------------------------------------

    def _leaves(self, sender: str, sent: Publication) -> bool:
        """Every publication passes here: a party that is to vanish does so at its letter."""
        step = sent.topic.split("/")[4]
        for each in self._vanishing if sent.payload else ():
            if (each.party, each.step) == (sender, step):
                self._left[each] += 1
                if self._left[each] == each.left + 1:
                    self.network.stop(sender)
                    if each.back is not None:
                        self.network.at(self.network.now + each.back, partial(self._return, sender))
        return sender not in self.network.down

    def _return(self, party: str) -> None:
        if party in self.network.down and party not in self.schedule.gone:
            self.last_start = self.network.now
            self.network.start(party)

    def _leave(self, party: str) -> None:
        if party not in self.network.down:
            self.network.nodes[party].leave()
            self.network.flush(party)
            self.network.stop(party)

    def _cut(self, parties: frozenset[str]) -> None:
        self.network.cut |= parties

    def _heal(self, parties: tuple[str, ...]) -> None:
        self.network.cut -= set(parties)
        self._link(parties)

    def _reset(self) -> None:
        self.network.retained.clear()
        self._link(self.schedule.members)

    def _link(self, parties: tuple[str, ...]) -> None:
        for party in parties:
            if party not in self.network.down:
                self.network.reconnect(party)

    def _replay(self) -> None:
        for sent in self._old:
            for name in self.network.names:
                self.network.post(name, sent)


def _values(schedule: Schedule) -> dict[str, str | list[str]]:
    """Exact cents, of either sign; vectors of one length."""
    rng = random.Random(schedule.seed)

    def one() -> str:
        return str(Decimal(rng.randint(-(10**8), 10**8)).scaleb(-2))

    return {
        name: one() if schedule.length is None else [one() for _ in range(schedule.length)]
        for name in schedule.members
    }


# -- judging ----------------------------------------------------------------------------------------------


def simulate(schedule: Schedule) -> str:
    """Run a schedule to its end and say how it ended; AssertionError if a promise was broken."""
    with parts_of(schedule.part_bytes):
        return _judged(Run(schedule))


@contextmanager
def parts_of(size: int) -> Iterator[None]:
    """Cut sealed letters into parts of `size` bytes for the length of a `with` block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seal, "PART_BYTES", size)
        yield


def _judged(run: Run) -> str:
    try:
        run.network.run()
        check_letters(run.network.tap)
        check_answers(run)
        check_endings(run)
        check_remains(run)
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


def check_answers(run: Run) -> None:
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
        assert each.answer.text() == _ideal(run, each.inputs), f"{name} has a wrong answer"


def _ideal(run: Run, inputs: tuple[str, ...]) -> str | list[str]:
    """What a trusted party would answer."""
    columns = [run.values[name] for name in inputs]
    if run.schedule.length is None:
        return f"{run.function.ideal([Decimal(str(each)) for each in columns]):.2f}"
    rows = zip(*columns, strict=True)
    return [f"{run.function.ideal([Decimal(each) for each in row]):.2f}" for row in rows]


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
    check_silent(schedule, outcomes)
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
        assert ending.silent, f"{name}: {ending}"


def check_silent(schedule: Schedule, outcomes: dict[str, Outcome]) -> None:
    """On a network that loses nothing, somebody names those to whom something has happened.

    Not everybody: whoever waits for a party that itself waits can only name that one.
    """
    endings = [each.ending for each in outcomes.values() if each.ending]
    chance = any(isinstance(each, Crash | CoordinatorGone) for each in schedule.operations)
    if not endings or chance or schedule.lose or schedule.delay > 50:
        return
    named = {name for ending in endings for name in ending.silent}
    assert named & schedule.disturbed, f"only {named} are named: {endings}"


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
