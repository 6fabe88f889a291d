"""What a node sent, held and learned in a session: its journal, run once more.

These are the node's own secrets, for its own operator, as long as the journal keeps them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from party_node.active import NOISE, replay_one
from party_node.config import NodeConfig
from party_node.journal import Journal, SessionRow
from party_node.seal import Seal
from party_node.views import find, open_journal
from protocol import ring, sharing
from protocol.bits import Bits
from protocol.errors import SottoError
from protocol.functionalities import Answer, Boolean, Functionality
from protocol.functionalities.histogram import Histogram
from protocol.gates import layers
from protocol.letters import Letter, Part, parse
from protocol.messages import Opened, Step
from protocol.ring import Ring
from protocol.sealed import Outgoing, Unsealed
from protocol.secret import SEED_BYTES
from protocol.session import Session
from protocol.transcript import DIGEST_BYTES

Shown = str | list[str]


def replay(config: NodeConfig, prefix: str) -> dict[str, Any]:
    """Run a session again from its journal, and note what each letter carried.

    All but `input` and `result` is in units of what is shared: of a noised sum, `output` is the sum of what
    is held and kept and of the party's own `noise`, modulo 2^64.
    """
    journal = open_journal(config)
    row = find(journal.sessions(), prefix)
    if row.seed is None:
        raise SottoError(
            f"the secrets of session {row.id[:12]} are deleted",
            "only with `keep_sessions` in the config does a journal keep them after the end",
        )
    return _Replay(config.name, row, journal).found()


class _Replay:
    """One session, run once more."""

    def __init__(self, me: str, row: SessionRow, journal: Journal) -> None:
        if row.seed is None:
            raise SottoError(f"the secrets of session {row.id[:12]} are deleted")
        self._me, self._spec = me, row.spec
        self._seal = Seal(row.id, me, row.seed, bytes)
        self._unsealed: dict[tuple[Step, str], Unsealed] = {}
        self._value = journal.value(row.id)
        self._machine = Session(
            *(self._spec, row.id, me, row.seed, self._value, self._unseal, self._seal.usable),
            setups=journal.setups.of(row.id, self._spec.members),
        )
        self._sent: list[Outgoing] = self._machine.join(self._seal.public_key, row.joined)
        self._arrived: list[Part] = []
        self._noise: Ring | None = None  # our part of it
        for at, payload in journal.arrivals(row.id):
            self._sent += self._taken(at, payload)

    def _taken(self, at: int, payload: bytes | None) -> list[Outgoing]:
        """One arrival of the journal."""
        drawing = self._machine.drawing
        if payload == NOISE and drawing is not None:
            noise = drawing()
            self._noise = noise.elements(self._spec.shape or ())
            return self._machine.drawn(noise, at)
        if payload:
            self._arrived.append(parse(payload))
        return replay_one(self._machine, at, payload)

    def _unseal(self, letter: Letter, view: bytes) -> Unsealed:
        unsealed = self._seal.unseal(letter, view)
        if letter.step is not Step.CORRELATE:
            self._unsealed[letter.step, letter.sender] = unsealed
        return unsealed

    def found(self) -> dict[str, Any]:
        """Everything, ready to be shown."""
        function, answer = self._spec.function, self._machine.outcome.answer
        sent = {each.to: self._share(each.seed, each.body) for each in self._sent if each.step == Step.SHARE}
        held = {
            sender: self._share(each.seed, each.body)
            for (step, sender), each in self._unsealed.items()
            if step == Step.SHARE
        }
        kept = self._kept(list(sent.values()))
        learned = {
            sender: ring.from_bytes(each.body[DIGEST_BYTES + SEED_BYTES :], self._machine.shape)
            for (step, sender), each in self._unsealed.items()
            if step == Step.REVEAL
        }
        output = self._output(held, kept)
        return {
            "session": self._machine.id,
            "party": self._me,
            "input": None if self._value is None else _input(function, self._value),
            "noise": None if self._noise is None else Answer(ring.to_signed(self._noise)).text(),
            "sent": self._shown(sent),
            "kept": None if kept is None else self._numbers(kept),
            "held": self._shown(held),
            "opened": self._opened(),
            "output": None if output is None else self._numbers(output),
            "learned": self._shown(learned),
            "result": None if answer is None else function.text(answer, len(self._machine.outcome.inputs)),
        }

    def _share(self, seed: Any, body: bytes) -> Ring:
        shape = self._machine.shape
        return seed.expand(shape) if seed else ring.from_bytes(body, shape)

    def _kept(self, sent: list[Ring]) -> Ring | None:
        """What is left of our input once the others' shares are taken off."""
        if (
            self._value is None
            or self._me not in self._spec.compute
            or self._machine.shape != self._value.shape
        ):
            return None
        group = self._spec.function.group
        return np.array(group.minus(self._value, sharing.reconstruct(sent, self._value.shape, group)))

    def _output(self, held: dict[str, Ring], kept: Ring | None) -> Ring | None:
        """Our output share: what we revealed of it, or, as the only one who learns, what we hold."""
        for each in self._sent:
            if each.step == Step.REVEAL:
                return ring.from_bytes(each.body[DIGEST_BYTES + SEED_BYTES :], self._machine.shape)
        every = held if kept is None else {**held, self._me: kept}
        counted = self._machine.outcome.inputs
        if self._spec.function.interactive or not counted or self._me not in self._spec.compute:
            return None
        noise = [] if self._noise is None else [self._noise]
        return sharing.reconstruct([*(every[name] for name in counted), *noise], self._machine.shape)

    def _opened(self) -> dict[str, str]:
        """What the gates of each round opened, as bits."""
        own = {each.round: each.body for each in self._sent if each.step == Step.OPENED}
        told = {part.header.round: part.body for part in self._arrived if part.header.step == Step.OPENED}
        function, n = self._spec.function, len(self._machine.outcome.inputs)
        if not isinstance(function, Boolean) or not (own or told):
            return {}
        noises = [Bits.zeros(len(self._spec.compute))] * self._spec.noise_width
        gates = layers(function.circuit(Bits.zeros(n), Bits.zeros(1), noises))
        return {
            str(round_): _bits(Opened.decode(body).bits, 2 * gates[round_ - 1])
            for round_, body in sorted((own | told).items())
        }

    def _numbers(self, elements: Ring) -> Shown:
        if self._spec.function.interactive:
            return str(int(elements) & 1)  # a share of one bit
        return str(int(elements)) if elements.ndim == 0 else [str(each) for each in elements.tolist()]

    def _shown(self, shares: dict[str, Ring]) -> dict[str, Shown]:
        return {name: self._numbers(elements) for name, elements in shares.items()}


def _input(function: Functionality, value: Ring) -> Shown:
    """What went in, as its party would write it."""
    if isinstance(function, Histogram):
        return str(int(value.argmax()) + 1)  # the number of the one bin that it is in
    if function.local_epsilon is not None:  # what was true, only the config tells
        return "yes, after the coins" if int(value) else "no, after the coins"
    if function.interactive:
        return "yes" if int(value) else "no"
    return Answer(ring.to_signed(value), function.domain(1).decimals).text()


def _bits(raw: bytes, length: int) -> str:
    every = Bits.from_bytes(raw, length).to_bools()
    return "".join(str(int(each)) for each in every.tolist())


def replay_lines(found: dict[str, Any]) -> list[str]:
    """A replay for people."""
    lines = [f"{found['party']} in session {found['session'][:12]}"]
    for key in ("input", "kept", "sent", "held", "noise", "opened", "output", "learned", "result"):
        value = found[key]
        if isinstance(value, dict):
            lines += [f"{key:8} {name}: {each}" for name, each in value.items()]
        elif value is not None:
            lines.append(f"{key:8} {value}")
    return lines
