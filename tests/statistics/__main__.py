"""The long form: `python -m tests.statistics --runs 10000 --draws 1000000 --minutes 30`.

The noise, by itself and in the answers of whole sessions, and what is left of it to every coalition.  Then
every coalition, and every pair of ballot vectors that it must not tell apart, case by case.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from fractions import Fraction

from tests.statistics import private_sessions
from tests.statistics.cases import Case, among, noised
from tests.statistics.chi_square import SIGNIFICANCE
from tests.statistics.noise_battery import ALIKE, MODERATE, WIDE, findings
from tests.statistics.noise_laws import Promise
from tests.statistics.private_sessions import DEALS
from tests.statistics.watch import Story, pairs, tell_apart

LENGTH = 32  # numbers in the answer of a session
TWO, THREE, FOUR = (("alice", "bob", "carlos", "david")[:count] for count in (2, 3, 4))
ONCE = [
    among("2", THREE),
    noised(Case("1", ("carlos",), TWO, TWO)),
    *(among(threshold, TWO, ("carlos",)) for threshold in ("2", "1", "3")),
    Case("2", THREE, TWO, ("david",)),
    *(among(threshold, THREE) for threshold in ("1", "3")),
    *(among(threshold, THREE, ("david",)) for threshold in ("2", "3")),
    among("1/2", FOUR),
    noised(among("3", TWO, ("carlos",))),
]
TWICE = among("2", TWO)  # in two sessions


def main() -> int:
    """Compare until all is done or the time is up; 1 if anything can be told apart, or noise is wrong."""
    parser = argparse.ArgumentParser(prog="tests.statistics", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="of each ballot vector")
    parser.add_argument("--draws", type=int, default=1_000_000, help="of each noise share")
    parser.add_argument("--sessions", type=int, default=2_000, help="with noise, of each kind")
    parser.add_argument("--minutes", type=float, default=30.0)
    given = parser.parse_args()
    began, done, told = time.monotonic(), 0, 0
    wrong = sum(noise_is_wrong(promise, given.draws) for promise in MODERATE + WIDE)
    wrong += sum(answers_are_wrong(*deal, given.sessions) for deal in DEALS)
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
    return 1 if told or wrong else 0


def noise_is_wrong(promise: Promise, draws: int) -> bool:
    """Whether noise shares are not what was promised."""
    return _is_wrong(f"noise: {promise}", findings(promise, draws, label="long"))


def answers_are_wrong(parties: int, colluders: int, sessions: int) -> bool:
    """Whether the noise in the answers of whole sessions is not what was promised."""
    promise = private_sessions.promised(parties, colluders, Fraction(1, 4), LENGTH)
    held = private_sessions.at_tables(promise, sessions, LENGTH, "long")
    return _is_wrong(f"{sessions} sessions: {promise}", private_sessions.findings(promise, held))


def _is_wrong(what: str, found: dict[str, float]) -> bool:
    worst = min(found, key=lambda each: found[each])
    verdict = "WRONG" if found[worst] < ALIKE else "as promised"
    print(f"{verdict:11} {what}, {len(found)} tests, p = {found[worst]:.2g} of {worst}", flush=True)  # noqa: T201
    return found[worst] < ALIKE


def work() -> Iterator[tuple[Case, Story, Story]]:
    """What is compared, in this order."""
    for case, sessions in [*((case, 1) for case in ONCE), (TWICE, 2)]:
        yield from ((case, one, other) for one, other in pairs(case, sessions))


def shown(case: Case) -> str:
    """A case in few words."""
    told = "" if set(case.compute) & set(case.results) else " and are not told"
    noise = "" if case.noise is None else ", with noise"
    return f"{len(case.inputs)} ballots, {len(case.compute)} compute{told}, T = {case.threshold}{noise}"


if __name__ == "__main__":
    sys.exit(main())
