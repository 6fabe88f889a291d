"""One table, for the terminal and for RESULTS.md: both are written from the same cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from benchmarks.measurement import Measurement

HEADINGS = (
    "case",
    "Sotto launch→result",
    "MPyC input→output",
    "MPyC / Sotto",
    "bare TLS floor",
    "Sotto cold",
    "MPyC cold",
    "bytes a party, Sotto / MPyC",
    "peak MiB, Sotto / MPyC",
)

NOTES = """\
- **Sotto**: any number of colluding parties below n learn nothing beyond the sum; messages pass \
through a broker that is not trusted, each sealed from party to party, over TLS 1.3.
- **MPyC**: an honest majority is assumed, up to (n − 1) // 2 colluding parties learn nothing; a \
direct TLS connection between each pair of parties, no broker. Its fastest variant for a sum: \
secure arrays over the prime field of 2^64 − 59, without PRSS keys, on uvloop. \
gmpy2 is no part of it: MPyC takes it for primes and inverses, not for adding or splitting.
- **launch→result**: median over all launches on running, connected parties. For Sotto from the \
coordinator's launch until the result; for MPyC from input() to output() at the slowest party, all \
of which start behind a barrier.
- **MPyC / Sotto**: how many times longer MPyC takes; below 1 it is the faster one.
- **bare TLS floor**: the time in which all the bytes that Sotto's parties send pass through one \
TLS 1.3 connection between two processes, as n(n − 1) messages, until they are confirmed. \
Neither sealing nor a broker nor arithmetic is in it.
- **cold**: median over the rounds, from the first process spawned until every party has the \
result. Certificates exist before.
- **bytes a party**: sent for one launch, before TLS, mean over the parties.
- **peak MiB**: the largest peak of resident memory of any party's process.
- Each party is a process of its own; the two systems take turns, round by round.
"""


@dataclass(frozen=True)
class Failure:
    """Why there is no figure; shown in its place."""

    reason: str


@dataclass(frozen=True)
class Row:
    """One case; each system has figures or a reason."""

    case: str
    sotto: Measurement | Failure
    mpyc: Measurement | Failure
    floor_s: float | Failure


def cells(row: Row) -> tuple[str, ...]:
    """The texts of one line, in the order of HEADINGS."""
    both = sotto, mpyc = row.sotto, row.mpyc
    return (
        row.case,
        _launch(sotto),
        _launch(mpyc),
        _ratio(sotto, mpyc),
        _failed(row.floor_s) if isinstance(row.floor_s, Failure) else seconds(row.floor_s),
        "-" if isinstance(sotto, Failure) else seconds(sotto.cold_s),
        "-" if isinstance(mpyc, Failure) else seconds(mpyc.cold_s),
        " / ".join("-" if isinstance(m, Failure) else size(m.bytes_per_party) for m in both),
        " / ".join("-" if isinstance(m, Failure) else f"{m.peak_memory_mb:.0f}" for m in both),
    )


def rich_table(rows: Sequence[Row]) -> Table:
    """For a terminal."""
    table = Table(title="medians; each party a process, TLS on")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "case" else "right")
    for row in rows:
        # As plain text: square brackets in a reason are not rich's markup.
        table.add_row(*map(Text, cells(row)))
    return table


def markdown(rows: Sequence[Row], machine: Mapping[str, str], command: str, run: str) -> str:
    """The whole of RESULTS.md."""
    about = [f"- {key}: {value}" for key, value in machine.items()]
    table = [HEADINGS, ("---",) + ("---:",) * (len(HEADINGS) - 1), *map(cells, rows)]
    lines = ["| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in table]
    return "\n".join(
        [
            "# Benchmark results",
            "",
            f"Written by `{command}`. {run}",
            "",
            *about,
            "",
            *lines,
            "",
            "What the columns mean:",
            "",
            NOTES,
        ]
    )


def seconds(value: float) -> str:
    """Three digits that matter: 1.23 ms, 45.6 ms, 7.89 s."""
    return f"{_three_digits(value)} s" if value >= 1 else f"{_three_digits(value * 1000)} ms"


def size(value: float) -> str:
    """Decimal units: 184 B, 32.0 kB, 63.0 MB."""
    if value < 1000:
        return f"{value:.0f} B"
    return f"{value / 1e3:.1f} kB" if value < 1e6 else f"{value / 1e6:.1f} MB"


def _launch(measured: Measurement | Failure) -> str:
    if isinstance(measured, Failure):
        return _failed(measured)
    return seconds(measured.launch_s)


def _ratio(sotto: Measurement | Failure, mpyc: Measurement | Failure) -> str:
    if isinstance(sotto, Failure) or isinstance(mpyc, Failure):
        return "-"
    return _three_digits(mpyc.launch_s / sotto.launch_s)


def _three_digits(value: float) -> str:
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _failed(failure: Failure) -> str:
    return f"failed: {failure.reason}"


def _escaped(text: str) -> str:
    """A reason may hold what would end a table cell."""
    return " ".join(text.replace("|", "\\|").split())
