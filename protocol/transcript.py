"""Unambiguous hashing: what was agreed, by whom, in 32 bytes.

Every hash has a label of its own and length-prefixed parts, so that no two different lists of parts
collide (the construction of TupleHash, NIST SP 800-185 §5, over SHA-256).
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

Part = bytes | bytearray | memoryview | str
DIGEST_BYTES = 32


def pack(label: str, *parts: Part) -> bytes:
    """`sotto/1`, the label and the parts, each behind its length (8 bytes, big endian)."""
    framed: list[bytes | bytearray | memoryview] = [_prefix(label)]
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        framed += (_size(raw), raw)
    return b"".join(framed)


def digest(label: str, *parts: Part) -> bytes:
    """SHA-256 of `pack(label, *parts)`, without building it for large parts."""
    state = sha256(_prefix(label))
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        state.update(_size(raw))
        state.update(raw)
    return state.digest()


@lru_cache(maxsize=64)
def _prefix(label: str) -> bytes:
    return b"".join(_size(raw) + raw for raw in (b"sotto/1", label.encode()))


def _size(raw: bytes | bytearray | memoryview) -> bytes:
    return (raw.nbytes if isinstance(raw, memoryview) else len(raw)).to_bytes(8, "big")
