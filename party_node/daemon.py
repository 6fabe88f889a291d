"""The daemon: the node's wires.  Loop, clock, entropy and signals live here and nowhere else."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import uvloop

from party_node import approvals, certificates, console, inputs, pins, rules
from party_node import data_dir as data_directory
from party_node.config import CoordinatorConfig, NodeConfig, Policy
from party_node.identity import load_identity
from party_node.journal import Journal
from party_node.node import Node, Observer
from party_node.operations.health import Snapshot, Tally
from party_node.operations.notify import READY, STOPPING, notify, stay_alive
from party_node.post import Publication
from party_node.remains import Keep
from party_node.roster import Roster, load_roster
from party_node.transport import Transport
from protocol.dp.polya import UnwantedError
from protocol.encoding import Exact
from protocol.errors import ConfigError, InputError, SottoError
from protocol.letters import ALL, COMPUTE
from protocol.messages import IN_ROUNDS, SEALED, Step
from protocol.sharing import Share
from protocol.spec import SessionSpec
from protocol.states import Outcome

log = structlog.get_logger("node")
JOURNAL = "journal.sqlite"
A_DAY = 86_400.0  # seconds
AN_HOUR = 3_600_000  # milliseconds
LEAST_RESULTS = 86_400  # seconds: by then no clock takes an announcement for a new one
DRAWERS = 2  # threads, so that a short noise passes a long one
LOADERS = 4  # likewise for inputs


def now_ms() -> int:
    """Unix time in milliseconds: deadlines are agreed between machines, so this is not monotonic."""
    return time.time_ns() // 1_000_000


def open_journal(data_dir: Path) -> Journal:
    """The journal in a node's data directory, which is created for its owner alone."""
    data_directory.create(data_dir)
    return Journal(data_dir / JOURNAL)


