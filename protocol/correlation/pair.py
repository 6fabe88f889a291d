"""Two compute parties' halves of one OT extension, base transfers included: letters in, letters out.

    step 1   sender → receiver    the points of the base transfers
    step 2   receiver → sender    their corrections, and the extension's columns
    step 3   sender → receiver    the extension's correction bits

With a stored setup step 1 falls away, and step 2 is the columns alone.  Each run makes the next setup.
"""

from __future__ import annotations

from typing import Self

from protocol.bits import Bits
from protocol.correlation import base_ot, extension
from protocol.correlation.base_ot import CORRECTION_BYTES, ChoiceKeys, Chosen, PairKeys
from protocol.secret import Seed

POINTS, COLUMNS, CORRECTION = 1, 2, 3

Sent = list[tuple[int, bytes]]  # step and body


class Sender:
    """The half with the bits x; receiver of the base transfers."""

    def __init__(self, x: Bits, context: bytes, setup: ChoiceKeys | Chosen) -> None:
        self.awaits: int | None = COLUMNS
        self.made: PairKeys | None = None
        self.share = Bits.zeros(x.length)  # until nothing is awaited
        self._x = x
        self._context = context
        self._setup = setup

    @classmethod
    def begin(cls, x: Bits, context: bytes, offer: bytes, seed: Seed) -> tuple[Self, Sent]:
        """Without a setup: step 1 out; MalformedError if the receiver's offer is no point of the group."""
        points, chosen = base_ot.choose(offer, seed, context)
        return cls(x, context, chosen), [(POINTS, points)]

    def take(self, body: bytes) -> Sent:
        """Step 2 in, step 3 out; MalformedError changes nothing."""
        if isinstance(self._setup, ChoiceKeys):
            keys, columns = self._setup, body
        else:
            keys, columns = self._setup.finish(body[:CORRECTION_BYTES]), body[CORRECTION_BYTES:]
        correction, self.share, self.made = extension.send(keys, columns, self._x, self._context)
        self.awaits = None
        return [(CORRECTION, correction)]


class Receiver:
    """The half with the choices; sender of the base transfers, out of the seed of its offer."""

    def __init__(self, choices: Bits, fresh: bytes, context: bytes, offer_seed: Seed) -> None:
        self.awaits: int | None = POINTS
        self.made: ChoiceKeys | None = None
        self.share = Bits.zeros(choices.length)  # until nothing is awaited
        self._choices = choices
        self._fresh = fresh  # choices of the next setup
        self._context = context
        self._offer_seed = offer_seed

    def take(self, body: bytes) -> Sent:
        """Step 1 in, step 2 out, or step 3 in; MalformedError changes nothing."""
        if self.awaits == POINTS:
            corrections, keys = base_ot.accept(self._offer_seed, body, self._context)
            return self.extend(keys, corrections)
        self.share = self._extension.finish(body)
        self.awaits = None
        return []

    def extend(self, keys: PairKeys, corrections: bytes = b"") -> Sent:
        """Step 2, out of keys that were made before or just now."""
        self._extension = extension.Receiver(keys, self._choices, self._fresh, self._context)
        self.made = self._extension.made
        self.awaits = CORRECTION
        return [(COLUMNS, corrections + self._extension.message)]
