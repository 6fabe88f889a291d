"""Base transfers agree with a slow, independent edwards25519; every bad point is refused for its own flaw."""

import copy
import hashlib
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from protocol.correlation import base_ot
from protocol.correlation.base_ot import ChoiceKeys, PairKeys
from protocol.correlation.group import Scalar, multiples
from protocol.messages import MalformedError
from tests.support.sessions import flipped, repeatable, seed_of

SENDER, RECEIVER, CONTEXT = seed_of("sender"), seed_of("receiver"), hashlib.sha256(b"context").digest()
OFFER = base_ot.offer(SENDER)
POINTS, CHOSEN = base_ot.choose(OFFER, RECEIVER, CONTEXT)
CORRECTIONS, PAIRS = base_ot.accept(SENDER, POINTS, CONTEXT)
CHOICES = CHOSEN.finish(CORRECTIONS)


def bits(raw: bytes) -> list[int]:
    """Little-endian bits."""
    return [raw[at // 8] >> at % 8 & 1 for at in range(8 * len(raw))]


# -- edwards25519 as RFC 8032, §5.1 and §6 describe it, slowly ---------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]  # affine x, y
ZERO: Point = (0, 1)


def plus(one: Point, other: Point) -> Point:
    (x1, y1), (x2, y2) = one, other
    t = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P


def minus(point: Point) -> Point:
    return -point[0] % P, point[1]


def times(scalar: int, point: Point) -> Point:
    found = ZERO
    while scalar:
        if scalar & 1:
            found = plus(found, point)
        point, scalar = plus(point, point), scalar >> 1
    return found


def root(y: int, sign: int) -> int | None:
    """The x of this sign for y, where there is one."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square or (x == 0 and sign):
        return None
    return x if x & 1 == sign else P - x


def encoded(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decoded(raw: bytes) -> Point:
    number = int.from_bytes(raw, "little")
    y = number % 2**255
    x = root(y, number >> 255)
    assert x is not None
    assert y < P
    return x, y


def base() -> Point:
    y = 4 * pow(5, -1, P) % P
    x = root(y, 0)
    assert x is not None
    return x, y


B = base()


def point_of_order_8() -> Point:
    """L times any point outside the subgroup has an order that divides 8."""
    for y in range(2, 200):
        x = root(y, 0)
        torsion = ZERO if x is None else times(L, (x, y))
        if times(4, torsion) != ZERO:
            return torsion
    raise AssertionError("an eighth of the curve's points are of this kind")


TORSION = [times(number, point_of_order_8()) for number in range(8)]


# -- against the slow version ------------------------------------------------------------------------


def framed(label: str, *parts: bytes) -> bytes:
    """The hash of `protocol.transcript`, written again."""
    whole = b"".join(len(part).to_bytes(8, "big") + part for part in (b"sotto/1", label.encode(), *parts))
    return hashlib.sha256(whole).digest()


def slow_joint_key(instance: int, point: Point) -> bytes:
    transcript = framed("base ot", CONTEXT, OFFER, POINTS)
    return framed("base ot key", transcript, instance.to_bytes(2, "big"), encoded(point))


def slow_a() -> int:
    return int.from_bytes(SENDER.derive_bytes(64, "base ot sender"), "little") % L


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(one, other, strict=True))


def test_the_slow_group_is_edwards25519() -> None:
    assert times(L, B) == ZERO
    assert len(set(TORSION)) == 8
    assert encoded(times(5, B)) == bindings.crypto_scalarmult_ed25519_base_noclamp((5).to_bytes(32, "little"))


def test_the_offered_point_is_the_slow_one() -> None:
    assert encoded(times(slow_a(), B)) == OFFER


@pytest.mark.parametrize("instance", [0, 1, 63])
def test_the_pairs_and_corrections_are_the_slow_ones(instance: int) -> None:
    """K^c = H(a(R − cA)) for c = 0..3; the pairs are K^0 and K^3, and the mixed ones are sent."""
    a, point = slow_a(), decoded(POINTS[32 * instance : 32 * instance + 32])
    joint = [
        slow_joint_key(instance, times(a, plus(point, minus(times(c, decoded(OFFER)))))) for c in range(4)
    ]
    zeros, ones = PAIRS.column(0), PAIRS.column(1)
    even, odd = 2 * instance, 2 * instance + 1
    assert joint[0] == zeros[even] + zeros[odd]
    assert joint[3] == ones[even] + ones[odd]
    expected = xor(joint[1], ones[even] + zeros[odd]) + xor(joint[2], zeros[even] + ones[odd])
    assert CORRECTIONS[64 * instance : 64 * instance + 64] == expected


@pytest.mark.parametrize("instance", [0, 1, 63])
def test_the_points_and_chosen_keys_are_the_slow_ones(instance: int) -> None:
    """R = cA + xB and K = H(xA), where the seed's stream is 128 choices and then 64 bytes for each x."""
    stream = RECEIVER.derive("base ot receiver", CONTEXT).expand((2 + 8 * 64,)).astype("<u8").tobytes()
    assert CHOICES.choices == stream[:16]
    x = int.from_bytes(stream[16 + 64 * instance : 80 + 64 * instance], "little") % L
    s = bits(stream[:16])[2 * instance : 2 * instance + 2]
    c = s[0] + 2 * s[1]
    point = plus(times(c, decoded(OFFER)), times(x, B))
    assert POINTS[32 * instance : 32 * instance + 32] == encoded(point)
    key = slow_joint_key(instance, times(x, decoded(OFFER)))
    if c in {1, 2}:
        key = xor(key, CORRECTIONS[64 * instance :][32 * (c - 1) : 32 * c])
    assert b"".join(CHOICES.keys()[2 * instance : 2 * instance + 2]) == key


# -- what a transfer is ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(4))
def test_the_receiver_has_the_key_that_it_chose_of_each_pair_and_not_the_other(number: int) -> None:
    sender, receiver = seed_of(f"sender {number}"), seed_of(f"receiver {number}")
    points, chosen = base_ot.choose(base_ot.offer(sender), receiver, CONTEXT)
    corrections, pairs = base_ot.accept(sender, points, CONTEXT)
    choices = chosen.finish(corrections)
    both = list(zip(pairs.column(0), pairs.column(1), strict=True))
    assert len(both) == len(choices.keys()) == 128
    for s, key, pair in zip(bits(choices.choices), choices.keys(), both, strict=True):
        assert pair[s] == key != pair[1 - s]
    cases = np.array(bits(choices.choices)).reshape(64, 2) @ [1, 2]
    assert set(cases.tolist()) == {0, 1, 2, 3}, "all four cases were seen"


def test_all_keys_of_all_contexts_differ() -> None:
    keys = []
    for context in (CONTEXT, flipped(CONTEXT)):
        points, _ = base_ot.choose(OFFER, RECEIVER, context)
        pairs = base_ot.accept(SENDER, points, context)[1]
        keys += pairs.column(0) + pairs.column(1)
    same_points = base_ot.accept(SENDER, POINTS, flipped(CONTEXT))[1]
    keys += same_points.column(0) + same_points.column(1)
    assert len(set(keys)) == 3 * 256
    assert {len(key) for key in keys} == {16}


def test_the_same_seeds_and_context_give_the_same_bytes() -> None:
    assert base_ot.offer(SENDER) == OFFER
    assert base_ot.choose(OFFER, RECEIVER, CONTEXT) == (POINTS, CHOSEN)
    assert base_ot.accept(SENDER, POINTS, CONTEXT) == (CORRECTIONS, PAIRS)


def test_other_seeds_and_contexts_give_other_points() -> None:
    messages = [
        base_ot.choose(OFFER, seed, context)[0]
        for seed in (RECEIVER, seed_of("other"))
        for context in (CONTEXT, flipped(CONTEXT))
    ]
    points = {message[at : at + 32] for message in messages for at in range(0, 2048, 32)}
    assert len(points) == 4 * 64


def test_a_changed_point_or_correction_changes_the_keys() -> None:
    swapped = POINTS[32:64] + POINTS[:32] + POINTS[64:]
    corrections, pairs = base_ot.accept(SENDER, swapped, CONTEXT)
    assert not set(CHOSEN.finish(corrections).keys()) & {*pairs.column(0), *pairs.column(1)}
    cases = np.array(bits(CHOICES.choices)).reshape(64, 2) @ [1, 2]
    for case, changes in ((0, False), (1, True), (3, False)):
        instance = cases.tolist().index(case)
        changed = CHOSEN.finish(flipped(CORRECTIONS, 64 * instance))
        assert (changed != CHOICES) == changes, "only who chose a mixed case reads its correction"


# -- bad bytes ---------------------------------------------------------------------------------------

P_SIGNED = P | 1 << 255
CANONICAL_SMALL = [encoded(point) for point in TORSION]
# 0 and 1 written as p and p + 1, and the points with x = 0 with the sign that there is none of.
NON_CANONICAL_SMALL = [
    number.to_bytes(32, "little") for number in (P, P + 1, P_SIGNED, P_SIGNED + 1, 1 | 1 << 255, P_SIGNED - 1)
]
NON_CANONICAL = [(P + y).to_bytes(32, "little") for y in range(2, 19)]
OFF_CURVE = [y.to_bytes(32, "little") for y in range(2, 40) if root(y, 0) is None]
OUTSIDE = [encoded(plus(times(7, B), torsion)) for torsion in TORSION[1:]]
FLAWS = [
    *((raw, "has a small order") for raw in CANONICAL_SMALL),
    *((raw, "is not in canonical form") for raw in NON_CANONICAL_SMALL + NON_CANONICAL),
    *((raw, "is not on the curve") for raw in OFF_CURVE),
    *((raw, "is outside the prime-order subgroup") for raw in OUTSIDE),
]
each_flaw = pytest.mark.parametrize(("raw", "flaw"), FLAWS, ids=[f"{raw.hex()}" for raw, _ in FLAWS])


@each_flaw
def test_a_bad_offer_is_refused_for_its_flaw(raw: bytes, flaw: str) -> None:
    with pytest.raises(MalformedError, match=f"^the offered point {flaw}$"):
        base_ot.choose(raw, RECEIVER, CONTEXT)


@each_flaw
@pytest.mark.parametrize("place", [0, 63])
def test_a_bad_point_is_refused_for_its_flaw_and_named(raw: bytes, flaw: str, place: int) -> None:
    message = POINTS[: 32 * place] + raw + POINTS[32 * place + 32 :]
    with pytest.raises(MalformedError, match=f"^point {place} of the base transfers {flaw}$"):
        base_ot.accept(SENDER, message, CONTEXT)


def test_the_same_point_without_its_torsion_is_taken() -> None:
    base_ot.choose(encoded(times(7, B)), RECEIVER, CONTEXT)


@pytest.mark.parametrize("raw", [b"", OFFER[:-1], OFFER + b"\x00"])
def test_an_offer_of_another_length_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError, match=f"^the offered point: {len(raw)} bytes, expected 32$"):
        base_ot.choose(raw, RECEIVER, CONTEXT)


@pytest.mark.parametrize("raw", [b"", POINTS[:-32], POINTS[:-1], POINTS + OFFER])
def test_points_of_another_length_are_refused(raw: bytes) -> None:
    with pytest.raises(
        MalformedError, match=f"^the points of the base transfers: {len(raw)} bytes, expected"
    ):
        base_ot.accept(SENDER, raw, CONTEXT)


@pytest.mark.parametrize("raw", [b"", CORRECTIONS[:-1], CORRECTIONS + b"\x00"])
def test_corrections_of_another_length_are_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError, match=f"^the corrections of the base transfers: {len(raw)} bytes"):
        CHOSEN.finish(raw)


