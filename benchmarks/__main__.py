"""`python -m benchmarks`: Sotto, MPyC and a bare TLS connection, one table.

The full run takes up to 15 minutes and writes benchmarks/RESULTS.md; `--quick` takes up to one
and only prints, so that its few repetitions never stand where the real figures do.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks import mpyc_peer, sotto
from benchmarks.floor import tls_round_trip_seconds
from benchmarks.machine import describe
from benchmarks.report import markdown, rich_table, seconds
from benchmarks.side_by_side import Case, System, run_case

RESULTS = Path(__file__).with_name("RESULTS.md")
SOTTO = System(sotto.measure_scalar, sotto.measure_vector)
MPYC = System(mpyc_peer.measure_scalar, mpyc_peer.measure_vector)


@dataclass(frozen=True)
class Plan:
    """What is run, and how long it may take altogether."""

    cases: tuple[Case, ...]
    limit_s: float


QUICK = Plan(
    cases=(
        Case(n=3, length=None, rounds=1, repetitions=3, limit_s=20),
        Case(n=5, length=None, rounds=1, repetitions=3, limit_s=20),
        Case(n=5, length=1_000, rounds=1, repetitions=3, limit_s=20),
    ),
    limit_s=60,
)
FULL = Plan(
    cases=(
        *(Case(n=n, length=None, rounds=5, repetitions=5, limit_s=60) for n in (3, 5, 10, 20)),
        Case(n=5, length=1_000, rounds=5, repetitions=5, limit_s=60),
        Case(n=5, length=100_000, rounds=5, repetitions=3, limit_s=60),
        # MPyC takes a quarter of a minute for each sum here, so each round is one launch.
        Case(n=5, length=1_000_000, rounds=5, repetitions=1, limit_s=120),
    ),
    limit_s=15 * 60,
)


def main() -> None:
    """Measure, print and, for the full run, write down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="n = 3 and 5, few repetitions")
    quick: bool = parser.parse_args().quick
    plan = QUICK if quick else FULL
    ends_at = time.monotonic() + plan.limit_s
    progress = Console(stderr=True)
    rows = []
    for case in plan.cases:
        progress.print(f"{case.label}: {case.rounds} rounds of {case.repetitions} launches")
        rows.append(run_case(case, SOTTO, MPYC, ends_at))
    machine = describe()
    machine["bare TLS round trip"] = seconds(tls_round_trip_seconds())
    # A pipe has no width, and the 80 columns that rich then takes are too few for this table.
    console = Console(width=None if sys.stdout.isatty() else 180)
    console.print(rich_table(rows))
    for key, text in machine.items():
        console.print(f"{key}: {text}", markup=False, highlight=False)
    if not quick:
        RESULTS.write_text(markdown(rows, machine, "python -m benchmarks", _how_often()))
        progress.print(f"written to {RESULTS}")


def _how_often() -> str:
    rounds = "; ".join(f"{case.rounds} × {case.repetitions} for {case.label}" for case in FULL.cases)
    return f"Rounds × launches of each system: {rounds}."


if __name__ == "__main__":
    main()
