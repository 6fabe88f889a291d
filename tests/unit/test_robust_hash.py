"""The hash is TMMO over AES-128, and another function for each context and index."""

import hashlib

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from protocol.correlation.robust_hash import RobustHash, Rows
from tests.support.sessions import flipped, seed_of

CONTEXT = hashlib.sha256(b"context").digest()


def rows(label: str, count: int) -> Rows:
    """Uniform rows that only this label has."""
    return seed_of(label).expand((count, 2)).view(np.uint8).reshape(count, 16)


def slow(context: bytes, j: int, x: bytes) -> bytes:
    """π(π(x) ⊕ j) ⊕ π(x) for one row, with the framing of `protocol.transcript` written again."""
    parts = (b"sotto/1", b"correlation-robust hash", context)
    key = hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()[:16]

    def permute(block: int) -> int:
        raw = Cipher(algorithms.AES128(key), modes.ECB()).encryptor().update(block.to_bytes(16, "little"))
        return int.from_bytes(raw, "little")

    inner = permute(int.from_bytes(x, "little"))
    return (permute(inner ^ j) ^ inner).to_bytes(16, "little")


@pytest.mark.parametrize("count", [1, 2, 255, 257, 1000])
def test_every_row_is_hashed_as_the_slow_version_does(count: int) -> None:
    x = rows("x", count)
    before = x.copy()
    found = RobustHash(CONTEXT)(x)
    assert found.shape == (count, 16)
    assert [row.tobytes() for row in found] == [
        slow(CONTEXT, j, row.tobytes()) for j, row in enumerate(before)
    ]
    assert np.array_equal(x, before), "the rows themselves are left as they were"


def test_a_longer_vector_begins_with_the_hashes_of_the_shorter() -> None:
    x, robust = rows("x", 300), RobustHash(CONTEXT)
    assert np.array_equal(robust(x)[:100], robust(x[:100]))


def test_equal_rows_have_unrelated_hashes() -> None:
    same = np.broadcast_to(rows("x", 1), (1000, 16))
    assert len(np.unique(RobustHash(CONTEXT)(same), axis=0)) == 1000


def test_contexts_have_unrelated_hashes() -> None:
    x = rows("x", 1000)
    one, other = RobustHash(CONTEXT)(x), RobustHash(flipped(CONTEXT))(x)
    # 128,000 bits: the standard deviation is 179.
    assert abs(int(np.unpackbits(one ^ other).sum()) - 64_000) < 900


def test_a_secret_difference_does_not_show_in_the_hashes() -> None:
    """H(j, q_j) ⊕ H(j, q_j ⊕ s) is balanced in every bit place, for one s and 10,000 rows."""
    robust, q, s = RobustHash(CONTEXT), rows("q", 10_000), rows("s", 1)
    ones = np.unpackbits(robust(q) ^ robust(q ^ s), axis=1).sum(axis=0, dtype=np.int64)
    assert np.abs(ones - 5000).max() < 300, "six standard deviations"
