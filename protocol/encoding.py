"""Exact decimals as ring elements, and ballots as bits.

A value v with `decimals` places is the integer v·10^decimals in Z_2^64, two's complement, so that sums
in the ring are exact: nothing is ever rounded on the way in, and floats never appear.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from protocol import ring
from protocol.errors import InputError
from protocol.ring import Ring

MOST_DECIMALS = 18  # 10^18 is the largest power of ten below 2^63
_BALLOTS = "yes or no, true or false, 1 or 0"


@dataclass(frozen=True, repr=False)
class Exact:
    """A party's own input before encoding: the exact decimals `units · 10^−scale`, or one ballot.

    `units` is int64[()] for a scalar, int64[length] for a vector, 0 ≤ scale ≤ 18.  `source`, `row_word`
    and `first_row` let an error name the place ("salaries.csv, row 17").  `ballot`: it was given as yes
    or no (1 or 0), so it is no quantity.  Secret: it has no repr.
    """

    units: NDArray[np.int64]
    scale: int
    source: str
    row_word: str = "element"
    first_row: int = 1
    ballot: bool = False

    def __repr__(self) -> str:
        return f"Exact(<redacted>, shape={self.units.shape})"

    def place(self, index: int) -> str:
        """Where element `index` stands, in words."""
        return (
            self.source
            if self.units.ndim == 0
            else f"{self.source}, {self.row_word} {self.first_row + index}"
        )


def limit(inputs: int) -> int:
    """The largest |integer| that `inputs` parties may each put in, so that no sum leaves ±(2^63 − 1)."""
    return ring.LARGEST // inputs


def to_units(value: Decimal, decimals: int) -> int:
    """value·10^decimals; ValueError if that is not an integer."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"{value} is not a finite number")
    magnitude = int("".join(map(str, digits)))
    shift = exponent + decimals
    if shift < 0:
        magnitude, rest = divmod(magnitude, 10 ** min(-shift, len(digits) + 1))
        if rest:
            raise ValueError(f"{value} has more than {decimals} decimals")
    elif magnitude:
        if shift > 2 * MOST_DECIMALS:
            raise ValueError(f"{value} is too large")
        magnitude *= 10**shift
    return -magnitude if sign else magnitude


def from_units(units: int, decimals: int) -> Decimal:
    """units·10^−decimals, with exactly that many places."""
    return Decimal(units).scaleb(-decimals)


def encode(value: Exact, *, decimals: int, lowest: int, highest: int) -> Ring:
    """`value` as ring elements with `decimals` places, each between `lowest` and `highest` units.

    Shapes: as `value.units`.  Raises InputError, which names the first offending row but never the value.
    """
    _quantity(value)
    units, overflow = _rescale(value, decimals)
    outside = overflow | (units < lowest) | (units > highest)
    if outside.any():
        raise InputError(
            f"{value.place(_first(outside))}: outside the bounds "
            f"[{from_units(lowest, decimals):f}, {from_units(highest, decimals):f}]",
            "the session's --lower and --upper (or the ring's size) set these; correct the value or refuse",
        )
    return np.asarray(ring.from_signed(units))


def clamped(value: Exact, *, decimals: int, lowest: int, highest: int) -> Ring:
    """`value` as ring elements like `encode`, but rounded to `decimals` places and moved into the bounds.

    Σ of such values differs by at most highest − lowest between neighbours, whatever they bring.  A half
    is rounded up: v = ⌊x·10^decimals + 1/2⌋.  Raises InputError for what is no quantity at all.
    """
    _quantity(value)
    if decimals < value.scale:
        factor = np.int64(10 ** (value.scale - decimals))
        quotient, rest = np.divmod(value.units, factor)
        units = np.asarray(quotient + (rest >= factor - rest), dtype=np.int64)  # 2·rest might overflow
    else:
        units, overflow = _rescale(value, decimals)
        units[overflow] = np.where(value.units[overflow] < 0, -ring.LARGEST, ring.LARGEST)
    return np.asarray(ring.from_signed(np.asarray(np.clip(units, lowest, highest))))


def _quantity(value: Exact) -> None:
    if value.ballot:
        raise InputError(
            f"{value.source}: a yes/no answer, where numbers are taken",
            "ask for a referendum or a poll: to add up ballots would open their count",
        )
    if value.units.size > ring.MOST_ELEMENTS:
        raise InputError(
            f"{value.source}: {value.units.size} elements, at most {ring.MOST_ELEMENTS} are allowed",
            "split the vector over several sessions",
        )


def ballot(value: Exact, *, clamp: bool = False) -> Ring:
    """Yes or no as uint64[()], 1 or 0.  Raises InputError, which names the place but never the value.

    With `clamp` every single number is a ballot: the nearer one of 0 and 1.
    """
    size = value.units.size
    if value.units.ndim:
        raise InputError(
            f"{value.source}: {size} {value.row_word}{'s' * (size != 1)}, a vote takes one ballot",
            f"no list, and one row of a column or query: {_BALLOTS}",
        )
    units, one = int(value.units), 10**value.scale
    if clamp:
        return np.array(2 * units >= one, np.uint64)
    if units not in (0, one):
        raise InputError(
            f"{value.source}: a number other than 1 and 0, a vote takes a ballot", f"write {_BALLOTS}"
        )
    return np.array(units == one, np.uint64)


def _rescale(value: Exact, decimals: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """units·10^(decimals − scale), exactly, and where that is more than 64 bits can hold."""
    if decimals >= value.scale:
        factor = 10 ** (decimals - value.scale)
        largest = ring.LARGEST // factor
        # np.abs(−2^63) would overflow, so compare with both ends instead.
        overflow = (value.units > largest) | (value.units < -largest)
        return np.asarray(np.clip(value.units, -largest, largest) * np.int64(factor)), np.asarray(overflow)
    quotient, rest = np.divmod(value.units, np.int64(10 ** (value.scale - decimals)))
    if rest.any():
        raise InputError(
            f"{value.place(_first(rest != 0))}: more than the {decimals} decimals that the session allows",
            "round the input yourself, or ask for a session with more --decimals",
        )
    return np.asarray(quotient), np.zeros(quotient.shape, dtype=np.bool_)


def _first(flags: NDArray[np.bool_]) -> int:
    return int(np.argmax(flags))
