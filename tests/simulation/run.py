"""Runs a schedule on real nodes: what goes wrong in it happens where the schedule says."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from functools import partial

from party_node.post import Publication
from protocol.dp.noise import Noise, Relation
from protocol.functionalities import CATALOGUE, Functionality
from protocol.states import State
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

LOWER, UPPER, BINS = Decimal(-400_000), Decimal("700000.50"), 3
# Beyond the bounds, between two cents, half of one, and no ballot or bin at all.
STRANGE = "-0 0.005 -0.005 0.5 0.49999 1.5 -7.125 2.4999999999 700000.495 700000.505 -400000.005".split()
FARTHEST = "9223372036854775807 -9223372036854775808 0.000000000000000001".split()  # alone, in no list


class Run:
    """One schedule as it happened."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        names = tuple(sorted(schedule.members, key=lambda name: int(name[1:])))
        self.values = _values(schedule)
        self.network = Network({name: {"raise": self.values[name]} for name in names}, seed=schedule.seed)
        self.function: Functionality = CATALOGUE[schedule.function].model_validate(_terms(schedule))
        self.noise = _noise(schedule, self.function)
        self.last_start = START
        self._old: list[Publication] = []
        if schedule.before != "strangers" or any(isinstance(each, Replay) for each in schedule.operations):
            self._finish_another_session()
        if schedule.before == "forgetful":
            self._forget()
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
                noise=self.noise,
                inputs=roles.inputs,
                compute=roles.compute,
                results=roles.results,
            )
        )
        network.run()
        assert {each.state for each in network.outcomes(old).values()} == {State.COMPLETED}
        self._old, network.tap = network.tap, []

    def _forget(self) -> None:
        """Some lose their journals, and with them the base transfers that they kept."""
        for name in self.schedule.compute[::2]:
            self.network.lose_journal(name)

    def _start(self) -> None:
        schedule, network = self.schedule, self.network
        network.actions, network.drawing = 0, schedule.drawing
        network.faults = Faults(schedule.lose, schedule.double, schedule.delay)
        self.spec = network.spec(
            self.function,
            within=schedule.within,
            noise=self.noise,
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
        step = sent.topic.split("/")[4].partition("-")[0]
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


def _terms(schedule: Schedule) -> dict[str, object]:
    """The function's fields.  Noise needs bounds, and a length where an input is a list."""
    if schedule.function == "histogram":
        return {"bins": BINS}
    if schedule.votes:
        return {"threshold": schedule.threshold}
    if schedule.noise is None or schedule.function == "poll":
        return {}
    return {"lower": LOWER, "upper": UPPER, "length": schedule.length}


def _noise(schedule: Schedule, function: Functionality) -> Noise | None:
    if schedule.noise is None:
        return None
    relation = Relation(schedule.noise.relation)
    return Noise(
        epsilon=schedule.noise.epsilon,
        sensitivity=function.sensitivity(relation),
        relation=relation,
        colluders=schedule.noise.colluders,
    )


def _values(schedule: Schedule) -> dict[str, str | list[str]]:
    """What everybody has; with noise, all that a number can be."""
    rng = random.Random(schedule.seed)
    kinds = {"referendum": _ballot, "poll": _ballot, "histogram": _bin}
    one = kinds.get(schedule.function, _cents)(rng)
    strange = STRANGE if schedule.length else STRANGE + FARTHEST

    def number() -> str:
        return rng.choice(strange) if schedule.noise is not None and rng.random() < 0.25 else one()

    return {
        name: number() if schedule.length is None else [number() for _ in range(schedule.length)]
        for name in schedule.members
    }


def _ballot(rng: random.Random) -> Callable[[], str]:
    """Unanimous, or close, or anything."""
    yes = rng.choice([0.0, 1.0, 0.5, 2 / 3])
    return lambda: "1" if rng.random() < yes else "0"


def _bin(rng: random.Random) -> Callable[[], str]:
    return lambda: str(rng.randint(1, BINS))


def _cents(rng: random.Random) -> Callable[[], str]:
    """Exact ones, of either sign."""
    return lambda: str(Decimal(rng.randint(-(10**8), 10**8)).scaleb(-2))
