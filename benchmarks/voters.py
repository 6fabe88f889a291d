"""A referendum of many voters with three compute parties, and how its time grows with their number.

Each voter is a whole node with an identity, a certificate, a journal on disk and a TLS connection of its own;
only the process is shared with others.  Keys and certificates are made before, connections too.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks.launching import Groups, Launch, Launcher
from benchmarks.measurement import BenchmarkError, peak_memory_mb
from benchmarks.voter_process import CONNECTED
from coordinator import cluster, pki
from coordinator.announce import Question
from coordinator.cluster import BROKER
from coordinator.processes import Services
from party_node import config as configs
from party_node import logs
from party_node.enrolment import certificate_request
from party_node.toml import read_toml
from protocol.functionalities.referendum import Referendum
from protocol.messages import Step

ROOT = Path(__file__).resolve().parent.parent
COMPUTE = ("compute-0", "compute-1", "compute-2")
THRESHOLD = "2/3"
EVERYBODY = "everybody.toml"  # the roster with the voters
COMPUTING, VOTING = "compute parties", "voters"  # what processes do, beside the broker's
PATIENCE = 4  # the session's own deadlines lie so many times beyond ours: all are waited for
FILES_EACH = 6  # that a voter may hold open: socket, journal, the journal's log and index, and two to spare
OTHER_FILES = 500  # of a process


@dataclass(frozen=True)
class Turnout:
    """One size: a referendum of so many voters."""

    launch: Launch
    setup_s: float  # keys, certificates and connections, before the launch
    broker_mb: float  # peak of resident memory, in MiB
    compute_mb: float  # of the largest compute party
    voters_mb: float  # of all the processes that the voters share


def measure(count: int, limit_s: float) -> Turnout:
    """One referendum of `count` voters, set-up included within `limit_s`; nothing is left behind."""
    logs.configure("error")
    started, ends_at = time.perf_counter(), time.monotonic() + limit_s
    _raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="sotto-bench-") as scratch:
        directory = Path(scratch) / "cluster"
        configurations = create(directory, count)
        try:
            cluster.up(directory, lifetime=limit_s + 60)
            with _voter_processes(Path(scratch), configurations, limit_s) as workers:
                setup_s = time.perf_counter() - started
                groups = _groups(Services(directory), workers)
                launch = _launch(directory, count, ends_at - time.monotonic(), groups)
                peaks = {name: [peak_memory_mb(pid) for pid in pids] for name, pids in groups.items()}
        finally:
            cluster.down(directory)
    return Turnout(
        launch=launch,
        setup_s=setup_s,
        broker_mb=max(peaks[BROKER]),
        compute_mb=max(peaks[COMPUTING]),
        voters_mb=sum(peaks[VOTING]),
    )


def _raise_file_limit() -> None:
    """As many open files as we may have; the broker inherits it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _process_count(voters: int) -> int:
    """One for each core, or more where a process may not open as many files."""
    cores, (limit, _) = os.cpu_count() or 1, resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return cores
    return max(cores, -(-voters * FILES_EACH // max(limit - OTHER_FILES, 1)))


# -- the network ---------------------------------------------------------------------------------


def create(directory: Path, count: int) -> list[Path]:
    """A cluster of the compute parties, and voters who know them; returns the voters' configurations."""
    cluster.create(directory, COMPUTE)
    authority = pki.Authority.load(directory / "ca")
    names = _names(count)
    identities = {name: _make_voter(directory / "voters" / name, authority, name) for name in names}
    roster = (directory / "roster.toml").read_text() + pki.roster_text(identities, {})
    (directory / EVERYBODY).write_text(roster)
    for folder in (*(directory / "parties" / name for name in COMPUTE), directory / "coordinator"):
        config = folder / "config.toml"
        config.write_text(config.read_text().replace("roster.toml", EVERYBODY))
    reach = read_toml(directory / "coordinator" / "config.toml")["broker"]
    yes = Referendum(threshold=THRESHOLD).least(count)
    for index, name in enumerate(names):
        text = _config_text(name, reach["port"], reach["protocol"], "yes" if index < yes else "no")
        (directory / "voters" / name / "config.toml").write_text(text)
    return [directory / "voters" / name / "config.toml" for name in names]


def _names(count: int) -> list[str]:
    return [f"voter-{index:05}" for index in range(count)]


def _make_voter(folder: Path, authority: pki.Authority, name: str) -> str:
    folder.mkdir(parents=True)
    request = certificate_request(pki.create_key(folder / "tls.key"), name)
    pki.write_new(folder / "tls.crt", authority.issue_client(request, name), mode=0o644)
    return pki.identity(pki.create_key(folder / "identity.key"))


def _config_text(name: str, port: int, protocol: str, ballot: str) -> str:
    return f"""\
name = "{name}"
data_dir = "data"
roster = "../../{EVERYBODY}"
identity_key = "identity.key"
compute = false

[broker]
host = "localhost"
port = {port}
protocol = "{protocol}"
ca = "../../ca/ca.crt"
certificate = "tls.crt"
key = "tls.key"

[inputs.ballot]
value = "{ballot}"
"""


@contextmanager
def _voter_processes(
    scratch: Path, configurations: Sequence[Path], life_s: float
) -> Iterator[list[subprocess.Popen[str]]]:
    """All voters connected; their processes are gone at the end."""
    processes = _process_count(len(configurations))
    workers: list[subprocess.Popen[str]] = []
    try:
        for index in range(processes):
            listing = scratch / f"voters-{index}"
            listing.write_text("\n".join(map(str, configurations[index::processes])))
            workers.append(_spawn(listing, int(life_s)))
        for worker in workers:
            if worker.stdout is None or worker.stdout.readline().strip() != CONNECTED:
                raise BenchmarkError(f"voters could not connect: their process ended with {worker.wait()}")
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def _spawn(listing: Path, life_s: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.voter_process"),
            *("--configurations", str(listing), "--life", str(life_s)),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def _groups(services: Services, workers: Sequence[subprocess.Popen[str]]) -> dict[str, list[int]]:
    compute = [services.process(name) for name in COMPUTE]
    broker = services.process(BROKER)
    return {
        BROKER: [broker.pid] if broker else [],
        COMPUTING: [process.pid for process in compute if process],
        VOTING: [worker.pid for worker in workers],
    }


def _launch(directory: Path, count: int, limit_s: float, groups: Groups) -> Launch:
    """Everybody votes, and just enough say yes; the compute parties learn the answer and publish it."""
    settings = configs.load_coordinator(directory / "coordinator" / "config.toml")
    question = Question(
        function=Referendum(threshold=THRESHOLD),
        input="ballot",
        parties=_names(count),
        compute=COMPUTE,
        result_to=COMPUTE,
        public=True,
        within=PATIENCE * limit_s,
    )
    (launch,) = uvloop.run(Launcher(settings, limit_s).run([question], groups))
    if unseen := {Step.BEGIN, Step.RECEIVED, Step.COMMIT} - set(launch.seen):
        raise BenchmarkError(f"the coordinator saw no {', '.join(unseen)}")
    if launch.answer is None or launch.answer.text() != "YES":
        raise BenchmarkError("the answer is wrong")
    return launch
