"""The long form: `python -m tests.simulation --schedules 5000 --seed 1 --minutes 10`.

With `--attacks 5000` in the place of `--schedules`, adversaries.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter

from tests.simulation import attack_judge as plots
from tests.simulation.attacks import generate as generate_plot
from tests.simulation.conftest import silence
from tests.simulation.judge import simulate
from tests.simulation.schedule import everybody_computes, generate
from tests.simulation.voters import Electorate


def main() -> int:
    """Run schedules until their number or the time is reached; print every one that fails."""
    parser = argparse.ArgumentParser(prog="tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule; the next has the next")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--largest", type=int, default=50, help="the most parties in a session")
    parser.add_argument("--attacks", type=int, default=0, help="plots of adversaries, in their place")
    parser.add_argument("--voters", type=int, default=1000, help="of a referendum to begin with; 0 for none")
    given = parser.parse_args()
    silence()
    if given.attacks:
        return attacked(given.seed, given.attacks, given.minutes)
    began = time.monotonic()
    endings: Counter[str] = Counter()
    done = failures = 0
    if given.voters:
        Electorate(given.voters, given.seed).hold()
        print(f"{given.voters} voters after {time.monotonic() - began:.0f} s")  # noqa: T201
        print(f"20 who all compute: {simulate(everybody_computes(20))}")  # noqa: T201
    for seed in range(given.seed, given.seed + given.schedules):
        if time.monotonic() - began > 60 * given.minutes:
            break
        done += 1
        schedule = generate(seed, given.largest)
        try:
            noised = "with noise" if schedule.noise else ""
            endings[f"{schedule.function:10} {noised:10} {simulate(schedule)}"] += 1
        except Exception:  # noqa: BLE001 - whatever a schedule brings to light is to be shown
            failures += 1
            print(f"--- schedule {seed}", traceback.format_exc(), sep="\n")  # noqa: T201 - a command
    took = time.monotonic() - began
    print(f"{done} schedules in {took:.0f} s ({done / took:.1f}/s), {failures} failed")  # noqa: T201
    print(*(f"{count:6} {ending}" for ending, count in endings.most_common()), sep="\n")  # noqa: T201
    return 1 if failures else 0


def attacked(first: int, count: int, minutes: float) -> int:
    """Carry plots out until their number or the time is reached; print every one that works."""
    began = time.monotonic()
    endings: Counter[str] = Counter()
    failures = 0
    for seed in range(first, first + count):
        if time.monotonic() - began > 60 * minutes:
            break
        try:
            endings[plots.play(generate_plot(seed)).word] += 1
        except Exception:  # noqa: BLE001 - whatever a plot brings to light is to be shown
            failures += 1
            print(f"--- plot {seed}", traceback.format_exc(), sep="\n")  # noqa: T201 - a command
    took, done = time.monotonic() - began, failures + endings.total()
    print(f"{done} plots in {took:.0f} s ({done / took:.1f}/s), {failures} worked")  # noqa: T201
    print(*(f"{count:6} {ending}" for ending, count in endings.most_common()), sep="\n")  # noqa: T201
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
