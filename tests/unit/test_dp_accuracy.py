"""What people are told about the noise is so, for noise of any size, and is told at once."""

from __future__ import annotations

import time
from fractions import Fraction
from math import exp, log

import numpy as np
import pytest
from scipy.signal import fftconvolve

from protocol.dp.accuracy import deviation, half_width

QUORUMS = [(1, 1), (2, 1), (3, 2), (10, 7), (1000, 501), (1000, 1)]
LEVELS = [0.5, 0.9, 0.95, 0.999]


def chances(
    parties: int, parts: int, rate: float
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], int]:
    """P(noise = x) and where x = 0 is: one difference of two Polya variables, by convolution."""
    r, alpha = parties / parts, exp(-rate)
    x = np.arange(1, int((60 + 3 * r) / rate) + 60)
    one = np.exp(r * log(1 - alpha) + np.append(0.0, np.cumsum(np.log(alpha * (x - 1 + r) / x))))
    convolve = np.convolve if len(one) < 5000 else fftconvolve
    return convolve(one, one[::-1]), len(one) - 1


@pytest.mark.parametrize(("parties", "parts"), QUORUMS)
@pytest.mark.parametrize("rate", [Fraction(20), Fraction(2), Fraction(1, 3), Fraction(1, 20)], ids=str)
def test_both_are_those_of_the_exact_distribution(parties: int, parts: int, rate: Fraction) -> None:
    pmf, zero = chances(parties, parts, float(rate))
    x = np.arange(len(pmf)) - zero
    assert deviation(parties, parts, rate) == pytest.approx(np.sqrt(np.sum(pmf * x * x)), rel=1e-9)
    within = pmf[zero:] + pmf[zero::-1]
    within[0] = pmf[zero]
    for level in LEVELS:
        exact = int(np.searchsorted(np.cumsum(within), level))
        told = half_width(parties, parts, rate, level)
        assert told == exact or abs(told - exact) <= 0.001 * exact
        assert told == exact or exact > 100


@pytest.mark.parametrize("rate", [Fraction(1, 300), Fraction(1, 20_000), Fraction(1, 2**57)], ids=str)
@pytest.mark.parametrize("level", LEVELS)
def test_one_share_that_is_all_of_the_noise_is_a_discrete_laplace_variable(
    rate: Fraction, level: float
) -> None:
    a = float(rate)
    exact = log((1 - level) * (1 + exp(-a)) / 2) / -a - 1  # P(|X| > t) = 2 α^(t + 1) / (1 + α)
    assert half_width(1, 1, rate, level) == pytest.approx(exact, rel=0.001, abs=1)


@pytest.mark.parametrize(("parties", "parts"), QUORUMS)
def test_where_the_coarse_lattice_begins_the_answer_does_not_jump(parties: int, parts: int) -> None:
    edge = min(0.1, np.sqrt(parties / parts) / 256)
    exact, stretched = (
        half_width(parties, parts, Fraction(edge) * Fraction(side)) for side in ("1.0001", "0.9999")
    )
    assert stretched == pytest.approx(exact, rel=0.001, abs=2)


def test_more_noise_is_told_where_there_is_more() -> None:
    rates = [Fraction(1, 2**exponent) for exponent in range(0, 90, 3)]
    for tell in (deviation, half_width):
        by_rate = [tell(3, 2, rate) for rate in rates]
        assert by_rate == sorted(by_rate)
        assert len(set(by_rate)) == len(rates)
        by_colluders = [tell(10, parts, Fraction(1, 1000)) for parts in range(10, 0, -1)]
        assert by_colluders == sorted(by_colluders)
    by_level = [half_width(3, 2, Fraction(1, 1000), level) for level in LEVELS]
    assert by_level == sorted(by_level)


def test_tolerating_colluders_costs_what_it_says() -> None:
    alone = deviation(1, 1, Fraction(1, 1000)) ** 2
    assert deviation(3, 2, Fraction(1, 1000)) ** 2 / alone == pytest.approx(3 / 2)


@pytest.mark.parametrize(
    "rate", [Fraction(1, 2**93), Fraction(1, 2**57), Fraction(1, 300), Fraction(9_007_199)]
)
@pytest.mark.parametrize(("parties", "parts"), [(1, 1), (1000, 999), (1000, 1), (100_000, 1)])
def test_people_do_not_wait_for_it(parties: int, parts: int, rate: Fraction) -> None:
    half_width(2, 1, rate)
    took = []
    for _ in range(5):
        began = time.perf_counter()
        half_width(parties, parts, rate)
        deviation(parties, parts, rate)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.05
