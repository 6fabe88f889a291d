"""How a node is: what it has counted since its start, and what is wrong with it.

Rule 1: what is counted is plain numbers under names of our own: no value, no session's id, no word of a peer.
Rule 2: a snapshot is taken between two steps of the node's loop, so it is consistent; whoever has it may
read it in any thread.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version

from protocol.spec import SessionSpec
from protocol.states import Outcome, State

# Seconds from an announcement to its answer.  Sessions last from a blink to days.
BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0)
LEAST_ROOM = 16 << 20  # bytes: with less, a few letters fill the disk


@dataclass
class Tally:
    """What a node counts as it goes: integers only, so it costs next to nothing."""

    received: int = 0  # letters, and their payloads' bytes
    received_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    retained: int = 0  # of those sent: for the broker to keep,
    unsent: int = 0  # and those for which there was no link
    connections: int = 0
    ended: Counter[tuple[str, str, str]] = field(
        default_factory=Counter
    )  # (function, state, reason) → sessions
    took: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))  # sessions, by BOUNDS
    took_seconds: float = 0.0

    def copy(self) -> Tally:
        """As it is now."""
        return replace(self, ended=self.ended.copy(), took=self.took.copy())

    def end(self, spec: SessionSpec, outcome: Outcome, now: int) -> None:
        """A session is over for us."""
        reason = "" if outcome.ending is None else str(outcome.ending.reason)
        self.ended[spec.function.name, str(outcome.state), reason] += 1
        if outcome.state is State.COMPLETED:
            # The coordinator's clock announced it, and ours may be behind.
            seconds = max(now - spec.created, 0) / 1000
            self.took[bisect.bisect_left(BOUNDS, seconds)] += 1
            self.took_seconds += seconds


@dataclass(frozen=True)
class Snapshot:
    """A node between two steps."""

    tally: Tally  # a copy
    dropped: Mapping[str, int]  # payloads, by reason
    open: Mapping[str, int]  # sessions that are not over, by state
    heard: Mapping[str, int]  # when each party last sent us something that it had signed, Unix milliseconds
    down: float | None  # seconds for which there has been no link; None while there is one
    ledger: str | None  # why the ledger is not trusted
    storage: str | None  # why nothing more is written


@dataclass(frozen=True)
class Health:
    """What a watchman wants to know: whether all is well, and if not, why."""

    problems: tuple[str, ...]
    broker_connected: bool
    sessions_open: int
    ledger_ok: bool
    journal_writable: bool

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def view(self) -> dict[str, object]:
        """The same as a JSON object."""
        return {
            "status": "ok" if self.well else "failing",
            "problems": list(self.problems),
            "broker_connected": self.broker_connected,
            "sessions_open": self.sessions_open,
            "ledger_ok": self.ledger_ok,
            "journal_writable": self.journal_writable,
            "version": version("sotto"),
        }


def examine(snapshot: Snapshot, patience: float, room: int) -> Health:
    """Judge a snapshot: `patience` seconds without a link are no trouble; `room`: bytes left on the disk."""
    problems = []
    if snapshot.down is not None and snapshot.down > patience:
        problems.append(f"no link to the broker for {snapshot.down:.0f} s")
    if snapshot.ledger is not None:
        problems.append(f"ledger not trusted: {snapshot.ledger}")
    storage = snapshot.storage
    if storage is None and room < LEAST_ROOM:
        storage = f"{room >> 20} MiB left on the disk of data_dir"
    if storage is not None:
        problems.append(f"journal not writable: {storage}")
    return Health(
        tuple(problems),
        snapshot.down is None,
        sum(snapshot.open.values()),
        snapshot.ledger is None,
        storage is None,
    )
