"""The daemon: the node's wires.  Loop, clock, entropy and signals live here and nowhere else."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import uvloop

from party_node import data_dir as data_directory
from party_node import inputs
from party_node.config import CoordinatorConfig, InputSource, NodeConfig, Policy
from party_node.identity import load_identity
from party_node.journal import Journal
from party_node.node import Node, Observer
from party_node.policy import Declared
from party_node.roster import Roster, load_roster
from party_node.transport import Transport
from protocol.dp.polya import UnwantedError
from protocol.encoding import Exact
from protocol.errors import ConfigError, InputError
from protocol.letters import ALL, COMPUTE
from protocol.messages import IN_ROUNDS, SEALED, Step
from protocol.sharing import Share

log = structlog.get_logger("node")
JOURNAL = "journal.sqlite"
DRAWERS = 2  # threads, so that a short noise passes a long one


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
        self.roster = checked_roster(config)
        self.journal = open_journal(config.data_dir)
        sources = config.inputs if isinstance(config, NodeConfig) else {}
        policy = config.policy if isinstance(config, NodeConfig) else Policy(min_inputs=1)
        self.node = Node(
            config.name,
            load_identity(config.identity_key),
            self.roster,
            self.journal,
            base_topic=config.broker.base_topic,
            inputs={name: declared(source, policy) for name, source in sources.items()},
            min_inputs=policy.min_inputs,
            entropy=os.urandom,
            keep=1000 * config.keep_sessions if isinstance(config, NodeConfig) else 0,
            observe=observe,
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
        self._mail: list[tuple[str, bytes]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = 0  # when it rings, in Unix milliseconds
        self._readers: set[asyncio.Task[None]] = set()
        # Inputs are read by other threads: long vectors of noise must not keep them waiting.
        self._drawers = ThreadPoolExecutor(DRAWERS, thread_name_prefix="noise")
        self._leaving = False
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
            self.node.leave()
            self.step()
        finally:
            self._leaving = True
            await _stop(task, link, *self._readers)
            self._drawers.shutdown(wait=False, cancel_futures=True)
            if self._timer is not None:
                self._timer.cancel()
            self.journal.close()

    # -- events: each ends in `step` -----------------------------------------------------------------

    def _on_message(self, topic: str, payload: bytes) -> None:
        """Messages that arrive in one turn of the loop share one transaction."""
        if not self._mail:
            asyncio.get_running_loop().call_soon(self._guarded, self._read_mail)
        self._mail.append((topic, payload))

    def _read_mail(self) -> None:
        mail, self._mail = self._mail, []
        now = now_ms()
        for topic, payload in mail:
            self.node.handle(topic, payload, now)
        self.step()

    def _on_connected(self) -> None:
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
            self.transport.send(publication.topic, publication.payload, retain=publication.retain)
        # Only now that the join is out: how long drawing takes may tell how large the noise is.
        while self.node.undrawn:
            self._spawn(self._draw(*self.node.undrawn.pop(0)))
        if isinstance(self._config, CoordinatorConfig):
            self.journal.commit()  # several commands share a coordinator's journal: never hold its lock
        self._set_timer()
        self.changed.set()

    def _load(self, name: str) -> Exact | InputError:
        try:
            return inputs.load(name, self._sources[name], self._config.directory)
        except InputError as error:
            return error

    async def _load_slowly(self, session: str, name: str) -> None:
        value = await asyncio.to_thread(self._load, name)
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
        due = self.node.deadline
        if due is None or (self._timer is not None and self._wakes <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        now = now_ms()
        self._wakes = min(max(due, now + 1), now + 3_600_000)  # at least hourly: clocks are set
        delay = (self._wakes - now) / 1000
        self._timer = asyncio.get_running_loop().call_later(delay, self._guarded, self._on_time)


def declared(source: InputSource, policy: Policy) -> Declared:
    """What the config says of one input, as rules."""
    # Who limits what noise may cost would not have the same told without any.
    limited = source.epsilon is not None or policy.max_epsilon is not None
    return Declared(
        source.lower,
        source.upper,
        source.decimals,
        exact=not limited if source.exact is None else source.exact,
        budget=source.epsilon,
        max_epsilon=policy.max_epsilon,
        min_colluders=policy.min_colluders,
    )


def _filters(config: NodeConfig | CoordinatorConfig, *, sealed: bool) -> list[str]:
    """What to subscribe to: what is for us or for all, and for the compute parties if we are one."""
    base = f"{config.broker.base_topic}/1/session/+"
    audiences = [ALL, COMPUTE] if not isinstance(config, NodeConfig) or config.compute else [ALL]
    steps = ["+"] if sealed else [step for step in Step if step not in SEALED | IN_ROUNDS]
    return [f"{base}/+/+/{config.name}/+", *(f"{base}/{step}/+/{to}/+" for step in steps for to in audiences)]


def checked_roster(config: NodeConfig | CoordinatorConfig) -> Roster:
    """The roster, if it pins the key that we sign with under our name."""
    roster = load_roster(config.roster)
    public = load_identity(config.identity_key).public_key().public_bytes_raw()
    pinned = roster.identity(config.name)
    if pinned != public:
        problem = "does not name" if pinned is None else "has another key for"
        raise ConfigError(
            f"{config.roster}: {problem} {config.name}, who is to sign with {config.identity_key}",
            "everybody's roster must hold the identity that `party-node init` printed",
        )
    return roster


async def _stop(*tasks: asyncio.Future[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def serve(config: NodeConfig) -> None:
    """Run a node until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    async def until_stopped() -> None:
        await stop.wait()

    with data_directory.held(config.data_dir):
        daemon = Daemon(config)
        log.info("node started", name=config.name, pid=os.getpid())
        await daemon.run(until_stopped)
    log.info("node stopped", name=config.name)


def run(config: NodeConfig) -> None:
    """`serve` on uvloop."""
    # What was imported lives as long as the process: no need to look through it for garbage each time.
    gc.freeze()
    uvloop.run(serve(config))
