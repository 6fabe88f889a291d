"""On real transcripts q_j = t_j ⊕ r_j·s, the shares of every product XOR to it, and the next setup fits."""

import hashlib
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from protocol.bits import Bits
from protocol.correlation import base_ot, extension
from protocol.correlation.base_ot import ChoiceKeys, PairKeys
from protocol.correlation.extension import Receiver, send
from protocol.correlation.robust_hash import RobustHash
from protocol.messages import MalformedError
from tests.support.sessions import flipped, repeatable, seed_of

CONTEXT = hashlib.sha256(b"context").digest()
FRESH = hashlib.sha256(b"choices of the next setup").digest()[:16]
LENGTHS = [1, 2, 7, 8, 9, 63, 64, 65, 127, 128, 129, 1000]


@cache
def setups() -> tuple[ChoiceKeys, PairKeys]:
    """The two halves of one real setup."""
    points, chosen = base_ot.choose(base_ot.offer(seed_of("R")), seed_of("S"), CONTEXT)
    corrections, pairs = base_ot.accept(seed_of("R"), points, CONTEXT)
    return chosen.finish(corrections), pairs


def random(label: str, count: int) -> Bits:
    """Bits that only this label has."""
    words = -(-count // 64)
    return Bits(seed_of(label).expand((words,)), 64 * words)[:count]


def ones(vector: Bits) -> int:
    return int(vector.to_bools().sum())


def product(x: Bits, r: Bits, context: bytes = CONTEXT) -> Bits:
    """Both sides' shares, put together."""
    choices, pairs = setups()
    receiver = Receiver(pairs, r, FRESH, context)
    correction, share, _ = send(choices, receiver.message, x, context)
    return share ^ receiver.finish(correction)


# -- the correlation, written again with one bit at a time -------------------------------------------


def stream(key: bytes, context: bytes, length: int) -> bytes:
    """G: SHAKE-256 over the framed label, the context and the key."""
    parts = (b"sotto/1", b"ot extension", context)
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.shake_256(framed + key).digest(length)


def bit(raw: bytes, at: int) -> int:
    return raw[at // 8] >> at % 8 & 1


def row(columns: list[bytes], j: int) -> int:
    """Bit j of every column, as a number."""
    return sum(bit(column, j) << i for i, column in enumerate(columns))


def width(count: int) -> int:
    """Bytes of a column: the products' rows, and those of the next setup."""
    return -(-(count + 128) // 8)


def slow_columns(keys: list[bytes], width: int) -> list[bytes]:
    return [stream(key, CONTEXT, width) for key in keys]


def slow_q(choices: ChoiceKeys, message: bytes) -> list[bytes]:
    """q_i = G(k_i) ⊕ s_i·u_i."""
    width = len(message) // 128
    u = [message[i * width : (i + 1) * width] for i in range(128)]
    return [
        bytes(g ^ bit(choices.choices, i) * v for g, v in zip(column, u[i], strict=True))
        for i, column in enumerate(slow_columns(choices.keys(), width))
    ]


@pytest.mark.parametrize("count", [1, 8, 65, 200])
def test_every_row_of_q_is_that_of_t_or_differs_from_it_by_s(count: int) -> None:
    choices, pairs = setups()
    r = random("r", count)
    q = slow_q(choices, Receiver(pairs, r, FRESH, CONTEXT).message)
    t = slow_columns(pairs.column(0), width(count))
    s = int.from_bytes(choices.choices, "little")
    every = r.to_bools().tolist() + [bit(FRESH, at) for at in range(128)]
    for j, r_j in enumerate(every):
        assert row(q, j) == row(t, j) ^ (s if r_j else 0)


def slow_rows(columns: list[bytes], count: int) -> NDArray[np.uint8]:
    raw = b"".join(row(columns, j).to_bytes(16, "little") for j in range(count))
    return np.frombuffer(raw, np.uint8).reshape(count, 16)


@pytest.mark.parametrize("count", [1, 65])
def test_the_correction_and_the_senders_share_are_the_slow_ones(count: int) -> None:
    """y_j = H(j, q_j) ⊕ H(j, q_j ⊕ s) ⊕ x_j and the share H(j, q_j), of each H the lowest bit."""
    choices, pairs = setups()
    x, message = random("x", count), Receiver(pairs, random("r", count), FRESH, CONTEXT).message
    q, s = slow_rows(slow_q(choices, message), count), np.frombuffer(choices.choices, np.uint8)
    robust = RobustHash(CONTEXT)
    one, other = ((robust(each)[:, 0] & 1).tolist() for each in (q, q ^ s))
    correction, share, _ = send(choices, message, x, CONTEXT)
    assert share.to_bools().tolist() == [bool(each) for each in one]
    expected = [a ^ b ^ x_j for a, b, x_j in zip(one, other, x.to_bools().tolist(), strict=True)]
    assert Bits.from_bytes(correction, count).to_bools().tolist() == expected


@pytest.mark.parametrize("count", [1, 8, 65])
def test_both_halves_of_the_next_setup_are_the_slow_ones(count: int) -> None:
    """Of row j after the products: H(j, q_j) and H(j, q_j ⊕ s), and H(j, t_j), whole, with j going on."""
    choices, pairs = setups()
    receiver = Receiver(pairs, random("r", count), FRESH, CONTEXT)
    _, _, made = send(choices, receiver.message, random("x", count), CONTEXT)
    q = slow_rows(slow_q(choices, receiver.message), count + 128)
    t = slow_rows(slow_columns(pairs.column(0), width(count)), count + 128)
    s, robust = np.frombuffer(choices.choices, np.uint8), RobustHash(CONTEXT)
    zeros, ones_, chosen = ([each.tobytes() for each in robust(rows)[count:]] for rows in (q, q ^ s, t))
    assert (made.column(0), made.column(1)) == (zeros, ones_)
    assert (receiver.made.keys(), receiver.made.choices) == (chosen, FRESH)


@pytest.mark.parametrize("count", LENGTHS)
def test_the_fast_transposition_is_the_slow_one(count: int) -> None:
    width = -(-count // 8)
    matrix = seed_of("matrix").expand((16 * width,)).view(np.uint8).reshape(128, width)
    columns = [column.tobytes() for column in matrix]
    found = [int.from_bytes(each.tobytes(), "little") for each in extension._rows(matrix, count)]
    assert found == [row(columns, j) for j in range(count)]


# -- products ----------------------------------------------------------------------------------------


def test_all_four_products_of_two_bits_come_out() -> None:
    x, r = (Bits.from_bools(np.array(each, dtype=np.bool_)) for each in ([0, 0, 1, 1], [0, 1, 0, 1]))
    assert product(x, r).to_bools().tolist() == [False, False, False, True]


@pytest.mark.parametrize("count", LENGTHS)
@pytest.mark.parametrize("x", ["zeros", "ones", "random"])
@pytest.mark.parametrize("r", ["zeros", "ones", "random"])
def test_the_shares_of_every_product_xor_to_it(x: str, r: str, count: int) -> None:
    kinds = {
        "zeros": Bits.zeros(count),
        "ones": Bits.from_bools(np.ones(count, dtype=np.bool_)),
    }
    left, right = kinds.get(x, random("x", count)), kinds.get(r, random("r", count))
    assert product(left, right).to_bytes() == (left & right).to_bytes()


@repeatable
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40), st.binary(max_size=9))
def test_whatever_bits_and_context(pairs: list[tuple[bool, bool]], context: bytes) -> None:
    x, r = (Bits.from_bools(np.array(each, dtype=np.bool_)) for each in zip(*pairs, strict=True))
    assert product(x, r, context).to_bytes() == (x & r).to_bytes()


def test_a_flipped_correction_bit_makes_exactly_the_chosen_products_wrong() -> None:
    choices, pairs = setups()
    x, r = random("x", 256), random("r", 256)
    receiver = Receiver(pairs, r, FRESH, CONTEXT)
    correction, share, _ = send(choices, receiver.message, x, CONTEXT)
    everywhere = bytes(each ^ 0xFF for each in correction)
    wrong = share ^ receiver.finish(everywhere) ^ (x & r)
    assert wrong.to_bytes() == r.to_bytes()


@pytest.mark.parametrize("s", [0, 1])
def test_a_flipped_column_makes_products_wrong_where_s_has_a_one(s: int) -> None:
    """A receiver that does this learns s by watching what goes wrong: security is passive."""
    choices, pairs = setups()
    x, r = random("x", 256), random("r", 256)
    receiver = Receiver(pairs, r, FRESH, CONTEXT)
    column = next(i for i in range(128) if bit(choices.choices, i) == s)
    start, end = column * 48, column * 48 + 32  # the products' 256 bits; 128 more are the next setup's
    turned = bytes(each ^ 0xFF for each in receiver.message[start:end])
    changed = receiver.message[:start] + turned + receiver.message[end:]
    correction, share, _ = send(choices, changed, x, CONTEXT)
    wrong = ones(share ^ receiver.finish(correction) ^ (x & r))
    assert 80 < wrong < 176 if s else wrong == 0, "half of 256, within six standard deviations"


def test_one_flipped_bit_of_a_column_reaches_one_product_only() -> None:
    choices, pairs = setups()
    x, r = random("x", 256), random("r", 256)
    receiver = Receiver(pairs, r, FRESH, CONTEXT)
    column = next(i for i in range(128) if bit(choices.choices, i))
    wrong = [0] * 32
    for place in range(32):
        correction, share, _ = send(choices, flipped(receiver.message, column * 48 + place), x, CONTEXT)
        places = np.flatnonzero((share ^ receiver.finish(correction) ^ (x & r)).to_bools())
        assert set((places // 8).tolist()) <= {place}
        wrong[place] = len(places)
    assert 4 < sum(wrong) < 28, "about one in two"


# -- the setup of the next extension -----------------------------------------------------------------


def chosen_of(pairs: PairKeys, choices: bytes) -> list[bytes]:
    """k{r'_i}_i for every i."""
    return [
        pair[bit(choices, i)] for i, pair in enumerate(zip(pairs.column(0), pairs.column(1), strict=True))
    ]


@pytest.mark.parametrize("count", LENGTHS)
@pytest.mark.parametrize("fresh", [bytes(16), b"\xff" * 16, FRESH])
def test_of_each_pair_the_receiver_has_the_key_that_it_chose_and_not_the_other(
    fresh: bytes, count: int
) -> None:
    choices, pairs = setups()
    receiver = Receiver(pairs, random("r", count), fresh, CONTEXT)
    _, _, made = send(choices, receiver.message, random("x", count), CONTEXT)
    assert receiver.made.choices == fresh
    assert receiver.made.keys() == chosen_of(made, fresh)
    turned = bytes(each ^ 0xFF for each in fresh)
    assert not set(receiver.made.keys()) & set(chosen_of(made, turned))


def test_what_was_made_serves_an_extension_the_other_way_and_so_on() -> None:
    """The key material changes sides in each link: who held choices holds pairs in the next but one."""
    choices, pairs = setups()
    for link in range(4):
        context = hashlib.sha256(f"link {link}".encode()).digest()
        x, r, fresh = random(f"x{link}", 70), random(f"r{link}", 70), seed_of(f"{link}").expose()[:16]
        receiver = Receiver(pairs, r, fresh, context)
        correction, share, made = send(choices, receiver.message, x, context)
        assert (share ^ receiver.finish(correction)).to_bytes() == (x & r).to_bytes()
        choices, pairs = receiver.made, made


def test_the_next_setup_is_unrelated_to_this_one_and_to_the_products() -> None:
    choices, pairs = setups()
    made = []
    for x, r in (("x", "r"), ("other x", "r"), ("x", "other r")):
        receiver = Receiver(pairs, random(r, 64), FRESH, CONTEXT)
        made.append(send(choices, receiver.message, random(x, 64), CONTEXT)[2])
    assert made[0] == made[1] == made[2], "each row is hashed by itself"
    keys = {*made[0].column(0), *made[0].column(1)}
    assert len(keys) == 256
    assert not keys & {*pairs.column(0), *pairs.column(1), choices.choices, FRESH}
    bits = np.unpackbits(np.frombuffer(made[0].to_bytes(), np.uint8))
    assert abs(int(bits.sum()) - 16_384) < 544, "six standard deviations of 2^15 bits"


def test_choices_of_another_length_are_our_own_bug() -> None:
    for raw in (b"", bytes(15), bytes(17)):
        with pytest.raises(ValueError, match="128 bits are 16 bytes"):
            Receiver(setups()[1], random("r", 9), raw, CONTEXT)


@pytest.mark.parametrize("column", [0, 127])
def test_columns_without_the_rows_of_the_next_setup_are_refused(column: int) -> None:
    choices, pairs = setups()
    message = Receiver(pairs, random("r", 64), FRESH, CONTEXT).message
    bare = b"".join(message[at : at + 8] for at in range(0, len(message), 24))
    lacking = message[: 24 * column + 8] + message[24 * column + 24 :]
    for wrong in (bare, lacking):
        with pytest.raises(MalformedError, match=rf"^the columns: {len(wrong)} bytes, expected 3072$"):
            send(choices, wrong, random("x", 64), CONTEXT)


# -- bytes -------------------------------------------------------------------------------------------


def test_the_same_keys_bits_and_context_give_the_same_bytes() -> None:
    choices, pairs = setups()
    x, r = random("x", 100), random("r", 100)
    one, other = (Receiver(pairs, r, FRESH, CONTEXT) for _ in range(2))
    assert (one.message, one.made) == (other.message, other.made)
    once, again = (send(choices, one.message, x, CONTEXT) for _ in range(2))
    assert (once[0], once[2]) == (again[0], again[2])
    assert once[1].to_bytes() == again[1].to_bytes()


def test_another_context_gives_unrelated_columns_and_corrections() -> None:
    """The same keys, bits and s: without the context in G and H these would be the same bytes."""
    choices, pairs = setups()
    x, r = random("x", 1024), random("r", 1024)
    seen: list[bytes] = []
    shares, corrections, keys = [], [], set[bytes]()
    for context in (CONTEXT, flipped(CONTEXT)):
        receiver = Receiver(pairs, r, FRESH, context)
        correction, share, made = send(choices, receiver.message, x, context)
        assert (share ^ receiver.finish(correction)).to_bytes() == (x & r).to_bytes()
        seen += [receiver.message[at : at + 144] for at in range(0, len(receiver.message), 144)]
        keys |= {*made.column(0), *made.column(1)}
        corrections.append(Bits.from_bytes(correction, 1024))
        shares.append(share)
    assert len(set(seen)) == 256
    assert len(keys) == 2 * 256
    between = np.frombuffer(b"".join(seen[:128]), np.uint8) ^ np.frombuffer(b"".join(seen[128:]), np.uint8)
    assert abs(int(np.unpackbits(between).sum()) - 73_728) < 1152, "six standard deviations of 9·2^14 bits"
    for one, other in (corrections, shares):
        assert 416 < ones(one ^ other) < 608, "six standard deviations of 1024 bits"


def test_what_is_sent_is_balanced_whatever_the_bits_are() -> None:
    choices, pairs = setups()
    for value in (0, 1):
        constant = Bits.from_bools(np.full(8192, value, dtype=np.bool_))
        receiver = Receiver(pairs, constant, FRESH, CONTEXT)
        correction, share, _ = send(choices, receiver.message, constant, CONTEXT)
        columns = np.unpackbits(np.frombuffer(receiver.message, np.uint8).reshape(128, -1), axis=1)
        # 8192 bits: the standard deviation is 45.
        assert np.abs(columns[:, :8192].sum(axis=1, dtype=np.int64) - 4096).max() < 272
        assert abs(ones(Bits.from_bytes(correction, 8192)) - 4096) < 272
        assert abs(ones(share) - 4096) < 272


@pytest.mark.parametrize("change", [-1, 1])
@pytest.mark.parametrize("count", [1, 64, 65])
def test_columns_of_another_length_are_refused(count: int, change: int) -> None:
    choices, pairs = setups()
    message = Receiver(pairs, random("r", count), FRESH, CONTEXT).message
    wrong = (message + b"\x00")[: len(message) + change]
    with pytest.raises(MalformedError, match=rf"^the columns: {len(wrong)} bytes, expected {len(message)}$"):
        send(choices, wrong, random("x", count), CONTEXT)


@pytest.mark.parametrize("raw", [b"", bytes(1), bytes(3), b"\x00\x02"])
def test_corrections_of_another_length_are_refused(raw: bytes) -> None:
    receiver = Receiver(setups()[1], random("r", 9), FRESH, CONTEXT)
    with pytest.raises(MalformedError, match=r"^the correction bits: "):
        receiver.finish(raw)
