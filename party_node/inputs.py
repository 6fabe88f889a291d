"""A party's own input, exactly: a literal, a CSV column or a query becomes an `Exact`.

A literal is a scalar unless it is a list.  A CSV column or a query is a vector, except that one row
alone is a scalar.  A scalar may also be a ballot: yes, no, true or false.  Nothing is rounded, and no
error repeats a value: it names file, row and column.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from party_node.columns import NUMBER, WORDS, Column, Flaw, from_csv, from_query
from party_node.config import InputSource
from protocol.encoding import MOST_DECIMALS, Exact
from protocol.errors import InputError
from protocol.ring import LARGEST

_POWERS: NDArray[np.int64] = 10 ** np.arange(MOST_DECIMALS + 1, dtype=np.int64)
_LONGEST = len(str(LARGEST))
_PROBLEMS = {
    Flaw.NONE: ("", ""),
    Flaw.BLANK: ("blank", "fill it in, or leave the row out"),
    Flaw.NOT_FINITE: ("not a finite number", "NaN and infinity cannot be added up; leave the row out"),
    Flaw.NOT_A_NUMBER: (
        "not a number",
        f"digits and a decimal point, as in 3171.50: no spaces, no units; or a ballot: {', '.join(WORDS)}",
    ),
    Flaw.TOO_LONG: ("too many digits for 64 bits", "round the input yourself"),
    Flaw.WORD: ("not a number", "a yes or no stands alone: in a list or a longer column all are numbers"),
}


def load(name: str, source: InputSource, base: Path) -> Exact:
    """The input that `source` describes; relative paths in a query start at `base`.

    Its scale is the smallest that holds every element exactly.  Raises InputError.
    """
    if source.csv is not None and source.column is not None:
        column = from_csv(source.csv, source.column)
        place = (f"{source.csv}, column {source.column}", "row", 2)  # row 1 holds the names
    elif source.query is not None:
        place = (f"input {name}, query", "row", 1)
        column = from_query(place[0], source.query, base)
    else:
        elements = source.value if isinstance(source.value, tuple) else (source.value,)
        column = _literals([str(element) for element in elements])
        place = (f"input {name}", "element", 1)
    scalar = len(column.flaw) == 1 and not isinstance(source.value, tuple)
    unscaled = Exact(column.digits.reshape(()) if scalar else column.digits, 0, *place)
    if scalar and column.flaw[0] == Flaw.WORD:
        return dataclasses.replace(unscaled, ballot=True)
    return _scaled(column, unscaled)


def _scaled(column: Column, unscaled: Exact) -> Exact:
    """The elements on one scale; `unscaled` knows their places."""
    if not len(column.flaw):
        raise InputError(f"{unscaled.source}: no rows", "an input needs at least one element")
    flawed = column.flaw != Flaw.NONE
    _refuse(unscaled, flawed, *_PROBLEMS[Flaw(column.flaw[np.argmax(flawed)])])
    _refuse(
        unscaled,
        column.tens < -MOST_DECIMALS,
        f"more than {MOST_DECIMALS} decimals",
        "round the input yourself",
    )
    scale = max(0, -int(column.tens.min()))
    shift = column.tens + scale
    if not shift.any():
        units = column.digits.reshape(unscaled.units.shape)
        return dataclasses.replace(unscaled, units=units, scale=scale)
    factor = _POWERS[np.minimum(shift, MOST_DECIMALS)]
    # Two comparisons, because np.abs(−2^63) overflows.
    too_large = (column.digits > LARGEST // factor) | (column.digits < -(LARGEST // factor))
    _refuse(
        unscaled,
        too_large | ((shift > MOST_DECIMALS) & (column.digits != 0)),
        f"too large for 64 bits with {scale} decimals",
        "all elements share one scale: use fewer decimals or smaller numbers",
    )
    units = (column.digits * factor).reshape(unscaled.units.shape)
    return dataclasses.replace(unscaled, units=units, scale=scale)


def _refuse(unscaled: Exact, where: NDArray[np.bool_], problem: str, hint: str) -> None:
    if where.any():
        raise InputError(f"{unscaled.place(int(np.argmax(where)))}: {problem}", hint)


def _literals(texts: list[str]) -> Column:
    parsed = [_literal(text.strip().lower()) for text in texts]
    digits, tens, flaw = zip(*parsed, strict=True) if parsed else ((), (), ())
    return Column(np.array(digits, np.int64), np.array(tens, np.int64), np.array(flaw, np.int8))


def _literal(text: str) -> tuple[int, int, Flaw]:
    """The digits, the power of ten and the flaw of one cell, as in a `Column`."""
    if text in WORDS:
        return WORDS[text], 0, Flaw.WORD
    if text.lstrip("+-") in {"nan", "inf", "infinity"}:
        return 0, 0, Flaw.NOT_FINITE
    if re.fullmatch(NUMBER, text) is None:
        return 0, 0, Flaw.NOT_A_NUMBER if text else Flaw.BLANK
    mantissa, _, exponent = text.lstrip("+-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    padded = (whole + fraction).lstrip("0")
    digits = padded.rstrip("0")
    if not digits:
        return 0, 0, Flaw.NONE
    integer = int(digits[:_LONGEST]) * (-1 if text.startswith("-") else 1)
    if len(digits) > _LONGEST or abs(integer) > LARGEST:
        return 0, 0, Flaw.TOO_LONG
    return integer, int(exponent or 0) - len(fraction) + len(padded) - len(digits), Flaw.NONE
