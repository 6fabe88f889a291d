"""A tweakable correlation-robust hash from AES-128 under a fixed, public key.

H(j, x) = π(π(x) ⊕ j) ⊕ π(x)   [TMMO in Guo, Katz, Wang and Yu, *Efficient and Secure Multiparty Computation
from Fixed-Key Block Ciphers*, IEEE S&P 2020, §7.4; π modelled as a random permutation].

π = AES-128 under a key of its own for each context, so that no two uses of H share a domain.
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from protocol.transcript import digest

Rows = NDArray[np.uint8]  # uint8[m, 16]
_BLOCK_BYTES = 16


class RobustHash:
    """H for one context."""

    def __init__(self, context: bytes) -> None:
        key = digest("correlation-robust hash", context)[:_BLOCK_BYTES]
        # ECB is π on each row by itself: this is a permutation in a hash, not an encryption.
        self._cipher = Cipher(algorithms.AES128(key), modes.ECB())  # noqa: S305

    def __call__(self, rows: Rows) -> Rows:
        """H(j, row j) for every j, as uint8[m, 16]."""
        inner = self._permute(rows)
        return self._permute(_with_index(inner)) ^ inner

    def _permute(self, rows: Rows) -> Rows:
        raw = self._cipher.encryptor().update(rows.tobytes())
        return np.frombuffer(raw, np.uint8).reshape(-1, _BLOCK_BYTES)


def _with_index(rows: Rows) -> Rows:
    """Row j ⊕ j, as a 128-bit number in little-endian bytes."""
    words = rows.view("<u8").copy()  # uint64[m, 2]
    words[:, 0] ^= np.arange(len(words), dtype=np.uint64)
    return words.view(np.uint8)
