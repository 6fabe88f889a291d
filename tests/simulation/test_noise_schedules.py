"""Sessions with noise under faults: the answer has everybody's noise in it, or there is none.

The random schedules are in test_schedules.py; here are those aimed at noise, and each promise broken once.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from party_node.journal import Journal
from party_node.ledger import Ledger
from party_node.node import Node
from protocol import encoding
from protocol.dp.noise import Noise
from protocol.encoding import Exact
from protocol.functionalities.base import Answer
from protocol.functionalities.linear import FixedPoint
from protocol.functionalities.poll import Poll
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.holding import Holding
from protocol.messages import AbortReason, Step
from protocol.ring import Ring
from protocol.secret import Seed
from protocol.sharing import Share
from protocol.states import State
from tests.simulation.ideal import recorded
from tests.simulation.judge import check_answers, check_letters, check_remains, simulate
from tests.simulation.run import Run
from tests.simulation.schedule import LONG, Crash, Late, Noised, Schedule
from tests.support.network import Network
from tests.support.sessions import seed_of

TRIO = ("p0", "p1", "p2")
PLAIN = Schedule(1, TRIO, TRIO, TRIO, 3, function="sum", noise=Noised(10**9, colluders=2))
MUCH = Noised(10**8, colluders=2)  # of noise: it decides the vote
VOTE = replace(PLAIN, function="referendum", noise=MUCH, threshold="2/3", before="acquainted")
POLL = replace(PLAIN, function="poll", noise=None)
NOISED = {
    "sum": PLAIN,
    "average": replace(PLAIN, function="average", length=3),
    "histogram": replace(PLAIN, function="histogram"),
    "referendum": VOTE,
}


def actions(schedule: Schedule) -> int:
    """How many actions the nodes take if nothing happens to them."""
    run = Run(schedule)
    run.network.run()
    run.close()
    return run.network.actions


@pytest.mark.parametrize("schedule", [*NOISED.values(), POLL], ids=[*NOISED, "poll"])
def test_a_crash_at_any_action_leaves_the_noise_and_the_letters_what_they_were(schedule: Schedule) -> None:
    for action in range(1, actions(schedule), 11 if schedule.votes else 4):
        crash = Crash(action, committed=action % 8 < 4)
        assert simulate(replace(schedule, drawing=action % 8, operations=(crash,))) == "completed"


def test_many_parties_of_whom_three_add_noise_end_in_the_right_numbers() -> None:
    parties = tuple(f"p{number}" for number in range(25))
    schedule = Schedule(
        seed=1,
        inputs=parties,
        compute=parties[:3],
        results=parties[2:5],
        min_inputs=20,
        function="histogram",
        noise=Noised(10**9, colluders=1),
        drawing=3_000,
        lose=0.05,
        double=0.05,
        delay=50,
        operations=(Late("p7", 20_000), Crash(500, committed=True), Crash(700, committed=False)),
    )
    assert simulate(schedule) == "completed"


# -- noise that is long in coming ------------------------------------------------------------------------


def hold_back(network: Network, name: str, until: int | None) -> None:
    """Nothing of this node's noise is there before a time, or ever."""
    honest = network._drawn

    def drawn(who: str, node: Node, session: str, noise: Share) -> None:
        if who != name:
            honest(who, node, session, noise)
        elif until is not None:
            network.at(until, lambda: honest(who, node, session, noise))

    network._drawn = drawn  # type: ignore[method-assign, assignment] # of this one network


@pytest.mark.parametrize("schedule", NOISED.values(), ids=NOISED)
def test_noise_that_comes_last_of_all_is_waited_for(schedule: Schedule) -> None:
    with recorded() as brought:
        run = Run(schedule)
        late = run.spec.share_by + LONG // 8
        hold_back(run.network, "p1", late)
        run.network.run()
        assert {each.state for each in run.network.outcomes(run.session).values()} == {State.COMPLETED}
        rows = [run.network.journals[name].session(run.session) for name in TRIO]
        assert all(late <= each.ended < late + 10_000 for each in rows if each and each.ended)
        check_answers(run, brought)
        check_remains(run)
        run.close()


@pytest.mark.parametrize("schedule", NOISED.values(), ids=NOISED)
def test_without_the_noise_of_all_nothing_is_revealed_and_who_lacks_it_is_named(schedule: Schedule) -> None:
    run = Run(schedule)
    hold_back(run.network, "p1", None)
    run.network.run()
    for name, outcome in run.network.outcomes(run.session).items():
        assert (outcome.state, outcome.answer) == (State.ABORTED, None)
        assert outcome.ending is not None
        assert outcome.ending.reason is AbortReason.TIMEOUT
        assert "p1" in (*outcome.ending.silent, outcome.ending.reported_by or name)
    sent = {tuple(each.topic.split("/")[4:6]) for each in run.network.tap if run.session in each.topic}
    assert {(Step.SHARE, "p1"), (Step.RECEIVED, "p0")} <= sent
    assert (Step.RECEIVED, "p1") not in sent
    assert not {Step.COMMIT, Step.REVEAL} & {step for step, _ in sent}
    check_letters(run.network.tap)
    check_remains(run)
    run.close()


# -- the judge is not blind ------------------------------------------------------------------------------

