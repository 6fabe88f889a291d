"""The post office: letters to signed payloads and topics, and back.

A topic is `<base>/1/session/<session>/<stage>/<from>/<to>/<part>`.  The broker's access list lets a party
publish only under its own name; the signature is what we rely on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocol.letters import Header, Part, Slot, cut, frame, letter_digest, parse
from protocol.messages import MalformedError, Step, stage
from protocol.names import RESERVED

VERSION = "1"


@dataclass(frozen=True)
class Sent:
    """One part as it is published: where it goes and the exact payload."""

    step: str  # with its round, if it has rounds
    to: str
    part: int
    payload: bytes


@dataclass(frozen=True)
class Publication:
    """What the transport is asked to publish; an empty retained payload clears the topic."""

    topic: str
    payload: bytes
    retain: bool = False


class Post:
    """Signs what `me` sends and checks what others signed."""

    def __init__(self, me: str, key: Ed25519PrivateKey, base: str) -> None:
        self._me, self._key, self._base = me, key, f"{base}/{VERSION}/session/"

    def write(
        self,
        session: str,
        step: Step,
        to: str,
        slots: tuple[Slot, ...],
        chunks: Sequence[bytes],
        round_: int = 0,
    ) -> list[Sent]:
        """The signed parts of one letter."""
        sent = []
        for part, chunk in enumerate(chunks):
            header = Header(
                session=session,
                step=step,
                round=round_,
                sender=self._me,
                to=to,
                part=part,
                parts=len(chunks),
                slots=slots if part == 0 else (),
            ).encode()
            signature = self._key.sign(letter_digest(header, chunk))
            sent.append(Sent(stage(step, round_), to, part, frame(header, chunk, signature)))
        return sent

    def plain(self, session: str, step: Step, to: str, body: bytes) -> list[Sent]:
        """The signed parts of a letter that its audience may read."""
        return self.write(session, step, to, (), list(cut(body)))

    def intact(self, sent: Sent) -> bool:
        """True if a part of ours still carries our signature; a file may be damaged by a power cut."""
        try:
            check_signature(parse(sent.payload), self._key.public_key().public_bytes_raw())
        except MalformedError:
            return False
        return True

    def publication(self, session: str, sent: Sent, *, retain: bool = False) -> Publication:
        """A part with its topic."""
        topic = f"{self._base}{session}/{sent.step}/{self._me}/{sent.to}/{sent.part}"
        return Publication(topic, sent.payload, retain)

    def repeated(self, session: str, sent: Sent, to: str) -> Publication:
        """A letter to many, once more for one who lacks it: the others need not hear it again."""
        return self.publication(session, Sent(sent.step, to, sent.part, sent.payload))

    def passed_on(self, session: str, announce: bytes, to: str) -> Publication:
        """Somebody else's announcement, for a member that has missed it."""
        return self.publication(session, Sent(Step.ANNOUNCE, to, 0, announce))

    def clearing(self, session: str, sent: Sent) -> Publication:
        """Takes a retained part off the broker."""
        return Publication(self.publication(session, sent).topic, b"", retain=True)

    def address(self, topic: str) -> tuple[str, str, str] | None:
        """(session, stage, sender) of a session's topic; None for any other."""
        if not topic.startswith(self._base):
            return None
        levels = topic.removeprefix(self._base).split("/")
        if len(levels) != 5:
            return None
        return levels[0], levels[1], levels[2]

    def read(self, topic: str, payload: bytes) -> Part:
        """Take a payload apart; MalformedError if it is none of ours or does not fit its topic.

        An announcement may be passed on by others under their own name: it carries its own proof.  A letter
        to many may come under our own name, if we have asked for it.
        """
        part = parse(payload)
        header = part.header
        if header.step is Step.ANNOUNCE and topic.startswith(f"{self._base}{header.session}/announce/"):
            return part
        where = f"{self._base}{header.session}/{header.stage}/{header.sender}"
        allowed = (header.to, self._me) if header.to in RESERVED else (header.to,)
        if topic not in {f"{where}/{to}/{header.part}" for to in allowed}:
            raise MalformedError(f"a letter of {header.sender} under the topic of somebody else")
        return part


def check_signature(part: Part, identity: bytes) -> None:
    """MalformedError unless the owner of `identity` signed `part`.  Ed25519 [RFC 8032, §5.1.7]."""
    try:
        _public_key(identity).verify(part.signature, part.digest)
    except (InvalidSignature, ValueError):
        raise MalformedError(f"the signature on {part.header.step} is not {part.header.sender}'s") from None


@lru_cache(maxsize=4096)
def _public_key(identity: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(identity)
