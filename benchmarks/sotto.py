"""This project's side of the tables: nodes as processes, a real broker, TLS, journals on disk."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import uvloop

from benchmarks.launching import Launch, Launcher, hop_seconds
from benchmarks.measurement import BenchmarkError, Measurement, peak_memory_mb
from coordinator import cluster
from coordinator.announce import Question
from coordinator.cluster import BROKER
from coordinator.processes import Services
from party_node import config as configs
from party_node import logs
from party_node.daemon import JOURNAL
from party_node.journal import Journal
from protocol.functionalities import Answer, Function
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum

WITHIN = 600.0  # seconds for one session: long enough that its letters are still kept when they are counted
LIFETIME = 900.0  # after which a forgotten cluster goes down by itself
THRESHOLD = "2/3"
NODES = "nodes"


def measure_scalar(n: int, repetitions: int) -> Measurement:
    """The sum of one number from each of n parties."""
    values = {name: f'value = "{index + 1}"' for index, name in enumerate(_names(n))}
    with _cluster(values, "number") as directory:
        return _measure(directory, Sum(decimals=0), "number", repetitions, _ends([n * (n + 1) // 2]))


def measure_vector(n: int, length: int, repetitions: int) -> Measurement:
    """The sum of a vector from each of n parties, read from a Parquet file of the party's own.

    Party i holds i + 1, i + 2, …
    """
    query = dict.fromkeys(_names(n), "query = \"SELECT v FROM 'vector.parquet'\"")
    first = n * (n + 1) // 2
    with _cluster(query, "number") as directory:
        for index, name in enumerate(query):
            target = directory / "parties" / name / "vector.parquet"
            duckdb.sql(f"COPY (SELECT range + {index + 1} AS v FROM range({length})) TO '{target}'")
        ends = _ends([first, first + n * (length - 1)])
        return _measure(directory, Sum(decimals=0), "number", repetitions, ends)


def measure_referendum(n: int, repetitions: int) -> Measurement:
    """A referendum in which all n parties vote and compute, and which just passes."""
    function = Referendum(threshold=THRESHOLD)
    yes = function.least(n)
    values = {name: f'value = "{"yes" if i < yes else "no"}"' for i, name in enumerate(_names(n))}
    with _cluster(values, "ballot") as directory:
        return _measure(directory, function, "ballot", repetitions, lambda answer: answer.text() == "YES")


def _names(n: int) -> list[str]:
    return [f"party-{index}" for index in range(n)]


@contextmanager
def _cluster(sources: Mapping[str, str], input_name: str) -> Iterator[Path]:
    """A cluster whose parties have one input each, not yet started; nothing of it is left at the end."""
    logs.configure("error")
    with tempfile.TemporaryDirectory(prefix="sotto-bench-") as scratch:
        directory = Path(scratch) / "cluster"
        cluster.create(directory, list(sources))
        for name, source in sources.items():
            config = directory / "parties" / name / "config.toml"
            config.write_text(f"{config.read_text()}\n[inputs.{input_name}]\n{source}\n")
        try:
            yield directory
        finally:
            cluster.down(directory)


def _measure(
    directory: Path, function: Function, input_name: str, repetitions: int, right: Callable[[Answer], bool]
) -> Measurement:
    """The first session of these nodes, `repetitions` more, and a public one that shows the answer."""
    names = cluster.parties_of(directory)
    started = time.perf_counter()
    cluster.up(directory, lifetime=LIFETIME)
    settings = configs.load_coordinator(directory / "coordinator" / "config.toml")
    questions = [
        Question(function, input_name, result_to=names, within=WITHIN, public=number > repetitions)
        for number in range(repetitions + 2)
    ]
    groups = _groups(directory, names)
    first, *later, check = uvloop.run(Launcher(settings, WITHIN).run(questions, groups))
    if check.answer is None or not right(check.answer):
        raise BenchmarkError("the answer is wrong")
    hop_s = uvloop.run(hop_seconds(settings))
    peak = max(peak_memory_mb(pid) for pid in groups[NODES])
    cluster.down(directory)  # the journals are read when nobody writes them
    return Measurement(
        launch_all=[each.elapsed for each in later],
        cold_s=first.ended - started,
        bytes_per_party=_bytes_sent(directory, names, later[-1]),
        peak_memory_mb=peak,
        first_s=first.elapsed,
        first_bytes=_bytes_sent(directory, names, first),
        cpu_s={group: statistics.median(each.cpu_s[group] for each in later) for group in first.cpu_s},
        first_cpu_s=first.cpu_s,
        hop_s=hop_s,
    )


def _groups(directory: Path, names: Sequence[str]) -> dict[str, list[int]]:
    services = Services(directory)
    found = {NODES: [services.process(name) for name in names], BROKER: [services.process(BROKER)]}
    return {group: [each.pid for each in processes if each is not None] for group, processes in found.items()}


def _ends(expected: Sequence[int]) -> Callable[[Answer], bool]:
    """Whether an answer begins and ends with these units."""
    return lambda answer: answer.units.reshape(-1)[[0, -1]].tolist() == [expected[0], expected[-1]]


def _bytes_sent(directory: Path, names: Sequence[str], launch: Launch) -> float:
    """Payloads that a party published in a session, as the outboxes have them; the mean."""
    return statistics.mean(_outbox_bytes(directory, name, launch.session) for name in names)


def _outbox_bytes(directory: Path, name: str, session: str) -> int:
    journal = Journal(directory / "parties" / name / "data" / JOURNAL)
    try:
        return sum(len(sent.payload) for sent in journal.outbox(session))
    finally:
        journal.close()
