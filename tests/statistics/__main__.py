"""The long form: `python -m tests.statistics --runs 10000 --minutes 30`.

Every coalition, and every pair of ballot vectors that it must not tell apart, case by case.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

from tests.statistics.cases import Case, among
from tests.statistics.chi_square import SIGNIFICANCE
from tests.statistics.watch import Story, pairs, tell_apart

TWO, THREE, FOUR = (("alice", "bob", "carlos", "david")[:count] for count in (2, 3, 4))
ONCE = [
    among("2", THREE),
    *(among(threshold, TWO, ("carlos",)) for threshold in ("2", "1", "3")),
    Case("2", THREE, TWO, ("david",)),
    *(among(threshold, THREE) for threshold in ("1", "3")),
    *(among(threshold, THREE, ("david",)) for threshold in ("2", "3")),
    among("1/2", FOUR),
]
TWICE = among("2", TWO)  # in two sessions


def main() -> int:
    """Compare until all is done or the time is reached; 1 if anything can be told apart."""
    parser = argparse.ArgumentParser(prog="tests.statistics", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="of each ballot vector")
    parser.add_argument("--minutes", type=float, default=30.0)
    given = parser.parse_args()
    began, done, told = time.monotonic(), 0, 0
    for case, one, other in work():
        if time.monotonic() - began > 60 * given.minutes:
            print("the time is up; not everything was compared")  # noqa: T201 - a command
            break
        for coalition, verdict in tell_apart(case, one, other, given.runs).items():
            done, told = done + 1, told + (not verdict.alike)
            what = f"{'TOLD APART' if not verdict.alike else 'alike':10} {shown(case)}: {one} and {other}"
            print(f"{what} to {' and '.join(coalition)}, {verdict}", flush=True)  # noqa: T201
    took = time.monotonic() - began
    print(f"{done} comparisons in {took:.0f} s, {told} below {SIGNIFICANCE}")  # noqa: T201
    return 1 if told else 0


def work() -> Iterator[tuple[Case, Story, Story]]:
    """What is compared, in this order."""
    for case, sessions in [*((case, 1) for case in ONCE), (TWICE, 2)]:
        yield from ((case, one, other) for one, other in pairs(case, sessions))


def shown(case: Case) -> str:
    """A case in few words."""
    told = "" if set(case.compute) & set(case.results) else " and are not told"
    return f"{len(case.inputs)} ballots, {len(case.compute)} compute{told}, T = {case.threshold}"


if __name__ == "__main__":
    sys.exit(main())
