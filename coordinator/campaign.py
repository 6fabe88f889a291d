"""Runs one command's worth of coordinator: connect, announce or watch, and see what becomes of it."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from coordinator.observe import PUBLIC_STEPS, SessionView
from party_node.config import CoordinatorConfig
from party_node.daemon import Daemon, now_ms
from party_node.transport import probe
from protocol.errors import BrokerError
from protocol.letters import ALL, Part
from protocol.messages import Abort, AbortReason, Request, Step
from protocol.spec import SessionSpec, session_id
from protocol.states import OVER, Outcome, State

CONNECT_SECONDS = 5.0
ASK_SECONDS = 1.0  # without news, ask the members for the public letters
GRACE_MS = 2_000  # after close_by, for the last letters to arrive

Progress = Callable[[SessionView, Outcome], None]


class Campaign:
    """One session as its coordinator follows it."""

    def __init__(self, config: CoordinatorConfig, spec: SessionSpec, progress: Progress) -> None:
        self.id = session_id(spec.encode())
        self._config, self._spec, self._progress = config, spec, progress
        self._daemon = Daemon(config, self._on_part, sealed=config.name in spec.members)
        self._daemon.node.watched.add(self.id)
        self._view = SessionView(spec, self.id)

    def _on_part(self, part: Part, _payload: bytes) -> None:
        self._view.add(part)

    # -- what a command does ---------------------------------------------------------------------------

    async def launch(self) -> None:
        """Announce, and follow to the end."""

        async def work() -> None:
            await self._connected()
            self._daemon.node.announce(self._spec, now_ms())
            self._daemon.step()
            await self._follow()
            self._daemon.node.withdraw(self.id)
            self._daemon.step()

        with _ours(self._config.data_dir, self.id):
            await self._daemon.run(work, only="")

    async def watch(self, seconds: float | None = None) -> None:
        """Follow a session that was announced before, to its end or for some seconds."""

        async def work() -> None:
            await self._connected()
            self._ask()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._follow()

        with _ours(self._config.data_dir, self.id) as ours:
            await self._daemon.run(work, only=self.id if ours else "")

    async def cancel(self) -> None:
        """Tell everybody that the session is over."""
        detail = f"cancelled by {self._spec.coordinator}"
        abort = Abort(reason=AbortReason.CANCELLED, detail=detail)

        async def work() -> None:
            await self._connected()
            self._ask()
            self._daemon.node.say(self.id, Step.ABORT, ALL, abort.encode())
            self._daemon.node.withdraw(self.id)
            self._daemon.step()
            await self._follow()

        with _ours(self._config.data_dir, self.id) as ours:
            await self._daemon.run(work, only=self.id if ours else "")

    # -- how -------------------------------------------------------------------------------------------

    async def _connected(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._daemon.transport.wait_connected()
        except TimeoutError:
            await probe(self._config.broker, self._config.name)
            raise BrokerError(
                "the broker lets us in, but does not keep us", "its own log should say why"
            ) from None

    def _ask(self) -> None:
        """Ask every member for its public letters: what the broker dropped, or sent before we came."""
        node = self._daemon.node
        for name in self._spec.members:
            if name != node.me:
                node.say(self.id, Step.REQUEST, name, Request(steps=PUBLIC_STEPS).encode())
        self._daemon.step()

    async def _follow(self) -> None:
        """Until the session is over, or its time."""
        while True:
            self._daemon.changed.clear()
            outcome = self._outcome()
            self._progress(self._view, outcome)
            if outcome.state in OVER or now_ms() > self._spec.close_by + GRACE_MS:
                break
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    await self._daemon.changed.wait()
            except TimeoutError:
                self._ask()
        row = self._daemon.journal.session(self.id)
        if row is not None and row.seed is None and row.ended is None and outcome.state in OVER:
            self._daemon.node.conclude(self.id, outcome, now_ms())
            self._daemon.step()

    def _outcome(self) -> Outcome:
        """Our own part's outcome where we have one, else what the public letters show."""
        seen = self._view.outcome()
        own = self._daemon.node.outcome(self.id)
        if own is not None and own.state in OVER:
            return own
        row = self._daemon.journal.session(self.id)
        if row is None or row.seed is None:
            return seen
        # While our own part goes on, here or in another command, the session is not over for us,
        # whatever the others have said.
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
