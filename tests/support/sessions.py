"""Sessions around one table: real `Session` objects, with the letters in the test's own hands.

Only sealing is replaced, by envelopes that open under the view that they were closed under and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from hashlib import sha256

import numpy as np
from hypothesis import settings

from party_node.seal import Seal
from protocol.functionalities import Functionality
from protocol.functionalities.sum import Sum
from protocol.letters import ALL, COMPUTE, Letter, Part, Slot, cut, frame, parse
from protocol.letters import Header as PartHeader
from protocol.mailbox import STEPS
from protocol.messages import MalformedError, RefusalCode, Statement, Step
from protocol.ring import Ring
from protocol.rounds import NewSetup, Setups
from protocol.sealed import Outgoing, Unsealed
from protocol.secret import Seed
from protocol.session import Session
from protocol.sharing import Share
from protocol.spec import SessionSpec, session_id
from protocol.states import Outcome, State

NOW = 1_700_000_000_000  # Unix milliseconds
PARTIES = ("alice", "bob", "carlos", "david")
RAISES = {"alice": 380000, "bob": 251400, "carlos": 298200, "david": 339000}  # cents

# The same examples in every run, however slow the machine.
repeatable = settings(derandomize=True, deadline=None, database=None)

Value = int | list[int]
Wire = Callable[[str, Part], list[Part]]  # (reader, part) → what the reader gets


def seed_of(label: str) -> Seed:
    """A seed that only this label has."""
    return Seed(sha256(label.encode()).digest())


@cache
def sealing_key(name: str) -> bytes:
    """A real sealing key for a join."""
    return Seal("0" * 64, name, seed_of(name), lambda _: b"").public_key


def elements(value: Value) -> Ring:
    """Signed integers as a ring scalar or vector."""
    return np.array(value, dtype=np.int64).view(np.uint64)


def make_spec(
    function: Functionality | None = None,
    inputs: tuple[str, ...] = PARTIES,
    compute: tuple[str, ...] | None = None,
    results: tuple[str, ...] | None = None,
    **fields: object,
) -> SessionSpec:
    """A spec in which everybody has every role, with whatever fields are given."""
    roles = (inputs, compute or inputs, results or inputs)
    members = dict.fromkeys(name for role in roles for name in role)
    given: dict[str, object] = {
        "function": function or Sum(),
        "noise": None,
        "input": "raise",
        "coordinator": "coordinator",
        "members": {name: sha256(name.encode()).digest() for name in members},
        "inputs": roles[0],
        "compute": roles[1],
        "results": roles[2],
        "min_inputs": len(inputs),
        "public": False,
        "created": NOW,
        "join_by": NOW + 1000,
        "share_by": NOW + 2000,
        "close_by": NOW + 3000,
        "nonce": bytes(16),
    }
    return SessionSpec.model_validate(given | fields)


def make_part(
    session: str,
    step: Step,
    sender: str,
    to: str = ALL,
    body: bytes = b"",
    slots: tuple[Slot, ...] = (),
    part: int = 0,
    parts: int = 1,
    round_: int = 0,
) -> Part:
    """One part of a letter, with a signature that nobody looks at."""
    header = PartHeader(
        session=session,
        step=step,
        round=round_,
        sender=sender,
        to=to,
        part=part,
        parts=parts,
        slots=slots,
    )
    return parse(frame(header.encode(), body, bytes(64)))


def said(session: str, sender: str, statement: Statement, to: str = ALL, round_: int = 0) -> Part:
    """A statement as a part."""
    return make_part(session, STEPS[type(statement)], sender, to, statement.encode(), round_=round_)


def rewritten(part: Part, body: bytes) -> Part:
    """The same letter with another body, as its sender could have signed it."""
    return parse(frame(part.header.encode(), body, bytes(64)))


class Table:
    """All parties of one session.  `wire` decides what of a letter reaches whom."""

    def __init__(
        self,
        spec: SessionSpec | None = None,
        values: Mapping[str, Value] | None = None,
        absent: Iterable[str] = (),
        wire: Wire = lambda _reader, part: [part],
        setups: Mapping[str, Setups] | None = None,
        without_noise: Iterable[str] = (),
    ) -> None:
        """`setups` is what each party has kept from earlier sessions; some may never draw their noise."""
        self.spec = spec or make_spec()
        self.id = session_id(self.spec.encode())
        self.wire = wire
        self.now = self.spec.created
        self.letters: list[tuple[str, Outgoing]] = []  # everything that was sent, in order
        self.parts: list[Part] = []
        self.made: dict[str, list[NewSetup]] = {}  # by party: what it would keep for later sessions
        self.arrivals: dict[str, list[tuple[int, Part | None]]] = {}
        self.noises: dict[str, Share] = {}  # by party, once drawn
        self._without_noise = frozenset(without_noise)
        self._queue: list[tuple[str, Part]] = []
        self._values = RAISES if values is None else values
        self._setups = setups or {}
        present = [name for name in self.spec.members if name not in set(absent)]
        self.sessions = {name: self.fresh(name) for name in present}

    def fresh(self, name: str) -> Session:
        """A party's session before its first step, always with the same seed, value and setups."""
        value = elements(self._values[name]) if name in self.spec.inputs else None
        seed, setups = seed_of(f"{name} in {self.id}"), self._setups.get(name)
        return Session(self.spec, self.id, name, seed, value, _opener(name), setups=setups)

    # -- what a test does --------------------------------------------------------------------------

    def start(self) -> Table:
        """Everybody joins."""
        for name, session in self.sessions.items():
            self.arrivals[name] = []
            self._post(name, session.join(sealing_key(name), self.now))
        for name in self.sessions:
            self.draw(name)
        return self

    def draw(self, name: str) -> None:
        """A party's noise is there, if it adds any."""
        session = self.sessions[name]
        if session.drawing is not None and name not in self._without_noise:
            self.noises[name] = session.drawing()
            self._post(name, session.drawn(self.noises[name], self.now))

    def refuse(self, name: str) -> None:
        """A party that is not at the table says no."""
        self._post(name, self.fresh(name).refuse(RefusalCode.POLICY, "not today"))

    def put(self, reader: str, part: Part) -> None:
        """Something that the test has made itself arrives, now."""
        self._deliver(reader, part)

    def deliver(self) -> Table:
        """Hand out what is on its way until nothing is, without the clock."""
        while self._queue:
            self._deliver(*self._queue.pop(0))
        return self

    def run(self) -> Table:
        """Deliver, and let the clock run on to the next deadline, until every session is over."""
        while dues := [
            each.deadline for each in self.deliver().sessions.values() if each.deadline is not None
        ]:
            self.now = max(self.now, min(dues))
            for name, session in self.sessions.items():
                self.arrivals[name].append((self.now, None))
                self._post(name, session.tick(self.now))
        return self

    def outcome(self, name: str) -> Outcome:
        """How things stand at one party."""
        return self.sessions[name].outcome

    def texts(self) -> dict[str, str | list[str]]:
        """The answers, at those who have one and have not been given a reason to doubt it."""
        stands = {
            name: each.outcome for name, each in self.sessions.items() if each.state is not State.ABORTED
        }
        return {name: each.answer.text() for name, each in stands.items() if each.answer is not None}

    def steps(self, sender: str) -> list[Step]:
        """What one party has sent."""
        return [letter.step for name, letter in self.letters if name == sender]

    # -- wires -------------------------------------------------------------------------------------

    def _deliver(self, reader: str, part: Part) -> None:
        session = self.sessions.get(reader)
        if session is None:
            return
        self.arrivals[reader].append((self.now, part))
        self._post(reader, session.receive(part, self.now))
        self.made.setdefault(reader, []).extend(session.new_setups())

    def _post(self, sender: str, letters: list[Outgoing]) -> None:
        for letter in letters:
            self.letters.append((sender, letter))
            for part in envelopes(self.id, sender, letter):
                self.parts.append(part)
                readers = [name for name in self.spec.members if name != sender and self._reads(name, letter)]
                self._queue += [(reader, each) for reader in readers for each in self.wire(reader, part)]

    def _reads(self, name: str, letter: Outgoing) -> bool:
        return letter.to in (ALL, name) or (letter.to == COMPUTE and name in self.spec.compute)