@repeatable
@given(st.binary(min_size=32, max_size=32))
def test_whatever_32_bytes_are_a_point_or_are_refused(raw: bytes) -> None:
    message = raw + POINTS[32:]
    if bindings.crypto_core_ed25519_is_valid_point(raw):
        base_ot.accept(SENDER, message, CONTEXT)
        return
    with pytest.raises(MalformedError, match=r"^point 0 of the base transfers "):
        base_ot.accept(SENDER, message, CONTEXT)


# -- secrets -----------------------------------------------------------------------------------------


def test_multiples_begin_at_zero() -> None:
    assert multiples(OFFER, 4) == [encoded(times(number, decoded(OFFER))) for number in range(4)]


@pytest.mark.parametrize("secret", [PAIRS, CHOICES, CHOSEN, Scalar(bytes(range(64)))])
def test_a_setup_or_scalar_has_no_repr(secret: object) -> None:
    assert repr(secret) == str(secret) == f"{type(secret).__name__}(<redacted>)"


@pytest.mark.parametrize("writing", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_scalar_is_not_serialised(writing: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="not serialised"):
        writing(Scalar(bytes(range(64))))


def test_a_stored_setup_is_the_same_setup() -> None:
    assert PairKeys.from_bytes(PAIRS.to_bytes()) == PAIRS
    assert ChoiceKeys.from_bytes(CHOICES.to_bytes()) == CHOICES


@pytest.mark.parametrize("change", [-1, 1])
def test_a_stored_setup_of_another_length_is_refused_without_showing_it(change: int) -> None:
    pairs, choices = PAIRS.to_bytes() + b"\x00", CHOICES.to_bytes() + b"\x00"
    with pytest.raises(ValueError, match=rf"^pairs of keys: {4096 + change} bytes, expected 4096$"):
        PairKeys.from_bytes(pairs[: 4096 + change])
    with pytest.raises(ValueError, match=rf"^chosen keys: {2048 + change} bytes, expected 2048$"):
        ChoiceKeys.from_bytes(choices[: 2064 + change])
    with pytest.raises(ValueError, match=r"^choices: 9 bytes, expected 16$"):
        ChoiceKeys.from_bytes(choices[:9])
