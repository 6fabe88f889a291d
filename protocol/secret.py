"""Secret and sendable things are different types: a `Seed` cannot be logged, formatted or serialised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from protocol.ring import BYTES, Ring
from protocol.transcript import pack

SEED_BYTES = 32
_BLOCK = 1 << 14  # elements of keystream made at a time
_ZEROS = memoryview(bytes(_BLOCK * BYTES))  # what the keystream is XORed onto
_FIXED_NONCE = bytes(16)  # fixed because each seed is expanded once, into one keystream


class Seed:
    """32 secret bytes: the root of a session's randomness, or a share in its short form."""

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        if len(raw) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes, not {len(raw)}")
        self._raw = raw

    def __repr__(self) -> str:
        return "Seed(<redacted>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a seed is not serialised; only the journal and the seal may expose it")

    def expose(self) -> bytes:
        """The bytes themselves, for the journal and the seal alone."""
        return self._raw

    def derive(self, label: str, *context: bytes | str) -> Seed:
        """An independent seed for one purpose: HKDF-Expand with SHA-256 [RFC 5869, §2.3]."""
        return Seed(self.derive_bytes(SEED_BYTES, label, *context))

    def derive_bytes(self, length: int, label: str, *context: bytes | str) -> bytes:
        """`length` bytes for one purpose, as `derive`."""
        return HKDFExpand(SHA256(), length, pack(label, *context)).derive(self._raw)

    def blocks(self, length: int) -> Iterator[tuple[slice, Ring]]:
        """PRG(seed), `length` uniform ring elements, block by block with each block's place.

        The AES-256-CTR keystream [SP 800-38A, §6.5], read little endian.  A block is overwritten by the
        next one: it stays in the processor's cache, which makes this several times faster than a whole
        vector.
        """
        stream = Cipher(algorithms.AES256(self._raw), modes.CTR(_FIXED_NONCE)).encryptor()
        buffer = np.empty(min(length, _BLOCK), dtype="<u8")
        raw = buffer.view(np.uint8).data
        for start in range(0, length, _BLOCK):
            count = min(_BLOCK, length - start)
            stream.update_into(_ZEROS[: count * BYTES], raw[: count * BYTES])
            yield slice(start, start + count), buffer[:count].astype(np.uint64, copy=False)

    def expand(self, shape: tuple[int, ...]) -> Ring:
        """PRG(seed) as uint64[shape]."""
        elements = np.empty(shape, dtype=np.uint64)
        flat = elements.reshape(-1)
        for place, block in self.blocks(flat.size):
            flat[place] = block
        return elements
