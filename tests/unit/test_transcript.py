"""Hashed lists of parts never collide, whatever stands in the parts."""

from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.transcript import DIGEST_BYTES, digest, pack
from tests.support.sessions import repeatable

# Parts that look like the framing itself are the ones that could be taken for two.
part = st.one_of(st.binary(max_size=12), st.sampled_from([b"", bytes(8), (1).to_bytes(8, "big"), b"sotto/1"]))
parts = st.lists(part, max_size=5)


def unpacked(raw: bytes) -> list[bytes]:
    """An independent reader of the framing."""
    found = []
    while raw:
        size = int.from_bytes(raw[:8], "big")
        found.append(raw[8 : 8 + size])
        raw = raw[8 + size :]
    return found


@repeatable
@given(st.text(max_size=5), parts)
def test_what_was_packed_can_be_read_back_so_no_two_lists_collide(label: str, each: list[bytes]) -> None:
    assert unpacked(pack(label, *each)) == [b"sotto/1", label.encode(), *each]


@repeatable
@given(st.text(max_size=5), parts)
def test_the_digest_is_sha256_of_the_packed_parts(label: str, each: list[bytes]) -> None:
    assert digest(label, *each) == sha256(pack(label, *each)).digest()
    assert len(digest(label, *each)) == DIGEST_BYTES


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("l", "ab", "c"), ("l", "a", "bc")),
        (("l", "ab"), ("l", "a", "b")),
        (("l", ""), ("l",)),
        (("la", "b"), ("l", "ab")),
        (("l", "a", "b"), ("l", "b", "a")),
    ],
)
def test_boundaries_order_and_label_count(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert digest(*one) != digest(*other)


def test_text_and_buffers_count_as_their_bytes() -> None:
    assert digest("l", "ü") == digest("l", "ü".encode()) == digest("l", bytearray("ü".encode()))
    wide = np.array([1, 2], dtype="<u8")
    assert digest("l", wide.data) == digest("l", wide.tobytes())
