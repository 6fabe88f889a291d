"""Keeps the books on correlations: which triples masked what, and under which context keys were extended.

Nothing may serve twice: not in two sessions, not for two values, not after a crash.  A replay that comes to
the very same bytes is no second use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from protocol.beaver import Run, Triples
from protocol.bits import Bits, concat
from protocol.correlation import ChoiceKeys, PairKeys, extension
from protocol.rounds import Evaluation
from protocol.transcript import digest

Label = tuple[str, str]  # party and session


class Ledger:
    """What was used, by whom.  AssertionError as soon as something is used for a second purpose."""

    def __init__(self) -> None:
        self.seeds: dict[bytes, Label] = {}  # of the preparations
        self.triples: dict[Label, bytes] = {}  # our shares of all triples of a session
        self.masks: dict[tuple[Label, int], tuple[bytes, bytes]] = {}  # (…, place) → mask, what it masked
        self.extensions: dict[tuple[str, bytes], bytes] = {}  # (side, keys) → context and what went in
        self.repeated = 0  # uses that a crash has brought again, byte by byte
        self._labels: dict[int, Label] = {}  # of the triples that are in use, by object
        self._kept: list[Triples] = []  # so that no object's number is given out again
        self._now: Label | None = None

    def start(
        self, evaluation: Evaluation, view: bytes, counted: tuple[str, ...], inputs: Bits, noise: int
    ) -> None:
        """Around `Evaluation.start`: the triples that are handed out belong to this party and session."""
        label = self._now = (evaluation._me, evaluation._session)
        seed = evaluation._preparation._secrets.seed.expose()
        assert self.seeds.setdefault(seed, label) == label, f"{label} draws from another session's seed"
        _start(evaluation, view, counted, inputs, noise)
        self._now = None

    def handed_out(self, triples: Triples, a: Bits, b: Bits, c: Bits) -> None:
        """After `Triples.__init__`."""
        if self._now is None:
            return
        self._labels[id(triples)] = self._now
        self._kept.append(triples)
        raw = digest("triples", *(each.to_bytes() for each in (a, b, c)))
        assert self.triples.setdefault(self._now, raw) == raw, f"{self._now} has other triples after a crash"
        if len(a) >= 64:  # so many that they are not the same by chance
            assert [label for label, each in self.triples.items() if each == raw] == [self._now]

    def masked(self, run: Run[Any], count: int) -> None:
        """After `Run._begin_round`, before which `count` triples were left: the next of them mask this."""
        label = self._labels.get(id(run._triples))
        if label is None or run.masked is None:
            return
        use = (concat(run._triple[:2]).to_bytes(), run.masked.to_bytes())
        for place in range(count - len(run._triple[0]), count):
            known = self.masks.setdefault((label, place), use)
            assert known == use, f"triple {place} of {label} masks two things"
            self.repeated += known is not use

    def extended(self, side: str, keys: PairKeys | ChoiceKeys, *went_in: bytes) -> None:
        """Before an extension: keys serve in one context, for the same bits."""
        use, key = digest("in", *went_in), (side, digest("keys", keys.to_bytes()))
        assert self.extensions.setdefault(key, use) == use, f"a {side}'s setup serves twice"


_start = Evaluation.start
_init = Triples.__init__
_begin_round = Run._begin_round
_receive = extension.Receiver.__init__
_send = extension.send


@contextmanager
def audited() -> Iterator[Ledger]:
    """For the length of a `with` block every use of a correlation is written down."""
    ledger = Ledger()

    def start(self: Evaluation, view: bytes, counted: tuple[str, ...], inputs: Bits, noise: int) -> None:
        ledger.start(self, view, counted, inputs, noise)

    def init(self: Triples, a: Bits, b: Bits, c: Bits) -> None:
        _init(self, a, b, c)
        ledger.handed_out(self, a, b, c)

    def begin_round(self: Run[Any]) -> None:
        count = self._triples.left
        _begin_round(self)
        ledger.masked(self, count)

    def receive(
        self: extension.Receiver, keys: PairKeys, choices: Bits, fresh: bytes, context: bytes
    ) -> None:
        ledger.extended("receiver", keys, context, choices.to_bytes(), fresh)
        _receive(self, keys, choices, fresh, context)

    def send(keys: ChoiceKeys, message: bytes, x: Bits, context: bytes) -> tuple[bytes, Bits, PairKeys]:
        ledger.extended("sender", keys, context, message, x.to_bytes())
        return _send(keys, message, x, context)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evaluation, "start", start)
        patch.setattr(Triples, "__init__", init)
        patch.setattr(Run, "_begin_round", begin_round)
        patch.setattr(extension.Receiver, "__init__", receive)
        patch.setattr(extension, "send", send)
        yield ledger
