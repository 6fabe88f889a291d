"""Tells two samples of views apart where a bit, two bits together or a word are distributed differently.

Pearson's chi-square for two samples of one size: Σ (a − b)² / (a + b) over the cells, where a and b count the
same value in each.  The smallest p is multiplied by the number of tests that it was chosen from [Bonferroni],
so two samples of one distribution are told apart with a chance of `SIGNIFICANCE` or less, however the tests
depend on each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log, log10
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from tests.statistics.views import Field

SIGNIFICANCE = 1e-6
_EXPECTED = 20  # runs in each cell of a word: the distribution of fewer is not near enough to chi-square's
_BLOCK = 512  # bits whose pairs with all others are looked at together
_BYTES = 105  # whose words are looked at together: whole words of any width up to 8
Matrix = NDArray[np.float32]  # bits as 0.0 and 1.0, [runs, bits]: counts are exact up to 2^24
Counts = NDArray[np.float32]  # [cells, tests]


@dataclass(frozen=True)
class Sample:
    """What one coalition has seen in many runs: `rows` is uint8[runs, bytes], the same fields in each."""

    fields: tuple[tuple[str, int, int], ...]  # name, bytes, and how many of them are looked at two by two
    rows: NDArray[np.uint8]

    @classmethod
    def of(cls, views: list[list[Field]]) -> Sample:
        """ValueError if a run had other letters than the one before."""
        fields = {tuple((each.name, len(each.content), each.close) for each in view) for view in views}
        if len(fields) != 1:
            raise ValueError(f"{len(views)} runs with the letters of {len(fields)}")
        joined = b"".join(each.content for view in views for each in view)
        return cls(fields.pop(), np.frombuffer(joined, np.uint8).reshape(len(views), -1))

    @property
    def close(self) -> NDArray[np.intp]:
        """The bits that are looked at two by two."""
        marks = [np.arange(length) < close for _, length, close in self.fields]
        return np.flatnonzero(np.repeat(np.concatenate(marks), 8))

    def picked(self, bits: NDArray[np.intp]) -> Matrix:
        """These bits of every run, [runs, bits]."""
        return (self.rows[:, bits // 8] >> (bits % 8).astype(np.uint8) & np.uint8(1)).astype(np.float32)

    def place(self, bit: int) -> str:
        """What this bit is."""
        for name, length, _ in self.fields:
            if bit < 8 * length:
                return f"{name} [{bit}]"
            bit -= 8 * length
        raise IndexError(bit)


@dataclass(frozen=True)
class Verdict:
    """The smallest p of all tests, corrected for their number, and where it was."""

    log10_p: float
    place: str
    runs: int  # of each sample
    tests: int

    @property
    def alike(self) -> bool:
        """Whether it may well be chance."""
        return self.log10_p >= log10(SIGNIFICANCE)

    def __str__(self) -> str:
        p = f"{10**self.log10_p:.2g}" if self.alike else f"10^{self.log10_p:.0f}"
        return f"p = {p} at {self.place}: {self.tests} tests on 2 × {self.runs} runs"


def compare(one: Sample, other: Sample) -> Verdict:
    """Whether these are samples of one distribution; ValueError if they are not of one size."""
    runs = len(one.rows)
    if len(other.rows) != runs:
        raise ValueError(f"{runs} runs beside {len(other.rows)}")
    if one.fields != other.fields:
        return Verdict(-np.inf, "the letters that there are", runs, 1)
    width = min(8, max(2, (runs // _EXPECTED).bit_length() - 1))
    kinds = [list(_words(one, other, each)) for each in (1, width)]
    kinds.append(list(_pairs(one, other)))
    found = []
    for batches in kinds:
        # The kinds count alike: the many pairs must not drown the few words.
        tests = len(kinds) * sum(each.tests for each in batches)
        log_p, at = min((each.log_p, each.at) for each in batches)
        found.append((min(0.0, (log_p + log(tests)) / log(10)), at))
    log10_p, at = min(found)
    place = " with ".join(dict.fromkeys(one.place(bit) for bit in at))
    return Verdict(log10_p, place, runs, sum(each.tests for batches in kinds for each in batches))


class _Batch(NamedTuple):
    """The smallest of several p's, its first and last bit, and how many there were."""

    log_p: float
    at: tuple[int, int]
    tests: int


def _words(one: Sample, other: Sample, width: int) -> Iterator[_Batch]:
    """Runs of `width` bits, one after the other; each bit, where the width is 1."""
    for start in range(0, one.rows.shape[1], _BYTES):
        columns = slice(start, start + _BYTES)
        log_p, at = _smallest(*(_values(each.rows[:, columns], width) for each in (one, other)))
        first = 8 * start + at * width
        yield _Batch(log_p, (first, first + width - 1), one.rows[0, columns].size * 8 // width)


def _values(rows: NDArray[np.uint8], width: int) -> Counts:
    """How often each word had each value."""
    words = rows.shape[1] * 8 // width
    bits = np.unpackbits(rows, axis=1, count=words * width, bitorder="little")
    weights = (1 << np.arange(width)).astype(np.uint8)
    values = bits.reshape(len(rows), words, width) @ weights
    cells = values + (np.arange(words, dtype=np.int32) << width)
    return np.bincount(cells.ravel(), minlength=words << width).reshape(words, -1).T.astype(np.float32)


def _pairs(one: Sample, other: Sample) -> Iterator[_Batch]:
    """Two bits have four values; how often both are 1 comes from a product of matrices."""
    close = one.close
    matrices: list[Matrix] = [each.picked(close) for each in (one, other)]
    for start in range(0, len(close), _BLOCK):
        log_p, at = _smallest(*(_four(each[:, start:]) for each in matrices))
        rest = close[start:]
        i, j = divmod(at, len(rest))
        yield _Batch(log_p, (int(rest[i]), int(rest[j])), min(_BLOCK, len(rest)) * len(rest))


def _four(bits: Matrix) -> Counts:
    """The values of the first bits beside all others (and, as a test too many, beside themselves)."""
    ones = bits.sum(axis=0)
    i, j = ones[:_BLOCK, np.newaxis], ones
    both = bits[:, :_BLOCK].T @ bits
    return np.stack([both, i - both, j - both, len(bits) - i - j + both]).reshape(4, -1)


def _smallest(a: Counts, b: Counts) -> tuple[float, int]:
    """The natural logarithm of the smallest p, and whose it is.  A value that never came up is no cell."""
    total = a + b
    statistic = ((a - b) ** 2 / np.maximum(total, 1)).sum(axis=0)
    freedom = (total > 0).sum(axis=0) - 1
    found = [(0.0, 0)]
    for degrees in range(1, len(total)):
        [where] = np.nonzero(freedom == degrees)
        if where.size:
            at = int(where[statistic[where].argmax()])
            found.append((float(chi2.logsf(statistic[at], degrees)), at))
    return min(found)
