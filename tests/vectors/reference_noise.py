"""Noise a second time, from SPEC.md §4.10 and annex A alone: fractions, big integers and `decimal`.

It draws one variable's step after the other from a list of words, and takes every probability from
`decimal` with as many digits as it takes, where the project encloses them in integers.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from itertools import count

from tests.vectors.reference import MODULUS, derive, expand

WORD = 64
BLOCK = 1 << 12  # variables that are drawn together
Probability = Callable[[int], decimal.Decimal]  # of i, as precise as the context


# -- §4.10 what is agreed ------------------------------------------------------------------------------


def rate(nano: int, sensitivity: int) -> Fraction:
    """a = ε/Δ."""
    return Fraction(nano, 10**9 * sensitivity)


def tail(a: Fraction, compute: int, colluders: int) -> int:
    """B = ⌈(52 + 5R/3) / a⌉ with R = k/(k − c)."""
    bound = (52 + Fraction(5 * compute, 3 * (compute - colluders))) / a
    return int(bound) + (int(bound) < bound)


def width(ballots: int, bound: int) -> int:
    """m: the least with ballots + B < 2^(m−1)."""
    return (ballots + bound).bit_length() + 1


def sensitivity(function: dict[str, object], relation: str) -> int:
    """Δ of a function's object."""
    if function["name"] == "histogram":
        return {"replace-one": 2, "add-remove": 1}[relation]
    if function["name"] == "referendum":
        return 1
    lower, upper, places = (Fraction(str(function[key])) for key in ("lower", "upper", "decimals"))
    length = function["length"]
    units: Fraction = (upper - lower) * 10 ** int(places) * (length if isinstance(length, int) else 1)
    return units.numerator


# -- §7 a poll's coins ---------------------------------------------------------------------------------


def answer(truth: int, seed: bytes) -> int:
    """What a respondent says, by the two lowest bits of one byte."""
    coins = derive(seed, "randomised response", length=1)[0]
    return truth if coins % 2 else coins // 2 % 2


# -- annex A the sampler -------------------------------------------------------------------------------


class Words:
    """PRG(seed), 64 bits at a time."""

    def __init__(self, seed: bytes) -> None:
        self._seed, self._known, self._next = seed, list[int](), 0

    def take(self, number: int) -> list[int]:
        """The next so many."""
        end = self._next + number
        if end > len(self._known):
            self._known = expand(self._seed, 2 * end)
        self._next = end
        return self._known[end - number : end]