class Daemon:
    """A node on its wires.  Everything runs in one loop; only slow inputs are read in a thread."""

    def __init__(
        self,
        config: NodeConfig | CoordinatorConfig,
        observe: Observer | None = None,
        *,
        sealed: bool = True,
    ) -> None:
        """`sealed` is False for a reader of public letters: the sealed ones are large, and not for it."""
        self._config = config
        certificates.own(config)
        self.roster = checked_roster(config, remember=True)
        pins.shout_all(self.roster, "party-node" if isinstance(config, NodeConfig) else "coordinator")
        self.journal = open_journal(config.data_dir)
        self.journal_path = config.data_dir / JOURNAL
        sources = config.inputs if isinstance(config, NodeConfig) else {}
        policy = config.policy if isinstance(config, NodeConfig) else Policy(min_inputs=1)
        self.node = Node(
            config.name,
            load_identity(config.identity_key),
            self.roster,
            self.journal,
            base_topic=config.broker.base_topic,
            limits=rules.limits(sources, policy),
            entropy=os.urandom,
            keep=_keep(config) if isinstance(config, NodeConfig) else Keep(),
            observe=observe,
            on_end=self._ended,
        )
        self._sources = sources
        self.transport = Transport(
            config.broker,
            config.name,
            on_message=self._on_message,
            on_connected=self._on_connected,
            filters=_filters(config, sealed=sealed),
            presence=isinstance(config, NodeConfig),
        )
        self.tally = Tally()
        self._telling = config.log_level == "debug"
        self._mail: list[tuple[str, bytes]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = 0  # when it rings, in Unix milliseconds
        self._readers: set[asyncio.Task[None]] = set()
        # Long vectors of noise must not keep inputs waiting, nor the other way round.
        self._drawers = ThreadPoolExecutor(DRAWERS, thread_name_prefix="noise")
        self._loaders = ThreadPoolExecutor(LOADERS, thread_name_prefix="input")
        self._leaving = False
        self._deaf = ""  # why the answers of people cannot be read, once that is said
        self._failure: asyncio.Future[None] | None = None
        self.changed = asyncio.Event()  # set after every step; who waits for something looks again

    # -- life --------------------------------------------------------------------------------------

    async def run(self, work: Callable[[], Awaitable[None]], only: str | None = None) -> None:
        """Serve until `work` is done, then leave in good order: letters retained, status offline.

        `only` names the one session of the journal to take up; without it, all that are unfinished.
        """
        self._failure = asyncio.get_running_loop().create_future()
        self.node.resume(now_ms(), only)
        self.step()
        link = asyncio.create_task(self.transport.run())
        task: asyncio.Future[None] = asyncio.ensure_future(work())
        try:
            await asyncio.wait({link, task, self._failure}, return_when=asyncio.FIRST_COMPLETED)
            for future in (self._failure, link, task):
                if future.done():
                    future.result()
            self._read_mail()  # what has come is taken in, and what follows from it sent
            self.node.leave()
            self.step()
        finally:
            self._leaving = True
            await _stop(task, link, *self._readers)
            for pool in (self._drawers, self._loaders):
                pool.shutdown(wait=False, cancel_futures=True)
            if self._timer is not None:
                self._timer.cancel()
            self.journal.close()

    async def hear_people(self) -> None:
        """While a person is asked about a session, look for the answer."""
        while True:
            await asyncio.sleep(approvals.LOOK_AGAIN)
            if self.node.asks:
                self._guarded(self._read_answers)

    # -- events: each ends in `step` -----------------------------------------------------------------

    def _on_message(self, topic: str, payload: bytes) -> None:
        """Messages that arrive in one turn of the loop share one transaction."""
        if self._leaving:
            return  # it will be asked for again
        self.tally.received += 1
        self.tally.received_bytes += len(payload)
        if self._telling:
            _tell("letter in", topic, payload)
        if not self._mail:
            asyncio.get_running_loop().call_soon(self._guarded, self._read_mail)
        self._mail.append((topic, payload))

    def _read_mail(self) -> None:
        if self._leaving:
            return
        mail, self._mail = self._mail, []
        now = now_ms()
        for topic, payload in mail:
            self.node.handle(topic, payload, now)
        self.step()

    def _read_answers(self) -> None:
        try:
            answers = approvals.heard(self._config.data_dir)
        except ConfigError as error:
            if error.message != self._deaf:
                self._deaf = error.message
                log.warning("no answers can be heard", problem=error.message, hint=error.hint)
            return
        for said in answers:
            self.node.decide(said.session, approve=said.approve, words=said.words, now=now_ms())
            self.step()
            approvals.forget(said)

    def _on_connected(self) -> None:
        self.tally.connections += 1
        self.node.reconnected(now_ms())
        self.step()

    def _on_time(self) -> None:
        self._timer = None
        self.node.tick(now_ms())
        self.step()

    def _guarded(self, event: Callable[[], None]) -> None:
        """What goes wrong in a callback ends the daemon: a half-written state must not go on."""
        try:
            event()
        except BaseException as error:
            if self._failure is None:
                raise
            if not self._failure.done():  # else we are about to end, for the first reason
                self._failure.set_exception(error)

    def step(self) -> None:
        """Load wanted inputs, make durable what happened, publish, and set the clock."""
        while self.node.wanted:
            session, name = self.node.wanted.pop(0)
            source = self._sources[name]
            if source.value is not None:
                self.node.loaded(session, self._load(name), now_ms())
            else:
                self._spawn(self._load_slowly(session, name))
        for publication in self.node.commit():
            self._publish(publication)
        # Only now that the join is out: how long drawing takes may tell how large the noise is.
        while self.node.undrawn:
            self._spawn(self._draw(*self.node.undrawn.pop(0)))
        if isinstance(self._config, CoordinatorConfig):
            self.journal.commit()  # several commands share a coordinator's journal: never hold its lock
        self._set_timer()
        self.changed.set()

    def _publish(self, publication: Publication) -> None:
        topic, payload, retain = publication.topic, publication.payload, publication.retain
        self.transport.send(topic, payload, retain=retain)
        if self.transport.connected:
            self.tally.sent += 1
            self.tally.sent_bytes += len(payload)
            self.tally.retained += retain
        else:
            self.tally.unsent += 1
        if self._telling:
            _tell("letter out", topic, payload)

    def snapshot(self) -> Snapshot:
        """How the node is just now."""
        flaw, failure = self.journal.ledger.flaw(), self.journal.failure
        return Snapshot(
            self.tally.copy(),
            dropped=dict(self.node.dropped),
            open=self.node.open,
            heard=dict(self.node.heard),
            down=self.transport.down,
            ledger=None if flaw is None else flaw.message,
            storage=None if failure is None else failure.message,
        )

    def _ended(self, _session: str, spec: SessionSpec, outcome: Outcome) -> None:
        self.tally.end(spec, outcome, now_ms())

    def _load(self, name: str) -> Exact | InputError:
        try:
            return inputs.load(name, self._sources[name], self._config.directory)
        except InputError as error:
            return error

    async def _load_slowly(self, session: str, name: str) -> None:
        loop = asyncio.get_running_loop()
        value = await loop.run_in_executor(self._loaders, self._load, name)
        self._guarded(lambda: self.node.loaded(session, value, now_ms()))
        self._guarded(self.step)

    async def _draw(self, session: str, drawing: Callable[..., Share]) -> None:
        def wanted() -> bool:
            return not self._leaving and self.node.wants_noise(session)

        with suppress(UnwantedError):
            loop = asyncio.get_running_loop()
            noise = await loop.run_in_executor(self._drawers, partial(drawing, wanted=wanted))
            self._guarded(lambda: self.node.drawn(session, noise, now_ms()))
            self._guarded(self.step)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._readers.add(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        """What goes wrong in a thread ends the daemon, as what goes wrong in a callback does."""
        self._readers.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)

    def _set_timer(self) -> None:
        """Wake when the node wants to; waking too early does no harm, so most changes need no new timer."""
        now = now_ms()
        hourly = now + AN_HOUR  # at least: clocks are set, and what is old is deleted
        due = min(self.node.deadline or hourly, hourly)
        if self._timer is not None and self._wakes <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._wakes = max(due, now + 1)
        delay = (self._wakes - now) / 1000
        self._timer = asyncio.get_running_loop().call_later(delay, self._guarded, self._on_time)


def _keep(config: NodeConfig) -> Keep:
    results = max(config.keep_results, LEAST_RESULTS) if config.keep_results else None
    return Keep(
        1000 * config.keep_sessions, 1000 * config.keep_evidence, None if results is None else 1000 * results
    )


def _filters(config: NodeConfig | CoordinatorConfig, *, sealed: bool) -> list[str]:
    """What to subscribe to: what is for us or for all, and for the compute parties if we are one."""
    base = f"{config.broker.base_topic}/1/session/+"
    audiences = [ALL, COMPUTE] if not isinstance(config, NodeConfig) or config.compute else [ALL]
    steps = ["+"] if sealed else [step for step in Step if step not in SEALED | IN_ROUNDS]
    return [f"{base}/+/+/{config.name}/+", *(f"{base}/{step}/+/{to}/+" for step in steps for to in audiences)]


def checked_roster(config: NodeConfig | CoordinatorConfig, *, remember: bool = False) -> Roster:
    """The roster, if it names us with the key that we sign with, compared with the keys that we know.

    With `remember`, the keys of new names are noted.
    """
    roster = load_roster(config.roster)
    public = load_identity(config.identity_key).public_key().public_bytes_raw()
    entry = roster.entry(config.name)
    if entry != public:
        problem = "does not name" if entry is None else "has another key for"
        raise ConfigError(
            f"{config.roster}: {problem} {config.name}, who is to sign with {config.identity_key}",
            "everybody's roster must hold the identity that `party-node init` printed",
        )
    roster = pins.compared(roster, config.data_dir, remember=remember)
    if objection := roster.objection(config.name):
        raise ConfigError(
            f"{config.roster}: {config.name}, who we are, {objection}", _own_remedy(config, roster)
        )
    return roster


def _own_remedy(config: NodeConfig | CoordinatorConfig, roster: Roster) -> str:
    if config.name in roster.revoked:
        return "nobody believes this key any more: make new ones, and enroll with them"
    program = "party-node" if isinstance(config, NodeConfig) else "coordinator"
    return f"if the keys are new: {program} trust {config.name} and the fingerprint that was made with them"


def _tell(event: str, topic: str, payload: bytes) -> None:
    """A letter in the log: what is on its envelope, and how large it is."""
    levels = topic.rsplit("/", 5)[1:]
    if len(levels) == 5:
        session, step, sender, to, part = levels
        log.debug(event, session=session[:8], step=step, sender=sender, to=to, part=part, size=len(payload))


async def _stop(*tasks: asyncio.Future[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def daily_until(stop: asyncio.Event, look: Callable[[], None], day: float = A_DAY) -> None:
    """Look now and every day, until it is time to stop."""
    while not stop.is_set():
        look()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), day)


async def serve(config: NodeConfig) -> None:
    """Run a node until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    async def until_stopped() -> None:
        notify(READY)
        try:
            await daily_until(stop, lambda: certificates.warn(config))
        finally:
            notify(STOPPING)

    with data_directory.held(config.data_dir):
        daemon = Daemon(config)
        log.info("node started", name=config.name, pid=os.getpid())
        async with _watched(config, daemon):
            await daemon.run(until_stopped)
    log.info("node stopped", name=config.name)


@asynccontextmanager
async def _watched(config: NodeConfig, daemon: Daemon) -> AsyncIterator[None]:
    """Let others see how the node is: its own port, if it has one, and the service manager."""
    alive, hearing = asyncio.create_task(stay_alive()), asyncio.create_task(daemon.hear_people())
    try:
        if (endpoint := config.metrics.endpoint) is None:
            yield
            return
        # Imported here because most nodes have no port, and Prometheus' library takes time to start.
        from party_node.operations import web  # noqa: PLC0415

        async with web.serving(endpoint, web.pages(config, daemon)):
            yield
    finally:
        await _stop(alive, hearing)


def run(config: NodeConfig) -> None:
    """`serve` on uvloop."""
    # What was imported lives as long as the process: no need to look through it for garbage each time.
    gc.freeze()
    try:
        uvloop.run(serve(config))
    except SottoError as error:
        if _reading():
            console.complain("party-node", error.message, error.hint)
            os._exit(console.FAILED)
        raise
    if _reading():
        os._exit(console.DONE)


def _reading() -> bool:
    """Whether an input is still being read: for nobody by now, and a query may take for ever."""
    return threading.active_count() > 1
