"""Random schedules of faults: each ends in the right number or in a named abort.

This is the short form; `python -m tests.simulation` runs thousands.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import replace
from itertools import product
from typing import get_args

import pytest

from party_node.active import ActiveSession
from party_node.journal import Journal, SessionRow
from party_node.node import Node
from party_node.post import Sent
from party_node.setups import SetupStore
from protocol.beaver import Triples
from protocol.bits import Bits
from protocol.correlation import Preparation
from protocol.errors import LocalProtocolError
from protocol.functionalities import CATALOGUE
from protocol.functionalities.average import Average
from protocol.functionalities.referendum import Referendum
from protocol.letters import Assembler
from protocol.messages import Step
from protocol.secret import Seed
from protocol.session import Session
from tests.simulation.judge import simulate
from tests.simulation.reproductions import REPRODUCTIONS
from tests.simulation.schedule import (
    COSTS,
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
    generate,
)

SEEDS, BLOCK = range(480, 620), 20  # with every fault in them, as two tests below say
PARTIES = tuple(f"p{number}" for number in range(50))


@pytest.mark.parametrize("first", SEEDS[::BLOCK])
def test_every_schedule_ends_in_the_right_number_or_a_named_abort(first: int) -> None:
    for seed in range(first, first + BLOCK):
        simulate(generate(seed, largest=9))


@pytest.mark.parametrize("name", REPRODUCTIONS)
def test_what_once_failed_does_not_fail_again(name: str) -> None:
    simulate(REPRODUCTIONS[name])


def test_fifty_parties_of_whom_three_compute_end_in_the_right_number() -> None:
    schedule = Schedule(
        seed=1,
        inputs=PARTIES,
        compute=PARTIES[:3],
        results=PARTIES[2:5],
        min_inputs=40,
        lose=0.05,
        double=0.05,
        delay=50,
        operations=(Late("p7", 20_000), Crash(500, committed=True), Crash(700, committed=False)),
    )
    assert simulate(schedule) == "completed"


def test_sixteen_parties_who_all_do_everything_end_in_the_right_number() -> None:
    everybody = PARTIES[:16]
    assert simulate(Schedule(2, everybody, everybody, everybody, 16, length=3, lose=0.05)) == "completed"


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert generate(7) == generate(7)
    assert len({repr(generate(seed)) for seed in range(50)}) == 50


def test_the_schedules_of_the_short_form_have_every_function_and_every_fault_in_it() -> None:
    schedules = [generate(seed, largest=9) for seed in SEEDS]
    kinds = {(each.function, type(operation).__name__) for each in schedules for operation in each.operations}
    faults = [
        each.__name__ for each in (Crash, Late, Vanish, Leave, Cut, BrokerReset, Replay, CoordinatorGone)
    ]
    assert kinds == set(product(CATALOGUE, faults))
    votes = [each for each in schedules if each.votes]
    assert {each.before for each in votes} == {"strangers", "acquainted", "forgetful"}
    assert {len(each.compute) for each in votes} >= {2, 3, 4, 5}
    assert {"/" in each.threshold for each in votes} == {True, False}
    lost = {each.step for vote in votes for each in vote.operations if isinstance(each, Vanish)}
    assert lost >= {Step.CORRELATE, Step.MASKED, Step.OPENED, Step.COMMIT}


def test_the_schedules_of_the_short_form_have_every_fault_with_noise_too() -> None:
    schedules = [generate(seed, largest=9) for seed in SEEDS]
    noised = [each for each in schedules if each.noise]
    assert {each.function for each in noised} == set(CATALOGUE) - {"poll"}
    assert {type(operation) for each in noised for operation in each.operations} == {*get_args(Operation)}
    assert {each.length for each in noised} == {None, 1, 3, 40}
    terms = {(noise.epsilon, noise.relation) for each in noised if (noise := each.noise)}
    assert terms == set(product(COSTS, ["replace-one", "add-remove"]))
    trusting = {noise.colluders - len(each.compute) + 1 for each in noised if (noise := each.noise)}
    assert {0, -1, -2} <= trusting
    assert {min(each.drawing, each.within + 1) for each in noised} >= {0, 30, 3_000, 10_001, 60_001}


def test_the_long_form_has_up_to_twenty_compute_parties_and_the_many_are_rare() -> None:
    sizes = Counter(len(each.compute) for each in map(generate, range(6000)) if each.votes)
    assert {*range(2, 6), 7, 9, 12, 16, 20} == set(sizes)
    assert sizes[20] < sizes[12] < sizes[5] < sizes[3]


# -- the judge is not blind: each promise is broken once, and the schedules must show it ---------------------

TRIO = PARTIES[:3]
CRASHES = tuple(Crash(action, committed=action % 2 == 0) for action in (9, 14, 19, 26, 33))
TROUBLED = [Schedule(seed, TRIO, TRIO, TRIO, 3, lose=0.2, operations=CRASHES) for seed in range(5)]
VOTES = [
    replace(each, seed=each.seed + 5, function="referendum", threshold="2/3", before="acquainted")
    for each in TROUBLED
]


def assert_noticed(complaint: str, schedules: list[Schedule] = TROUBLED) -> None:
    """At least one of the troubled schedules fails, for this reason."""
    with pytest.raises((AssertionError, LocalProtocolError, sqlite3.Error), match=complaint):
        _simulate_all(schedules)


def _simulate_all(schedules: list[Schedule]) -> None:
    for schedule in schedules:
        simulate(schedule)


def test_the_troubled_schedules_complete_with_nothing_broken() -> None:
    assert {simulate(schedule) for schedule in TROUBLED + VOTES} == {"completed"}


def test_letters_sealed_anew_after_a_crash_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def rejoin(self: ActiveSession, row: SessionRow) -> None:
        self._send(self.machine.join(self._seal.public_key, row.joined))

    def sent(self: Journal, session: str, part: Sent) -> None:
        where = "DELETE FROM outbox WHERE (session, step, recipient, part) = (?, ?, ?, ?)"
        self._write(where, session, part.step, part.to, part.part)
        honest(self, session, part)

    honest = Journal.sent
    monkeypatch.setattr(ActiveSession, "_rejoin", rejoin)
    monkeypatch.setattr(Journal, "sent", sent)
    assert_noticed("two different payloads under .*(share|reveal)")
    assert_noticed("two different payloads under .*(correlate|share|reveal)", VOTES)


def test_a_session_that_is_not_taken_up_after_a_crash_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "resume", lambda _self, _now: None)
    assert_noticed("never heard|aborted|is still|Outcome|keeps its seed")


def test_a_wrong_number_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Average.decode
    monkeypatch.setattr(Average, "decode", lambda self, opened, inputs: honest(self, opened, inputs + 1))
    assert_noticed("has a wrong answer")


def test_a_wrong_verdict_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Referendum.decode
    monkeypatch.setattr(Referendum, "decode", lambda self, opened, inputs: honest(self, 1 - opened, inputs))
    assert_noticed("has a wrong answer", [replace(VOTES[0], before="strangers")])


def test_triples_that_are_used_twice_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(self: Triples, count: int) -> tuple[Bits, Bits, Bits]:
        a, b, c = self._unused
        return a[:count], b[:count], c[:count]

    monkeypatch.setattr(Triples, "take", take)
    everybody = PARTIES[:6]  # so many that there are two rounds
    assert_noticed("masks two things", [replace(VOTES[0], inputs=everybody, results=everybody)])


def test_triples_drawn_from_one_seed_in_two_sessions_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(self: Preparation, me: str, parties: tuple[str, ...], count: int, _seed: Seed) -> None:
        honest(self, me, parties, count, Seed(me.encode().ljust(32)))

    honest = Preparation.__init__
    monkeypatch.setattr(Preparation, "__init__", prepare)
    assert_noticed("draws from another session's seed", VOTES)


def test_setups_that_are_not_kept_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SetupStore, "keep", lambda *_given: None)
    assert_noticed("share none", VOTES)


def test_setups_that_stay_after_their_use_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(self: Journal, session: str) -> None:
        self._write("UPDATE setup SET lent = 'kept' WHERE lent = ?", session)
        honest(self, session)

    honest = Journal.forget_secrets
    monkeypatch.setattr(Journal, "forget_secrets", forget)
    assert_noticed("keeps what was used", VOTES)


def test_a_party_accused_of_a_harmless_repetition_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    repeated = Assembler.knows
    monkeypatch.setattr(Assembler, "conflicts", repeated)
    monkeypatch.setattr(Assembler, "knows", lambda _self, _part: False)
    assert_noticed("contradiction")


def test_letters_that_are_never_asked_for_again_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "waiting_for", lambda _self: [])
    assert_noticed(".")


def test_secrets_that_stay_behind_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "forget_secrets", lambda _self, _session: None)
    assert_noticed("keeps its seed")
