"""Bits go into words and come out unchanged, and nothing is ever set beyond the last one."""

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.bits import Bits, concat, cut
from protocol.errors import LocalProtocolError
from tests.support.sessions import repeatable

# Lengths around the borders of bytes and words, and anything else.
lengths = st.one_of(st.sampled_from([0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 129]), st.integers(0, 300))
vectors = lengths.flatmap(lambda length: st.lists(st.booleans(), min_size=length, max_size=length))
pairs = lengths.flatmap(
    lambda length: st.lists(st.tuples(st.booleans(), st.booleans()), min_size=length, max_size=length)
)


def bits(values: list[bool]) -> Bits:
    return Bits.from_bools(np.array(values, dtype=np.bool_))


def values_of(packed: Bits) -> list[bool]:
    """The bools, after a look at the layout that the rest relies on."""
    assert type(packed.length) is int
    assert type(packed.words) is np.ndarray
    assert packed.words.dtype == np.uint64
    assert packed.words.shape == ((len(packed) + 63) // 64,)
    in_words = [word >> place & 1 == 1 for word in packed.words.tolist() for place in range(64)]
    bools = packed.to_bools()
    assert bools.dtype == np.bool_
    assert bools.shape == (len(packed),)
    assert bools.tolist() == in_words[: len(packed)]
    assert not any(in_words[len(packed) :]), "unused high bits are zero"
    return in_words[: len(packed)]


@repeatable
@given(vectors)
def test_bools_come_back_unchanged(values: list[bool]) -> None:
    assert values_of(bits(values)) == values


@repeatable
@given(vectors)
def test_bytes_are_little_endian_and_come_back_unchanged(values: list[bool]) -> None:
    raw = bits(values).to_bytes()
    number = sum(2**place for place, each in enumerate(values) if each)
    assert raw == number.to_bytes((len(values) + 7) // 8, "little")
    assert values_of(Bits.from_bytes(raw, len(values))) == values


@pytest.mark.parametrize(("raw", "length"), [(b"", 1), (b"\0", 0), (b"\0", 9), (b"\0\0", 8), (bytes(9), 64)])
def test_another_number_of_bytes_than_the_length_needs_is_a_value_error(raw: bytes, length: int) -> None:
    with pytest.raises(ValueError, match=rf"{length} bits are \d bytes, not {len(raw)}"):
        Bits.from_bytes(raw, length)


@pytest.mark.parametrize("length", [1, 5, 7, 9, 15, 63, 65])
def test_a_bit_beyond_the_last_is_a_value_error(length: int) -> None:
    size = (length + 7) // 8
    assert Bits.from_bytes((2**length - 1).to_bytes(size, "little"), length).to_bools().all()
    for place in range(length, 8 * size):
        with pytest.raises(ValueError, match="a bit is set beyond"):
            Bits.from_bytes((2**place).to_bytes(size, "little"), length)


@repeatable
@given(pairs)
def test_xor_and_and_work_bit_by_bit(both: list[tuple[bool, bool]]) -> None:
    x, y = bits([a for a, _ in both]), bits([b for _, b in both])
    assert values_of(x ^ y) == [a != b for a, b in both]
    assert values_of(x & y) == [a and b for a, b in both]
    assert values_of(x) == [a for a, _ in both], "the operands stay as they were"


@pytest.mark.parametrize(("one", "other"), [(0, 1), (1, 2), (63, 64), (64, 65), (1, 128)])
def test_bits_of_different_lengths_do_not_meet(one: int, other: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"{one} bits meet {other} bits"):
        Bits.zeros(one) ^ Bits.zeros(other)
    with pytest.raises(LocalProtocolError, match=f"{other} bits meet {one} bits"):
        Bits.zeros(other) & Bits.zeros(one)


optional = st.none() | st.integers(-350, 350)


@repeatable
@given(vectors, optional, optional)
def test_a_slice_is_that_of_a_list(values: list[bool], start: int | None, stop: int | None) -> None:
    assert values_of(bits(values)[start:stop]) == values[start:stop]


@pytest.mark.parametrize("step", [-1, 2])
def test_a_slice_has_no_other_step_than_one(step: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"steps of 1, not {step}"):
        Bits.zeros(9)[::step]


@repeatable
@given(st.lists(vectors, max_size=6))
def test_parts_are_joined_in_order_and_cut_apart_again(parts: list[list[bool]]) -> None:
    whole = concat(bits(part) for part in parts)
    assert values_of(whole) == [each for part in parts for each in part]
    assert [values_of(part) for part in cut(whole, map(len, parts))] == parts


@pytest.mark.parametrize("parts", [[], [3], [3, 3], [3, 5], [8]])
def test_a_cut_that_does_not_use_every_bit_once_is_an_error(parts: list[int]) -> None:
    with pytest.raises(LocalProtocolError, match=f"7 bits are cut into {sum(parts)}"):
        list(cut(Bits.zeros(7), parts))


@pytest.mark.parametrize("length", [0, 1, 64, 65, 100_000])
def test_zeros_are_zeros(length: int) -> None:
    zeros = Bits.zeros(length)
    assert values_of(zeros) == [False] * length
    assert zeros.to_bytes() == bytes((length + 7) // 8)


def test_a_hundred_thousand_bits_are_cut_and_joined_alike() -> None:
    values = [place % 3 == 0 for place in range(100_000)]
    borders = list(accumulate([1, 63, 64, 65, 9_807, 90_000]))
    whole = bits(values)
    parts = [whole[start:stop] for start, stop in zip([0, *borders], borders, strict=False)]
    assert values_of(concat(parts)) == values


def test_what_was_packed_does_not_follow_its_source() -> None:
    source = np.zeros(9, dtype=np.bool_)
    packed = Bits.from_bools(source)
    source[:] = True
    packed.to_bools()[:] = True
    assert values_of(packed) == [False] * 9


@pytest.mark.parametrize("shape", [(), (2, 2)])
def test_bits_are_made_from_vectors_only(shape: tuple[int, ...]) -> None:
    with pytest.raises(LocalProtocolError, match=f"not from {len(shape)} dimensions"):
        Bits.from_bools(np.zeros(shape, dtype=np.bool_))


def test_bits_have_no_repr() -> None:
    packed = bits([True] * 7)
    assert repr(packed) == str(packed) == f"{packed}" == "Bits(<redacted>, length=7)"