def envelopes(session: str, sender: str, letter: Outgoing) -> list[Part]:
    """A letter as parts; what is sealed is readable here, but marked with the view."""
    seed, view = letter.seed.expose() if letter.seed else bytes(32), letter.view or bytes(32)
    slots = tuple(Slot(to=to, open=None, box=seed + view[:16]) for to in letter.recipients)
    body = view + letter.body if letter.recipients and not letter.seed else letter.body
    chunks = list(cut(body))
    return [
        make_part(
            session,
            letter.step,
            sender,
            letter.to,
            chunk,
            slots if index == 0 else (),
            index,
            len(chunks),
            letter.round,
        )
        for index, chunk in enumerate(chunks)
    ]


def _opener(me: str) -> Callable[[Letter, bytes], Unsealed]:
    def unseal(letter: Letter, view: bytes) -> Unsealed:
        box, view = next((slot.box for slot in letter.slots if slot.to == me), b""), view or bytes(32)
        if box[32:] != view[:16]:
            raise MalformedError(f"{letter.step} from {letter.sender} does not open")
        if letter.chunks == (b"",):
            return Unsealed(Seed(box[:32]), b"")
        return Unsealed(None, letter.body.removeprefix(view))

    return unseal


# -- wires for tests -------------------------------------------------------------------------------


def losing(step: Step, sender: str, *readers: str) -> Wire:
    """Loses one step of one sender on its way to `readers`, or to everybody."""

    def wire(reader: str, part: Part) -> list[Part]:
        hit = (part.header.step, part.header.sender) == (step, sender)
        return [] if hit and (not readers or reader in readers) else [part]

    return wire


def changing(step: Step, sender: str, change: Callable[[bytes], bytes], *readers: str) -> Wire:
    """The sender writes something else to `readers`, or to everybody."""

    def wire(reader: str, part: Part) -> list[Part]:
        hit = (part.header.step, part.header.sender) == (step, sender)
        return [rewritten(part, change(part.body))] if hit and (not readers or reader in readers) else [part]

    return wire


def flipped(body: bytes, at: int = -1) -> bytes:
    """`body` with one bit changed."""
    raw = bytearray(body)
    raw[at] ^= 1
    return bytes(raw)


def reboxed(part: Part, box: bytes) -> Part:
    """The same sealed letter with another box for everybody."""
    slots = tuple(slot.model_copy(update={"box": box}) for slot in part.header.slots)
    header = part.header.model_copy(update={"slots": slots})
    return replace(parse(frame(header.encode(), part.body, bytes(64))))
