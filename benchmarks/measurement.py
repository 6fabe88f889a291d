"""What one system showed in one case. Every figure in the table comes from this type."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil


class BenchmarkError(Exception):
    """A case has no figure, and the table says why."""


@dataclass(frozen=True)
class Measurement:
    """Times in seconds, sizes as the median or the worst party showed them."""

    launch_all: Sequence[float]  # one for each launch on running, connected parties
    cold_s: float  # from the first process spawned until every party has the result
    bytes_per_party: float  # sent for one launch, before TLS; the mean over the parties
    peak_memory_mb: float  # the largest process of a party, in MiB
    first_s: float  # the first launch of these parties
    first_bytes: float  # sent for it, as `bytes_per_party`
    cpu_s: Mapping[str, float] = field(default_factory=dict)  # of a launch, by what the processes do
    first_cpu_s: Mapping[str, float] = field(default_factory=dict)
    hop_s: float | None = None  # from a party through the broker to a party
    by_hand_s: float | None = None  # the same by a protocol that the system offers only the parts of

    @property
    def launch_s(self) -> float:
        """The median launch."""
        return statistics.median(self.launch_all)


def merge(rounds: Sequence[Measurement]) -> Measurement:
    """Several rounds of one case as one: all launches, the median cold start, the worst peak."""
    return Measurement(
        launch_all=[launch for one in rounds for launch in one.launch_all],
        cold_s=statistics.median(one.cold_s for one in rounds),
        bytes_per_party=statistics.median(one.bytes_per_party for one in rounds),
        peak_memory_mb=max(one.peak_memory_mb for one in rounds),
        first_s=statistics.median(one.first_s for one in rounds),
        first_bytes=statistics.median(one.first_bytes for one in rounds),
        cpu_s=_medians([one.cpu_s for one in rounds]),
        first_cpu_s=_medians([one.first_cpu_s for one in rounds]),
        hop_s=_median([one.hop_s for one in rounds]),
        by_hand_s=_median([one.by_hand_s for one in rounds]),
    )


def _medians(tables: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: statistics.median(table[key] for table in tables) for key in tables[0]}


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def peak_memory_mb(pid: int) -> float:
    """Peak resident memory of a running process, in MiB.

    Linux keeps it per address space (VmHWM); `ru_maxrss` would also count what the parent had in
    memory when it forked. Elsewhere this is the memory in use now.
    """
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return float(psutil.Process(pid).memory_info().rss) / 2**20
