"""What a trusted party would answer: exact fractions, and no code of the product's.

With noise it is told everybody's part of it, and must come to the same answer all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from math import floor

import numpy as np
import pytest

from party_node.journal import Journal
from protocol.ring import Ring
from tests.simulation.run import BINS, LOWER, UPPER, Run

HALF = Fraction(1, 2)
Brought = dict[tuple[Journal, str], Ring]  # (journal, session) → what its node puts in


@contextmanager
def recorded() -> Iterator[Brought]:
    """For the length of a `with` block, what each node puts into each session.

    What is never committed is put in anew after a crash, by other coins: the last one counts.
    """
    brought: Brought = {}
    honest = Journal.open

    def record(self: Journal, session: str, *given: object) -> None:
        if isinstance(value := given[-1], np.ndarray):
            brought[self, session] = value
        honest(self, session, *given)  # type: ignore[arg-type] # whatever it takes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "open", record)
        yield brought


def ideal(run: Run, inputs: tuple[str, ...], brought: Brought) -> str | list[str]:
    """The answer over these inputs."""
    match run.schedule.function:
        case "referendum":
            return _verdict(run, inputs)
        case "poll":
            answers = [int(brought[run.network.journals[name], run.session]) for name in inputs]
            assert set(answers) <= {0, 1}, "an answer to a poll is yes or no"
            return str(sum(answers))
        case "histogram":
            return [str(count) for count in _counts(run, inputs)]
    return _quantities(run, inputs)


def noise(run: Run, length: int | None = None) -> list[int]:
    """All of it: one number for each element.  KeyError if a compute party has never drawn its part."""
    parts = [run.network.noises[run.session, name] for name in run.schedule.compute]
    assert {part.shape for part in parts} == {() if length is None else (length,)}
    rows = [part.reshape(-1).tolist() for part in parts]
    return [_signed(sum(column)) for column in zip(*rows, strict=True)]


def _signed(element: int) -> int:
    """An integer mod 2^64 as the one that is nearest to zero."""
    return (element + 2**63) % 2**64 - 2**63


def _verdict(run: Run, inputs: tuple[str, ...]) -> str:
    ballots = [Fraction(str(run.values[name])) >= HALF for name in inputs]
    added = 0 if run.noise is None else noise(run)[0]
    return "YES" if sum(ballots) + added >= _least(run.schedule.threshold, len(ballots)) else "NO"


def _least(threshold: str, ballots: int) -> int:
    """How many must say yes: the smallest whole number that is not below the fraction."""
    part, slash, whole = threshold.partition("/")
    return -(-int(part) * ballots // int(whole)) if slash else int(part)


def _counts(run: Run, inputs: tuple[str, ...]) -> list[int]:
    bins = [min(max(_rounded(str(run.values[name])), 1), BINS) for name in inputs]
    counts = [bins.count(number) for number in range(1, BINS + 1)]
    if run.noise is None:
        return counts
    return [count + added for count, added in zip(counts, noise(run, BINS), strict=True)]


def _quantities(run: Run, inputs: tuple[str, ...]) -> str | list[str]:
    length = run.schedule.length
    columns = [run.values[name] for name in inputs]
    rows = [columns] if length is None else zip(*columns, strict=True)
    cents = [sum(_cents(run, str(each)) for each in row) for row in rows]
    if run.noise is not None:
        cents = [exact + added for exact, added in zip(cents, noise(run, length), strict=True)]
    divisor = len(inputs) if run.schedule.function == "average" else 1
    shown = [f"{Decimal(round(Fraction(each, divisor))).scaleb(-2):.2f}" for each in cents]  # half to even
    return shown[0] if length is None else shown


def _cents(run: Run, value: str) -> int:
    if run.noise is None:
        cents = Fraction(value) * 100
        assert cents.denominator == 1
        return int(cents)
    return min(max(_rounded(value, 100), int(LOWER * 100)), int(UPPER * 100))


def _rounded(value: str, scale: int = 1) -> int:
    """⌊value·scale + 1/2⌋."""
    return floor(Fraction(value) * scale + HALF)
