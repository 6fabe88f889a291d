"""What goes out of a session and what a sealed letter held, before any cipher has touched it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from protocol.letters import Letter
from protocol.messages import Step, stage
from protocol.secret import Seed


@dataclass(frozen=True)
class Outgoing:
    """A letter to send.  Plain where `recipients` is empty; else `seed` or `body` is sealed to them.

    `round` is 0 except in steps that have rounds.  The seal opens under the same `view` alone.  `opened`
    names recipients that have shown that they hold the channel from us.
    """

    step: Step
    to: str
    body: bytes = field(default=b"", repr=False)
    recipients: tuple[str, ...] = ()
    seed: Seed | None = None
    opened: frozenset[str] = frozenset()
    round: int = 0
    view: bytes = b""

    @property
    def stage(self) -> str:
        """Step and round in one word."""
        return stage(self.step, self.round)


@dataclass(frozen=True, repr=False)
class Unsealed:
    """What a sealed letter held for us: its slot's 32 bytes, or the body under the slot's key."""

    seed: Seed | None
    body: bytes


Unseal = Callable[[Letter, bytes], Unsealed]  # (letter, view); MalformedError if it does not open
