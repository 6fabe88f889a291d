"""Each adversary on its own: what it does, what honest parties find out, and whom they name."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from protocol.functionalities.sum import Sum
from protocol.messages import AbortReason, Step
from protocol.states import DISPROOFS, OVER, State
from tests.simulation.attack_judge import play
from tests.simulation.attacks import (
    CHANGES,
    HOUR,
    INTERACTIVE,
    Accuse,
    Again,
    Cancel,
    Clock,
    Flood,
    Forge,
    Hold,
    Intrude,
    Meddle,
    Plot,
    Shift,
    Twin,
    TwoSpecs,
)
from tests.simulation.schedule import LONG, Noised, Schedule
from tests.support.network import Faults, Network

QUARTET = ("p0", "p1", "p2", "p3")
TRIO = QUARTET[:3]
MANY = 100  # sessions at once
SPLIT, BAD = AbortReason.SPLIT_VIEW, AbortReason.BAD_OPENING
INVALID, TIMEOUT = AbortReason.INVALID_MESSAGE, AbortReason.TIMEOUT


# -- different things to different parties ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "flaw"),
    [
        *(("join", flaw) for flaw in ("another key", "invented setups", "another offer")),
        *(("begin", flaw) for flaw in ("another join", "fewer inputs")),
        *(("received", flaw) for flaw in ("another view", "one input less", "another commitment")),
        *((step, "another run") for step in ("masked", "opened")),
        ("opened", "flipped bits"),
    ],
)
def test_who_tells_one_party_something_else_than_the_others_gives_no_answer_to_anybody(
    step: str, flaw: str
) -> None:
    votes = step in INTERACTIVE or flaw == "another offer"
    schedule = Schedule(1, QUARTET, TRIO, TRIO, 2, function="referendum" if votes else "sum", within=10_000)
    corrupt, told = ("p0", "p1") if step in ("begin", "opened") else ("p1", "p0")
    played = play(Plot(schedule, corrupt, (Forge(step, flaw, (told,)), Hold("abort", QUARTET))))
    reasons = {each.ending.reason for each in played.ends.values() if each.ending}
    assert {each.state for each in played.ends.values()} == {State.ABORTED}
    assert reasons <= {SPLIT, TIMEOUT, INVALID, AbortReason.TOO_FEW_INPUTS}


@pytest.mark.parametrize("same_coins", [True, False])
@pytest.mark.parametrize("corrupt", TRIO)
@pytest.mark.parametrize("function", ["sum", "referendum"])
def test_a_party_with_two_nodes_under_one_name_gets_nothing_opened_twice(
    function: str, corrupt: str, *, same_coins: bool
) -> None:
    schedule = Schedule(3, QUARTET, TRIO, TRIO, 3, function=function, within=10_000)  # type: ignore[arg-type] # one
    others = tuple(name for name in TRIO if name != corrupt)
    attacks = (Twin(others[:1], same_coins, "p3" if corrupt == "p1" else None), Shift(7, twin=True))
    played = play(Plot(schedule, corrupt, attacks))
    assert {each.state for each in played.ends.values()} == {State.ABORTED}


@pytest.mark.parametrize("told", [("p1",), ("p4",), ("p0", "p4")])
def test_two_result_parties_never_hold_two_answers_even_if_they_cannot_confirm_them_to_each_other(
    told: tuple[str, ...],
) -> None:
    """A reveal names the commitments that it is over, so an honest one fits what one of the two was told."""
    schedule = Schedule(1, QUARTET, TRIO, ("p0", "p1", "p3", "p4"), 4, function="sum", within=10_000)
    attacks = (Twin(told, same_coins=True, deaf_to=None), Shift(7, twin=True))
    withheld = (Meddle("drop", "confirm", None, 1.0), Meddle("drop", "abort", None, 1.0))
    played = play(Plot(schedule, "p2", (*attacks, *withheld)))
    learned = {name for name, each in played.ends.items() if each.answer is not None}
    assert learned == ({"p0", "p1", "p3"} if told == ("p4",) else set())  # who computes was told one thing
    assert SPLIT in {each.ending.reason for each in played.ends.values() if each.ending}


# -- errors and last words --------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [None, Noised(1_000_000_000, 1)], ids=["exact", "noised"])
@pytest.mark.parametrize("function", ["sum", "average", "histogram", "referendum"])
def test_an_error_that_is_committed_to_is_in_the_answer_and_in_nothing_else(
    function: str, noise: Noised | None
) -> None:
    """What deviates cannot choose its error after it has seen the others': the judge knows it beforehand."""
    schedule = Schedule(2, TRIO, TRIO, TRIO, 3, function=function, noise=noise, within=10_000)  # type: ignore[arg-type] # one
    for units in (1, -(2**20) + 1) if function != "referendum" else (1,):
        played = play(Plot(schedule, "p2", (Shift(units), Hold("reveal", TRIO, last_word=True))))
        assert played.word == "completed"


