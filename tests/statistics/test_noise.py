"""The noise has exactly the distribution that was promised, to everybody and to every coalition.

Every test is put to samplers with one mistake each, too, which it must notice with as many draws.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import gamma

from protocol.dp import accuracy
from protocol.dp.coins import Coins
from protocol.dp.polya import polya
from tests.statistics.noise_battery import (
    ALIKE,
    MODERATE,
    WIDE,
    Sampler,
    enough_only_without_colluders,
    every_number_twice,
    everybody_all_of_it,
    findings,
    floats,
    no_noise,
    product,
    rounded_floats,
)
from tests.statistics.noise_laws import Law, Promise, alike_p, privacy_loss
from tests.support.sessions import seed_of

DRAWS = 100_000
NOTICED = 1e-12
ALONE, THREE, FIVE = MODERATE[:3]
TINY = Fraction(1, 2**57)


@pytest.mark.parametrize("promise", MODERATE + WIDE, ids=str)
def test_noise_is_what_was_promised_also_to_every_coalition(promise: Promise) -> None:
    found = findings(promise, DRAWS)
    assert len(found) >= 3 + len(list(promise.rests))
    assert min(found.values()) > ALIKE, found


@pytest.mark.parametrize(
    ("sampler", "promise", "finding"),
    [
        (enough_only_without_colluders, THREE, "left to a coalition: [0, 2]"),
        (enough_only_without_colluders, FIVE, "left to a coalition: [1, 2, 4]"),
        (enough_only_without_colluders, WIDE[1], "left to a coalition: [0, 2]"),
        (enough_only_without_colluders, THREE, "variance"),
        (enough_only_without_colluders, WIDE[1], "variance"),
        (enough_only_without_colluders, THREE, "one share"),
        (everybody_all_of_it, THREE, "variance"),
        (everybody_all_of_it, FIVE, "left to a coalition: [0, 1, 2]"),
        (no_noise, THREE, "variance"),
        (no_noise, THREE, "all shares"),
        (no_noise, WIDE[1], "lowest digits"),
        (every_number_twice, ALONE, "neighbours"),
        (every_number_twice, WIDE[0], "neighbours"),
        (rounded_floats, ALONE, "all shares"),
        (rounded_floats, ALONE, "left to a coalition: [0]"),
    ],
)
def test_a_sampler_with_a_mistake_is_noticed(sampler: Sampler, promise: Promise, finding: str) -> None:
    assert findings(promise, DRAWS, sampler)[finding] < NOTICED


def test_with_r_for_all_parties_instead_of_the_honest_ones_epsilon_is_more_than_was_said() -> None:
    """n = 3, c = 1, ε = 1: two honest shares of r = 1/3 leave 1.389, two of r = 1/2 leave 1."""
    assert privacy_loss(2 / 3, 1.0) == pytest.approx(1.389, abs=5e-4)
    assert privacy_loss(2 / 2, 1.0) == pytest.approx(1, abs=1e-9)
    for sampler, epsilon in ((enough_only_without_colluders, 1.389), (product, 1.0)):
        left = np.sum([sampler(THREE, 4 * DRAWS, seed_of(f"honest {i}")) for i in range(2)], axis=0)
        here, there = (np.count_nonzero(left == each) for each in (0, 1))
        assert np.log(here / there) == pytest.approx(epsilon, abs=5 * np.sqrt(1 / here + 1 / there))


# -- each of the two variables -------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
@pytest.mark.parametrize("rate", [Fraction(1, 5), Fraction(3, 2)])
def test_a_polya_variable_is_as_one_that_is_drawn_in_another_way(parts: int, rate: Fraction) -> None:
    drawn = polya(parts, rate, DRAWS, Coins(seed_of(f"one {parts}"))).view(np.int64)
    other = by_rejection(1 / parts, float(rate), Coins(seed_of(f"other {parts}")))
    most = int(np.quantile(other, 0.999))
    table = [np.bincount(np.minimum(each, most)) for each in (drawn, other)]
    assert alike_p(np.array(table)) > ALIKE
    wrong = by_rejection(1 / (parts + 1), float(rate), Coins(seed_of("wrong")))
    assert alike_p(np.array([table[0], np.bincount(np.minimum(wrong, most))])) < NOTICED


def by_rejection(r: float, rate: float, coins: Coins) -> NDArray[np.int64]:
    """Geometric variables, of which x is kept with probability Π (i − 1 + r)/i over i ≤ x; r ≤ 1."""
    proposed = np.floor(np.log(uniform(8 * DRAWS, coins)) / -rate).astype(np.int64)
    i = np.arange(1, proposed.max() + 1)
    kept = uniform(len(proposed), coins) < np.cumprod(np.append(1.0, (i - 1 + r) / i))[proposed]
    return proposed[kept]


def uniform(draws: int, coins: Coins) -> NDArray[np.float64]:
    """In (0, 1)."""
    return ((coins.words(draws) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_a_polya_variable_of_a_tiny_rate_is_a_gamma_variable_but_for_the_lattice(parts: int) -> None:
    quantiles = gamma.ppf(np.arange(1, 50) / 50, 1 / parts)
    law = Law(np.floor(quantiles / float(TINY)).astype(np.int64), np.full(50, 1 / 50))
    drawn = polya(parts, TINY, DRAWS, Coins(seed_of(f"tiny {parts}"))).view(np.int64)
    assert law.p(drawn) > ALIKE
    wrong = polya(parts, TINY * Fraction(3, 4), DRAWS, Coins(seed_of(f"wrong {parts}"))).view(np.int64)
    assert law.p(wrong) < NOTICED


# -- what a single output tells ------------------------------------------------------------------------


def test_both_neighbours_can_have_every_output_near_them() -> None:
    noise = product(Promise(1, 0, Fraction(1, 2), 1), DRAWS, seed_of("grid"))
    outputs = [set((truth + noise).tolist()) & set(range(-12, 14)) for truth in (0, 1)]
    assert outputs[0] == outputs[1] == set(range(-12, 14))


def test_outputs_of_a_float_sampler_identify_the_input() -> None:
    """More than a quarter of 0 + x is no 1 + x, for any float x: the low bits are too fine."""
    outputs = floats(DRAWS, seed_of("float"))
    could_be_one = np.zeros(DRAWS, dtype=np.bool_)
    for towards in (-np.inf, 0, np.inf):
        x = np.nextafter(outputs - 1, towards) if towards else outputs - 1
        could_be_one |= 1 + x == outputs
    assert np.mean(~could_be_one) > 0.25


# -- what people are told ------------------------------------------------------------------------------


@pytest.mark.parametrize("promise", [*MODERATE, *WIDE[:2]], ids=str)
def test_the_interval_that_people_are_told_holds_as_often_as_it_says(promise: Promise) -> None:
    n, parts, rate = promise.parties, promise.parts, promise.rate
    shares = [product(promise, 2 * DRAWS, seed_of(f"told {promise} {i}")) for i in range(n)]
    noise = np.abs(np.sum(shares, axis=0))
    told = accuracy.half_width(n, parts, rate)
    error = 5 * np.sqrt(0.05 * 0.95 / len(noise))
    assert np.mean(noise <= told) > 0.95 - error
    assert np.mean(noise <= told - 1) < 0.95 + error
    spread = np.sqrt(np.mean(noise.astype(np.float64) ** 2))
    assert spread == pytest.approx(accuracy.deviation(n, parts, rate), rel=0.02)
