"""The network under a soak: real nodes, a real broker, killed and started one by one, seen from outside.

Every process is known by its id and start time, and none is left at the end, however that comes.
"""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import soak_plan
from benchmarks.soak_plan import Fault, Plan
from coordinator import broker, cluster
from coordinator.cluster import BROKER, COORDINATOR
from coordinator.processes import Services
from party_node.config import CoordinatorConfig, load_coordinator
from party_node.daemon import JOURNAL, now_ms

STARTED = "node started"  # in a node's log, once its journal is open
START_LIMIT_S = 30.0
NODES = "nodes"
_LOOK_AGAIN = 0.05  # seconds
_STILL_DOWN = 2**63


@dataclass
class Down:
    """When a service was not there, in Unix milliseconds; starting is part of it."""

    service: str
    since: int
    until: int = _STILL_DOWN


@dataclass(frozen=True)
class Sample:
    """One process at one moment."""

    service: str
    pid: int
    ended: int  # sessions, so far
    memory: int  # resident bytes
    handles: int  # open files and sockets


class Network:
    """Nodes and broker of one directory."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        self.directory, self.plan = directory, plan
        self.downs: list[Down] = []
        self.samples: list[Sample] = []
        self.problems: list[str] = []  # services that end or do not start
        self.starts_cpu_s = 0.0  # that nodes took to start again
        self._services = Services(directory)
        self._gone: set[str] = set()
        self._killed_cpu_s: defaultdict[str, float] = defaultdict(float)  # by group

    # -- life --------------------------------------------------------------------------------------

    @contextmanager
    def running(self) -> Iterator[None]:
        """Made, started and online; nothing of it runs at the end."""
        cluster.create(self.directory, self.plan.names, kind="mosquitto")
        for index, name in enumerate(self.plan.names):
            folder = self.directory / "parties" / name
            config = folder / "config.toml"
            config.write_text(soak_plan.config_text(index, config.read_text()))
            (folder / "series.csv").write_text(soak_plan.series_text(index))
        try:
            self.up()
            yield
        finally:
            cluster.down(self.directory)

    def up(self) -> None:
        """Start what does not run; should this process be killed, all goes down by itself."""
        cluster.up(self.directory, lifetime=self.plan.limit_s + 60)

    def stop_nodes(self) -> None:
        """As a service manager does it: SIGTERM."""
        self._services.stop(self.plan.names)

    async def suffer(self, fault: Fault) -> None:
        """Kill a service and start it again; it is left alone if it is down already."""
        process = self._services.process(fault.service)
        if process is None or fault.service in self.down:
            return
        down = Down(fault.service, now_ms())
        self.downs.append(down)
        self._killed_cpu_s[_group(fault.service)] += _cpu_s(process)
        process.kill()
        await asyncio.to_thread(process.wait, START_LIMIT_S)
        if fault.forgets:
            for path in (self.directory / BROKER / "data").iterdir():
                path.unlink()
        await asyncio.sleep(fault.away_s)
        try:
            await (self._start_broker() if fault.service == BROKER else self._start_node(fault.service))
            down.until = now_ms()
        except TimeoutError:
            self.problems.append(f"{fault.service} did not start within {START_LIMIT_S:.0f} s")

    async def _start_node(self, name: str) -> None:
        starts = self.log(name).count(STARTED)
        command = cluster.node_command(self.directory / "parties" / name / "config.toml")
        await asyncio.to_thread(self._services.start, name, command)
        await _until(lambda: self.log(name).count(STARTED) > starts)
        if (process := self._services.process(name)) is not None:
            self.starts_cpu_s += _cpu_s(process)

    async def _start_broker(self) -> None:
        command = broker.command("mosquitto", self.directory / BROKER)
        await asyncio.to_thread(self._services.start, BROKER, command)
        await _until(self._accepts)

    def _accepts(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.settings.broker.port), 1):
            return True
        return False

    # -- what can be seen of it --------------------------------------------------------------------

    @property
    def settings(self) -> CoordinatorConfig:
        """The coordinator's."""
        return load_coordinator(self.directory / COORDINATOR / "config.toml")

    @property
    def down(self) -> set[str]:
        """Services that are killed, or not yet started again."""
        return {each.service for each in self.downs if each.until == _STILL_DOWN}

    def was_down(self, service: str, since: int, until: int) -> bool:
        """Whether it was, at any moment between the two (Unix milliseconds)."""
        return any(
            each.service == service and each.since <= until and each.until >= since for each in self.downs
        )

    def data(self, name: str) -> Path:
        """A node's data directory."""
        return self.directory / "parties" / name / "data"

    def journal(self, name: str) -> Path:
        """A node's journal."""
        return self.data(name) / JOURNAL

    def log(self, service: str) -> str:
        """What it has printed."""
        path = self._services.log_path(service)
        return path.read_text(errors="replace") if path.exists() else ""

    def look(self, ended: int) -> None:
        """Take a sample of every process, and note who is gone."""
        down = self.down
        for service in (*self.plan.names, BROKER):
            process = self._services.process(service)
            with suppress(psutil.NoSuchProcess):
                if process is not None:
                    self.samples.append(_sample(service, process, ended))
                elif service not in down | self._gone:
                    self._gone.add(service)
                    self.problems.append(f"{service} ended by itself")
        self.samples.append(_sample(COORDINATOR, psutil.Process(), ended))

    def cpu_s(self) -> dict[str, float]:
        """CPU time of all processes so far, by group, also of those that were killed."""
        used = defaultdict(float, self._killed_cpu_s)
        used[COORDINATOR] = _cpu_s(psutil.Process())
        for service in (*self.plan.names, BROKER):
            if (process := self._services.process(service)) is not None:
                used[_group(service)] += _cpu_s(process)
        return used


def _group(service: str) -> str:
    return BROKER if service == BROKER else NODES


def _sample(service: str, process: psutil.Process, ended: int) -> Sample:
    return Sample(service, process.pid, ended, process.memory_info().rss, process.num_fds())


def _cpu_s(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


async def _until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(START_LIMIT_S):
        while not look():  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(_LOOK_AGAIN)
