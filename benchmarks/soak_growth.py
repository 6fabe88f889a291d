"""Whether anything grows: memory and open files while sessions end, journals by what stays in them."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.soak_network import Network, Sample
from party_node.daemon import JOURNAL, now_ms
from party_node.journal import Journal

WARM_UP = 0.25  # of all sessions: imports, caches, SQLite's pages
FEWEST_SAMPLES = 40  # of one process after that, else they tell nothing
MOST_MEMORY = 10 << 20  # bytes that a process may grow by after the warm-up, as far as a line says
MOST_HANDLES = 4
MOST_LEFT = 10_000  # bytes that a finished session may leave in a journal, setups with peers apart
EMPTY = ("outbox", "arrival", "input", "evidence")  # tables of which nothing stays
COMPACT_LIMIT_S = 30.0  # from the last deadline
_LOOK_AGAIN = 0.3


@dataclass(frozen=True)
class Line:
    """One process after the warm-up, by least squares: what it had at first, and how much came to it."""

    service: str
    first: Sample
    last: Sample
    memory: float  # bytes that came
    handles: float


def lines(samples: Sequence[Sample], sessions: int) -> list[Line]:
    """Of every process that was there from the beginning, for long enough after the warm-up."""
    first = {each.service: each.pid for each in reversed(samples)}
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.ended >= WARM_UP * sessions and sample.pid == first[sample.service]:
            found[sample.service].append(sample)
    return [_line(each) for each in found.values() if len(each) >= FEWEST_SAMPLES]


def _line(samples: Sequence[Sample]) -> Line:
    memory = _rise([each.memory for each in samples])
    handles = _rise([each.handles for each in samples])
    return Line(samples[0].service, samples[0], samples[-1], memory, handles)


def _rise(values: Sequence[float]) -> float:
    """What a straight line through them rises by, from the first to the last."""
    slope, _ = statistics.linear_regression(range(len(values)), values)
    return slope * (len(values) - 1)


def most(samples: Sequence[Sample], nodes: Sequence[str], *, again: bool) -> Sample | None:
    """The largest sample of nodes that were `again` started, or were not; None if there are none."""
    first = {each.service: each.pid for each in reversed(samples)}
    chosen = [
        each for each in samples if each.service in nodes and (each.pid != first[each.service]) is again
    ]
    return max(chosen, key=lambda each: each.memory, default=None)


def grown(samples: Sequence[Sample], sessions: int, nodes: Sequence[str]) -> Iterator[str]:
    """Who is not flat; a node that was started again may have what the others have, and no more."""
    for line in lines(samples, sessions):
        if line.memory > MOST_MEMORY:
            yield f"{line.service} has grown by {line.memory / 2**20:.1f} MiB"
        if line.handles > MOST_HANDLES:
            yield f"{line.service} holds {line.handles:.1f} more files open"
    usual, other = (most(samples, nodes, again=again) for again in (False, True))
    if usual is not None and other is not None and other.memory > usual.memory + MOST_MEMORY:
        more = (other.memory - usual.memory) / 2**20
        yield f"{other.service}, started again, has {more:.1f} MiB more than any node before"


# -- journals ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Disk:
    """A node's data directory."""

    files: int  # bytes of all files
    used: int  # bytes of the journal's pages that are not free
    sessions: int  # that it has ended
    rows: Counter[str]  # by table
    evidence: int  # bytes of plain letters that are kept for an audit
    setups: int  # bytes of what is kept for next sessions with peers
    seeds: int  # sessions whose secrets are still there


def disk(data: Path) -> Disk:
    """As it lies there; nobody may be writing."""
    files = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    with closing(sqlite3.connect(data / JOURNAL)) as db:

        def number(query: str) -> int:
            return int(db.execute(query).fetchone()[0] or 0)

        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        free = number("PRAGMA freelist_count")
        return Disk(
            files,
            used=(number("PRAGMA page_count") - free) * number("PRAGMA page_size"),
            sessions=number("SELECT count(*) FROM session WHERE ended IS NOT NULL"),
            rows=Counter({name: number(f"SELECT count(*) FROM {name}") for name in tables}),
            evidence=number("SELECT sum(length(payload)) FROM evidence"),
            setups=number("SELECT sum(length(keys)) FROM setup"),
            seeds=number("SELECT count(*) FROM session WHERE seed IS NOT NULL"),
        )


def disks(network: Network) -> dict[str, Disk]:
    """Of all nodes, which are stopped."""
    return {name: disk(network.data(name)) for name in network.plan.names}


def empty_journal() -> int:
    """Bytes of a journal in which there is nothing yet."""
    with tempfile.TemporaryDirectory(prefix="sotto-bench-") as scratch:
        Journal(Path(scratch) / JOURNAL).close()
        return disk(Path(scratch)).used


def wait_compacted(network: Network, close_by: int) -> None:
    """Until the nodes have deleted what nobody may ask for any more, or should have."""
    limit = max(close_by, now_ms()) + 1000 * COMPACT_LIMIT_S
    waiting = set(network.plan.names)
    while waiting and now_ms() < limit:
        waiting = {name for name in waiting if any(_rows(network.journal(name)).values())}
        time.sleep(_LOOK_AGAIN if waiting else 0)


def _rows(journal: Path) -> Counter[str]:
    with closing(sqlite3.connect(journal, timeout=10)) as db:
        counts = {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in EMPTY}
    return Counter(counts)


def left(found: Disk, empty: int) -> float:
    """Bytes in the journal for each finished session, without what is kept for each peer."""
    return max(0, found.used - empty - found.setups) / max(1, found.sessions)


def unbounded(after: dict[str, Disk], empty: int) -> Iterator[str]:
    """What should have gone and has not."""
    for name, found in after.items():
        if rest := [table for table in EMPTY if found.rows[table]]:
            yield f"{name} still has {', '.join(f'{found.rows[table]} rows of {table}' for table in rest)}"
        if found.seeds:
            yield f"{name} still has the secrets of {found.seeds} sessions"
        if (each := left(found, empty)) > MOST_LEFT:
            yield f"{name} keeps {each:.0f} bytes of each finished session"
