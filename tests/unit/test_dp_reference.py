"""A second implementation, number by number in plain Python, gives the same noise to the last bit.

It knows the order of the coins and nothing else of the first one; its probabilities come from `decimal`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache
from itertools import count

import numpy as np
import pytest

from protocol.dp.polya import noise_share
from tests.support.sessions import seed_of

TOGETHER = 4096
ALL = 2**64

Chance = Callable[[], Decimal]  # F, computed with the digits of the present context
Words = Iterator[int]


@cache
def first_word(chance: Chance) -> int:
    with localcontext() as context:
        context.prec = 60
        return int(chance() * ALL)


def below(word: int, chance: Chance) -> bool:
    floor = first_word(chance)
    assert word != floor, "once in 2^64; the seeds of these tests were looked at"
    return word < floor


@cache
def power(rate: Fraction, j: int) -> Chance:
    def chance() -> Decimal:
        return (Decimal(-rate.numerator * 2**j) / rate.denominator).exp()

    return chance


@cache
def digit(rate: Fraction, j: int) -> Chance:
    return lambda: power(rate, j)() / (1 + power(rate, j)())


@cache
def cell(rate: Fraction, top: int, j: int) -> Chance:
    def chance() -> Decimal:
        last = power(rate, top)()
        total = sum((power(rate, i)() for i in range(min(j + 1, top))), Decimal(0))
        return (total + (last / (1 - last) if j == top else 0)) / (top + 1)

    return chance


@cache
def poisson(above: int, parts: int, m: int) -> Chance:
    def chance() -> Decimal:
        mean = Decimal(above) / parts
        term = total = (-mean).exp()
        for i in range(1, m + 1):
            term *= mean / i
            total += term
        return total

    return chance


def log2_up(x: Fraction) -> int:
    return next(j for j in count() if 2**j >= x)


class Geometric:
    def __init__(self, rate: Fraction, words: Words) -> None:
        self.rate, self.words, self.places = rate, words, min(log2_up(64 / rate), 63)

    def lowest(self, places: int) -> int:
        return sum(below(next(self.words), digit(self.rate, j)) << j for j in range(places))

    def draw(self, number: int) -> list[int]:
        drawn = [self.lowest(self.places) for _ in range(number)]
        above = [below(next(self.words), power(self.rate, self.places)) for _ in range(number)]
        further = iter(
            Geometric(self.rate * 2**self.places, self.words).draw(sum(above)) if any(above) else []
        )
        return [
            x + (next(further) + 1 << self.places if more else 0)
            for x, more in zip(drawn, above, strict=True)
        ]


class Thinned:
    def __init__(self, parts: int, rate: Fraction, words: Words) -> None:
        self.parts, self.rate, self.words, self.top = parts, rate, words, log2_up(1 / rate)
        self.geometric = Geometric(rate, words)

    def first(self, chance: Callable[[int], Chance]) -> int:
        word = next(self.words)
        return next(i for i in count() if below(word, chance(i)))

    def cell(self) -> int | None:
        word = next(self.words)
        return next((j for j in range(self.top + 1) if below(word, cell(self.rate, self.top, j))), None)

    def draw(self, number: int) -> list[int]:
        points = [self.first(lambda m: poisson(self.top + 1, self.parts, m)) for _ in range(number)]
        cells = [[self.cell() for _ in range(many)] for many in points]
        placed = [(owner, j) for owner, found in enumerate(cells) for j in found if j is not None]
        u = [next(self.words) % 2**j for _, j in placed]
        tail = [at for at, (_, j) in enumerate(placed) if j == self.top]
        s = [1] * len(placed)
        further = Geometric(self.rate * 2**self.top, self.words).draw(len(tail))
        for at, more in zip(tail, further, strict=True):
            s[at] += more
        in_front = self.in_front([j for _, j in placed], s, u)
        outlasts = self.outlasts([j for _, j in placed], u)
        drawn = [0] * number
        for (owner, j), each, at, stays in zip(placed, s, u, map(min, in_front, outlasts), strict=True):
            drawn[owner] += (each * 2**j + at) * stays
        return drawn

    def in_front(self, j: list[int], s: list[int], u: list[int]) -> list[bool]:
        found, left = [False] * len(j), list(range(len(j)))
        while left:
            drawn = [next(self.words) for _ in left]
            t = dict(zip(left, [word >> 63 for word in drawn], strict=True))
            v = {at: word % 2 ** j[at] for at, word in zip(left, drawn, strict=True)}
            t.update(self.up_to({at: s[at] for at in left if s[at] > 1}))
            for at in left:
                found[at] = t[at] == 0
            left = [at for at in left if t[at] == s[at] and v[at] >= u[at]]
        return found

    def up_to(self, bounds: dict[int, int]) -> dict[int, int]:
        found: dict[int, int] = {}
        while left := [at for at in bounds if found.get(at, ALL) > bounds[at]]:
            found.update({at: next(self.words) % 2 ** bounds[at].bit_length() for at in left})
        return found

    def outlasts(self, j: list[int], u: list[int]) -> list[bool]:
        found = [below(next(self.words), power(self.rate, each)) for each in j]
        for at, each in enumerate(j):
            if not found[at]:
                found[at] = self.geometric.lowest(self.top) % 2**each >= u[at]
        return found


def reference(parts: int, rate: Fraction, number: int, words: Words) -> list[int]:
    variables: list[list[int]] = []
    for _ in range(2):
        variable = Geometric(rate, words) if parts == 1 else Thinned(parts, rate, words)
        blocks = [variable.draw(min(TOGETHER, number - at)) for at in range(0, number, TOGETHER)]
        variables.append([x for block in blocks for x in block])
    return [(x - y) % ALL for x, y in zip(*variables, strict=True)]


@pytest.mark.parametrize(
    ("parts", "rate", "number"),
    [
        (1, Fraction(1, 20_000), 40),
        (1, Fraction(2, 3), 5000),
        (1, Fraction(1, 2**70), 20),
        (2, Fraction(1, 20_000), 200),
        (2, Fraction(20), 300),
        (3, Fraction(5, 7), 5000),
        (7, Fraction(123_456_789, 10**9 * (2**53 - 1)), 60),
        (5, Fraction(1, 2**63), 60),
        (1000, Fraction(1, 3), 4200),
    ],
)
def test_noise_is_the_reference_implementations_to_the_last_bit(
    parts: int, rate: Fraction, number: int
) -> None:
    words = (int(word) for word in seed_of("reference").expand((1 << 19,)))
    expected = reference(parts, rate, number, words)
    share = noise_share(parts, rate, (number,), seed_of("reference"))
    assert share.tolist() == expected
    assert share.dtype == np.uint64
