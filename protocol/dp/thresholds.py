"""A uniform number meets a probability: decided exactly, by as many binary digits as it takes.

U is uniform in [0, 1).  To decide U < F, its first 64 bits are compared with those of F; only if they are
the same, once in 2^64, the next 64 bits of both are looked at, and so on [Knuth, Yao, *The complexity of
nonuniform random number generation*, 1976].  A probability is therefore a number of which any digit can be
computed: an enclosure in integers, made narrower until both of its ends have the same digits.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import count

import numpy as np
from numpy.typing import NDArray

from protocol.dp.coins import Coins

_WORD = 64
_ONES = (1 << _WORD) - 1
_GUARD = 64  # bits beyond those that are wanted: the ends then differ about once in 2^60

Enclosure = tuple[int, int]  # low ≤ 2^bits·F ≤ high
Enclose = Callable[[int, int], Enclosure]  # (i, bits) ↦ an enclosure of F_i, narrower with more bits


def exp_minus(x: Fraction, bits: int) -> Enclosure:
    """e^−x for x ≥ 0: the Taylor series of e^y, y = x / 2^h < 1/16, then 1/e^y squared h times.

    Each end is rounded outwards at every step.
    """
    halvings = 4 + (x.numerator // x.denominator).bit_length()
    work = bits + 2 * halvings
    one = 1 << work
    low = high = least = most = one  # least ≤ 2^work·y^k/k! ≤ most, and the sums of these
    for k in count(1):
        if most <= 1:
            break
        divisor = k * x.denominator << halvings
        least, most = least * x.numerator // divisor, -(-most * x.numerator // divisor)
        low, high = low + least, high + most
    high += most  # all that follows: each term is less than half of the one before
    low, high = one * one // high, -(-one * one // low)
    for _ in range(halvings):
        low, high = low * low >> work, -(-high * high >> work)
    return low >> work - bits, -(-high >> work - bits)


def floor_of(enclose: Enclose, i: int, bits: int) -> int:
    """⌊2^bits·F_i⌋.

    This ends, since 2^bits·F_i is no integer, or else its enclosure is a point: each F_i is 1, or a rational
    function of one e^−x with x > 0 rational, which is irrational because e^−x is transcendental [Lindemann].
    """
    guard = _GUARD
    while True:
        low, high = (end >> guard for end in enclose(i, bits + guard))
        if low == high:
            return low
        guard *= 2


class Thresholds:
    """Probabilities F_0, F_1, … that uniform numbers are compared with."""

    def __init__(self, enclose: Enclose, entries: int | None = None) -> None:
        """`entries` of them.  If None, they rise to 1, and the table ends where all of 64 digits are ones."""
        self._enclose = enclose
        floors: list[int] = []
        for i in count() if entries is None else range(entries):
            floors.append(floor_of(enclose, i, _WORD))
            if entries is None and floors[-1] >= _ONES:
                break
        # A probability of 1 does not fit: it looks like a tie here, which `_Uniform` then decides.
        self._floors = np.array([min(floor, _ONES) for floor in floors], dtype=np.uint64)

    def reached(self, which: NDArray[np.intp], coins: Coins) -> NDArray[np.bool_]:
        """Whether U < F_i for each i of `which`, each time with a new U."""
        words, floors = coins.words(which.size).reshape(which.shape), self._floors[which]
        below = words < floors
        for at in zip(*np.nonzero(words == floors), strict=True):
            below[at] = _Uniform(int(words[at]), coins).below(self._enclose, int(which[at]))
        return below

    def first(self, draws: int, coins: Coins) -> NDArray[np.intp]:
        """The least i with U < F_i, `draws` times: a variable with distribution function F, by inversion."""
        words = coins.words(draws)
        least = np.searchsorted(self._floors, words)
        for at in np.flatnonzero(self._floors[least] == words):
            number, i = _Uniform(int(words[at]), coins), int(least[at])
            while not number.below(self._enclose, i):
                i += 1
            least[at] = i
        return least


class _Uniform:
    """A number in [0, 1) of which as many bits are drawn as a comparison needs."""

    def __init__(self, word: int, coins: Coins) -> None:
        self._prefix, self._bits, self._coins = word, _WORD, coins

    def below(self, enclose: Enclose, i: int) -> bool:
        """Whether it is less than F_i."""
        while (floor := floor_of(enclose, i, self._bits)) == self._prefix:
            self._prefix = self._prefix << _WORD | int(self._coins.words(1)[0])
            self._bits += _WORD
        return self._prefix < floor
