"""Base transfers, their extension and triples a second time, from SPEC.md §4.7 and §4.8 alone.

Bits are lists of 0 and 1.  Nothing here is fast, and nothing is shared with the project.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.vectors import reference_curve as curve
from tests.vectors.reference import derive, digest, expand, pack, ring_bytes

KAPPA = 128
INSTANCES = KAPPA // 2
Bits = list[int]


def packed(bits: Sequence[int]) -> bytes:
    """Bit j is bit j mod 8 of byte j div 8."""
    raw = bytearray(-(-len(bits) // 8))
    for j, bit in enumerate(bits):
        raw[j // 8] |= bit << j % 8
    return bytes(raw)


def unpacked(raw: bytes, count: int) -> Bits:
    """The first `count` bits of `raw`."""
    return [raw[j // 8] >> j % 8 & 1 for j in range(count)]


def xor(one: bytes, other: bytes) -> bytes:
    """Byte by byte."""
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


# -- §4.7 base transfers --------------------------------------------------------------------------


@dataclass(frozen=True)
class Chosen:
    """One half of 128 transfers: the choices s and the keys k."""

    choices: Bits
    keys: list[bytes]


Pairs = list[tuple[bytes, bytes]]  # the other half: (k0, k1) for each i
Setup = tuple[Chosen, Pairs]


def pairs_bytes(pairs: Pairs) -> bytes:
    """k0_0 ‖ k1_0 ‖ k0_1 ‖ …"""
    return b"".join(zero + one for zero, one in pairs)


def halves(setup: Setup) -> dict[str, str]:
    """Both halves as vectors write them; ValueError unless they fit."""
    chosen, pairs = setup
    if chosen.keys != [pair[s] for pair, s in zip(pairs, chosen.choices, strict=True)]:
        raise ValueError("the two halves do not belong together")
    return {
        "choices": packed(chosen.choices).hex(),
        "keys": b"".join(chosen.keys).hex(),
        "pairs": pairs_bytes(pairs).hex(),
    }


def pair_context(session: str, first: bytes, second: bytes) -> bytes:
    """Of two joins, in the order of `spec.compute`."""
    return digest("pair", session, first, second)


def bound(pair: bytes, sender: str, receiver: str) -> bytes:
    """Z: the context of everything between S and R."""
    return digest("correlation", pair, sender, receiver)


def offer(a: int) -> bytes:
    """A = aB."""
    return curve.encode(curve.multiply(a, curve.BASE))


def choose(offered: bytes, choices: Bits, scalars: Sequence[int], z: bytes) -> tuple[bytes, list[bytes]]:
    """S: the points R_i, and the key K_i(x_i·A) of each instance."""
    point = curve.decode(offered)
    message = b""
    for i, x in enumerate(scalars):
        c = choices[2 * i] + 2 * choices[2 * i + 1]
        message += curve.encode(curve.add(curve.multiply(c, point), curve.multiply(x, curve.BASE)))
    h = digest("base ot", z, offered, message)
    return message, [_key(h, i, curve.multiply(x, point)) for i, x in enumerate(scalars)]


def accept(a: int, message: bytes, z: bytes) -> tuple[bytes, Pairs]:
    """R: the corrections, and its 128 pairs."""
    offered = offer(a)
    h = digest("base ot", z, offered, message)
    back = curve.negative(curve.multiply(a, curve.decode(offered)))
    corrections, pairs = b"", list[tuple[bytes, bytes]]()
    for i in range(INSTANCES):
        product = curve.multiply(a, curve.decode(message[32 * i : 32 * i + 32]))
        keys = [_key(h, i, curve.add(product, curve.multiply(c, back))) for c in range(4)]
        zero, one = (keys[0][:16], keys[0][16:]), (keys[3][:16], keys[3][16:])
        corrections += xor(keys[1], one[0] + zero[1]) + xor(keys[2], zero[0] + one[1])
        pairs += zip(zero, one, strict=True)
    return corrections, pairs


def finish(choices: Bits, joint: Sequence[bytes], corrections: bytes) -> Chosen:
    """S: the keys that it chose."""
    keys: list[bytes] = []
    for i, key in enumerate(joint):
        c = choices[2 * i] + 2 * choices[2 * i + 1]
        if c in {1, 2}:
            key = xor(key, corrections[64 * i + 32 * (c - 1) :][:32])  # noqa: PLW2901 - the key, corrected
        keys += [key[:16], key[16:]]
    return Chosen(choices, keys)


def _key(h: bytes, i: int, point: curve.Point) -> bytes:
    return digest("base ot key", h, i.to_bytes(2, "big"), curve.encode(point))


# -- §4.8 extension -------------------------------------------------------------------------------


def stream(key: bytes, z: bytes, width: int) -> bytes:
    """G."""
    return hashlib.shake_256(pack("ot extension", z) + key).digest(width)


def robust_hash(z: bytes, j: int, row: bytes) -> bytes:
    """H(j, x) = π(π(x) ⊕ j) ⊕ π(x)."""
    key = digest("correlation-robust hash", z)[:16]
    inner = _aes(key, row)
    return xor(_aes(key, xor(inner, j.to_bytes(16, "little"))), inner)


def _aes(key: bytes, block: bytes) -> bytes:
    return Cipher(algorithms.AES128(key), modes.ECB()).encryptor().update(block)


def columns(pairs: Pairs, r: Bits, fresh: Bits, z: bytes) -> bytes:
    """R: u_0 ‖ … ‖ u_127; `fresh` are the choices r' of the rows after the products."""
    width = -(-(len(r) + KAPPA) // 8)
    chosen = packed(r + fresh)
    return b"".join(xor(xor(stream(zero, z, width), stream(one, z, width)), chosen) for zero, one in pairs)


def correct(chosen: Chosen, message: bytes, x: Bits, z: bytes) -> tuple[bytes, Bits, Pairs]:
    """S: the correction bits y, its shares, and its half of the next setup."""
    width = -(-(len(x) + KAPPA) // 8)
    q = []
    for i, key in enumerate(chosen.keys):
        u = message[width * i : width * (i + 1)]
        q.append(xor(stream(key, z, width), u if chosen.choices[i] else bytes(width)))
    rows, s = _rows(q, len(x) + KAPPA), packed(chosen.choices)
    zeros = [robust_hash(z, j, row) for j, row in enumerate(rows)]
    ones = [robust_hash(z, j, xor(row, s)) for j, row in enumerate(rows)]
    share = [each[0] & 1 for each in zeros[: len(x)]]
    y = [a ^ each[0] & 1 ^ b for a, each, b in zip(share, ones, x, strict=False)]
    return packed(y), share, list(zip(zeros, ones, strict=True))[len(x) :]


def received(pairs: Pairs, r: Bits, fresh: Bits, y: bytes, z: bytes) -> tuple[Bits, Chosen]:
    """R: its shares, and its half of the next setup."""
    count = len(r)
    width = -(-(count + KAPPA) // 8)
    rows = _rows([stream(zero, z, width) for zero, _ in pairs], count + KAPPA)
    hashes = [robust_hash(z, j, row) for j, row in enumerate(rows)]
    share = [each[0] & 1 ^ (a & b) for each, a, b in zip(hashes, r, unpacked(y, count), strict=False)]
    return share, Chosen(fresh, hashes[count:])


def _rows(matrix: Sequence[bytes], count: int) -> list[bytes]:
    """Row j holds bit j of every column."""
    return [packed([column[j // 8] >> j % 8 & 1 for column in matrix]) for j in range(count)]


# -- §4.8 triples: what two parties say to each other ---------------------------------------------


def is_sender(mine: int, other: int) -> bool:
    """Whether the party at this position of `spec.compute` is S."""
    return (mine + other) % 2 == (0 if mine < other else 1)


@dataclass(frozen=True)
class Correlated:
    """The letters between two parties by step, the share each gets, and its half of the next setup."""

    letters: dict[int, bytes]
    sender_share: Bits
    receiver_share: Bits
    sender_made: Pairs
    receiver_made: Chosen

    @property
    def made(self) -> Setup:
        """Both halves of the next setup."""
        return self.receiver_made, self.sender_made


def correlate(
    sender: Randomness,
    receiver: Randomness,
    z: bytes,
    peer: str,
    setup: Setup | None = None,
) -> Correlated:
    """x = a_S ‖ b_S against r = b_R ‖ a_R; `peer` is the name of S."""
    x, r = sender.a + sender.b, receiver.b + receiver.a
    letters: dict[int, bytes] = {}
    if setup is None:
        choices, scalars = sender.transfers(z)
        letters[1], joint = choose(offer(receiver.offer_scalar), choices, scalars, z)
        letters[2], pairs = accept(receiver.offer_scalar, letters[1], z)
        chosen = finish(choices, joint, letters[2])
    else:
        chosen, pairs = setup
        letters[2] = b""
    fresh = receiver.next_choices(peer)
    message = columns(pairs, r, fresh, z)
    letters[2] += message
    letters[3], sender_share, made = correct(chosen, message, x, z)
    receiver_share, chosen_next = received(pairs, r, fresh, letters[3], z)
    return Correlated(letters, sender_share, receiver_share, made, chosen_next)


# -- §4.11 what our nodes derive ------------------------------------------------------------------


@dataclass(frozen=True)
class Randomness:
    """One party's seed for all of this, and how many triples are made."""

    seed: bytes
    count: int

    @property
    def a(self) -> Bits:
        """Its shares a."""
        return self._uniform("a")

    @property
    def b(self) -> Bits:
        """Its shares b."""
        return self._uniform("b")

    @property
    def offer_scalar(self) -> int:
        """The number a of its point A."""
        return _scalar(derive(derive(self.seed, "base ot offer"), "base ot sender", length=64))

    def transfers(self, z: bytes) -> tuple[Bits, list[int]]:
        """As S: its choices and the numbers x_i."""
        raw = ring_bytes(expand(derive(self.seed, "base ot receiver", z), 2 + 8 * INSTANCES))
        return unpacked(raw, KAPPA), [_scalar(raw[at : at + 64]) for at in range(16, len(raw), 64)]

    def next_choices(self, peer: str) -> Bits:
        """As R: r'."""
        return unpacked(derive(self.seed, "next choices", peer, length=KAPPA // 8), KAPPA)

    def _uniform(self, which: str) -> Bits:
        raw = ring_bytes(expand(derive(self.seed, "triples", which), -(-self.count // 64)))
        return unpacked(raw, self.count)


def triples(own: Randomness, shares: Mapping[str, Bits]) -> tuple[Bits, Bits, Bits]:
    """a, b and c of one party, from its shares with each of the others."""
    c = [a & b for a, b in zip(own.a, own.b, strict=True)]
    for share in shares.values():
        c = [each ^ share[j] ^ share[own.count + j] for j, each in enumerate(c)]
    return own.a, own.b, c


def _scalar(uniform: bytes) -> int:
    return int.from_bytes(uniform, "little") % curve.L
