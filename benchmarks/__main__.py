"""`python -m benchmarks`: sums and referenda beside MPyC and bare TLS, noise beside OpenDP, and many voters.

The full run takes up to 20 minutes and writes benchmarks/RESULTS.md; `--quick` takes up to one and a half
and only prints, so that its few repetitions never stand where the real figures do.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks import mpyc_peer, noise, operations, sotto, voters
from benchmarks.floor import tls_round_trip_seconds
from benchmarks.machine import describe
from benchmarks.referendum_report import referenda, where_it_goes
from benchmarks.report import Failure, Row, Table, markdown, rich_table, seconds
from benchmarks.side_by_side import Case, System, run_case, within
from benchmarks.sum_report import sums
from benchmarks.voters import Turnout
from benchmarks.voters_report import turnouts

RESULTS = Path(__file__).with_name("RESULTS.md")
SOTTO = System(sotto.measure_scalar, sotto.measure_vector, sotto.measure_referendum)
MPYC = System(mpyc_peer.measure_scalar, mpyc_peer.measure_vector, mpyc_peer.measure_referendum)
VOTERS_LIMIT_S = 240.0  # for one size, set-up included
MOST_COUNTED = 20  # parties; to count the operations of more takes longer than it tells


@dataclass(frozen=True)
class Plan:
    """What is run, and how long it may take altogether."""

    cases: tuple[Case, ...]
    voters: tuple[int, ...]
    noise: tuple[int, int, int]  # a vector's length, rounds, scalar calls in a round
    limit_s: float


QUICK = Plan(
    cases=(
        Case(n=3, rounds=1, repetitions=3, limit_s=20),
        Case(n=5, rounds=1, repetitions=3, limit_s=20),
        Case(n=5, length=1_000, rounds=1, repetitions=3, limit_s=20),
        Case(n=3, function="referendum", rounds=1, repetitions=3, limit_s=20),
        Case(n=5, function="referendum", rounds=1, repetitions=3, limit_s=20),
    ),
    voters=(100,),
    noise=(10_000, 3, 50),
    limit_s=80,
)
FULL = Plan(
    cases=(
        *(Case(n=n, rounds=3, repetitions=5, limit_s=60) for n in (3, 5, 10)),
        Case(n=20, rounds=2, repetitions=5, limit_s=60),
        Case(n=5, length=1_000, rounds=3, repetitions=5, limit_s=60),
        Case(n=5, length=100_000, rounds=2, repetitions=3, limit_s=60),
        # MPyC takes a quarter of a minute for each sum here, so each round is one launch.
        Case(n=5, length=1_000_000, rounds=2, repetitions=1, limit_s=120),
        *(Case(n=n, function="referendum", rounds=3, repetitions=5, limit_s=60) for n in (3, 5, 10, 20)),
        # For its cold start; a session takes long enough to be measured once.
        Case(n=50, function="referendum", rounds=1, repetitions=1, limit_s=240),
    ),
    voters=(100, 300, 1_000, 3_000, 10_000),
    noise=(1_000_000, 3, 1_000),
    limit_s=20 * 60,
)


def main() -> None:
    """Measure, print and, for the full run, write down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few parties, few repetitions")
    quick: bool = parser.parse_args().quick
    plan = QUICK if quick else FULL
    ends_at = time.monotonic() + plan.limit_s
    progress = Console(stderr=True)
    tables = _measure(plan, ends_at, progress)
    machine = describe()
    machine["bare TLS round trip"] = seconds(tls_round_trip_seconds())
    # A pipe has no width, and the 80 columns that rich then takes are too few for these tables.
    console = Console(width=None if sys.stdout.isatty() else 240)
    for table in tables:
        console.print(rich_table(table))
    for key, text in machine.items():
        console.print(f"{key}: {text}", markup=False, highlight=False)
    if not quick:
        RESULTS.write_text(markdown(tables, machine, "python -m benchmarks", _how_often()))
        progress.print(f"written to {RESULTS}")


def _measure(plan: Plan, ends_at: float, progress: Console) -> list[Table]:
    progress.print("noise")
    noises = noise.compare(*plan.noise)
    rows: dict[str, list[Row]] = {"sum": [], "referendum": []}
    for case in plan.cases:
        progress.print(f"{case.label}: {case.rounds} rounds of {case.repetitions} launches")
        rows[case.function].append(run_case(case, SOTTO, MPYC, ends_at))
    progress.print("operations of a referendum")
    counted = [row.n for row in rows["referendum"] if row.n <= MOST_COUNTED]
    counts = {n: operations.count(n) for n in counted}
    where = where_it_goes(rows["referendum"], counts, operations.unit_seconds())
    found = _voters(plan.voters, ends_at, progress)
    return [sums(rows["sum"]), noises, referenda(rows["referendum"]), where, turnouts(found)]


def _voters(sizes: tuple[int, ...], ends_at: float, progress: Console) -> dict[int, Turnout | Failure]:
    """Ever more voters, until the machine does not carry them."""
    found: dict[int, Turnout | Failure] = {}
    for size in sizes:
        if any(isinstance(each, Failure) for each in found.values()):
            found[size] = Failure("not tried")
            continue
        progress.print(f"{size} voters")
        limit_s = min(VOTERS_LIMIT_S, ends_at - time.monotonic())
        found[size] = within(partial(voters.measure, size, limit_s), limit_s, ends_at)
    return found


def _how_often() -> str:
    rounds = "; ".join(f"{case.rounds} × {case.repetitions} for {case.label}" for case in FULL.cases)
    return f"Rounds × launches of each system: {rounds}. One session for each number of voters."


if __name__ == "__main__":
    main()
