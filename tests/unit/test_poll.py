"""poll: an answer that nobody can hold against its respondent, and an estimate that is right on average."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import numpy as np
import pytest
from scipy.stats import binomtest

from protocol.dp.randomised_response import NANO_LN_3, randomise
from protocol.encoding import Exact
from protocol.errors import InputError
from protocol.functionalities.base import Answer
from protocol.functionalities.poll import Poll
from protocol.ring import Ring
from tests.support.sessions import PARTIES, Table, make_spec, seed_of

RUNS = 4000


def bit(value: int) -> Ring:
    return np.array(value, dtype=np.uint64)


def test_ln_3_is_rounded_up_to_the_next_nano_epsilon() -> None:
    assert NANO_LN_3 - 1 < Decimal(3).ln() * 10**9 < NANO_LN_3


@pytest.mark.parametrize("truth", [0, 1])
def test_an_answer_is_the_truth_three_times_out_of_four(truth: int) -> None:
    found = Counter(int(randomise(bit(truth), seed_of(f"{truth} {run}"))) for run in range(RUNS))
    assert binomtest(found[truth], RUNS, 0.75).pvalue > 1e-6
    assert binomtest(found[truth], RUNS, 0.70).pvalue < 1e-6  # what the size of the test can tell apart
    assert binomtest(found[truth], RUNS, 0.80).pvalue < 1e-6


def test_the_coins_are_the_seeds_and_nothing_elses() -> None:
    for run in range(50):
        seed = seed_of(f"run {run}")
        answers = {int(randomise(bit(1), seed)) for _ in range(3)}
        assert len(answers) == 1
    both = [
        (int(randomise(bit(0), seed_of(str(run)))), int(randomise(bit(1), seed_of(str(run)))))
        for run in range(400)
    ]
    # One pair of coins: either both truths are told, or the second coin decides for both.
    assert Counter(both).keys() == {(0, 1), (0, 0), (1, 1)}


@pytest.mark.parametrize(
    ("yes", "n", "estimate", "error"),
    [
        (5, 8, "0.7500", "0.3062"),
        (0, 4, "-0.5000", "0.4330"),
        (4, 4, "1.5000", "0.4330"),
        (600, 1000, "0.7000", "0.0274"),
    ],
)
def test_the_estimate_and_its_standard_error(yes: int, n: int, estimate: str, error: str) -> None:
    answer = Poll().decode(bit(yes), n)
    assert Poll().text(answer, n) == estimate
    assert Poll().facts(answer, n) == {"n": n, "yes": yes, "standard_error": error}


def test_the_estimate_is_right_on_average_and_as_far_off_as_it_says() -> None:
    truths = [1] * 30 + [0] * 70
    estimates = []
    for run in range(400):
        answers = [
            int(Poll().randomise(bit(truth), seed_of(f"{run} {place}"))) for place, truth in enumerate(truths)
        ]
        estimates.append(2 * sum(answers) / 100 - 0.5)
    mean, spread = float(np.mean(estimates)), float(np.std(estimates))
    said = float(Poll().facts(Answer(np.array(0)), 100)["standard_error"])
    assert abs(mean - 0.3) < 5 * said / 20
    assert 0.85 < spread / said < 1.15


def test_a_poll_of_sessions_opens_the_number_of_randomised_answers() -> None:
    table = Table(make_spec(Poll()), dict(zip(PARTIES, (1, 0, 1, 1), strict=True))).start().deliver()
    assert table.texts() == dict.fromkeys(PARTIES, "3")  # the table takes answers that are randomised already


def test_no_number_is_refused_since_even_that_would_tell_something() -> None:
    for units, scale, taken in [(7, 0, 1), (-3, 0, 0), (5, 1, 1), (49, 2, 0), (50, 2, 1), (2**63 - 1, 18, 1)]:
        assert int(Poll().encode(Exact(np.array(units), scale, "x"), 3, clamp=True)) == taken
    with pytest.raises(InputError, match="ballot"):
        Poll().encode(Exact(np.array(7), 0, "x"), 3)
    with pytest.raises(InputError, match="one ballot"):
        Poll().encode(Exact(np.array([1, 0]), 0, "x"), 3, clamp=True)
