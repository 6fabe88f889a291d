"""What people are told about the noise: how large it may be.  Floats are allowed here, and only here.

No share, no refusal and no answer depends on this file.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, exp, expm1, sqrt

import numpy as np
from numpy.typing import NDArray

_FINE = 1 / 256  # rates below are not needed to know the distribution's shape
_COARSE = 1 / 10  # nor of noise with so many parties that it is as wide as that anyway
_TAIL = 28  # no more than e^−28 of the noise lies where the other side of the lattice begins


def deviation(parties: int, parts: int, rate: Fraction) -> float:
    """The standard deviation of `parties` noise shares together: √(R · 2α / (1 − α)²), R = parties/parts."""
    return sqrt(2 * parties * exp(-rate) / parts) / -expm1(-rate)


def half_width(parties: int, parts: int, rate: Fraction, level: float = 0.95) -> int:
    """The least t with P(|noise| ≤ t) ≥ level, for `parties` noise shares together; level ≤ 1 − 10^−9.

    A t below some hundreds is exact, and a larger one to 0.1 %: there the noise of a greater rate is taken,
    stretched by how much the rate is greater.
    """
    whole = parties / parts  # R
    taken = max(float(rate), min(_COARSE, _FINE * sqrt(whole)))
    within = np.append(0.0, _within(whole, taken))  # P(|noise| < 0), P(|noise| ≤ 0), P(|noise| ≤ 1), …
    if taken == float(rate):
        return int(np.searchsorted(within, level)) - 1
    ends = np.append(0.0, np.arange(len(within) - 1) + 0.5)  # t stands for all up to t + 1/2
    return ceil(float(np.interp(level, within, ends)) * taken / rate - 0.5)


def _within(whole: float, rate: float) -> NDArray[np.float64]:
    """P(|noise| ≤ t) for t = 0, 1, …: the Fourier transform of the characteristic function.

    That is ((1 − α)² / (1 − 2α cos θ + α²))^R, and 1 − 2α cos θ + α² = (1 − α)² + 4α sin²(θ/2).
    """
    # P(|noise| ≥ t) ≤ 2 (1 − s²)^−R e^(−s·rate·t) for 0 < s < 1, and −ln(1 − s²) ≤ 1.16 s² up to s = 1/2.
    s = min(0.5, sqrt(_TAIL / whole))
    size = 1 << max(4, int(2 * (_TAIL + 1.16 * whole * s**2) / (s * rate)).bit_length())
    waves = np.sin(np.linspace(0, np.pi / 2, size // 2 + 1)) / -expm1(-rate)
    chances = np.fft.irfft((1 + 4 * exp(-rate) * waves**2) ** -whole, size)[: size // 2]
    return np.asarray(chances[0] + 2 * np.append(0.0, np.cumsum(chances[1:])))
