"""What people are told about noise: the right figures in the right words."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import sqrt
from typing import Any

import numpy as np
import pytest

from coordinator import terminal
from party_node import privacy, views
from party_node.journal import SessionRow
from protocol.dp import accuracy
from protocol.dp.noise import Noise, Relation
from protocol.functionalities import Answer, Functionality
from protocol.functionalities.average import Average
from protocol.functionalities.histogram import Histogram
from protocol.functionalities.poll import Poll
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.letters import ALL, Header, frame
from protocol.messages import Step
from protocol.spec import SessionSpec, session_id
from protocol.states import Outcome, State
from tests.support.sessions import NOW, PARTIES, make_spec

SUM = Sum(lower=Decimal(0), upper=Decimal(10000))
LIST = Sum(lower=Decimal(0), upper=Decimal(10000), length=3)
AVERAGE = Average(lower=Decimal(0), upper=Decimal(10000))
TEN = tuple(f"p{number}" for number in range(10))


def noised(
    function: Functionality, *, relation: Relation = Relation.REPLACE_ONE, colluders: int = 3, **fields: Any
) -> SessionSpec:
    """ε 0.5 among the four."""
    sensitivity = function.sensitivity(relation)
    noise = Noise(epsilon=500_000_000, sensitivity=sensitivity, relation=relation, colluders=colluders)
    return make_spec(function, noise=noise, **fields)


def row(spec: SessionSpec, answer: Answer | None, inputs: tuple[str, ...] = PARTIES) -> SessionRow:
    """A session as a journal has it that is over."""
    header = Header(session=session_id(spec.encode()), step=Step.ANNOUNCE, sender="coordinator", to=ALL)
    outcome = Outcome(State.COMPLETED, answer, inputs)
    announce = frame(header.encode(), spec.encode(), bytes(64))
    return SessionRow(header.session, announce, NOW, None, outcome.state, outcome, NOW + 1500, retained=False)


def units(value: int | list[int], decimals: int = 0, words: tuple[str, ...] = ()) -> Answer:
    return Answer(np.array(value, dtype=np.int64), decimals, words)


def found(spec: SessionSpec, inputs: int = 4) -> privacy.PrivacyView:
    seen = privacy.view(spec, inputs)
    assert seen is not None
    return seen


# -- figures --------------------------------------------------------------------------------------------


def test_an_average_says_mechanism_delta_epsilon_relation_bound_and_how_far_it_moves() -> None:
    seen = found(noised(AVERAGE))
    interval = int(seen.pop("interval"))
    assert seen == {
        "mechanism": "discrete-laplace",
        "relation": "replace-one",
        "sensitivity": "10000",
        "epsilon": "0.5",
        "cost": "0.5",
        "colluders": 3,
        "compute": 4,
        "deviation": "14142",  # √(4 · 2) · 10000/0.5 on the sum, and a quarter of that
    }
    assert abs(interval - 28450) < 140  # half a percent of what a simulation has shown


@pytest.mark.parametrize(
    ("function", "relation", "delta"),
    [
        (SUM, Relation.REPLACE_ONE, "10000"),
        (LIST, Relation.ADD_REMOVE, "30000"),
        (Sum(lower=Decimal("-0.25"), upper=Decimal("1.5"), decimals=4), Relation.REPLACE_ONE, "1.75"),
        (Sum(lower=Decimal(0), upper=Decimal(1), decimals=0), Relation.REPLACE_ONE, "1"),
        (Histogram(bins=5), Relation.REPLACE_ONE, "2"),
        (Histogram(bins=5), Relation.ADD_REMOVE, "1"),
        (Referendum(threshold="1/2"), Relation.REPLACE_ONE, "1"),
    ],
)
def test_delta_is_shown_on_the_scale_of_what_is_summed(
    function: Functionality, relation: Relation, delta: str
) -> None:
    assert found(noised(function, relation=relation))["sensitivity"] == delta


def test_a_referendum_whose_threshold_the_counted_ballots_cannot_reach_is_shown() -> None:
    spec = noised(Referendum(threshold="4"), min_inputs=3)
    answer = units(0, words=("NO", "YES"))
    seen = views.session_view(row(spec, answer, inputs=("alice", "bob", "carlos")))
    assert (seen["result"], seen["n"], seen["T"]) == ("NO", 3, 4)
    assert seen["privacy"]["sensitivity"] == "1"


def test_a_promise_that_costs_more_than_its_epsilon_says_so() -> None:
    dear = found(noised(Histogram(bins=5), relation=Relation.ADD_REMOVE))
    assert (dear["epsilon"], dear["cost"]) == ("0.5", "1")
    assert "ε 0.5 (add-remove), for which each input pays 1" in privacy.line(dear, "histogram")
    assert "pays" not in privacy.line(found(noised(Histogram(bins=5))), "histogram")


def test_the_figures_are_the_answers_and_not_the_sums() -> None:
    total, average = (noised(function, inputs=TEN) for function in (SUM, AVERAGE))
    assert found(total, 10)["deviation"] == "33806"  # √(10 · 2/7) · 20000
    assert found(average, 10)["deviation"] == "3381"
    wide, narrow = (float(found(spec, 10)["interval"]) for spec in (total, average))
    assert wide == pytest.approx(10 * narrow, rel=1e-3)


def test_the_fewer_inputs_count_the_more_noise_is_in_an_average() -> None:
    spec = noised(AVERAGE)
    assert [found(spec, inputs)["deviation"] for inputs in (4, 2)] == ["14142", "28284"]


def test_a_session_shows_the_noise_for_the_inputs_that_counted_or_before_that_for_all() -> None:
    spec = noised(AVERAGE, min_inputs=2)
    over = views.session_view(row(spec, units(5, 2), ("alice", "bob")))
    assert over["privacy"] == found(spec, 2)
    assert views.session_view(row(spec, None, ()))["privacy"] == found(spec, 4)


def test_a_lower_collusion_bound_is_less_noise() -> None:
    deviations = [Decimal(found(noised(SUM, colluders=colluders))["deviation"]) for colluders in (0, 1, 2, 3)]
    for colluders, deviation in enumerate(deviations):
        assert float(deviation) == pytest.approx(sqrt(4 / (4 - colluders)) * float(deviations[0]), rel=1e-4)


def test_the_interval_is_rounded_away_from_zero() -> None:
    spec = noised(AVERAGE)
    assert spec.noise is not None
    exact = Fraction(accuracy.half_width(4, 1, spec.noise.rate), 100)
    for inputs in (4, 7, 300, 4700, 10**6):
        shown = Fraction(found(spec, inputs)["interval"])
        assert 0 <= shown - exact / inputs < exact / inputs / 100


@pytest.mark.parametrize(
    ("epsilon", "deviation", "interval"), [(50 * 10**9, "0.0000000000393", "0"), (10**9, "2.71", "5")]
)
def test_small_noise_is_shown_with_three_digits(epsilon: int, deviation: str, interval: str) -> None:
    noise = Noise(epsilon=epsilon, sensitivity=1, relation=Relation.REPLACE_ONE, colluders=3)
    seen = found(make_spec(Referendum(threshold="1/2"), noise=noise))
    assert (seen["deviation"], seen["interval"]) == (deviation, interval)


def test_a_polls_respondents_pay_ln_3_whoever_colludes() -> None:
    assert privacy.view(make_spec(Poll()), 4) == {
        "mechanism": "randomised-response",
        "relation": "replace-one",
        "epsilon": "ln 3",
        "cost": "1.098612289",
        "colluders": 4,
        "compute": 4,
        "deviation": "0.433",
    }


@pytest.mark.parametrize("function", [Sum(), Average(), Histogram(bins=2), Referendum(threshold="1/2")])
def test_an_exact_answer_promises_nothing(function: Functionality) -> None:
    spec = make_spec(function)
    assert privacy.view(spec, 4) is None
    assert "privacy" not in views.session_view(row(spec, None))


# -- sessions --------------------------------------------------------------------------------------------


def shown(spec: SessionSpec, answer: Answer) -> list[str]:
    return views.result_lines(views.session_view(row(spec, answer)))


def test_an_average_is_followed_by_a_line_about_its_noise() -> None:
    spec = noised(AVERAGE)
    answer, noise = shown(spec, units(-12345, 2))
    assert answer == "average = -123.45"
    assert noise == (
        "noise: discrete Laplace, Δ 10000, ε 0.5 (replace-one), against 3 of 4 colluding; "
        f"sd 14142, 95 % of the time within ±{found(spec)['interval']}"
    )


def test_a_referendums_noise_is_on_the_hidden_count() -> None:
    spec = noised(Referendum(threshold="2/3"), relation=Relation.ADD_REMOVE, colluders=1)
    answer, noise = shown(spec, units(1, words=("NO", "YES")))
    assert answer == "referendum = YES (at least 3 of 4 ballots, with noise)"
    assert noise.startswith(
        "noise on the hidden count: discrete Laplace, Δ 1, ε 0.5 (add-remove), against 1 of 4 colluding; "
        "sd 3.23 ballots, 95 % of the time within ±"
    )


def test_a_histogram_is_its_counts_and_a_line_about_the_noise_in_each() -> None:
    lines = shown(noised(Histogram(bins=3)), units([-2, 5, 0]))
    assert lines[:4] == ["histogram = [3 elements]", "-2", "5", "0"]
    assert lines[4].startswith("noise: discrete Laplace, Δ 2, ε 0.5")
    assert len(lines) == 5


def test_a_poll_is_an_estimate_with_its_standard_error_and_what_was_paid() -> None:
    spec = make_spec(Poll())
    assert shown(spec, units(3)) == [
        "poll = 1.0000 (standard error 0.4330; 3 of 4 answers say yes; each respondent paid ε = ln 3)"
    ]
    view = views.session_view(row(spec, units(3)))
    assert (view["result"], view["n"], view["yes"], view["standard_error"]) == ("1.0000", 4, 3, "0.4330")


def test_json_has_the_same_keys_before_and_after_the_answer_but_for_what_the_answer_tells() -> None:
    spec = noised(AVERAGE)
    before, after = (views.session_view(row(spec, answer)) for answer in (None, units(5, 2)))
    assert before == {**after, "result": None}


def test_a_session_shown_without_its_answer_shows_nothing_of_a_polls_either() -> None:
    listed, other = (views.session_view(row(make_spec(Poll()), units(yes)), answers=False) for yes in (1, 4))
    assert listed == other
    assert not set(listed) & {"yes", "standard_error", "n"}


# -- before anything is asked ---------------------------------------------------------------------------


def plan(spec: SessionSpec) -> str:
    return "\n".join(terminal.dry_run(spec))


def test_a_plan_says_what_the_noise_promises_and_what_a_lower_bound_would_buy() -> None:
    said = plan(noised(AVERAGE))
    assert "(from 0 to 10000, 2 decimals)" in said
    assert "discrete Laplace: Δ 10000, ε 0.5 (replace-one: whatever one party puts in)" in said
    assert "sd 14142, 95 % of the time within ±" in said
    assert "any 3 of the 4 compute parties may pool their noise shares; 4 times the variance" in said
    assert "--colluders 1 would cost 1.33 times, but any 2 who pool theirs see more than ε" in said
    assert "can work out the last raise" not in said
    assert "who takes part" in said


def test_a_plan_without_colluders_says_who_sees_more() -> None:
    said = plan(noised(AVERAGE, colluders=0))
    assert "even one compute party that learns the answer sees more than ε; 1 times the variance" in said
    assert "would cost" not in said


def test_a_plan_for_a_list_says_that_each_number_has_that_noise() -> None:
    said = plan(noised(LIST))
    assert "(3 numbers, each from 0 to 10000, 2 decimals)" in said
    assert ", in each number, if all 4 take part" in said


def test_a_plan_for_a_referendum_counts_the_gates_that_add_the_noise() -> None:
    quiet, noisy = make_spec(Referendum(threshold="2/3")), noised(Referendum(threshold="2/3"))
    assert "3 triples from oblivious transfer" in plan(quiet)
    said = plan(noisy)
    assert f"{noisy.triples} triples from oblivious transfer between 6 pairs" in said
    assert f"gates for {noisy.triples} ANDs" in said
    assert noisy.triples > 3
    assert "discrete Laplace on the hidden count" in said
    assert "YES if at least 2/3 say yes, with noise" in said


def test_a_plan_for_a_poll_says_that_no_compute_party_is_trusted_for_it() -> None:
    said = plan(make_spec(Poll()))
    assert "two coins of each respondent's own: ε ln 3, whoever colludes" in said
    assert "sd 0.433 in the estimate, if all 4 answer" in said


def test_the_plan_for_an_exact_sum_is_as_before() -> None:
    said = plan(make_spec(Sum()))
    assert "all input parties but one, with the answer, can work out the last raise" in said
    assert "noise" not in said
    assert "colluders" not in said
