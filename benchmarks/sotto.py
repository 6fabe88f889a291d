"""This project's side of the table: nodes as processes, a real broker, TLS, journals on disk.

A launch is timed at the coordinator, from the announcement until every party has confirmed that it holds
the answer.  Everything a node does in between is in it: reading its input, the journal, seals, signatures.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb
import uvloop

from benchmarks.measurement import BenchmarkError, Measurement, peak_memory_mb
from coordinator import announce, cluster
from coordinator.observe import SessionView
from coordinator.processes import Services
from party_node import config as configs
from party_node import logs
from party_node.config import CoordinatorConfig
from party_node.daemon import JOURNAL, Daemon, now_ms
from party_node.journal import Journal
from protocol.functionalities.sum import Sum
from protocol.letters import Part
from protocol.states import OVER, State

WITHIN = 120.0  # seconds for one session
LIFETIME = 900.0  # after which a forgotten cluster goes down by itself


def measure_scalar(n: int, repetitions: int) -> Measurement:
    """The sum of one number from each of n parties."""
    return _measure(n, None, repetitions)


def measure_vector(n: int, length: int, repetitions: int) -> Measurement:
    """The sum of a vector from each of n parties, read from a Parquet file of the party's own."""
    return _measure(n, length, repetitions)


def _measure(n: int, length: int | None, repetitions: int) -> Measurement:
    logs.configure("error")
    names = [f"party-{index}" for index in range(n)]
    with tempfile.TemporaryDirectory(prefix="sotto-bench-") as scratch:
        directory = Path(scratch) / "cluster"
        cluster.create(directory, names)
        _write_inputs(directory, names, length)
        try:
            started = time.perf_counter()
            cluster.up(directory, lifetime=LIFETIME)
            settings = configs.load_coordinator(directory / "coordinator" / "config.toml")
            ends, sessions = uvloop.run(_launch(settings, names, repetitions + 2, _expected(n, length)))
            processes = [Services(directory).process(name) for name in names]
            peak = max(peak_memory_mb(process.pid) for process in processes if process is not None)
        finally:
            cluster.down(directory)
        sent = [_bytes_sent(directory, name, sessions[-2]) for name in names]
    return Measurement(
        launch_all=[end - begin for begin, end in ends[1:-1]],
        cold_s=ends[0][1] - started,
        bytes_per_party=sum(sent) / n,
        peak_memory_mb=peak,
    )


def _write_inputs(directory: Path, names: Sequence[str], length: int | None) -> None:
    """Party i holds i + 1, or the vector i + 1, i + 2, …"""
    for index, name in enumerate(names):
        folder = directory / "parties" / name
        if length is None:
            source = f'value = "{index + 1}"'
        else:
            select = f"SELECT range + {index + 1} AS v FROM range({length})"
            duckdb.sql(f"COPY ({select}) TO '{folder / 'vector.parquet'}'")
            source = "query = \"SELECT v FROM 'vector.parquet'\""
        config = folder / "config.toml"
        config.write_text(f"{config.read_text()}\n[inputs.number]\n{source}\n")


def _expected(n: int, length: int | None) -> list[int]:
    """The first and the last element of the true sum."""
    first = n * (n + 1) // 2
    return [first] if length is None else [first, first + n * (length - 1)]


async def _launch(
    settings: CoordinatorConfig, names: Sequence[str], launches: int, expected: Sequence[int]
) -> tuple[list[tuple[float, float]], list[str]]:
    """One session after the other; (announced, confirmed by all) of each, and their ids."""
    views: dict[str, SessionView] = {}

    def observe(part: Part, _payload: bytes) -> None:
        views[part.header.session].add(part)

    daemon = Daemon(settings, observe, sealed=False)
    times: list[tuple[float, float]] = []

    async def work() -> None:
        await daemon.transport.wait_connected()
        for number in range(launches):
            # The last one is public and not timed: it shows that the answers are right.
            public = number == launches - 1
            question = announce.Question(
                Sum(decimals=0), "number", result_to=names, within=WITHIN, public=public
            )
            now = now_ms()
            spec = announce.build(question, settings.name, daemon.roster, now, secrets.token_bytes(16))
            begun = time.perf_counter()
            session = daemon.node.announce(spec, now)
            views[session] = SessionView(spec, session)
            daemon.node.watched.add(session)
            daemon.step()
            await _until_over(daemon, views[session])
            times.append((begun, time.perf_counter()))
            daemon.node.withdraw(session)
            daemon.step()
        _check(views[session], expected)

    await daemon.run(work, only="")
    return times, list(views)


async def _until_over(daemon: Daemon, view: SessionView) -> None:
    async with asyncio.timeout(WITHIN):
        while (outcome := view.outcome()).state not in OVER:
            daemon.changed.clear()
            await daemon.changed.wait()
    if outcome.state is not State.COMPLETED:
        raise BenchmarkError(f"a session {outcome.state}: {outcome.ending}")


def _check(view: SessionView, expected: Sequence[int]) -> None:
    answer = view.outcome().answer
    if answer is None:
        raise BenchmarkError("the public answer is missing")
    units = answer.units.reshape(-1)
    if [int(units[0]), int(units[-1])][: len(expected)] != list(expected):
        raise BenchmarkError("the answer is wrong")


def _bytes_sent(directory: Path, name: str, session: str) -> int:
    """Payloads that a party published in a session, as its outbox has them."""
    journal = Journal(directory / "parties" / name / "data" / JOURNAL)
    try:
        return sum(len(sent.payload) for sent in journal.outbox(session))
    finally:
        journal.close()
