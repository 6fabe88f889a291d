"""Randomised response: each respondent's own node flips two coins before anything is shared.

A fair coin: the truth; else a second fair coin decides.  So P(yes | yes) = 3/4, P(yes | no) = 1/4, and an
answer costs ε = ln 3, whoever computes [Warner, JASA 1965; Dwork, Roth 2014, §3.2].
"""

from __future__ import annotations

import numpy as np

from protocol.ring import Ring
from protocol.secret import Seed

NANO_LN_3 = 1_098_612_289  # ln 3 in nano-ε, rounded up


def randomise(truth: Ring, seed: Seed) -> Ring:
    """The answer that leaves, uint64[()], 0 or 1; the same seed gives the same answer."""
    coins = seed.derive_bytes(1, "randomised response")[0]
    honest, otherwise = coins & 1, coins >> 1 & 1
    return np.array(truth if honest else otherwise, dtype=np.uint64)
