"""What a corrupt member does to its own letters: it has its identity key and a real node's real state.

Everything leaves signed with its true key, so a signature proves nothing but who is to blame.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag

from party_node.active import ActiveSession
from party_node.post import Publication
from party_node.seal import Seal, _decrypt_chunks, _encrypt_chunks, _slot_cipher
from protocol import ring
from protocol.correlation.group import IDENTITY, SCALAR_BYTES, Scalar
from protocol.letters import ALL, MOST_PARTS, Header, Part, Slot, frame, letter_digest, parse
from protocol.mailbox import STATEMENTS
from protocol.messages import IN_ROUNDS, SEALED, MalformedError, RefusalCode, Refuse, Step
from protocol.secret import SEED_BYTES, Seed
from tests.support.network import Network

NONCE = bytes(12)
STRANGER = "p99"
Forged = list[tuple[Header, bytes]]


class Forger:
    """Flawed letters of one party.  The same letter with the same flaw is always the same bytes."""

    def __init__(self, network: Network, me: str, seed: int) -> None:
        self.network, self.me = network, me
        self.random = random.Random(seed)
        self._made: dict[tuple[bytes, str], list[Publication]] = {}
        self.active: ActiveSession  # the sending node's session, while a letter of it is forged

    def forge(self, sent: Publication, flaw: str, origin: str) -> list[Publication]:
        """The letter with this flaw in it; nothing where it cannot have it.

        `origin` is the node that has sent it: the corrupt member may have two.
        """
        if (sent.payload, flaw) not in self._made:
            forged: Forged = []
            # It may be so flawed already that it cannot be made worse in this way.
            with suppress(InvalidTag, MalformedError):
                part = parse(sent.payload)
                if self._knows(origin, part.header.session):
                    forged = self._flawed(part, flaw)
            self._made[sent.payload, flaw] = [self.signed(*each) for each in forged]
        return self._made[sent.payload, flaw]

    def _knows(self, origin: str, session: str) -> bool:
        """Take hold of the sending node's session; what is over is not forged any more."""
        active = self.network.nodes[origin]._active.get(session)
        if active is not None:
            self.active = active
        return active is not None

    def signed(self, header: Header, body: bytes) -> Publication:
        """A part under our own name."""
        raw = header.encode()
        signature = self.network.keys[self.me].sign(letter_digest(raw, body))
        place = f"{header.session}/{header.stage}/{header.sender}/{header.to}/{header.part}"
        return Publication(f"sotto/1/session/{place}", frame(raw, body, signature))

    def nonsense(self, session: str, step: Step, to: str) -> Publication:
        """A letter of this step without any sense in it."""
        bytes_of = self.random.randbytes
        slots = tuple(Slot(to=name, open=None, box=bytes_of(48)) for name in self.network.names)
        header = Header(
            session=session,
            step=step,
            round=int(step in IN_ROUNDS),
            sender=self.me,
            to=to,
            slots=slots if step in SEALED else (),
        )
        return self.signed(header, bytes_of(self.random.choice([0, 7, 2048])))

    def _flawed(self, part: Part, flaw: str) -> Forged:
        step = str(part.header.step)
        if flaw in ANY:
            return ANY[flaw](self, part)
        if part.header.step in SEALED:
            return SEALED_FLAWS[flaw](self, part)
        if flaw == "a refusal besides":
            refusal = part.header.model_copy(update={"step": Step.REFUSE, "to": ALL})
            return [(refusal, Refuse(code=RefusalCode.INPUT).encode()), (part.header, part.body)]
        statement = STATEMENTS[part.header.step].decode(part.body)
        changed = PLAIN[step, flaw](self, part, statement)
        return [(part.header, statement.model_copy(update=changed).encode())] if changed else []

    # -- what we know ------------------------------------------------------------------------------------

    def others(self, part: Part) -> Sequence[Part]:
        """What others have said under this step, the latest first."""
        stage, session = part.header.stage, part.header.session
        topics = [
            (sent.topic.split("/"), sent.payload) for sent in reversed(self.network.tap) if sent.payload
        ]
        return [
            parse(payload)
            for levels, payload in topics
            if levels[3:5] == [session, stage] and levels[5] != self.me
        ]

    def unseal(self, part: Part) -> tuple[Seed, bytes]:
        """What we have sealed: the secret of the slots, and the body under it."""
        if not part.header.slots:
            raise MalformedError("nothing that we have sealed")
        slot = part.header.slots[0]
        secret = Seed(self._cipher(part, slot.to).decrypt(NONCE, slot.box, None))
        return secret, _decrypt_chunks(secret, (part.body,)) if part.body else b""

    def seal(self, part: Part, secret: Seed, body: bytes | None) -> Forged:
        """The same letter with another content; no body for a seed letter."""
        slots = tuple(
            slot.model_copy(update={"box": self._cipher(part, slot.to).encrypt(NONCE, secret.expose(), None)})
            for slot in part.header.slots
        )
        header = part.header.model_copy(update={"slots": slots})
        return [(header, b"" if body is None else _encrypt_chunks(secret, body)[0])]

    def _cipher(self, part: Part, to: str) -> Any:
        header = part.header
        bound = b"" if header.step is Step.CORRELATE else self.active.machine.view
        channel = self.active._seal._seed.derive("channel", to)
        return _slot_cipher(channel, header.stage, header.to, bound)

    def seed(self) -> Seed:
        """Coins."""
        return Seed(self.random.randbytes(SEED_BYTES))

    def sealing_key(self, part: Part) -> bytes:
        """Another one that is as good."""
        return Seal(part.header.session, self.me, self.seed(), self.random.randbytes).public_key


