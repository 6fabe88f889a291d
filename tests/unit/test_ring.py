"""Signed values and bytes go into the ring and come out unchanged; arithmetic wraps at 2^64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import ring
from tests.support.sessions import repeatable

signed = st.integers(min_value=-(2**63), max_value=2**63 - 1)


@repeatable
@given(st.lists(signed, max_size=20))
def test_signed_values_come_back_unchanged(values: list[int]) -> None:
    there = ring.from_signed(np.array(values, dtype=np.int64))
    assert there.dtype == np.uint64
    assert [int(each) for each in there] == [value % 2**64 for value in values]
    assert ring.to_signed(there).tolist() == values


@repeatable
@given(st.lists(signed, max_size=20))
def test_bytes_are_little_endian_and_come_back_unchanged(values: list[int]) -> None:
    there = ring.from_signed(np.array(values, dtype=np.int64))
    raw = ring.to_bytes(there)
    assert raw == b"".join((value % 2**64).to_bytes(8, "little") for value in values)
    assert np.array_equal(ring.from_bytes(raw, there.shape), there)


@repeatable
@given(signed, signed)
def test_addition_wraps(a: int, b: int) -> None:
    total = ring.from_signed(np.array([a], np.int64)) + ring.from_signed(np.array([b], np.int64))
    assert int(total[0]) == (a + b) % 2**64


def test_a_scalar_has_eight_bytes_and_no_length() -> None:
    one = np.array(1, dtype=np.uint64)
    assert ring.to_bytes(one) == b"\x01" + bytes(7)
    assert ring.from_bytes(ring.to_bytes(one), ()).shape == ()


@pytest.mark.parametrize(
    ("size", "shape"), [(0, ()), (7, ()), (9, ()), (16, ()), (0, (1,)), (8, (2,)), (24, (2,)), (15, (2,))]
)
def test_another_number_of_bytes_than_the_shape_needs_is_a_value_error(
    size: int, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"."):
        ring.from_bytes(bytes(size), shape)
