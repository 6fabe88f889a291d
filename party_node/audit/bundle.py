"""A bundle: all that a node can show of one session without a secret, signed by that node, in one file.

It holds what was published in the clear, byte for byte, and what the node says of itself.  Nothing sealed is
in it, and no round of gates: what these open is masked only for as long as nobody learns the masks.  The file
is canonical JSON, and `decode` refuses any other spelling of it.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field

from party_node.ledger import Entry
from protocol.letters import SIGNATURE_BYTES
from protocol.messages import MOST_DETAIL, AbortReason, Digest, RefusalCode, Statement, Strict
from protocol.names import Name
from protocol.spec import Milliseconds
from protocol.states import State
from protocol.transcript import digest

MOST_BYTES = 1 << 28  # of a bundle; only a public answer over millions of numbers comes near
Printable = Annotated[str, Field(max_length=MOST_DETAIL, pattern=r"^[ -~]*$")]  # it ends on a terminal


class Decided(Strict):
    """What the node has decided about the session, by its rules or by its person."""

    made: Literal["joined", "refused", "pending"]
    by: Literal["policy", "person"]
    code: RefusalCode | None  # of a refusal
    detail: Printable  # why; empty where that would tell something about the input
    at: Milliseconds


class Ended(Strict):
    """How the session ended for the node; never its answer."""

    state: State
    inputs: tuple[Name, ...]  # that were counted
    unconfirmed: tuple[Name, ...]
    reason: AbortReason | RefusalCode | None
    silent: tuple[Name, ...]
    culprit: Name | None
    reported_by: Name | None  # who said so; null if it saw that itself
    at: Milliseconds


class Booked(Strict):
    """An entry of the node's budget ledger, with the head of the chain before it."""

    before: Digest
    number: int = Field(ge=1)
    input: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    event: Literal["reserved", "spent", "released"]
    nano: int = Field(ge=1)
    at: Milliseconds
    head: Digest

    def linked(self, session: str) -> bool:
        """Whether `head` is what the chain has after this entry."""
        entry = Entry(self.number, session, self.input, self.event, self.nano, self.at, self.head)
        return entry.link(self.before) == self.head


class Noted(Strict):
    """An entry of the node's release ledger, without what the input was."""

    parties: tuple[Name, ...]  # whose inputs may have been counted,
    least: int = Field(ge=1)  # and how many at least
    threshold: str | None
    at: Milliseconds


class Content(Statement):
    """What the node signs."""

    format: Literal["sotto-audit"] = "sotto-audit"
    version: Literal[1] = 1
    exporter: Name
    exported: Milliseconds
    announce: bytes  # the coordinator's signed part, as it was published
    letters: tuple[bytes, ...]  # signed parts, as they were published: this node's and what it took in
    decision: Decided | None
    ended: Ended | None  # null: it was still running
    ledger: tuple[Booked, ...]
    release: Noted | None


class Bundle(Statement):
    """A content with its node's Ed25519 signature over `digest("bundle", content)`."""

    content: Content
    signature: Annotated[bytes, Field(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]

    @classmethod
    def sign(cls, content: Content, key: Ed25519PrivateKey) -> Self:
        """A bundle of the owner of `key`."""
        return cls(content=content, signature=key.sign(_digest(content)))

    def signed_by(self, identity: bytes) -> bool:
        """Whether the owner of this public key has signed it.  Ed25519 [RFC 8032, §5.1.7]."""
        try:
            Ed25519PublicKey.from_public_bytes(identity).verify(self.signature, _digest(self.content))
        except (InvalidSignature, ValueError):
            return False
        return True


def _digest(content: Content) -> bytes:
    return digest("bundle", content.encode())
