"""Letters: how a statement or a sealed body is addressed, framed, cut into parts and put together again.

A letter is addressed by (session, step, round, sender, to).  One MQTT payload carries one part of it:

    signature (64 bytes) | length of header (4 bytes, big endian) | header (canonical JSON) | body

The signature is the sender's Ed25519 over `digest("letter", header, body)`, so it covers every byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from protocol.messages import IN_ROUNDS, MOST_ROUNDS, SEALED, MalformedError, Statement, Step, Strict, stage
from protocol.names import RESERVED, Name, is_name
from protocol.transcript import digest

SIGNATURE_BYTES = 64  # Ed25519 [RFC 8032, §5.1.6]
PART_BYTES = 1 << 20  # of body
PAYLOAD_BYTES = PART_BYTES + (1 << 16)  # with signature and header; below the brokers' packet limit
HEADER_BYTES = PAYLOAD_BYTES - PART_BYTES - SIGNATURE_BYTES - 4
MOST_PARTS = 1024  # 1 GiB a letter, enough for the longest vector in base64
ALL, COMPUTE = "all", "compute"

SessionId = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _audience(to: str) -> str:
    if to not in RESERVED and not is_name(to):
        raise ValueError("neither a party name nor an audience")
    return to


Audience = Annotated[str, AfterValidator(_audience)]


class Slot(Strict):
    """32 secret bytes for one recipient: a share seed, or the key of the body that follows.

    `open` starts the channel from the sender to this recipient (HPKE); null where the recipient has it.
    """

    to: Name
    open: bytes | None
    box: bytes = Field(min_length=48, max_length=48)  # 32 bytes and the AEAD's tag


class Header(Statement):
    """Where a part belongs.  The topic repeats session, stage, sender, to and part, and must agree."""

    version: Literal[1] = 1
    session: SessionId
    step: Step
    round: int = Field(default=0, ge=0, le=MOST_ROUNDS)  # from 1 in steps that have rounds, else 0
    sender: Name
    to: Audience
    part: int = Field(default=0, ge=0, lt=MOST_PARTS)
    parts: int = Field(default=1, ge=1, le=MOST_PARTS)
    slots: tuple[Slot, ...] = ()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.part >= self.parts:
            raise ValueError(f"part {self.part} of {self.parts}")
        if bool(self.round) != (self.step in IN_ROUNDS):
            raise ValueError(f"round {self.round} of {self.step}")
        if bool(self.slots) != (self.step in SEALED and self.part == 0):
            raise ValueError("slots stand in the first part of a sealed letter, and nowhere else")
        return self

    @property
    def stage(self) -> str:
        """Step and round in one word."""
        return stage(self.step, self.round)


@dataclass(frozen=True)
class Part:
    """One payload, taken apart.  Whoever holds one must have checked `signature` over `digest`."""

    header: Header
    body: bytes
    signature: bytes
    digest: bytes


@dataclass(frozen=True)
class Letter:
    """A complete letter from a known sender.  `chunks` are the bodies of its parts, in order."""

    session: str
    step: Step
    round: int
    sender: str
    to: str
    slots: tuple[Slot, ...]
    chunks: tuple[bytes, ...] = field(repr=False)
    digest: bytes

    @property
    def stage(self) -> str:
        """Step and round in one word."""
        return stage(self.step, self.round)

    @property
    def body(self) -> bytes:
        """The body of a letter of one part (all but bulk are)."""
        return self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)


def letter_digest(header: bytes, body: bytes) -> bytes:
    """What the sender signs."""
    return digest("letter", header, body)


def frame(header: bytes, body: bytes, signature: bytes) -> bytes:
    """The payload of one part."""
    return b"".join((signature, len(header).to_bytes(4, "big"), header, body))


def parse(payload: bytes) -> Part:
    """Inverse of `frame`; MalformedError if the payload is not exactly one part.  Checks no signature."""
    if len(payload) < SIGNATURE_BYTES + 4:
        raise MalformedError(f"letter: {len(payload)} bytes, expected at least {SIGNATURE_BYTES + 4}")
    start = SIGNATURE_BYTES + 4
    end = start + int.from_bytes(payload[SIGNATURE_BYTES:start], "big")
    if end > len(payload):
        raise MalformedError("letter: the header is longer than the payload")
    if end - start > HEADER_BYTES:
        raise MalformedError(f"letter: a header of {end - start} bytes, at most {HEADER_BYTES} are allowed")
    raw_header, body = payload[start:end], payload[end:]
    if len(body) > PART_BYTES:
        raise MalformedError(f"letter: a body of {len(body)} bytes, at most {PART_BYTES} are allowed")
    header = Header.decode(raw_header)
    return Part(header, body, payload[:SIGNATURE_BYTES], letter_digest(raw_header, body))


def cut(body: bytes) -> Iterator[bytes]:
    """The body in pieces of `PART_BYTES`; at least one, which may be empty."""
    for start in range(0, max(len(body), 1), PART_BYTES):
        yield body[start : start + PART_BYTES]


Address = tuple[str, str, str]  # stage, sender, to


class Assembler:
    """Puts the parts of one session's letters together, in whatever order and however often they come."""

    def __init__(self) -> None:
        self._parts: dict[Address, dict[int, Part]] = {}
        self._seen: dict[tuple[Address, int], bytes] = {}
        self._counts: dict[Address, int] = {}  # how many parts each letter has

    def add(self, part: Part) -> Letter | None:
        """The letter that `part` completes, or None.  `conflicts` has been asked before."""
        header = part.header
        address = (header.stage, header.sender, header.to)
        if (address, header.part) in self._seen:
            return None
        self._seen[address, header.part] = part.digest
        self._counts[address] = header.parts
        parts = self._parts.setdefault(address, {})
        parts[header.part] = part
        if len(parts) < header.parts:
            return None
        ordered = [parts[index] for index in sorted(parts)]
        del self._parts[address]
        return Letter(
            header.session,
            header.step,
            header.round,
            header.sender,
            header.to,
            ordered[0].header.slots,
            tuple(each.body for each in ordered),
            digest("parts", *(each.digest for each in ordered)),
        )

    def knows(self, part: Part) -> bool:
        """True for a repetition, byte by byte, of something that has been added."""
        header = part.header
        return self._seen.get(((header.stage, header.sender, header.to), header.part)) == part.digest

    def conflicts(self, part: Part) -> bool:
        """True if the sender has signed something else under this address: the same part with other
        bytes, or a letter cut into another number of parts."""
        header = part.header
        address = (header.stage, header.sender, header.to)
        known = self._seen.get((address, header.part), part.digest)
        return known != part.digest or self._counts.get(address, header.parts) != header.parts
