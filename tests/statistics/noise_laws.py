"""What the noise should be, computed another way than it is drawn, and how well a sample fits.

Floats are right here: the tests must be precise, not exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, chi2_contingency, norm

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CELLS = 200  # of a chi-square, about equally likely
LOWEST = 4  # digits of a number that are looked at by themselves


@dataclass(frozen=True)
class Promise:
    """ε for numbers that one input can change by W, though c of the n parties tell each other their noise."""

    parties: int
    colluders: int
    epsilon: Fraction
    width: int

    @property
    def rate(self) -> Fraction:
        return self.epsilon / self.width

    @property
    def parts(self) -> int:
        return self.parties - self.colluders

    @property
    def rests(self) -> Iterator[list[int]]:
        """Whose noise is left when a coalition has taken off its own."""
        return map(list, combinations(range(self.parties), self.parts))

    def __str__(self) -> str:
        return f"n = {self.parties}, c = {self.colluders}, ε = {self.epsilon}, W = {self.width}"


@dataclass(frozen=True)
class Law:
    """A distribution in cells: (−∞, edges_0], (edges_0, edges_1], …, (edges_last, ∞)."""

    edges: Integers
    chances: Floats

    def p(self, sample: Integers) -> float:
        """Pearson's chi-square: how likely so bad a fit is."""
        observed = np.bincount(np.searchsorted(self.edges, sample), minlength=len(self.chances))
        expected = len(sample) * self.chances
        if expected.min() < 20:
            raise ValueError(f"{len(sample)} draws are too few for {len(self.chances)} cells")
        return float(chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1))


def polya(r: float, alpha: float, terms: int) -> Floats:
    """P(0), P(1), …: P(x) = P(x − 1) · α (x − 1 + r) / x."""
    x = np.arange(1, terms)
    return np.asarray((1 - alpha) ** r * np.cumprod(np.append(1.0, alpha * (x - 1 + r) / x)))


def difference(r: float, alpha: float, terms: int) -> Floats:
    """P(1 − terms), …, P(terms − 1) of the difference of two Polya(r, α), by convolution."""
    one = polya(r, alpha, terms)
    return np.convolve(one, one[::-1])


def all_noise(promise: Promise) -> Law:
    """The sum of all shares, Polya(n/(n − c), α) − Polya(n/(n − c), α)."""
    return noise_of(promise, promise.parties)


def noise_of(promise: Promise, shares: int) -> Law:
    """The sum of so many shares; the rate should not be small."""
    a = float(promise.rate)
    terms = int(50 / a) + 50
    below = np.cumsum(difference(shares / promise.parts, np.exp(-a), terms))
    edges = np.unique(np.searchsorted(below, np.arange(1, CELLS) / CELLS))
    return Law(edges - (terms - 1), np.diff(below[edges], prepend=0.0, append=1.0))


def discrete_laplace(rate: Fraction) -> Law:
    """P(x) = (1 − α)/(1 + α) · α^|x|, in closed form, so for the smallest rates too."""
    a = float(rate)
    tails = np.arange(1, CELLS // 2) * 2 / CELLS
    upper = np.floor(-np.log(tails) / a).astype(np.int64)
    edges = np.unique(np.append(upper, -upper - 1))  # P(X ≤ −x − 1) = P(X > x) = α^(x + 1) / (1 + α)
    beyond = np.exp(-a * (np.where(edges >= 0, edges, -edges - 1) + 1)) / (1 + np.exp(-a))
    return Law(edges, np.diff(np.where(edges >= 0, 1 - beyond, beyond), prepend=0.0, append=1.0))


def variance_p(promise: Promise, sample: Integers) -> float:
    """Whether the variance of all shares is n/(n − c) · 2α/(1 − α)², by its standard error."""
    a, whole = float(promise.rate), promise.parties / promise.parts
    variance = whole / (2 * np.sinh(a / 2) ** 2)
    # Cumulants are R times those of a discrete Laplace variable: κ2 = 1/(2 sinh²(a/2)), κ4 = κ2 (1 + 6 κ2).
    fourth = variance * (1 + 6 * variance / whole)
    error = np.sqrt((fourth + 2 * variance**2) / len(sample))
    return float(2 * norm.sf(abs(np.mean(sample.astype(np.float64) ** 2) - variance) / error))


def lowest_p(sample: Integers) -> float:
    """Whether the lowest digits are uniform, as those of wide noise are (to a quarter of rate · 2^LOWEST)."""
    cells = 1 << LOWEST
    return Law(np.arange(cells - 1), np.full(cells, 1 / cells)).p(sample % cells)


def neighbours_p(sample: Integers) -> float:
    """Whether each number has nothing to do with the next one."""
    cells = np.searchsorted(np.quantile(sample, [0.2, 0.4, 0.6, 0.8]), sample)
    table = np.zeros((5, 5))
    np.add.at(table, (cells[:-1], cells[1:]), 1)
    return alike_p(table)


def alike_p(table: NDArray[np.float64]) -> float:
    """Whether the rows of a table of counts are samples of one distribution."""
    seen = table[:, table.sum(axis=0) > 0]
    return float(chi2_contingency(seen[seen.sum(axis=1) > 0], correction=False).pvalue)


def privacy_loss(r: float, rate: float) -> float:
    """The true ε of Polya(r, α) − Polya(r, α) where an input changes by 1: the largest |ln P(x)/P(x + 1)|."""
    terms = int(50 / rate) + 50
    near = np.log(difference(r, np.exp(-rate), terms))[terms - 20 : terms + 20]
    return float(np.abs(np.diff(near)).max())
