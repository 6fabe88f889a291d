"""Runs a case for both systems in turns, so that what disturbs the machine disturbs both.

A system that fails or takes too long in one round has no figure for the case, only the reason:
a median over the rounds that happened to work would hide it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from benchmarks.deadline import deadline
from benchmarks.floor import tls_transfer_seconds
from benchmarks.measurement import BenchmarkError, Measurement, merge
from benchmarks.report import Failure, Row
from protocol.errors import SottoError

# What can go wrong around a measurement; anything else is a bug in the benchmark and shows as one.
_FAILURES = (BenchmarkError, SottoError, OSError, subprocess.SubprocessError, ExceptionGroup)
M = TypeVar("M")


@dataclass(frozen=True)
class Case:
    """One line of a table."""

    n: int
    rounds: int  # cold starts of each system
    repetitions: int  # launches in each round, after the one that belongs to the cold start
    limit_s: float  # for one round of one system
    function: Literal["sum", "referendum"] = "sum"
    length: int | None = None  # elements of each party's vector; None: one number each

    @property
    def label(self) -> str:
        """What the line is called."""
        if self.function == "referendum":
            return f"referendum, n = {self.n}"
        what = "scalar sum" if self.length is None else f"vector sum, {self.length:,} elements"
        return f"{what}, n = {self.n}"


@dataclass(frozen=True)
class System:
    """The measurements that each of the compared systems offers."""

    measure_scalar: Callable[[int, int], Measurement]  # n, repetitions
    measure_vector: Callable[[int, int, int], Measurement]  # n, length, repetitions
    measure_referendum: Callable[[int, int], Measurement]  # n, repetitions

    def measure(self, case: Case) -> Measurement:
        """One round of a case."""
        if case.function == "referendum":
            return self.measure_referendum(case.n, case.repetitions)
        if case.length is None:
            return self.measure_scalar(case.n, case.repetitions)
        return self.measure_vector(case.n, case.length, case.repetitions)


def run_case(case: Case, sotto: System, mpyc: System, ends_at: float) -> Row:
    """All rounds of a case; nothing goes on beyond `ends_at` (time.monotonic())."""
    ours: list[Measurement] | Failure = []
    theirs: list[Measurement] | Failure = []
    for _ in range(case.rounds):
        ours = _one_more(ours, sotto, case, ends_at)
        theirs = _one_more(theirs, mpyc, case, ends_at)
    measured = ours if isinstance(ours, Failure) else merge(ours)
    peer = theirs if isinstance(theirs, Failure) else merge(theirs)
    floor = _floor(case, measured) if case.function == "sum" else None
    return Row(case.label, case.n, measured, peer, floor)


def _one_more(
    so_far: list[Measurement] | Failure, system: System, case: Case, ends_at: float
) -> list[Measurement] | Failure:
    if isinstance(so_far, Failure):
        return so_far
    measured = within(lambda: system.measure(case), case.limit_s, ends_at)
    return measured if isinstance(measured, Failure) else [*so_far, measured]


def within(measure: Callable[[], M], limit_s: float, ends_at: float) -> M | Failure:
    """What `measure` returns, or why it does not; it is ended after `limit_s`, and at `ends_at`."""
    left = ends_at - time.monotonic()
    if left <= 0:
        return Failure("the time for the whole run was used up")
    try:
        with deadline(min(limit_s, left)):
            return measure()
    except _FAILURES as error:
        return Failure(str(error) or type(error).__name__)


def _floor(case: Case, sotto: Measurement | Failure) -> float | Failure:
    """All of Sotto's bytes, cut as if each party wrote to each other one once."""
    if isinstance(sotto, Failure):
        return Failure("no bytes to send")
    try:
        return tls_transfer_seconds(round(case.n * sotto.bytes_per_party), case.n * (case.n - 1))
    except _FAILURES as error:
        return Failure(str(error) or type(error).__name__)