CRASHES = tuple(Crash(action, committed=action % 2 == 0) for action in (9, 14, 19, 26, 33))
TROUBLED: dict[str, list[Schedule]] = {
    each.function: [replace(each, seed=seed, lose=0.2, operations=CRASHES, drawing=30) for seed in range(2)]
    for each in (*NOISED.values(), POLL)
}
CLOSE = [replace(VOTE, seed=seed, before="strangers") for seed in range(8)]  # without the noise all others


def assert_noticed(complaint: str, schedules: list[Schedule]) -> None:
    """At least one of the schedules fails, for this reason."""
    with pytest.raises(AssertionError, match=complaint):
        _simulate_all(schedules)


def _simulate_all(schedules: list[Schedule]) -> None:
    for schedule in schedules:
        simulate(schedule)


def test_the_troubled_schedules_complete_with_nothing_broken() -> None:
    assert {simulate(each) for schedules in TROUBLED.values() for each in schedules} == {"completed"}


@pytest.mark.parametrize("function", NOISED)
def test_noise_that_one_party_leaves_out_is_noticed(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def take(self: Holding, noise: Share) -> None:
        content = noise.elements(())
        honest(self, Share(np.zeros_like(content)) if self._me == "p1" else noise)

    honest = Holding.take_noise
    monkeypatch.setattr(Holding, "take_noise", take)
    assert_noticed("has a wrong answer", CLOSE if function == "referendum" else TROUBLED[function])


@pytest.mark.parametrize("function", ["sum", "histogram"])
def test_an_output_share_that_does_not_wait_for_its_noise_is_noticed(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Holding, "lacks_noise", property(lambda self: self._noisy and not self._shares))
    assert_noticed("has a wrong answer", [replace(NOISED[function], drawing=3_000)])


def test_noise_that_is_drawn_anew_after_a_crash_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def share(self: Noise, compute: int, shape: tuple[int, ...], _seed: Seed, *_wanted: object) -> Share:
        return honest(self, compute, shape, seed_of(f"draw {next(draws)}"))

    draws, honest = count(), Noise.share
    monkeypatch.setattr(Noise, "share", share)
    with pytest.raises(AssertionError) as caught:
        _simulate_all(TROUBLED["sum"])
    assert caught.traceback[-1].name == "_drawn"
    monkeypatch.setattr(Network, "_drawn", _careless)
    assert_noticed(
        "two different payloads under .*(received|reveal)|disagree|has a wrong answer", TROUBLED["sum"]
    )


def _careless(self: Network, name: str, node: Node, session: str, noise: Share) -> None:
    """Takes note of what was drawn last, and compares it with nothing."""
    self.noises[session, name] = noise.elements(())
    if name not in self.down and self.nodes[name] is node:
        self._act(name, lambda: node.drawn(session, noise, self.now))


def test_a_value_that_is_not_moved_into_the_bounds_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(self: FixedPoint, value: Exact, inputs: int, *, clamp: bool = False) -> Ring:
        limit = encoding.limit(inputs)
        return encoding.clamped(value, decimals=self.decimals, lowest=-limit, highest=limit)

    monkeypatch.setattr(FixedPoint, "encode", encode)
    assert_noticed("has a wrong answer", TROUBLED["sum"])


def test_a_refusal_that_depends_on_the_value_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(self: FixedPoint, value: Exact, inputs: int, *, clamp: bool = False) -> Ring:
        return honest(self, value, inputs)

    honest = FixedPoint.encode
    monkeypatch.setattr(FixedPoint, "encode", encode)
    assert_noticed("refused|never heard|never-joined|input", TROUBLED["sum"])


def test_an_answer_that_is_moved_into_the_bounds_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise is never clamped: it would no longer be what was promised."""

    def decode(self: Sum, opened: Ring, inputs: int) -> Answer:
        answer, (lowest, highest) = honest(self, opened, inputs), self.range(inputs)
        return replace(answer, units=np.clip(answer.units, inputs * lowest, inputs * highest))

    honest = Sum.decode
    monkeypatch.setattr(Sum, "decode", decode)
    assert_noticed("has a wrong answer", [replace(PLAIN, noise=MUCH, length=40)])


def test_a_count_without_the_noise_that_was_entered_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Referendum.enter_noise

    def enter(self: Referendum, noise: int, *given: int) -> object:
        return honest(self, 0 * noise, *given)

    monkeypatch.setattr(Referendum, "enter_noise", enter)
    assert_noticed("has a wrong answer", CLOSE)


def test_coins_that_are_flipped_again_after_a_crash_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def value(self: Journal, session: str) -> Ring | None:
        kept = honest(self, session)
        return None if kept is None else 1 - kept

    honest = Journal.value
    monkeypatch.setattr(Journal, "value", value)
    assert_noticed(
        "two different payloads under .*share|has a wrong answer|keeps its input", TROUBLED["poll"]
    )


def test_a_share_that_leaves_before_it_is_paid_for_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "spend", lambda *_given: None)
    assert_noticed("has sent a share and paid nothing", TROUBLED["sum"])


def test_what_is_never_given_back_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "release", lambda *_given: None)
    assert_noticed("keeps a reserve", [replace(PLAIN, within=10_000, operations=(Late("p2", None),))])


def test_answers_to_a_poll_that_are_no_answers_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Poll, "randomise", lambda *_given: np.array(2, dtype=np.uint64))
    assert_noticed("yes or no", TROUBLED["poll"])
