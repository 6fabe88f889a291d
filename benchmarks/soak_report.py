"""The tables of a soak."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.report import Table, seconds, size
from benchmarks.soak_growth import Disk, Line, left
from benchmarks.soak_judge import Verdict
from benchmarks.soak_network import NODES, Down, Sample
from benchmarks.soak_plan import CHOICES, Plan
from coordinator.cluster import BROKER, COORDINATOR

_RATES = """\
- **{rate:.2f} sessions a second** over {span:.0f} s, from the first launch to the last end; the whole soak \
took {took:.0f} s.
- Killed with SIGKILL and started again: nodes {nodes} times, the broker {broker} times (every second time \
it lost what it had stored). Never killed: {steady}.
- CPU a session: {node_cpu} of the nodes, {broker_cpu} of the broker, {coordinator_cpu} of the coordinator; \
{starts_cpu} more for nodes that started again.
- Times are from launch until the coordinator has seen every result party confirm, of sessions with an \
answer. A kill in a session's time: of one of its members, or of the broker.
- Every answer was compared with the exact one over the inputs that were counted; with ε, it was within the \
bound that one in 2^64 passes."""
_EXPLAINED = """\
- Whoever is named as silent was down when that was said or at a deadline before, or had come back less than \
10 s before; or waited for such a party; or the broker was. Nothing else failed."""
_TREND = """\
- After the warm-up, a quarter of the sessions: what a process had, and what a straight line rises by until \
it was killed, or the end. Nodes that were started again had {again} at most."""
_COMPACTED = """\
- After compaction: every session's time is over; with `keep_evidence = 0` the letters for an audit are gone \
as well. Free pages stay in the file, and are used again."""


@dataclass
class Findings:
    """What one soak has shown."""

    plan: Plan
    verdicts: list[Verdict]
    span_s: float  # from the first launch to the last end
    took_s: float  # everything
    downs: Sequence[Down]
    cpu_s: Mapping[str, float]
    starts_cpu_s: float
    lines: Sequence[Line]
    again: Sample | None  # the largest of nodes that were started again
    before: Mapping[str, Disk]  # compaction
    after: Mapping[str, Disk]
    empty: int  # bytes of an empty journal
    problems: list[str] = field(default_factory=list)  # besides those of sessions

    @property
    def failures(self) -> list[str]:
        """Everything that should not have been; none is what a soak is to show."""
        numbered = (
            f"session {each.flight.number} ({each.flight.session[:12]}, {each.flight.asked.kind}): {problem}"
            for each in self.verdicts
            for problem in each.problems
        )
        return [*self.problems, *numbered]


def tables(found: Findings) -> list[Table]:
    """All of them."""
    return [_sessions(found), _endings(found), _growth(found), _journals(found)]


def _sessions(found: Findings) -> Table:
    headings = ("sessions", "launched", "right answers", "no answer", "median", "p99", "longest")
    rows = [
        _row(kind, [each for each in found.verdicts if each.flight.asked.kind == kind]) for kind in CHOICES
    ]
    quiet = [each for each in found.verdicts if not each.disturbed]
    rows += [_row("with no kill in their time", quiet), _row("all", found.verdicts)]
    return Table(f"Soak: {_title(found.plan)}", headings, rows, _rates(found))


def _title(plan: Plan) -> str:
    return f"{plan.nodes} nodes, {plan.sessions} sessions, {plan.at_once} at once, seed {plan.seed}"


def _row(what: str, verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """Times are of sessions with an answer."""
    times = sorted(each.flight.elapsed for each in verdicts if each.ending is None)
    counts = (len(verdicts), len(times), len(verdicts) - len(times))
    shown = (
        [seconds(each) for each in (statistics.median(times), _p99(times), times[-1])] if times else ["-"] * 3
    )
    return (what, *map(str, counts), *shown)


def _p99(times: Sequence[float]) -> float:
    """The smallest of them that 99 % do not pass."""
    return times[math.ceil(0.99 * len(times)) - 1]


def _rates(found: Findings) -> str:
    count, used = max(1, len(found.verdicts)), found.cpu_s
    killed = Counter(down.service == BROKER for down in found.downs)
    return _RATES.format(
        rate=count / found.span_s,
        span=found.span_s,
        took=found.took_s,
        nodes=killed[False],
        broker=killed[True],
        steady=", ".join(found.plan.steady),
        node_cpu=seconds((used[NODES] - found.starts_cpu_s) / count),
        broker_cpu=seconds(used[BROKER] / count),
        coordinator_cpu=seconds(used[COORDINATOR] / count),
        starts_cpu=seconds(found.starts_cpu_s / count),
    )


def _endings(found: Findings) -> Table:
    endings = [each.ending for each in found.verdicts if each.ending is not None]
    named: dict[str, Counter[str]] = {}
    for ending in endings:
        named.setdefault(str(ending.reason), Counter()).update(ending.silent)
    rows = [
        (
            reason,
            str(sum(ending.reason == reason for ending in endings)),
            ", ".join(f"{name} {count}" for name, count in silent.most_common()) or "nobody",
        )
        for reason, silent in named.items()
    ]
    notes = "\n".join(f"- **{failure}**" for failure in found.failures) or _EXPLAINED
    return Table(
        "Sessions without an answer, by reason",
        ("reason", "sessions", "silent"),
        rows or [("none", "0", "nobody")],
        notes,
    )


def _growth(found: Findings) -> Table:
    headings = (
        "process",
        "sessions",
        "memory after warm-up",
        "at the end",
        "trend",
        "files",
        "at the end",
        "trend",
    )
    rows = [
        (
            f"{line.service}",
            f"{line.last.ended - line.first.ended}",
            _mib(line.first.memory),
            _mib(line.last.memory),
            f"{line.memory / 2**20:+.2f} MiB",
            f"{line.first.handles}",
            f"{line.last.handles}",
            f"{line.handles:+.1f}",
        )
        for line in found.lines
    ]
    again = "-" if found.again is None else _mib(found.again.memory)
    return Table("Memory and open files", headings, rows, _TREND.format(again=again))


def _mib(value: float) -> str:
    return f"{value / 2**20:.1f} MiB"


def _journals(found: Findings) -> Table:
    headings = ("journal of a node", "median", "largest")
    before, after = found.before.values(), found.after.values()
    figures: dict[str, list[float]] = {
        "sessions that ended": [each.sessions for each in after],
        "all files at the end of the load": [each.files for each in before],
        "plain letters in it, for an audit, a session": [
            each.evidence / max(1, each.sessions) for each in before
        ],
        "all files after compaction": [each.files for each in after],
        "of them pages in use": [each.used for each in after],
        "of these, setups for next sessions with peers": [each.setups for each in after],
        "the rest a finished session": [left(each, found.empty) for each in after],
    }
    rows = [
        (what, *(f"{each:.0f}" if what.startswith("sessions") else size(each) for each in _middle(values)))
        for what, values in figures.items()
    ]
    return Table("What stays on the disk", headings, rows, _COMPACTED)


def _middle(values: Sequence[float]) -> tuple[float, float]:
    return statistics.median(values), max(values)