# -- of any letter -------------------------------------------------------------------------------------------


def _garbage(forger: Forger, part: Part) -> Forged:
    return [(part.header, forger.random.randbytes(40))]


def _empty(_forger: Forger, part: Part) -> Forged:
    return [(part.header, b"")]


def _another_statement(_forger: Forger, part: Part) -> Forged:
    return [(part.header, Refuse(code=RefusalCode.INPUT).encode())]


def _many_parts(_forger: Forger, part: Part) -> Forged:
    return [(part.header.model_copy(update={"parts": MOST_PARTS}), part.body)]


def _a_late_part(_forger: Forger, part: Part) -> Forged:
    late = {"part": MOST_PARTS - 1, "parts": MOST_PARTS, "slots": ()}
    return [(part.header.model_copy(update=late), part.body)]


def _copied(forger: Forger, part: Part) -> Forged:
    """What somebody else has said, under our name."""
    return [
        (part.header.model_copy(update={"slots": each.header.slots}), each.body)
        for each in forger.others(part)[:1]
    ]


def _replayed(forger: Forger, part: Part) -> Forged:
    """What we have said ourselves under this step, in another session or another round."""
    found = []
    for sent in forger.network.tap:
        levels = sent.topic.split("/")
        if sent.payload and levels[5] == forger.me and levels[4].split("-")[0] == part.header.step:
            other = parse(sent.payload)
            if (other.header.session, other.header.stage) != (part.header.session, part.header.stage):
                found.append((part.header.model_copy(update={"slots": other.header.slots}), other.body))
    return found[:1]


ANY: dict[str, Callable[[Forger, Part], Forged]] = {
    "garbage": _garbage,
    "empty": _empty,
    "another statement": _another_statement,
    "many parts": _many_parts,
    "a late part": _a_late_part,
    "copied": _copied,
    "replayed": _replayed,
}

# -- of sealed letters ---------------------------------------------------------------------------------------


def _slots(part: Part, change: Callable[[Slot], dict[str, Any]]) -> Forged:
    slots = tuple(slot.model_copy(update=change(slot)) for slot in part.header.slots)
    return [(part.header.model_copy(update={"slots": slots}), part.body)]


def _flipped(raw: bytes) -> bytes:
    return raw[:-1] + bytes([raw[-1] ^ 1]) if raw else b"\x01"


def _added(raw: bytes) -> bytes:
    """Ring elements, each one more."""
    return ring.to_bytes(np.frombuffer(raw, dtype="<u8").astype(np.uint64) + np.uint64(1))


def _another_body(forger: Forger, part: Part) -> Forged:
    _secret, body = forger.unseal(part)
    return forger.seal(part, forger.seed(), forger.random.randbytes(len(body)) if body else None)


def _short_body(forger: Forger, part: Part) -> Forged:
    secret, body = forger.unseal(part)
    return forger.seal(part, secret, body[:-1] or b"abc")


def _another_share(forger: Forger, part: Part) -> Forged:
    secret, body = forger.unseal(part)
    return forger.seal(part, secret if body else forger.seed(), _added(body) if body else None)


def _another_output(forger: Forger, part: Part) -> Forged:
    secret, body = forger.unseal(part)
    length = 8 * max(1, *forger.active.machine.shape, 1)
    return forger.seal(part, secret, body[:-length] + _added(body[-length:]))


def _another_nonce(forger: Forger, part: Part) -> Forged:
    secret, body = forger.unseal(part)
    length = 8 * max(1, *forger.active.machine.shape, 1)
    return forger.seal(part, secret, _flipped(body[:-length]) + body[-length:])


def _flipped_body(forger: Forger, part: Part) -> Forged:
    secret, body = forger.unseal(part)
    return forger.seal(part, secret, _flipped(body))


SEALED_FLAWS: dict[str, Callable[[Forger, Part], Forged]] = {
    "does not open": lambda _forger, part: _slots(part, lambda slot: {"box": _flipped(slot.box)}),
    "foreign slots": lambda forger, part: _slots(part, lambda _slot: {"to": forger.me}),
    "no channel": lambda _forger, part: _slots(part, lambda _slot: {"open": None}),
    "another channel": lambda forger, part: _slots(part, lambda _: {"open": forger.random.randbytes(1168)}),
    "short channel": lambda forger, part: _slots(part, lambda _slot: {"open": b"short"}),
    "another body": _another_body,
    "short body": _short_body,
    "another share": _another_share,
    "another output": _another_output,
    "another nonce": _another_nonce,
    "flipped bits": _flipped_body,
}

