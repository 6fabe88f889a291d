"""All that is asked of noise shares, whoever draws them: how likely each finding is for the right ones.

The sampler is an argument, so that those with a mistake are asked the same.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from protocol import ring
from protocol.dp.coins import Coins
from protocol.dp.polya import noise_share
from protocol.secret import Seed
from tests.statistics.noise_laws import (
    Integers,
    Promise,
    all_noise,
    discrete_laplace,
    lowest_p,
    neighbours_p,
    noise_of,
    variance_p,
)
from tests.support.sessions import seed_of

Sampler = Callable[[Promise, int, Seed], Integers]  # one party's shares of so many numbers: int64[draws]

ALIKE = 1e-6  # of a finding: more than this is taken for chance
MODERATE = [
    Promise(1, 0, Fraction(1), 1),
    Promise(3, 1, Fraction(1), 1),
    Promise(5, 2, Fraction(1, 2), 3),
    Promise(4, 3, Fraction(1), 10),
    Promise(10, 3, Fraction(2), 10),
]
WIDE = [
    Promise(2, 1, Fraction(1, 2), 10**6),
    Promise(3, 1, Fraction(1, 2), 10**6),
    Promise(5, 1, Fraction(123_456_789, 10**9), 2**53 - 1),
]


def product(promise: Promise, draws: int, seed: Seed) -> Integers:
    """What a party adds."""
    return ring.to_signed(noise_share(promise.parts, promise.rate, (draws,), seed))


def findings(promise: Promise, draws: int, sampler: Sampler = product, label: str = "") -> dict[str, float]:
    """p of each test; it takes at least 10^5 draws to find what is wrong."""
    names = [f"{promise} {label} {party}" for party in range(promise.parties)]
    shares = np.array([sampler(promise, draws, seed_of(name)) for name in names])
    found = {"variance": variance_p(promise, shares.sum(axis=0)), "neighbours": neighbours_p(shares[0])}
    if promise in MODERATE:
        found["all shares"] = all_noise(promise).p(shares.sum(axis=0))
        found["one share"] = noise_of(promise, 1).p(shares[0])
    else:
        found["lowest digits"] = lowest_p(shares.sum(axis=0))
    law = discrete_laplace(promise.rate)
    for rest in promise.rests:
        found[f"left to a coalition: {rest}"] = law.p(shares[rest].sum(axis=0))
    return found


# -- those with a mistake ------------------------------------------------------------------------------


def enough_only_without_colluders(promise: Promise, draws: int, seed: Seed) -> Integers:
    """r = 1/n instead of 1/(n − c)."""
    return ring.to_signed(noise_share(promise.parties, promise.rate, (draws,), seed))


def no_noise(_: Promise, draws: int, __: Seed) -> Integers:
    """Zero."""
    return np.zeros(draws, dtype=np.int64)


def everybody_all_of_it(promise: Promise, draws: int, seed: Seed) -> Integers:
    """r = 1: safe, but of more noise than was said."""
    return ring.to_signed(noise_share(1, promise.rate, (draws,), seed))


def every_number_twice(promise: Promise, draws: int, seed: Seed) -> Integers:
    """Fresh noise for every other number only."""
    return np.repeat(product(promise, (draws + 1) // 2, seed), 2)[:draws]


def rounded_floats(promise: Promise, draws: int, seed: Seed) -> Integers:
    """Laplace noise of the right scale, rounded to whole numbers."""
    return np.rint(floats(draws, seed) / float(promise.rate)).astype(np.int64)


def floats(draws: int, seed: Seed) -> NDArray[np.float64]:
    """A Laplace variable of scale 1 as numerical libraries draw it: the logarithm of a float."""
    uniform = (Coins(seed).words(draws) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.where(uniform < 0.5, np.log(2 * uniform), -np.log(2 - 2 * uniform))