@pytest.mark.parametrize("flaw", ["another output", "another nonce", "short body", "does not open", "copied"])
@pytest.mark.parametrize("results", [QUARTET, ("p3",), ("p0", "p3")])
def test_a_reveal_that_is_altered_after_all_others_were_seen_is_named_by_every_result_party(
    flaw: str, results: tuple[str, ...]
) -> None:
    schedule = Schedule(1, QUARTET, TRIO, results, 4, function="sum", within=10_000)
    attacks = (
        Hold("reveal", QUARTET, last_word=True),
        Forge("reveal", flaw, QUARTET),
        Hold("abort", QUARTET),
    )
    played = play(Plot(schedule, "p1", attacks))
    for name in set(results) - {"p1"}:
        ending = played.ends[name].ending
        assert ending is not None
        assert (ending.reason, ending.culprit) == (BAD, "p1")
        assert played.ends[name].answer is None


@pytest.mark.parametrize("step", ["reveal", "commit", "received", "share", "join", "confirm"])
def test_who_withholds_is_called_silent_and_never_guilty(step: str) -> None:
    schedule = Schedule(1, QUARTET, QUARTET, QUARTET, 4, function="sum", within=10_000)
    also = (Forge("received", "no commitment", QUARTET),) if step == "commit" else ()
    played = play(Plot(schedule, "p1", (*also, Hold(step, QUARTET), Hold("abort", QUARTET))))
    for each in played.ends.values():
        if step == "confirm":  # the answer stands
            assert (each.state, each.unconfirmed) == (State.COMPLETED, ("p1",))
            continue
        assert each.ending is not None
        assert (each.ending.culprit, each.ending.silent) == (None, ("p1",)), each


@pytest.mark.parametrize("reason", [*AbortReason])
def test_a_false_accusation_stands_under_its_authors_name(reason: AbortReason) -> None:
    schedule = Schedule(1, QUARTET, QUARTET, QUARTET, 4, function="sum", within=10_000)
    played = play(Plot(schedule, "p1", (Accuse(0, str(reason), "p2", QUARTET),)))
    for each in played.ends.values():
        assert each.ending is not None
        assert (each.ending.reported_by, each.ending.culprit) == ("p1", "p2")


# -- the coordinator --------------------------------------------------------------------------------------


TOLD_TWICE = {  # what of the spec is not the same for all; what those say who hear of both
    "results": "with different results",
    "fewer inputs": "with different inputs",
    "one input": "with different inputs",
    "min_inputs": "with different min_inputs",
    "times": "with different join_by and share_by",
    "compute": "with different compute",
    "bounds": "with different function",
    "epsilon": "with different noise",
    "another key": "p0 has another key in the roster",
    "sensitivity": "sensitivity 110000051",
}


@pytest.mark.parametrize("change", TOLD_TWICE)
def test_a_spec_that_is_not_the_same_for_all_is_refused_and_what_differs_is_said(change: str) -> None:
    noise = Noised(1_000_000_000, 1) if change in ("epsilon", "sensitivity") else None
    schedule = Schedule(1, TRIO, TRIO, TRIO, 3, function="average", noise=noise, within=10_000)
    played = play(Plot(schedule, None, (TwoSpecs(change, ("p2",), own_id=True),)))
    ends = [each for ends in played.outcomes.values() for each in ends.values()]
    refusals = [each.ending.detail for each in ends if each.ending and each.state is State.REFUSED]
    assert all(each.answer is None for each in ends)
    assert refusals
    assert all(TOLD_TWICE[change] in each for each in refusals)


@pytest.mark.parametrize("change", CHANGES)
def test_an_announcement_whose_id_is_not_its_hash_changes_nothing(change: str) -> None:
    schedule = Schedule(1, TRIO, TRIO, TRIO, 3, function="average", within=10_000)
    assert play(Plot(schedule, None, (TwoSpecs(change, ("p0", "p2"), own_id=False),))).word == "completed"


def test_a_question_that_is_announced_a_thousand_times_is_one_session() -> None:
    schedule = Schedule(1, TRIO, TRIO, TRIO, 3, within=10_000)
    played = play(Plot(schedule, None, (Flood(1_000, fresh=False),)))
    assert played.word == "completed"
    assert played.known == dict.fromkeys(TRIO, 1)


def test_of_very_many_sessions_at_once_a_node_takes_part_in_as_many_as_it_says_and_others_complete() -> None:
    network = Network({name: {"raise": "5"} for name in TRIO}, faults=Faults(delay=0))
    network.limits = replace(network.limits, most_open=10)
    network.nodes = {name: network.make(name) for name in network.nodes}
    first = network.announce(network.spec(Sum(), within=60_000))
    for _ in range(MANY):
        network.announce(network.spec(Sum(), within=60_000))
    most = 0

    def look() -> None:
        nonlocal most
        most = max(most, *(len(network.nodes[name]._active) for name in TRIO))

    for at in range(200):
        network.at(network.now + at, look)
    network.run()
    states = Counter(str(each.state) for each in network.outcomes(first).values())
    assert states == {"completed": 3}
    assert 0 < most <= 10
    assert not any(network.nodes[name]._active for name in TRIO)
    assert {len(network.journals[name].sessions()) for name in TRIO} == {1 + MANY}
    network.close()


