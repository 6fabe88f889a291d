"""The ring Z_2^64: one `numpy.uint64` vector per shared value, arithmetic wraps, bytes are little endian."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.uint64]  # uint64[length], or uint64[()] for a scalar
BYTES = 8  # of one ring element
MOST_ELEMENTS = 2**26  # of a vector: 512 MiB, so that nobody's node can be made to fill its memory

# Signed values live in the ring as two's complement: v ∈ [−2^63, 2^63) ↔ v mod 2^64.
LARGEST = 2**63 - 1


def from_signed(values: NDArray[np.int64]) -> Ring:
    """v ↦ v mod 2^64, without a copy."""
    return values.view(np.uint64)


def to_signed(elements: Ring) -> NDArray[np.int64]:
    """The representative in [−2^63, 2^63), without a copy."""
    return elements.view(np.int64)


def to_bytes(elements: Ring) -> bytes:
    """8 bytes an element, little endian."""
    return elements.astype("<u8", copy=False).tobytes()


def from_bytes(raw: bytes, shape: tuple[int, ...]) -> Ring:
    """Inverse of `to_bytes`; ValueError unless `raw` has exactly the bytes that `shape` needs."""
    return np.frombuffer(raw, dtype="<u8").astype(np.uint64, copy=False).reshape(shape)
