"""Tables for the terminal and for RESULTS.md: both are written from the same cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich.table import Table as RichTable
from rich.text import Text

from benchmarks.measurement import Measurement

T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """Why there is no figure; shown in its place."""

    reason: str


@dataclass(frozen=True)
class Row:
    """One case; each system has figures or a reason."""

    case: str
    n: int
    sotto: Measurement | Failure
    mpyc: Measurement | Failure
    floor_s: float | Failure | None = None


@dataclass(frozen=True)
class Table:
    """Texts in rows; the first column says what a row is about."""

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: str = ""  # in markdown, below the table


def rich_table(table: Table) -> RichTable:
    """For a terminal."""
    shown = RichTable(title=table.title)
    for index, heading in enumerate(table.headings):
        shown.add_column(heading, justify="right" if index else "left")
    for row in table.rows:
        # As plain text: square brackets in a reason are not rich's markup.
        shown.add_row(*map(Text, row))
    return shown


def markdown(tables: Sequence[Table], machine: Mapping[str, str], command: str, run: str) -> str:
    """The whole of RESULTS.md."""
    about = [f"- {key}: {value}" for key, value in machine.items()]
    opening = ["# Benchmark results", "", f"Written by `{command}`. {run}", "", *about]
    return "\n".join([*opening, *(line for table in tables for line in _section(table))]) + "\n"


def _section(table: Table) -> list[str]:
    ruler = ("---",) + ("---:",) * (len(table.headings) - 1)
    lines = (table.headings, ruler, *table.rows)
    shown = ["| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines]
    return ["", f"## {table.title}", "", *shown, *(["", table.notes.strip()] if table.notes else [])]


def seconds(value: float) -> str:
    """Three digits that matter: 456 µs, 1.23 ms, 45.6 ms, 7.89 s."""
    if value >= 1:
        return f"{three_digits(value)} s"
    return f"{three_digits(value * 1e3)} ms" if value >= 1e-3 else f"{three_digits(value * 1e6)} µs"


def size(value: float) -> str:
    """Decimal units: 184 B, 32.0 kB, 63.0 MB."""
    if value < 1000:
        return f"{value:.0f} B"
    return f"{value / 1e3:.1f} kB" if value < 1e6 else f"{value / 1e6:.1f} MB"


def three_digits(value: float) -> str:
    """1.23, 12.3 or 123."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def failed(failure: Failure) -> str:
    """What stands where the first figure would."""
    return f"failed: {failure.reason}"


def launch(measured: Measurement | Failure) -> str:
    """The median launch, or why there is none."""
    return failed(measured) if isinstance(measured, Failure) else seconds(measured.launch_s)


def ratio(sotto: Measurement | Failure, mpyc: Measurement | Failure) -> str:
    """How many times longer MPyC takes."""
    if isinstance(sotto, Failure) or isinstance(mpyc, Failure):
        return "-"
    return three_digits(mpyc.launch_s / sotto.launch_s)


def _escaped(text: str) -> str:
    """A reason may hold what would end a table cell."""
    return " ".join(text.replace("|", "\\|").split())
