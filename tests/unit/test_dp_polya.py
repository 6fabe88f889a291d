"""Noise shares: the same from the same seed, signed, of any size, and nothing of the memory of many."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol import ring
from protocol.dp.coins import Coins
from protocol.dp.polya import UnwantedError, noise_share, polya
from protocol.errors import LocalProtocolError
from protocol.ring import Ring
from protocol.sharing import reconstruct
from tests.support.sessions import seed_of

PARTS = [1, 2, 7, 1000]
TINY, SMALL, BIG = Fraction(1, 2**57), Fraction(1, 20_000), Fraction(20)


def share(parts: int, rate: Fraction, count: int, label: str = "noise") -> Ring:
    return noise_share(parts, rate, (count,), seed_of(label))


class Recorded(Coins):
    """Coins that remember how many were tossed."""

    tossed = 0

    def words(self, count: int) -> NDArray[np.uint64]:
        self.tossed += count
        return super().words(count)


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("rate", [TINY, SMALL, BIG], ids=str)
def test_the_same_seed_gives_the_same_noise_and_another_seed_another(parts: int, rate: Fraction) -> None:
    one, again, other = (share(parts, rate, 3000, label) for label in ("a", "a", "b"))
    assert one.tobytes() == again.tobytes()
    assert (one.tobytes() == other.tobytes()) == (rate == BIG)
    assert one.dtype == np.uint64


@pytest.mark.parametrize("shape", [(), (0,), (1,), (4096,), (4097,), (3, 5), (2, 0)])
@pytest.mark.parametrize("parts", [1, 2])
def test_noise_has_the_shape_that_is_asked_for(shape: tuple[int, ...], parts: int) -> None:
    drawn = noise_share(parts, SMALL, shape, seed_of("shape"))
    assert isinstance(drawn, np.ndarray)
    assert drawn.shape == shape
    flat = noise_share(parts, SMALL, (drawn.size,), seed_of("shape"))
    assert drawn.reshape(-1).tolist() == flat.tolist()


@pytest.mark.parametrize(
    ("parts", "rate", "expected"),
    [
        (1, SMALL, [-2677, 4982, 16756, -13543]),
        (2, SMALL, [-60, -1979, 11932, -5857]),
        (7, Fraction(3, 10**6), [100719, -119743, -147616, 0]),
        (2, TINY, [-133660318460797317, 38282655012161454, 196794989484849977, -24191241169959]),
    ],
)
def test_known_noise(parts: int, rate: Fraction, expected: list[int]) -> None:
    assert ring.to_signed(share(parts, rate, 4, "known")).tolist() == expected


@pytest.mark.parametrize("parts", PARTS)
def test_noise_is_the_first_variable_minus_the_second_in_the_ring(parts: int) -> None:
    coins = Coins(seed_of("noise"))
    first, second = (polya(parts, SMALL, 5000, coins) for _ in range(2))
    assert (first - second).tolist() == share(parts, SMALL, 5000).tolist()
    assert max(int(each.max()) for each in (first, second)) < 2**32


def test_negative_noise_is_twos_complement() -> None:
    drawn = share(1, SMALL, 2000)
    negative = drawn >= 2**63
    assert 800 < np.count_nonzero(negative) < 1200
    assert int(drawn[negative].min()) > 2**64 - 10**6
    assert int(drawn[~negative].max()) < 10**6
    opened = reconstruct([np.full(2000, 5, dtype=np.uint64), drawn], (2000,))
    assert (ring.to_signed(opened) < 5).tolist() == negative.tolist()


@pytest.mark.parametrize("parts", PARTS)
def test_noise_of_a_tiny_rate_reaches_far_and_stays_in_the_ring(parts: int) -> None:
    drawn = np.abs(ring.to_signed(share(parts, TINY, 4000)))
    assert 2**57 < int(drawn.max()) < 2**62
    assert np.unique(drawn % 8).size == 8


@pytest.mark.parametrize("parts", PARTS)
def test_noise_of_a_large_rate_is_none(parts: int) -> None:
    assert np.count_nonzero(share(parts, BIG, 4000)) == 0
    assert np.count_nonzero(share(parts, Fraction(10**7), 100)) == 0


def test_most_of_the_noise_of_a_large_quorum_is_zero() -> None:
    """n = 1000, c = 499: each share is zero so often that all 501 honest ones make a whole noise."""
    zeros = np.mean(share(501, Fraction(1, 10**6), 40_000) == 0)
    assert 0.93 < zeros < 0.96


def test_variables_wrap_with_the_ring() -> None:
    """Of a rate of 2^−66 a geometric variable passes 2^64 more often than not: what is left is uniform."""
    drawn = polya(1, Fraction(1, 2**66), 4000, Coins(seed_of("wide")))
    top = np.bincount((drawn >> np.uint64(61)).astype(np.intp), minlength=8)
    assert top.min() > 400


@pytest.mark.parametrize("rate", [Fraction(1, 2**63), Fraction(1, 2**62)], ids=str)
def test_the_smallest_rates_are_drawn_and_smaller_ones_refused(rate: Fraction) -> None:
    drawn = polya(2, rate, 2000, Coins(seed_of("wide")))
    assert int(drawn.max()) > 2**62
    with pytest.raises(LocalProtocolError, match="below 2"):
        polya(2, rate * Fraction(1, 3), 1, Coins(seed_of("wide")))


@pytest.mark.parametrize(("parts", "rate"), [(0, SMALL), (-1, SMALL), (1, Fraction(0)), (2, Fraction(-1))])
def test_what_is_no_distribution_is_refused(parts: int, rate: Fraction) -> None:
    with pytest.raises(LocalProtocolError, match="both must be positive"):
        noise_share(parts, rate, (), seed_of("noise"))


@pytest.mark.parametrize("rate", [TINY * 64, SMALL, Fraction(3, 2)], ids=str)
def test_a_geometric_variable_takes_as_many_coins_whatever_comes_out(rate: Fraction) -> None:
    coins = Recorded(seed_of("time"))
    tosses = set()
    for _ in range(100):
        before = coins.tossed
        polya(1, rate, 1, coins)
        tosses.add(coins.tossed - before)
    assert len(tosses) == 1


@pytest.mark.parametrize(("parts", "rate"), [(1, TINY), (2, TINY), (7, SMALL)])
def test_memory_is_bounded_however_many_are_drawn(parts: int, rate: Fraction) -> None:
    share(parts, rate, 1)
    tracemalloc.start()
    try:
        drawn = share(parts, rate, 40_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * drawn.nbytes + 24 * 2**20


def test_a_drawing_that_nobody_wants_any_more_is_given_up() -> None:
    asked: list[int] = []

    def wanted() -> bool:
        asked.append(1)
        return len(asked) < 3

    with pytest.raises(UnwantedError):
        noise_share(1, Fraction(1, 20), (1 << 20,), seed_of("long"), wanted)
    assert len(asked) == 3
