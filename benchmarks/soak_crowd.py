"""Many sessions at a time, launched and followed by one coordinator as `coordinator launch` follows one."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from benchmarks.soak_network import Network
from benchmarks.soak_plan import Asked
from coordinator import announce
from coordinator.campaign import ASK_SECONDS, GRACE_MS
from coordinator.observe import PUBLIC_STEPS, SessionView
from party_node.daemon import Daemon, now_ms
from protocol.letters import Part
from protocol.messages import Request, Step
from protocol.spec import SessionSpec
from protocol.states import OVER, Outcome

SAMPLE_S = 0.5
_LOOK_AGAIN = 0.2  # seconds between two looks at the clock


@dataclass
class Flight:
    """One session from outside.  `begun` and `ended` are those of `time.perf_counter`."""

    number: int
    asked: Asked
    session: str
    spec: SessionSpec
    begun: float
    asked_at: float  # since when there is no news, or for when we have asked
    ended: float = 0.0
    ended_ms: int = 0  # Unix time
    outcome: Outcome | None = None

    @property
    def elapsed(self) -> float:
        """From launch to the end, in seconds."""
        return self.ended - self.begun


class Crowd:
    """One run: all sessions, and beside them the faults and the samples."""

    def __init__(self, network: Network) -> None:
        self.flights: list[Flight] = []
        self.cpu_s = network.cpu_s()
        self._network, self._plan = network, network.plan
        self._settings = network.settings
        self._daemon = Daemon(self._settings, self._observe, sealed=False)
        self._open: dict[str, Flight] = {}
        self._views: dict[str, SessionView] = {}  # of those
        self._news: set[str] = set()
        self._launched = asyncio.Event()  # set at each launch

    @property
    def ended(self) -> list[Flight]:
        """Those that are over, or past their time."""
        return [flight for flight in self.flights if flight.ended]

    async def run(self, launch_until: float) -> None:
        """Launch what there is until then (`time.monotonic`), and follow it to its end."""

        async def work() -> None:
            await self._daemon.transport.wait_connected()
            async with asyncio.TaskGroup() as group:
                sampling = group.create_task(self._sample())
                faults = group.create_task(self._suffer())
                await self._fly(self._plan.questions(), launch_until)
                if len(self.flights) < self._plan.sessions:
                    faults.cancel()  # it waits for launches that will not come
                await asyncio.wait({faults})
                sampling.cancel()

        await self._daemon.run(work, only="")
        self.cpu_s = {group: used - self.cpu_s[group] for group, used in self._network.cpu_s().items()}

    # -- beside the sessions -------------------------------------------------------------------------

    async def _sample(self) -> None:
        while True:
            self._network.look(len(self.ended))
            await asyncio.sleep(SAMPLE_S)

    async def _suffer(self) -> None:
        """Each fault when its time has come; several services may be down together."""
        async with asyncio.TaskGroup() as group:
            for fault in self._plan.faults():
                while len(self.flights) < fault.after:
                    self._launched.clear()
                    await self._launched.wait()
                group.create_task(self._network.suffer(fault))

    # -- the sessions --------------------------------------------------------------------------------

    def _observe(self, part: Part, _payload: bytes) -> None:
        flight = self._open.get(part.header.session)
        if flight is not None:
            self._views[flight.session].add(part)
            flight.asked_at = time.perf_counter()
            self._news.add(flight.session)

    async def _fly(self, questions: Sequence[Asked], launch_until: float) -> None:
        waiting = list(reversed(questions))
        while True:
            while waiting and len(self._open) < self._plan.at_once and time.monotonic() < launch_until:
                self._launch(waiting.pop())
            if not self._open:
                return
            self._daemon.changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN):
                    await self._daemon.changed.wait()
            self._look()

    def _launch(self, asked: Asked) -> None:
        daemon, now = self._daemon, now_ms()
        nonce = secrets.token_bytes(16)
        spec = announce.build(asked.question, self._settings.name, daemon.roster, now, nonce)
        begun = time.perf_counter()
        session = daemon.node.announce(spec, now)
        daemon.node.watched.add(session)
        flight = Flight(len(self.flights), asked, session, spec, begun, begun)
        self.flights.append(flight)
        self._open[session], self._views[session] = flight, SessionView(spec, session)
        self._launched.set()
        daemon.step()

    def _look(self) -> None:
        """Whose session is over, or past its time, and of whom we should ask for news."""
        now, here = now_ms(), time.perf_counter()
        news, self._news = self._news, set()
        for flight in list(self._open.values()):
            late = now > flight.spec.close_by + GRACE_MS
            if flight.session in news or late:
                outcome = self._views[flight.session].outcome()
                if outcome.state in OVER or late:
                    self._land(flight, outcome, now)
                    continue
            if here > flight.asked_at + ASK_SECONDS:
                flight.asked_at = here
                self._ask(flight)
        self._daemon.step()

    def _land(self, flight: Flight, outcome: Outcome, now: int) -> None:
        node = self._daemon.node
        flight.ended, flight.ended_ms, flight.outcome = time.perf_counter(), now, outcome
        del self._open[flight.session], self._views[flight.session]
        if outcome.state in OVER:
            node.conclude(flight.session, outcome, now)
        node.withdraw(flight.session)
        node.watched.discard(flight.session)

    def _ask(self, flight: Flight) -> None:
        """Whoever has not heard of the session asks us for the announcement then."""
        body = Request(steps=PUBLIC_STEPS).encode()
        for name in flight.spec.members:
            self._daemon.node.say(flight.session, Step.REQUEST, name, body)
