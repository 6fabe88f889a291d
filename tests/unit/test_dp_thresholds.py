"""Uniform numbers meet probabilities exactly: every digit is right, and a tie is decided by the next ones."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.dp.coins import Coins
from protocol.dp.polya import _Cells, _Geometric, _Poisson, _Powers, _Thinned
from protocol.dp.thresholds import Enclosure, Thresholds, exp_minus, floor_of
from tests.support.sessions import seed_of

DIGITS = 120  # decimal places that the other computation has
EXPONENTS = [
    Fraction(1, 2**93),
    Fraction(1, 2**57),
    Fraction(1, 2 * 10**12),
    Fraction(1, 20_000),
    Fraction(987_654_321_987, 10**9 * (2**60 - 1)),
    Fraction(1, 3),
    Fraction(1),
    Fraction(44_361_419, 10**6),
    Fraction(20),
    Fraction(2**70 + 1, 2**60),
    Fraction(9_007_199),
]
RATES = [Fraction(1, 2**57), Fraction(1, 20_000), Fraction(3, 7), Fraction(1), Fraction(20)]


class Fed(Coins):
    """Coins that fall as a test wants them to."""

    def __init__(self, *words: int) -> None:
        super().__init__(seed_of("unused"))
        self.left = list(words)

    def words(self, count: int) -> NDArray[np.uint64]:
        taken, self.left = self.left[:count], self.left[count:]
        assert len(taken) == count, "more coins were tossed than the test has"
        return np.array(taken, dtype=np.uint64)


def decimal(x: Fraction) -> Decimal:
    return Decimal(x.numerator) / Decimal(x.denominator)


def power(rate: Fraction, j: int) -> Decimal:
    """α^(2^j)."""
    return (-decimal(rate * 2**j)).exp()


def first_bits(number: Decimal, bits: int = 64) -> int:
    return int(number * 2**bits)


@pytest.fixture(autouse=True)
def _precise() -> object:
    with localcontext() as context:
        context.prec = DIGITS
        yield


# -- digits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", EXPONENTS, ids=str)
@pytest.mark.parametrize("bits", [64, 128, 192])
def test_an_enclosure_of_an_exponential_holds_it_and_little_else(x: Fraction, bits: int) -> None:
    low, high = exp_minus(x, bits)
    exact = power(x, 0) * 2**bits
    assert low <= exact <= high
    assert high - low <= 2


@pytest.mark.parametrize("x", EXPONENTS, ids=str)
def test_the_digits_of_an_exponential_are_those_that_others_compute(x: Fraction) -> None:
    for bits in (64, 128, 192):
        assert floor_of(lambda _, precision: exp_minus(x, precision), 0, bits) == first_bits(
            power(x, 0), bits
        )


def test_an_enclosure_that_is_too_wide_is_made_narrower() -> None:
    asked: list[int] = []

    def third(_: int, bits: int) -> Enclosure:
        asked.append(bits)
        wide = 0 if bits > 1000 else 1 << bits - 60
        return (1 << bits) // 3 - wide, (1 << bits) // 3 + 1 + wide

    assert floor_of(third, 0, 64) == 2**64 // 3
    assert asked == [128, 192, 320, 576, 1088]


def test_a_probability_of_one_has_digits_too() -> None:
    assert floor_of(lambda _, bits: (1 << bits, 1 << bits), 0, 64) == 2**64


# -- the tables of the sampler -------------------------------------------------------------------------


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_thresholds_of_a_geometric_variables_digits(rate: Fraction) -> None:
    geometric = _Geometric(rate)
    places = geometric._places
    powers = [power(rate, j) for j in range(places + 1)]
    assert geometric._digits._floors.tolist() == [first_bits(y / (1 + y)) for y in powers[:-1]]
    assert geometric.heights._floors.tolist() == [first_bits(y) for y in powers]
    assert powers[-1] < Decimal(2) ** -92 or places == 63


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_thresholds_of_cells_add_up_to_the_proposals_that_may_stay(rate: Fraction) -> None:
    thinned = _Thinned(2, rate)
    top = thinned._top
    assert rate * 2**top >= 1
    assert top == 0 or rate * 2 ** (top - 1) < 1
    heights = [power(rate, j) for j in range(top)]
    every = power(rate, top)
    heights.append(every / (1 - every))  # Σ α^(L·s)
    total = [sum(heights[: j + 1], Decimal(0)) / (top + 1) for j in range(top + 1)]
    assert total[-1] < 1
    assert thinned._cells._floors.tolist() == [*map(first_bits, total), 2**64 - 1]


@pytest.mark.parametrize(
    "mean", [Fraction(1, 1000), Fraction(1, 2), Fraction(16, 3), Fraction(59, 2)], ids=str
)
def test_thresholds_of_a_poisson_variable(mean: Fraction) -> None:
    floors = Thresholds(_Poisson(mean))._floors.tolist()
    chance, total = power(mean, 0), Decimal(0)
    for m, floor in enumerate(floors):
        total += chance
        assert floor == first_bits(total)
        chance *= decimal(mean) / (m + 1)
    assert floors[-1] == 2**64 - 1
    assert floors[-2] < 2**64 - 1


def test_a_point_that_stays_is_as_likely_as_the_polya_variable_wants_it() -> None:
    """r (J + 1) points, in this cell, at this place of it, and neither test fails: r α^k / k."""
    r, rate = Fraction(1, 3), Fraction(2, 37)
    cells, bits = _Cells(_Powers(rate), 5), 300
    heights = np.diff([0] + [floor_of(cells, j, bits) for j in range(6)])
    for k in range(1, 400):
        j = min(k.bit_length() - 1, 5)
        s, u = divmod(k, 2**j)
        within = (power(rate, 5) ** (s - 1)) * (1 - power(rate, 5)) if j == 5 else 1  # P(s)
        cell = decimal(r) * 6 * Decimal(int(heights[j])) / 2**bits * within
        stays = (-decimal(rate) * u).exp() * 2**j / k
        wanted = decimal(r) * (-decimal(rate) * k).exp() / k
        assert abs(cell / 2**j * stays / wanted - 1) < Decimal("1e-80")


# -- ties ----------------------------------------------------------------------------------------------

THIRDS = [Fraction(1, 3), Fraction(2, 3)]
BELOW, TIE, ABOVE = -1, 0, 1


def third(i: int, bits: int) -> Enclosure:
    return exp_minus(THIRDS[i], bits)


def words(i: int, *steps: int) -> list[int]:
    """The digits of F_i, 64 at a time, one or the other changed by a little."""
    shown = [floor_of(third, i, bits) % 2**64 for bits in (64, 128, 192)]
    return [word + step for word, step in zip(shown, steps, strict=False)]


@pytest.mark.parametrize("i", [0, 1])
@pytest.mark.parametrize(
    ("steps", "below"),
    [
        ((BELOW,), True),
        ((ABOVE,), False),
        ((TIE, BELOW), True),
        ((TIE, ABOVE), False),
        ((TIE, TIE, BELOW), True),
        ((TIE, TIE, ABOVE), False),
    ],
)
def test_a_tie_is_decided_by_the_next_digits_and_no_more_of_them(
    i: int, steps: list[int], below: bool
) -> None:
    coins = Fed(*words(i, *steps))
    assert Thresholds(third, 2).reached(np.array([i]), coins).tolist() == [below]
    assert coins.left == []


def test_ties_take_their_digits_in_order_after_those_of_all() -> None:
    which = np.array([[0, 1], [1, 0]])
    coins = Fed(
        *words(0, TIE), 5, *words(1, TIE), 2**64 - 1, words(0, TIE, BELOW)[1], words(1, TIE, ABOVE)[1]
    )
    assert Thresholds(third, 2).reached(which, coins).tolist() == [[True, True], [False, False]]
    assert coins.left == []


def halves() -> Thresholds:
    """F = 1/2, 3/4, 7/8, …: their digits end, so all of their ties go on until the uniform number's do."""
    return Thresholds(lambda i, bits: ((1 << bits) - (1 << bits >> i + 1),) * 2)


