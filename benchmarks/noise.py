"""Noise a second, beside OpenDP: one party's noise shares, and OpenDP's discrete Laplace draws.

Both are exact and take their entropy from the operating system: ours by way of a session's seed, fresh for
each call.  With one honest party a share is a discrete Laplace variable, as OpenDP's is; with more, each
adds less.  The two take turns in one process; each figure is the median over the rounds.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import opendp.prelude as dp

from benchmarks.report import Table
from protocol.dp.noise import Noise, Relation
from protocol.secret import SEED_BYTES, Seed
from protocol.sharing import Share

HEADINGS = (
    "what",
    "Sotto, 1 honest",
    "Sotto, 2 honest",
    "Sotto, 4 honest",
    "OpenDP",
    "Sotto, 1 honest / OpenDP",
)
HONEST = (1, 2, 4)  # k − c
EPSILON = 500_000_000  # nano-ε
NOTES = """\
- **Sotto**: noise shares a second of one compute party, `Noise.share`, for k − c honest parties; \
c = k − 1, one honest party, is the default. A scalar call has a fresh seed; the tables that depend on \
public numbers alone are made once.
- **OpenDP**: `make_laplace` over integers, called from Python: draws a second. In a vector, its \
conversion of Python lists is included, as nobody can have the draws without it.
- One thread; ε = 0.5; Δ is that of sums with two decimals from 0 to 10,000, over all elements of a vector.
"""
NUMBERS = 1_000_000  # in units: 0 to 10,000 with two decimals


@dataclass(frozen=True)
class Rates:
    """Noise a second, by who draws it."""

    sotto: dict[int, float]  # honest parties → shares a second
    opendp: float


def measure(length: int, scalar: bool, rounds: int, calls: int) -> Rates:
    """`calls` scalar calls, or one vector of `length`, in each round."""
    sensitivity = NUMBERS if scalar else NUMBERS * length
    draws = calls if scalar else length
    shape = () if scalar else (length,)
    ours = {honest: _ours(sensitivity, honest, shape) for honest in HONEST}
    theirs = _theirs(sensitivity, shape)
    for each in (*ours.values(), theirs):
        each()  # tables are made, libraries loaded
    timed: dict[int, list[float]] = {key: [] for key in (0, *HONEST)}
    for _ in range(rounds):
        for key, draw in ((0, theirs), *ours.items()):
            begun = time.perf_counter()
            for _ in range(calls if scalar else 1):
                draw()
            timed[key].append(draws / (time.perf_counter() - begun))
    medians = {key: statistics.median(each) for key, each in timed.items()}
    return Rates({honest: medians[honest] for honest in HONEST}, medians[0])


def _ours(sensitivity: int, honest: int, shape: tuple[int, ...]) -> Callable[[], Share]:
    noise = Noise(
        epsilon=EPSILON,
        sensitivity=sensitivity,
        relation=Relation.REPLACE_ONE,
        colluders=max(HONEST) - honest,
    )
    return lambda: noise.share(max(HONEST), shape, Seed(os.urandom(SEED_BYTES)))


def _theirs(sensitivity: int, shape: tuple[int, ...]) -> Callable[[], object]:
    dp.enable_features("contrib")
    scale = float(Fraction(sensitivity * 10**9, EPSILON))
    atom = dp.atom_domain(T=int)
    if not shape:
        one = dp.m.make_laplace(atom, dp.absolute_distance(T=int), scale=scale)
        return lambda: one(0)
    many = dp.m.make_laplace(dp.vector_domain(atom), dp.l1_distance(T=int), scale=scale)
    zeros = [0] * shape[0]
    return lambda: many(zeros)


def compare(length: int, rounds: int, calls: int) -> Table:
    """The table: scalar calls and one long vector."""
    found = {
        "scalar calls": measure(length, scalar=True, rounds=rounds, calls=calls),
        f"a vector of {length:,}": measure(length, scalar=False, rounds=rounds, calls=calls),
    }
    return Table("Noise: shares or draws a second", HEADINGS, [cells(*row) for row in found.items()], NOTES)


def cells(what: str, rates: Rates) -> tuple[str, ...]:
    """The texts of one line, in the order of HEADINGS."""
    shown: Sequence[float] = (*(rates.sotto[honest] for honest in HONEST), rates.opendp)
    return (what, *(f"{rate:,.0f}" for rate in shown), f"{rates.sotto[1] / rates.opendp:.1f}")
