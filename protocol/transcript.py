"""Unambiguous hashing: what was agreed, by whom, in 32 bytes.

Every hash has a label of its own and length-prefixed parts, so that no two different lists of parts
collide (the construction of TupleHash, NIST SP 800-185 §5, over SHA-256).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

Part = bytes | bytearray | memoryview | str
DIGEST_BYTES = 32


def pack(label: str, *parts: Part) -> bytes:
    """`sotto/1`, the label and the parts, each behind its length (8 bytes, big endian)."""
    return b"".join(_framed(("sotto/1", label, *parts)))


def digest(label: str, *parts: Part) -> bytes:
    """SHA-256 of `pack(label, *parts)`, without building it for large parts."""
    state = sha256()
    for piece in _framed(("sotto/1", label, *parts)):
        state.update(piece)
    return state.digest()


def _framed(parts: Iterable[Part]) -> Iterable[bytes | bytearray | memoryview]:
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        size = raw.nbytes if isinstance(raw, memoryview) else len(raw)
        yield size.to_bytes(8, "big")
        yield raw
