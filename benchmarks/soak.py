"""`python -m benchmarks.soak`: many sessions at once on real nodes, while nodes and broker are killed.

All answers are right or given up by name, or this ends with 1 and says which session and which seed.  It is
over within the time that it was given, and leaves nothing running.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvloop
from rich.console import Console

from benchmarks import soak_growth, soak_judge
from benchmarks.deadline import deadline
from benchmarks.machine import describe
from benchmarks.measurement import BenchmarkError
from benchmarks.report import markdown, rich_table
from benchmarks.soak_crowd import Crowd
from benchmarks.soak_network import Network
from benchmarks.soak_plan import Plan
from benchmarks.soak_report import Findings, tables
from party_node import logs
from protocol.errors import SottoError

FAILED, INTERRUPTED = 1, 130  # as the shell reports SIGINT
ALARMS = ("Traceback (most recent call last)", '"level": "error"', "party-node: error")  # in a node's log
CLEAN_UP_S = 8.0  # of the whole time, for ending processes


def main(arguments: list[str] | None = None) -> int:
    """Run one soak, print what it has shown; the exit code."""
    options = _options().parse_args(arguments)
    plan = Plan(options.nodes, options.sessions, options.at_once, options.minutes, options.seed)
    command = f"python -m benchmarks.soak --nodes {plan.nodes} --sessions {plan.sessions} "
    command += f"--at-once {plan.at_once} --minutes {plan.minutes:g} --seed {plan.seed}"
    progress = Console(stderr=True)
    progress.print(command)
    try:
        limit_s = plan.limit_s - CLEAN_UP_S / 2
        with _ending_on_sigterm(), _directory(options.dir) as directory, deadline(limit_s):
            found = run(plan, directory)
    except (BenchmarkError, SottoError) as error:
        progress.print(f"failed, seed {plan.seed}: {error}", markup=False)
        return FAILED
    except KeyboardInterrupt:
        progress.print(f"interrupted, seed {plan.seed}; nothing is left running")
        return INTERRUPTED
    console = Console(width=None if sys.stdout.isatty() else 200)
    shown = tables(found)
    for table in shown:
        console.print(rich_table(table))
        console.print(table.notes, markup=False, highlight=False)
    if options.write is not None:
        options.write.write_text(markdown(shown, describe(), command, ""))
    for failure in found.failures:
        progress.print(f"failed, seed {plan.seed}: {failure}", markup=False)
    return FAILED if found.failures else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=8, help="what everything together may take")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--write", type=Path, metavar="FILE", help="the tables in Markdown as well")
    parser.add_argument("--dir", type=Path, help="make the cluster here and leave it, to look at")
    return parser


@contextmanager
def _directory(given: Path | None) -> Iterator[Path]:
    """Where the cluster is: a directory that stays, or one that goes."""
    if given is not None:
        yield given.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="sotto-bench-") as scratch:
        yield Path(scratch) / "cluster"


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """SIGTERM ends us as Ctrl-C does: through everything that cleans up."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def run(plan: Plan, directory: Path) -> Findings:
    """One soak in a new directory; nothing of it runs at the end."""
    logs.configure("error")
    started = time.monotonic()
    network = Network(directory, plan)
    with network.running():
        crowd = uvloop.run(_load(network, started + plan.launching_s))
        if not crowd.flights:
            raise BenchmarkError(f"no session could be launched within {plan.launching_s:.0f} s")
        rows = soak_judge.settle(network, crowd.flights)
        verdicts = [soak_judge.judge(network, each, rows.get(each.session, {})) for each in crowd.flights]
        network.stop_nodes()
        before = soak_growth.disks(network)
        network.up()
        soak_growth.wait_compacted(network, max(each.spec.close_by for each in crowd.flights))
        network.stop_nodes()
        after = soak_growth.disks(network)
    empty = soak_growth.empty_journal()
    return Findings(
        plan,
        verdicts,
        span_s=max(each.ended for each in crowd.flights) - crowd.flights[0].begun,
        took_s=time.monotonic() - started,
        downs=network.downs,
        cpu_s=crowd.cpu_s,
        starts_cpu_s=network.starts_cpu_s,
        lines=soak_growth.lines(network.samples, plan.sessions),
        again=soak_growth.most(network.samples, plan.names, again=True),
        before=before,
        after=after,
        empty=empty,
        problems=[
            *network.problems,
            *(
                f"{name} printed {word}"
                for name in plan.names
                for word in ALARMS
                if word in network.log(name)
            ),
            *_late(plan, len(verdicts)),
            *soak_growth.grown(network.samples, plan.sessions, plan.names),
            *soak_growth.unbounded(after, empty),
        ],
    )


async def _load(network: Network, launch_until: float) -> Crowd:
    """An alarm may land in a callback, where the loop only logs it; this limit is the loop's own."""
    crowd, limit_s = Crowd(network), network.plan.limit_s - CLEAN_UP_S
    try:
        async with asyncio.timeout(limit_s):
            await crowd.run(launch_until)
    except TimeoutError:
        raise BenchmarkError(f"sessions and faults are not over after {limit_s:.0f} s") from None
    return crowd


def _late(plan: Plan, launched: int) -> Iterator[str]:
    if launched < plan.sessions:
        yield f"{launched} of {plan.sessions} sessions launched within {plan.launching_s:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
