"""The table of sums."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.report import Failure, Row, Table, failed, launch, ratio, seconds, size

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
What the columns mean:

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


def sums(rows: Sequence[Row]) -> Table:
    """Sums of numbers and vectors, beside MPyC and a bare TLS connection."""
    return Table("Sums: medians; each party a process, TLS on", HEADINGS, [*map(cells, rows)], NOTES)


def cells(row: Row) -> tuple[str, ...]:
    """The texts of one line, in the order of HEADINGS."""
    both = sotto, mpyc = row.sotto, row.mpyc
    floor = "-" if row.floor_s is None else row.floor_s
    return (
        row.case,
        launch(sotto),
        launch(mpyc),
        ratio(sotto, mpyc),
        failed(floor) if isinstance(floor, Failure) else floor if isinstance(floor, str) else seconds(floor),
        "-" if isinstance(sotto, Failure) else seconds(sotto.cold_s),
        "-" if isinstance(mpyc, Failure) else seconds(mpyc.cold_s),
        " / ".join("-" if isinstance(m, Failure) else size(m.bytes_per_party) for m in both),
        " / ".join("-" if isinstance(m, Failure) else f"{m.peak_memory_mb:.0f}" for m in both),
    )
