"""Vectors of bits packed into words of 64: a share of bits, a mask, or an opened value.

One vector may be a single bit or a hundred thousand; XOR and AND run over whole words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from protocol.errors import LocalProtocolError

_WORD = 8  # bytes


class Bits:
    """`length` bits, little endian: bit i is bit i mod 64 of `words[i // 64]`; unused high bits are zero.

    words: uint64[⌈length / 64⌉].  It is never changed in place.  It may be secret, so it has no repr.
    """

    __slots__ = ("length", "words")

    def __init__(self, words: NDArray[np.uint64], length: int) -> None:
        self.words = words
        self.length = length

    def __repr__(self) -> str:
        return f"Bits(<redacted>, length={self.length})"

    def __len__(self) -> int:
        return self.length

    @classmethod
    def zeros(cls, length: int) -> Bits:
        """`length` zeros: as a share, everyone's share of zero."""
        return cls(np.zeros((length + 63) // 64, dtype=np.uint64), length)

    @classmethod
    def from_bools(cls, bools: NDArray[np.bool_]) -> Bits:
        """bool[length] as bits."""
        if bools.ndim != 1:
            raise LocalProtocolError(f"bits come from a vector of bools, not from {bools.ndim} dimensions")
        return cls(_words(np.packbits(bools, bitorder="little")), bools.size)

    @classmethod
    def from_bytes(cls, raw: bytes, length: int) -> Bits:
        """Inverse of `to_bytes`; ValueError unless `raw` is exactly what `length` bits look like."""
        if len(raw) != (length + 7) // 8:
            raise ValueError(f"{length} bits are {(length + 7) // 8} bytes, not {len(raw)}")
        if length % 8 and raw[-1] >> length % 8:
            raise ValueError(f"a bit is set beyond the {length} that were expected")
        return cls(_words(np.frombuffer(raw, dtype=np.uint8)), length)

    def to_bytes(self) -> bytes:
        """⌈length / 8⌉ bytes; bit i is bit i mod 8 of byte i // 8."""
        return self._octets()[: (self.length + 7) // 8].tobytes()

    def to_bools(self) -> NDArray[np.bool_]:
        """bool[length], the caller's own."""
        return np.unpackbits(self._octets(), count=self.length, bitorder="little").view(np.bool_)

    def __xor__(self, other: Bits) -> Bits:
        """x ⊕ y; on shares, a share of it."""
        self._same_length(other)
        return Bits(self.words ^ other.words, self.length)

    def __and__(self, other: Bits) -> Bits:
        """x ∧ y of plaintexts, or of a share and a public mask; never of two shares."""
        self._same_length(other)
        return Bits(self.words & other.words, self.length)

    def __getitem__(self, place: slice) -> Bits:
        """A run of neighbouring bits."""
        start, stop, step = place.indices(self.length)
        if step != 1:
            raise LocalProtocolError(f"bits are cut in steps of 1, not {step}")
        if start >= stop:
            return Bits.zeros(0)
        word = start // 64
        near = Bits(self.words[word : (stop + 63) // 64], stop - 64 * word)
        return Bits.from_bools(near.to_bools()[start - 64 * word :])

    def _octets(self) -> NDArray[np.uint8]:
        return self.words.astype("<u8", copy=False).view(np.uint8)

    def _same_length(self, other: Bits) -> None:
        if self.length != other.length:
            raise LocalProtocolError(f"{self.length} bits meet {other.length} bits")


def concat(parts: Iterable[Bits]) -> Bits:
    """All bits of all parts, one part after the other."""
    bools = [part.to_bools() for part in parts]
    return Bits.from_bools(np.concatenate(bools)) if bools else Bits.zeros(0)


def cut(whole: Bits, lengths: Iterable[int]) -> Iterator[Bits]:
    """Inverse of `concat`: neighbouring runs of these lengths."""
    bools, start = whole.to_bools(), 0
    for length in lengths:
        yield Bits.from_bools(bools[start : start + length])
        start += length
    if start != whole.length:
        raise LocalProtocolError(f"{whole.length} bits are cut into {start}")


def _words(octets: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Padded to whole words."""
    padded = np.zeros(-(-octets.size // _WORD) * _WORD, dtype=np.uint8)
    padded[: octets.size] = octets
    return padded.view("<u8").astype(np.uint64, copy=False)