@pytest.mark.parametrize(
    ("fed", "first"),
    [
        ([0], 0),
        ([2**63 - 1], 0),
        ([2**63 + 1], 1),
        ([2**63, 0, 0, 1], 1),
        ([2**64 - 2, 1], 63),
        ([2**64 - 3], 62),
        ([2**64 - 1, 0, 1], 64),
        ([2**64 - 1, 2**63 - 1], 64),
        ([2**64 - 1, 2**63 + 1], 65),
        ([2**64 - 1, 2**64 - 1, 1], 128),
    ],
)
def test_inversion_finds_the_least_threshold_above_also_beyond_its_table(fed: list[int], first: int) -> None:
    table = halves()
    assert len(table._floors) == 64
    coins = Fed(*fed)
    assert table.first(1, coins).tolist() == [first]
    assert coins.left == []


def test_a_number_of_ones_only_is_still_below_a_probability_of_one() -> None:
    certain = Thresholds(lambda _, bits: (1 << bits, 1 << bits), 1)
    assert certain.reached(np.array([0]), Fed(2**64 - 1)).tolist() == [True]
    assert Thresholds(lambda _, bits: (1 << bits, 1 << bits)).first(1, Fed(2**64 - 1)).tolist() == [0]


# -- coins ---------------------------------------------------------------------------------------------


def test_coins_are_the_seeds_expansion_however_they_are_taken() -> None:
    expected = seed_of("coins").expand((40_000,))
    coins = Coins(seed_of("coins"))
    taken = [coins.words(count) for count in (0, 1, 16_383, 5, 16_384, 7_000, 227)]
    assert np.concatenate(taken).tobytes() == expected.tobytes()


def test_coins_show_nothing_of_their_seed() -> None:
    coins = Coins(seed_of("coins"))
    coins.words(1)
    assert repr(coins) == "Coins(<redacted>)"


def test_integers_up_to_a_bound_are_low_bits_and_those_above_it_are_drawn_again() -> None:
    coins = Fed(7, 0b1101, 5, 2**64 - 1, 0b0111, 0b1100)
    bounds = np.array([0, 4, 5, 2**64 - 1], dtype=np.uint64)
    assert coins.up_to(bounds).tolist() == [0, 4, 5, 2**64 - 1]
    assert coins.left == []
