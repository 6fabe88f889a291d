"""Launches as the coordinator times them, on running and connected nodes.

From the announcement until every result party has confirmed that it holds the answer.  Everything a node
does in between is in it: reading its input, the journal, seals, signatures.
"""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psutil

from benchmarks.measurement import BenchmarkError
from coordinator import announce
from coordinator.announce import Question
from coordinator.observe import SessionView
from party_node.config import CoordinatorConfig
from party_node.daemon import Daemon, now_ms
from party_node.transport import OFFLINE, Transport, status_topic
from protocol.functionalities import Answer
from protocol.letters import ALL, Header, Part
from protocol.messages import Step
from protocol.states import OVER, Outcome, State

COORDINATOR = "coordinator"
LEAST_MEMORY = 2 << 30  # bytes that must stay free, or the session is given up
_HOPS = 50
_LOOK_AGAIN = 0.5  # seconds between two looks at the clock and the memory
_LONGEST = 300  # characters of a reason: an ending may name thousands
Groups = Mapping[str, Sequence[int]]  # what processes do → their ids


@dataclass
class Launch:
    """One session from outside.  Times are those of `time.perf_counter`, in seconds."""

    session: str
    begun: float
    ended: float = 0.0
    seen: dict[Step, float] = field(default_factory=dict)  # when the last letter of each step was here
    cpu_s: dict[str, float] = field(default_factory=dict)  # CPU time that each group of processes took
    public_bytes: int = 0  # of the announcement and of all letters to everybody, each once
    repeats: int = 0  # letters that were sent again
    answer: Answer | None = None  # of a public session
    _parts: set[tuple[str, str, int]] = field(default_factory=set, repr=False)  # stage, sender, part

    def note(self, header: Header, size: int, at: float) -> None:
        """A part has come; only its first copy tells when its step was here."""
        key = (header.stage, header.sender, header.part)
        if key in self._parts:
            self.repeats += 1
            return
        self._parts.add(key)
        self.seen[header.step] = at
        self.public_bytes += size if header.to == ALL else 0

    @property
    def elapsed(self) -> float:
        """From launch to answer."""
        return self.ended - self.begun

    def between(self, since: Step | None, until: Step | None) -> float:
        """Seconds from the last letter of one step to that of another; None is the launch, or the end."""
        start = self.begun if since is None else self.seen[since]
        return (self.ended if until is None else self.seen[until]) - start


class Launcher:
    """A coordinator that runs one session after the other."""

    def __init__(self, settings: CoordinatorConfig, limit_s: float) -> None:
        """`limit_s` is how long a session may take."""
        self._daemon = Daemon(settings, self._observe, sealed=False)
        self._settings, self._limit_s = settings, limit_s
        self._views: dict[str, SessionView] = {}
        self._launches: dict[str, Launch] = {}

    def _observe(self, part: Part, payload: bytes) -> None:
        session = part.header.session
        self._views[session].add(part)
        self._launches[session].note(part.header, len(payload), time.perf_counter())

    async def run(self, questions: Sequence[Question], groups: Groups | None = None) -> list[Launch]:
        """Launch each question once; BenchmarkError unless every one is answered."""

        async def work() -> None:
            await self._daemon.transport.wait_connected()
            for question in questions:
                await self._launch(question, groups or {})

        await self._daemon.run(work, only="")
        return list(self._launches.values())

    async def _launch(self, question: Question, groups: Groups) -> None:
        daemon, now = self._daemon, now_ms()
        spec = announce.build(question, self._settings.name, daemon.roster, now, secrets.token_bytes(16))
        before = _cpu_seconds(groups)
        begun = time.perf_counter()
        session = daemon.node.announce(spec, now)
        launch = self._launches[session] = Launch(session, begun, public_bytes=len(spec.encode()))
        view = self._views[session] = SessionView(spec, session)
        daemon.node.watched.add(session)
        daemon.step()
        outcome = await self._until_over(view)
        launch.ended = time.perf_counter()
        launch.cpu_s = {group: used - before[group] for group, used in _cpu_seconds(groups).items()}
        launch.answer = outcome.answer
        daemon.node.withdraw(session)
        daemon.step()

    async def _until_over(self, view: SessionView) -> Outcome:
        """The outcome; BenchmarkError unless it is an answer, in time, and without filling the memory."""
        ends_at = time.monotonic() + self._limit_s
        over = asyncio.ensure_future(self._over(view))
        try:
            while not (await asyncio.wait({over}, timeout=_LOOK_AGAIN))[0]:
                if time.monotonic() > ends_at:
                    raise BenchmarkError(f"still {view.outcome().state} after {self._limit_s:.0f} s")
                if psutil.virtual_memory().available < LEAST_MEMORY:
                    raise BenchmarkError(
                        f"less than {LEAST_MEMORY >> 30} GiB left when {view.outcome().state}"
                    )
            outcome = over.result()
        finally:
            over.cancel()
        if outcome.state is not State.COMPLETED:
            reason = f"{outcome.ending.reason}: {outcome.ending.detail}" if outcome.ending else ""
            raise BenchmarkError(f"{outcome.state}, {reason}"[:_LONGEST])
        return outcome

    async def _over(self, view: SessionView) -> Outcome:
        while (outcome := view.outcome()).state not in OVER:
            self._daemon.changed.clear()
            await self._daemon.changed.wait()
        return outcome


async def hop_seconds(settings: CoordinatorConfig) -> float:
    """Median time of a small message through the broker and back to us."""
    topic = status_topic(settings.broker, settings.name)
    here = asyncio.Event()
    transport = Transport(
        settings.broker,
        settings.name,
        on_message=lambda _topic, _payload: here.set(),
        on_connected=lambda: None,
        filters=[topic],
        presence=False,
    )
    running = asyncio.create_task(transport.run())
    try:
        async with asyncio.timeout(10):
            await transport.wait_connected()
            times = []
            for _ in range(_HOPS):
                here.clear()
                started = time.perf_counter()
                transport.send(topic, OFFLINE)
                await here.wait()
                times.append(time.perf_counter() - started)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return statistics.median(times)


def _cpu_seconds(groups: Groups) -> dict[str, float]:
    """What each group of processes has used so far, and we."""
    used = {COORDINATOR: _process_seconds(os.getpid())}
    return used | {group: sum(map(_process_seconds, pids)) for group, pids in groups.items()}


def _process_seconds(pid: int) -> float:
    """The CPU time of a process, all its threads together."""
    if platform.system() == "Linux":
        # clock_getcpuclockid(3), which Python does not have: to the nanosecond, where /proc counts in 10 ms.
        return time.clock_gettime((~pid << 3) | 2)
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
