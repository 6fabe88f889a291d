"""The loss of privacy that draws prove: a lower bound on ε that holds but for one audit in a million.

An event that neighbours bring about with probabilities p and p' costs ln(p/p') of ε.  Each of the two is
estimated by an exact interval [Clopper, Pearson, Biometrika 1934], as in [Jagielski, Ullman, Oprea, NeurIPS
2020, §3].
"""

from __future__ import annotations

from math import inf, log

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

ERROR = 1e-6  # how often a bound is wrong


def proven(here: NDArray[np.bool_], there: NDArray[np.bool_]) -> float:
    """At least so much ε is lost by an event that came up, or not, in draws over an input and a neighbour."""
    least, most = lowest(int(here.sum()), here.size), highest(int(there.sum()), there.size)
    return log(least / most) if least else -inf


def lowest(hits: int, draws: int) -> float:
    """The least probability that this may be an outcome of."""
    return float(beta.ppf(ERROR / 2, hits, draws - hits + 1)) if hits else 0.0


def highest(hits: int, draws: int) -> float:
    """The greatest one."""
    return float(beta.ppf(1 - ERROR / 2, hits + 1, draws - hits)) if hits < draws else 1.0
