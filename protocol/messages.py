"""Every statement that travels, as strict canonical JSON.

A statement is decoded only if encoding it again gives the same bytes: unknown fields, leftover bytes,
repeated keys, other spellings of a number or other versions never get past `decode`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from protocol.errors import SottoError
from protocol.names import Name
from protocol.ring import MOST_ELEMENTS
from protocol.transcript import DIGEST_BYTES

Digest = Annotated[bytes, Field(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]
MOST_DETAIL = 500  # characters
_PRINTABLE = r"^[ -~]*$"  # what ends on somebody's terminal
MOST_STAGES = 32  # of one request
MOST_SETUPS = 4  # that a join may name for one peer
SetupId = Annotated[bytes, Field(min_length=16, max_length=16)]
Shape = Annotated[tuple[Annotated[int, Field(ge=1, le=MOST_ELEMENTS)], ...], Field(max_length=1)]


def printable(text: str) -> str:
    """A text of whatever origin as it may be sent and shown: ASCII, no control characters, not too long."""
    return "".join(each if " " <= each <= "~" else "?" for each in text)[:MOST_DETAIL]


class MalformedError(SottoError):
    """Bytes that are not a statement of the expected kind."""


class Strict(BaseModel):
    """Frozen, strict, no unknown fields, bytes as base64url."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64"
    )


class Statement(Strict):
    """Base of everything that is sent in the clear."""

    def encode(self) -> bytes:
        """Canonical JSON: fields in the order of their declaration, no white space, UTF-8."""
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Inverse of `encode`; MalformedError names the first thing that is wrong."""
        try:
            statement = cls.model_validate_json(raw)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "message"
            problem = f"{cls.__name__.lower()}: {place}: {first['msg'].lower()}"
            raise MalformedError(printable(problem)) from None
        if statement.encode() != raw:
            raise MalformedError(f"{cls.__name__.lower()}: the bytes are not in canonical form")
        return statement


class Step(StrEnum):
    """The kinds of letter, in the order of a session."""

    ANNOUNCE = "announce"
    JOIN = "join"
    REFUSE = "refuse"
    CORRELATE = "correlate"
    BEGIN = "begin"
    SHARE = "share"
    RECEIVED = "received"
    MASKED = "masked"
    OPENED = "opened"
    COMMIT = "commit"
    REVEAL = "reveal"
    CONFIRM = "confirm"
    RESULT = "result"
    ABORT = "abort"
    REQUEST = "request"


# Every other letter is signed, and readable by its audience.
SEALED = frozenset({Step.CORRELATE, Step.SHARE, Step.REVEAL})
IN_ROUNDS = frozenset({Step.CORRELATE, Step.MASKED, Step.OPENED})  # sent once a round, numbered from 1
MOST_ROUNDS = 255


def stage(step: Step, round_: int = 0) -> str:
    """A step, with its round if it has rounds: `share`, `masked-3`."""
    return f"{step}-{round_}" if round_ else str(step)


STAGES = frozenset(
    stage(step, round_)
    for step in Step
    for round_ in (range(1, MOST_ROUNDS + 1) if step in IN_ROUNDS else (0,))
)


def _is_stage(name: str) -> str:
    if name not in STAGES:
        raise ValueError("not a step, with its round if it has rounds")
    return name


Stage = Annotated[str, AfterValidator(_is_stage)]


class RefusalCode(StrEnum):
    """Why a node takes no part.  Coarse on purpose: the reason must not tell anything about the input."""

    SPEC = "spec"  # not what the roster and the function say
    INPUT = "input"
    POLICY = "policy"  # how much an answer may tell about the input
    FUNCTION = "function"  # the question is none of ours
    RECIPIENTS = "recipients"
    COMPUTE = "compute"  # too few compute parties that we recognise
    DEADLINE = "deadline"
    DIFFERENCING = "differencing"  # with an earlier exact answer this one would tell too much
    BUSY = "busy"
    DECLINED = "declined"  # a person said no,
    UNANSWERED = "unanswered"  # or nothing in time


class AbortReason(StrEnum):
    """Why a session ended without an answer."""

    REFUSED = "refused"
    NEVER_JOINED = "never-joined"
    LEFT_OUT = "left-out"
    TOO_FEW_INPUTS = "too-few-inputs"
    SHAPES_DIFFER = "shapes-differ"
    SPLIT_VIEW = "split-view"
    CONTRADICTION = "contradiction"
    INVALID_MESSAGE = "invalid-message"
    BAD_OPENING = "bad-opening"
    TIMEOUT = "timeout"
    LOST_STATE = "lost-state"
    CANCELLED = "cancelled"


class Join(Statement):
    """I take part: a fresh sealing key for this session, and the shape of my input (null if I bring none).

    A compute party of a function that needs rounds adds its point for base oblivious transfers, and the
    ids of those that it has still kept from earlier sessions with each of its peers.
    """

    sealing_key: bytes = Field(min_length=1216, max_length=1216)  # ML-KEM-768 (1184) and X25519 (32)
    shape: Shape | None
    offer: Annotated[bytes, Field(min_length=32, max_length=32)] | None
    setups: dict[Name, Annotated[tuple[SetupId, ...], Field(min_length=1, max_length=MOST_SETUPS)]]


class Refuse(Statement):
    """I take no part.  `words` are a person's, who has written them to be sent."""

    code: RefusalCode
    words: str = Field(default="", max_length=MOST_DETAIL, pattern=_PRINTABLE)

    def __str__(self) -> str:
        return f"{self.code}: {self.words}" if self.words else str(self.code)


class Begin(Statement):
    """The frozen membership: the hash of each join, by name, and the common shape of the inputs."""

    joins: dict[Name, Digest]
    shape: Shape


class Received(Statement):
    """The inputs of which I hold complete shares.

    Where these are all, and the function needs no rounds, my commitment comes along.
    """

    view: Digest
    inputs: tuple[Name, ...]
    commitment: Digest | None


class Masked(Statement):
    """My shares of what the gates of one round open, packed bits: to the leader.

    `run` is the hash over view and counted inputs.
    """

    run: Digest
    bits: bytes


class Opened(Statement):
    """What they add up to: from the leader to the compute parties."""

    run: Digest
    bits: bytes


class Commit(Statement):
    """My commitment to my output share over exactly these inputs; after rounds, also what was opened."""

    view: Digest
    inputs: tuple[Name, ...]
    opened: Digest | None
    commitment: Digest


class Confirm(Statement):
    """The hash of everything that fixes the answer, as I saw it."""

    transcript: Digest


class PublicResult(Statement):
    """The opened ring elements of a session whose spec says `public` (8 bytes each, little endian)."""

    inputs: tuple[Name, ...]
    elements: bytes


class Abort(Statement):
    """This session is over.  `silent` is who was waited for; `culprit` is whose signed bytes are wrong."""

    reason: AbortReason
    detail: str = Field(max_length=MOST_DETAIL, pattern=_PRINTABLE)
    silent: tuple[Name, ...] = ()
    culprit: Name | None = None

    @classmethod
    def of(
        cls, reason: AbortReason, detail: str, silent: tuple[str, ...] = (), culprit: str | None = None
    ) -> Self:
        """An abort with whatever detail, which may quote a peer: cut, and made printable."""
        return cls(reason=reason, detail=printable(detail), silent=silent, culprit=culprit)


class Request(Statement):
    """I lack these letters of yours: send them again.  Each is named by its step and round: `masked-3`."""

    steps: tuple[Stage, ...] = Field(min_length=1, max_length=MOST_STAGES)
