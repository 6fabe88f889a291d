"""Runs one command's worth of coordinator: connect, announce or watch, and see what becomes of it."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from coordinator.observe import SessionView
from party_node.config import CoordinatorConfig
from party_node.daemon import Daemon, now_ms
from party_node.transport import probe
from protocol.errors import BrokerError
from protocol.letters import ALL, Part
from protocol.messages import Abort, AbortReason, Request, Step
from protocol.spec import SessionSpec, session_id
from protocol.states import OVER, Outcome, State

CONNECT_SECONDS = 10.0
ASK_SECONDS = 1.0  # without news, ask the members for the public letters
GRACE_MS = 2_000  # after close_by, for the last letters to arrive

Progress = Callable[[SessionView, Outcome], None]


class Campaign:
    """One session as its coordinator follows it."""

    def __init__(self, config: CoordinatorConfig, progress: Progress) -> None:
        self._config, self._progress = config, progress
        self._daemon = Daemon(config, self._on_part)
        self._views: dict[str, SessionView] = {}

    def _on_part(self, part: Part, _payload: bytes) -> None:
        self._views[part.header.session].add(part)

    # -- what a command does ---------------------------------------------------------------------------

    async def launch(self, spec: SessionSpec) -> str:
        """Announce, and follow to the end.  Returns the session's id."""
        session = session_id(spec.encode())

        async def work() -> None:
            await self._connected()
            self._watch(session, spec)
            self._daemon.node.announce(spec, now_ms())
            self._daemon.step()
            await self._follow(session)
            self._daemon.node.withdraw(session)
            self._daemon.step()

        with _ours(self._config.data_dir, session):
            await self._daemon.run(work, only="")
        return session

    async def watch(self, session: str, spec: SessionSpec, seconds: float | None = None) -> None:
        """Follow a session that was announced before, to its end or for some seconds."""

        async def work() -> None:
            await self._connected()
            self._watch(session, spec)
            self._ask(session)
            try:
                async with asyncio.timeout(seconds):
                    await self._follow(session)
            except TimeoutError:
                return

        with _ours(self._config.data_dir, session) as ours:
            await self._daemon.run(work, only=session if ours else "")

    async def cancel(self, session: str, spec: SessionSpec) -> None:
        """Tell everybody that the session is over."""
        abort = Abort(reason=AbortReason.CANCELLED, detail=f"cancelled by {spec.coordinator}")

        async def work() -> None:
            await self._connected()
            self._watch(session, spec)
            self._ask(session)
            self._daemon.node.say(session, Step.ABORT, ALL, abort.encode())
            self._daemon.node.withdraw(session)
            self._daemon.step()
            await self._follow(session)

        await self._daemon.run(work, only="")

    # -- how -------------------------------------------------------------------------------------------

    async def _connected(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._daemon.transport.wait_connected()
        except TimeoutError:
            await probe(self._config.broker, self._config.name)
            raise BrokerError("the broker does not let us stay connected", "is its log telling?") from None

    def _watch(self, session: str, spec: SessionSpec) -> None:
        self._views[session] = SessionView(spec, session)
        self._daemon.node.watched.add(session)

    def _ask(self, session: str) -> None:
        """Ask every member for its public letters: what the broker dropped, or sent before we came."""
        node = self._daemon.node
        for name, steps in self._views[session].missing().items():
            if name != node.me:
                node.say(session, Step.REQUEST, name, Request(steps=steps).encode())
        self._daemon.step()

    async def _follow(self, session: str) -> None:
        """Until the session is over, or its time."""
        view = self._views[session]
        while True:
            self._daemon.changed.clear()
            outcome = self._outcome(session)
            self._progress(view, outcome)
            if outcome.state in OVER:
                break
            if now_ms() > view.spec.close_by + GRACE_MS:
                break
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    await self._daemon.changed.wait()
            except TimeoutError:
                self._ask(session)
        row = self._daemon.journal.session(session)
        if row is not None and row.seed is None and row.ended is None and outcome.state in OVER:
            self._daemon.node.conclude(session, outcome, now_ms())
            self._daemon.step()

    def _outcome(self, session: str) -> Outcome:
        """Our own part's outcome where we have one, else what the public letters show."""
        seen = self._views[session].outcome()
        own = self._daemon.node.outcome(session)
        if own is None:
            return seen
        if own.state in OVER:
            return own
        # While our own part goes on, the session is not over for us, whatever the others have said.
        return replace(seen, state=State.CONFIRMING) if seen.state in OVER else seen


@contextmanager
def _ours(data_dir: Path, session: str) -> Iterator[bool]:
    """True if no other process of this coordinator takes part in the session."""
    path = data_dir / f"{session}.lock"
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            path.unlink(missing_ok=True)