@cache
def _floor(probability: Probability, i: int, bits: int) -> int:
    """⌊2^bits·F_i⌋: with more and more digits, until what they leave open does not matter."""
    for digits in count(bits // 3 + 60, 60):
        with decimal.localcontext(prec=digits, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX):
            found = probability(i) * 2**bits
            slack = decimal.Decimal(10) ** (30 + bits // 3 - digits)
            if found == 2**bits or int(found - slack) == int(found + slack):
                return int(found)
    raise AssertionError("there are always more digits")


def _below(word: int, probability: Probability, i: int, words: Words) -> bool:
    """Whether a number in [0, 1) that begins with these 64 bits is less than F_i."""
    bits = WORD
    while word == _floor(probability, i, bits):
        word, bits = word * MODULUS + words.take(1)[0], bits + WORD
    return word < _floor(probability, i, bits)


def _reached(probability: Probability, which: Sequence[int], words: Words) -> list[bool]:
    """U < F_i for each of these i: all words first, and then what ties need."""
    return [
        _below(word, probability, i, words) for i, word in zip(which, words.take(len(which)), strict=True)
    ]


def _first(probability: Probability, number: int, words: Words) -> list[int]:
    """The least i with U < F_i, so many times.  A tie would need its word again, for the next i."""
    found = []
    for word in words.take(number):
        i = 0
        while word > _floor(probability, i, WORD):
            i += 1
        if word == _floor(probability, i, WORD):
            raise ValueError("a tie, which happens once in 2^64")
        found.append(i)
    return found


def _exp(a: Fraction) -> decimal.Decimal:
    """e^−a."""
    return (-decimal.Decimal(a.numerator) / decimal.Decimal(a.denominator)).exp()


def _doublings(a: Fraction, least: int) -> int:
    """The least j with a·2^j ≥ least."""
    return next(j for j in count() if a * 2**j >= least)


@cache
def _power(a: Fraction) -> Probability:
    """P(G ≥ 2^j)."""
    return lambda j: _exp(a * 2**j)


@cache
def _digit(a: Fraction) -> Probability:
    """P(digit j of G is 1)."""
    return lambda j: _exp(a * 2**j) / (1 + _exp(a * 2**j))


@cache
def _poisson(mean: Fraction) -> Probability:
    """P(M ≤ m)."""

    def cumulative(m: int) -> decimal.Decimal:
        term = total = Fraction(1)
        for i in range(1, m + 1):
            term *= mean / i
            total += term
        return _exp(mean) * total.numerator / total.denominator

    return cumulative


@cache
def _cells(a: Fraction, top: int) -> Probability:
    """P(the cell's width is 2^j or less); no cell at all comes last."""

    def cumulative(j: int) -> decimal.Decimal:
        if j > top:
            return decimal.Decimal(1)
        total = sum((_exp(a * 2**i) for i in range(min(j + 1, top))), decimal.Decimal(0))
        if j == top:
            total += _exp(a * 2**top) / (1 - _exp(a * 2**top))
        return total / (top + 1)

    return cumulative


def _digits(a: Fraction, places: int, number: int, words: Words) -> list[int]:
    """The lowest digits of so many geometric variables, each variable's from the lowest one on."""
    tossed = _reached(_digit(a), [*range(places)] * number, words)
    return [
        sum(tossed[at + j] << j for j in range(places)) for at in range(0, places * number, places or 1)
    ] or [0] * number


def geometric(a: Fraction, number: int, words: Words) -> list[int]:
    """G with P(G ≥ x) = e^−ax."""
    places = min(_doublings(a, 64), 63)
    drawn = _digits(a, places, number, words)
    above = [i for i, more in enumerate(_reached(_power(a), [places] * number, words)) if more]
    if above:
        further = geometric(a * 2**places, len(above), words)
        for i, each in zip(above, further, strict=True):
            drawn[i] += (each + 1) << places
    return drawn


def _up_to(bound: int, words: Words) -> list[int]:
    """One try for a uniform number in [0, bound]: empty if it is above."""
    (word,) = words.take(1)
    number = word % 2 ** bound.bit_length()
    return [number] if number <= bound else []


def _shares_of_cells(bounds: list[int], words: Words) -> list[int]:
    """Uniform numbers in [0, bound]: whoever misses tries again once all others have tried."""
    found: dict[int, int] = {}
    while len(found) < len(bounds):
        waiting = [i for i in range(len(bounds)) if i not in found]
        tries = [_up_to(bounds[i], words) for i in waiting]
        found |= {i: number[0] for i, number in zip(waiting, tries, strict=True) if number}
    return [found[i] for i in range(len(bounds))]


def thinned(parts: int, a: Fraction, number: int, words: Words) -> list[int]:
    """Polya(1/parts, e^−a), so many of them together."""
    top = _doublings(a, 1)
    points = _first(_poisson(Fraction(top + 1, parts)), number, words)
    cells = _first(_cells(a, top), sum(points), words)
    placed = [i for i, j in enumerate(cells) if j <= top]
    worth = dict(zip(placed, _worth([cells[i] for i in placed], a, top, words), strict=True))
    drawn, start = [], 0
    for each in points:
        drawn.append(sum(worth.get(i, 0) for i in range(start, start + each)))
        start += each
    return drawn


def _worth(cells: list[int], a: Fraction, top: int, words: Words) -> list[int]:
    """k of each point that stays; 0 of the others."""
    u = [word % 2**j for j, word in zip(cells, words.take(len(cells)), strict=True)]
    s = [1] * len(cells)
    tail_points = [i for i, j in enumerate(cells) if j == top]
    for i, more in zip(tail_points, geometric(a * 2**top, len(tail_points), words), strict=True):
        s[i] += more
    front = _in_front(cells, s, u, words)
    lasting = _outlasting(cells, u, a, top, words)
    return [(s[i] * 2**j + u[i]) if front[i] and lasting[i] else 0 for i, j in enumerate(cells)]


def _in_front(cells: list[int], s: list[int], u: list[int], words: Words) -> dict[int, bool]:
    """Whether a uniform number below s·w + u is below w = 2^j."""
    front: dict[int, bool] = {}
    while unsettled := [i for i in range(len(cells)) if i not in front]:
        drawn = dict(zip(unsettled, words.take(len(unsettled)), strict=True))
        several = [i for i in unsettled if s[i] > 1]
        t = {i: word >> 63 for i, word in drawn.items()}
        t |= dict(zip(several, _shares_of_cells([s[i] for i in several], words), strict=True))
        for i in unsettled:
            if t[i] < s[i] or drawn[i] % 2 ** cells[i] < u[i]:
                front[i] = t[i] == 0
    return front


def _outlasting(cells: list[int], u: list[int], a: Fraction, top: int, words: Words) -> list[bool]:
    """Whether a geometric variable is u or more."""
    lasting = _reached(_power(a), cells, words)
    short = [i for i, more in enumerate(lasting) if not more]
    for i, low in zip(short, _digits(a, top, len(short), words), strict=True):
        lasting[i] = low % 2 ** cells[i] >= u[i]
    return lasting


def signed(element: int) -> int:
    """From −2^63 up."""
    return element - (element >> 63 << WORD)


def polya(parts: int, a: Fraction, number: int, words: Words) -> list[int]:
    """So many variables, a block at a time."""
    drawn: list[int] = []
    for start in range(0, number, BLOCK):
        here = min(BLOCK, number - start)
        drawn += geometric(a, here, words) if parts == 1 else thinned(parts, a, here, words)
    return drawn


def noise_share(parts: int, a: Fraction, number: int, seed: bytes) -> list[int]:
    """One compute party's noise, an element of the ring each: all first variables, then all second ones."""
    words = Words(seed)
    first = polya(parts, a, number, words)
    second = polya(parts, a, number, words)
    return [(one - other) % MODULUS for one, other in zip(first, second, strict=True)]