# -- of statements: the fields that are changed; none if the flaw is impossible here -------------------------

Changes = dict[str, Any]


def _others_commitment(forger: Forger, part: Part, _statement: Any) -> Changes:
    said: list[Any] = [STATEMENTS[each.header.step].decode(each.body) for each in forger.others(part)]
    commitments = [each.commitment for each in said if each.commitment is not None]
    return {"commitment": commitments[0]} if commitments else {}


def _others_setups(forger: Forger, part: Part, _statement: Any) -> Changes:
    joins: dict[str, Any] = {
        each.header.sender: STATEMENTS[Step.JOIN].decode(each.body) for each in forger.others(part)
    }
    named = {name: join.setups[forger.me] for name, join in joins.items() if forger.me in join.setups}
    return {"setups": named} if named else {}


def _without(forger: Forger, part: Part, begin: Any, *, needed: bool) -> Changes:
    spec = forger.active.spec
    gone = [name for name in begin.joins if (name in spec.needed) == needed and name != forger.me]
    left = {name: each for name, each in begin.joins.items() if name not in gone[:1]}
    return {"joins": left} if gone else {}


def _another_join(forger: Forger, _part: Part, begin: Any) -> Changes:
    other = next(name for name in begin.joins if name != forger.me)
    return {"joins": {**begin.joins, other: _digest(forger)}}


def _digest(forger: Forger) -> bytes:
    return forger.random.randbytes(32)


def _less(_forger: Forger, _part: Part, statement: Any) -> Changes:
    if len(statement.inputs) < 2:
        return {}
    extra = {"commitment": None} if isinstance(statement, STATEMENTS[Step.RECEIVED]) else {}
    return {"inputs": statement.inputs[:-1], **extra}


PLAIN: dict[tuple[str, str], Callable[[Forger, Part, Any], Changes]] = {
    ("join", "another key"): lambda forger, part, _: {"sealing_key": forger.sealing_key(part)},
    ("join", "no key"): lambda *_: {"sealing_key": b"\xff" * 1216},
    ("join", "key of small order"): lambda _f, _p, join: {"sealing_key": join.sealing_key[:-32] + bytes(32)},
    ("join", "another shape"): lambda *_: {"shape": (7,)},
    ("join", "no shape"): lambda *_: {"shape": None},
    ("join", "another offer"): lambda forger, _p, join: (
        {"offer": Scalar(forger.random.randbytes(SCALAR_BYTES)).base()} if join.offer else {}
    ),
    ("join", "no offer"): lambda _f, _p, join: {"offer": None} if join.offer else {},
    ("join", "offer of small order"): lambda *_: {"offer": IDENTITY},
    ("join", "invented setups"): lambda forger, _p, _j: {
        "setups": {name: (forger.random.randbytes(16),) for name in forger.network.names}
    },
    ("join", "others' setups"): _others_setups,
    ("begin", "fewer inputs"): lambda forger, part, begin: _without(forger, part, begin, needed=False),
    ("begin", "too few inputs"): lambda forger, part, begin: _without(forger, part, begin, needed=True),
    ("begin", "a stranger"): lambda forger, _p, begin: {"joins": {**begin.joins, STRANGER: _digest(forger)}},
    ("begin", "another order"): lambda _f, _p, begin: {"joins": dict(reversed(begin.joins.items()))},
    ("begin", "another join"): _another_join,
    ("begin", "another shape"): lambda *_: {"shape": (5,)},
    ("received", "no commitment"): lambda _f, _p, said: {"commitment": None} if said.commitment else {},
    ("confirm", "another transcript"): lambda forger, *_: {"transcript": _digest(forger)},
    ("result", "other elements"): lambda _f, _p, said: {"elements": _flipped(said.elements)},
    ("result", "too many elements"): lambda _f, _p, said: {"elements": said.elements * 2},
    ("result", "one input less"): _less,
    ("commit", "another opened"): lambda forger, *_: {"opened": _digest(forger)},
    **{
        (step, flaw): change
        for step in ("received", "commit")
        for flaw, change in {
            "another view": lambda forger, *_: {"view": _digest(forger)},
            "one input less": _less,
            "another commitment": lambda forger, *_: {"commitment": _digest(forger)},
            "another's commitment": _others_commitment,
            "another order": lambda _f, _p, said: {"inputs": said.inputs[::-1]},
            "a stranger": lambda _f, _p, said: {"inputs": (*said.inputs, STRANGER)},
        }.items()
    },
    **{
        (step, flaw): change
        for step in ("masked", "opened")
        for flaw, change in {
            "flipped bits": lambda _f, _p, said: {"bits": bytes([said.bits[0] ^ 1]) + said.bits[1:]},
            "another run": lambda forger, *_: {"run": _digest(forger)},
            "another length": lambda _f, _p, said: {"bits": said.bits + b"\x00"},
            "padding": lambda _f, _p, said: {"bits": said.bits[:-1] + bytes([said.bits[-1] ^ 0x80])},
        }.items()
    },
}