@pytest.mark.parametrize("reason", [*AbortReason])
@pytest.mark.parametrize("at", [0, 3])
def test_a_coordinators_abort_ends_a_session_or_comes_too_late_for_the_answer(
    reason: AbortReason, at: int
) -> None:
    schedule = Schedule(1, TRIO, TRIO, TRIO, 3, function="sum", within=10_000)
    played = play(Plot(schedule, None, (Cancel(at, str(reason), "p0", TRIO),)))
    for each in played.ends.values():
        assert each.ending is None or each.ending.reported_by is not None
    assert {each.state for each in played.ends.values()} <= OVER


@pytest.mark.parametrize("reason", sorted(DISPROOFS))
def test_a_coordinator_that_is_no_member_cannot_take_an_answer_back(reason: AbortReason) -> None:
    """A member's disproof can; its confirmation is withheld here, so that the session is still open."""
    schedule = Schedule(1, TRIO, TRIO, TRIO, 3, function="sum", within=10_000)
    attacks = (Meddle("drop", "confirm", None, 1.0), Cancel(1_000, str(reason), "p1", TRIO))
    played = play(Plot(schedule, None, attacks))
    assert played.word == "completed"
    assert all(each.unconfirmed for each in played.ends.values())


# -- the broker -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["double", "delay", "truncate", "flip", "readdress", "misroute"])
@pytest.mark.parametrize("function", ["sum", "referendum"])
def test_what_the_broker_adds_changes_nothing(what: str, function: str) -> None:
    members = QUARTET if function == "sum" else TRIO
    schedule = Schedule(4, members, TRIO, members, 3, function=function, within=60_000)  # type: ignore[arg-type] # one
    again = (Again("this", 20), Again("crossed", 30), Again("other", 40), Again("retained", 5_000))
    played = play(Plot(schedule, None, (Meddle(what, None, None, 1.0), *again)))  # type: ignore[arg-type] # one of them
    assert played.word == "completed"


@pytest.mark.parametrize("step", [str(step) for step in Step if step not in (Step.REFUSE, Step.ABORT)])
def test_a_step_that_the_broker_withholds_from_one_party_for_ever_ends_the_session_by_name(step: str) -> None:
    function = "referendum" if step in INTERACTIVE else "sum"
    schedule = Schedule(4, QUARTET, TRIO, QUARTET, 4, function=function, within=10_000)  # type: ignore[arg-type] # one
    played = play(Plot(schedule, None, (Meddle("drop", step, "p1", 1.0),)))
    assert {each.state for each in played.ends.values()} <= OVER


@pytest.mark.parametrize("step", [str(step) for step in Step])
def test_nonsense_under_any_step_is_dropped_or_names_its_sender(step: str) -> None:
    function = "referendum" if step in INTERACTIVE else "sum"
    schedule = Schedule(4, QUARTET, TRIO, QUARTET, 4, function=function, within=10_000)  # type: ignore[arg-type] # one
    for at in (0, 4):
        play(Plot(schedule, "p2", (Intrude(step, at),)))


# -- clocks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [-100_000, -1_000, 1_000, 100_000])
@pytest.mark.parametrize("party", TRIO)
def test_a_clock_that_is_a_little_off_does_no_harm(party: str, ahead: int) -> None:
    schedule = Schedule(5, TRIO, TRIO, TRIO, 3, function="sum", within=LONG)
    assert play(Plot(schedule, None, (Clock(party, ahead),))).word == "completed"


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
@pytest.mark.parametrize("party", TRIO)
def test_a_clock_that_is_an_hour_off_keeps_its_node_away_and_nothing_is_sent(party: str, ahead: int) -> None:
    schedule = Schedule(5, TRIO, TRIO, TRIO, 3, function="sum", noise=Noised(10**9, 2), within=LONG)
    played = play(Plot(schedule, None, (Clock(party, ahead),)))
    network = played.battle.network
    assert network.nodes[party].dropped["announcement"] > 0
    assert party not in played.ends
    assert not [sent for sent in network.tap if sent.payload and "/share/" in sent.topic]
    others = [each.ending for name, each in played.ends.items() if each.ending]
    assert {(each.reason, each.silent) for each in others} <= {
        (AbortReason.NEVER_JOINED, (party,)),
        (TIMEOUT, (party,)),
    }


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
@pytest.mark.parametrize("since", [2, 4, 6, 30])
def test_a_clock_that_jumps_by_an_hour_costs_an_answer_at_most(since: int, ahead: int) -> None:
    for party in TRIO[:2]:
        schedule = Schedule(5, TRIO, TRIO, TRIO, 3, function="sum", delay=3, within=LONG)
        play(Plot(schedule, None, (Clock(party, ahead, since),)))
