"""Base oblivious transfers: the sender never learns a choice, the receiver never both keys of a pair.

Chou and Orlandi, *The Simplest Protocol for Oblivious Transfer*, LATINCRYPT 2015, §2, with four keys an
instance, in the prime-order subgroup of edwards25519.  A 1-out-of-4 transfer of two keys joined together
is two 1-out-of-2 transfers [Kolesnikov and Kumaresan, CRYPTO 2013, §1]: 64 instances, so half of the
scalar multiplications, give the 128 pairs of keys that the extension needs.

    sender      A = aB                                                                A     →
    receiver    R_i = c_i·A + x_i·B,  c_i = s_2i + 2·s_2i+1                       ←   R_i
    sender      K_i^c = H(aR_i − c·aA),  c = 0..3                                 E_i^1, E_i^2  →
    receiver    K_i^{c_i} = H(x_i·A)

K_i^0 is (k0_2i, k0_2i+1) and K_i^3 is (k1_2i, k1_2i+1).  The two mixed pairs go under the other two keys:
E_i^1 = K_i^1 ⊕ (k1_2i, k0_2i+1) and E_i^2 = K_i^2 ⊕ (k0_2i, k1_2i+1).  Security is passive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from protocol.correlation.group import POINT_BYTES, SCALAR_BYTES, Scalar, add, multiples, subtract
from protocol.messages import MalformedError
from protocol.secret import Seed
from protocol.transcript import digest

KAPPA = 128  # transfers, and bits of a key
KEY_BYTES = KAPPA // 8
_CHOICE_BYTES = KAPPA // 8
_INSTANCES = KAPPA // 2
MESSAGE_BYTES = _INSTANCES * POINT_BYTES
CORRECTION_BYTES = _INSTANCES * 2 * 2 * KEY_BYTES


@dataclass(frozen=True, slots=True)
class PairKeys:
    """The sender's setup: 128 pairs (k0_i, k1_i), for one extension.  Secret: it has no repr."""

    raw: bytes  # uint8[128, 2, 16]

    def __post_init__(self) -> None:
        _check_length("pairs of keys", self.raw, KAPPA * 2 * KEY_BYTES)

    def __repr__(self) -> str:
        return "PairKeys(<redacted>)"

    def column(self, bit: int) -> list[bytes]:
        """k0_i or k1_i for every i."""
        return [self.raw[at : at + KEY_BYTES] for at in range(bit * KEY_BYTES, len(self.raw), 2 * KEY_BYTES)]

    def to_bytes(self) -> bytes:
        """For storage; as secret as the keys."""
        return self.raw

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Inverse of `to_bytes`; ValueError for another length."""
        return cls(raw)


@dataclass(frozen=True, slots=True)
class ChoiceKeys:
    """The receiver's setup: 128 choice bits s and the keys k_i = k{s_i}_i, for one extension.

    Secret: it has no repr.
    """

    choices: bytes  # s, little-endian bits
    raw: bytes  # uint8[128, 16]

    def __post_init__(self) -> None:
        _check_length("choices", self.choices, _CHOICE_BYTES)
        _check_length("chosen keys", self.raw, KAPPA * KEY_BYTES)

    def __repr__(self) -> str:
        return "ChoiceKeys(<redacted>)"

    def keys(self) -> list[bytes]:
        """k_i for every i."""
        return [self.raw[at : at + KEY_BYTES] for at in range(0, len(self.raw), KEY_BYTES)]

    def to_bytes(self) -> bytes:
        """For storage; as secret as the keys."""
        return self.choices + self.raw

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Inverse of `to_bytes`; ValueError for another length."""
        return cls(raw[:_CHOICE_BYTES], raw[_CHOICE_BYTES:])


@dataclass(frozen=True, slots=True)
class Chosen:
    """The receiver between its message and the sender's corrections.  Secret: it has no repr."""

    choices: bytes  # s, little-endian bits
    joint: bytes  # K_i^{c_i} as uint8[64, 32]

    def __repr__(self) -> str:
        return "Chosen(<redacted>)"

    def finish(self, corrections: bytes) -> ChoiceKeys:
        """The keys that were chosen; MalformedError unless the corrections have their length."""
        _expect("the corrections of the base transfers", corrections, CORRECTION_BYTES)
        masks = np.zeros((_INSTANCES, 4, 2 * KEY_BYTES), np.uint8)  # for K_i^0 and K_i^3 there are none
        masks[:, 1:3] = np.frombuffer(corrections, np.uint8).reshape(_INSTANCES, 2, 2 * KEY_BYTES)
        chosen = masks[np.arange(_INSTANCES), _cases(self.choices)]
        chosen ^= np.frombuffer(self.joint, np.uint8).reshape(chosen.shape)
        return ChoiceKeys(self.choices, chosen.tobytes())


def offer(seed: Seed) -> bytes:
    """The sender's point A, one for all of its receivers."""
    return _sender(seed).base()


def choose(offered: bytes, seed: Seed, context: bytes) -> tuple[bytes, Chosen]:
    """The receiver's points R_i for the sender's A, and what it keeps; MalformedError for a bad point.

    `context` binds the session and the two parties; `seed` must be fresh for each of them.
    """
    _expect("the offered point", offered, POINT_BYTES)
    stream = seed.derive("base ot receiver", context).expand((_CHOICE_BYTES // 8 + _INSTANCES * 8,))
    choices, uniform = _cut(stream.astype("<u8", copy=False).tobytes())
    scalars = [Scalar(each) for each in uniform]
    shared = [x.times(offered, "the offered point") for x in scalars]
    multiples_of_a = multiples(offered, 4)
    # 0·A is added too: the time tells nothing about the choice.
    points = [
        add(multiples_of_a[c], x.base()) for c, x in zip(_cases(choices).tolist(), scalars, strict=True)
    ]
    message = b"".join(points)
    transcript = _transcript(context, offered, message)
    joint = [_key(transcript, i, product) for i, product in enumerate(shared)]
    return message, Chosen(choices, b"".join(joint))


def accept(seed: Seed, message: bytes, context: bytes) -> tuple[bytes, PairKeys]:
    """The sender's corrections for the points R_i, and its 128 pairs; MalformedError for a bad point."""
    _expect("the points of the base transfers", message, MESSAGE_BYTES)
    a = _sender(seed)
    offered = a.base()
    transcript = _transcript(context, offered, message)
    multiples_of_t = multiples(a.times(offered, "our own point"), 4)[1:]
    joint = np.empty((_INSTANCES, 4, 2 * KEY_BYTES), np.uint8)
    for i in range(_INSTANCES):
        point = message[i * POINT_BYTES : (i + 1) * POINT_BYTES]
        product = a.times(point, f"point {i} of the base transfers")
        products = [product, *(subtract(product, t) for t in multiples_of_t)]
        keys = [_key(transcript, i, each) for each in products]
        joint[i] = np.frombuffer(b"".join(keys), np.uint8).reshape(4, -1)
    return _corrections(joint), _pairs(joint)


def _corrections(joint: NDArray[np.uint8]) -> bytes:
    """E_i^1 and E_i^2 from K_i^0..K_i^3 as uint8[64, 4, 32]."""
    k0, k1 = joint[:, 0], joint[:, 3]
    mixed = np.empty((_INSTANCES, 2, 2 * KEY_BYTES), np.uint8)
    mixed[:, 0, :KEY_BYTES], mixed[:, 0, KEY_BYTES:] = k1[:, :KEY_BYTES], k0[:, KEY_BYTES:]
    mixed[:, 1, :KEY_BYTES], mixed[:, 1, KEY_BYTES:] = k0[:, :KEY_BYTES], k1[:, KEY_BYTES:]
    return (mixed ^ joint[:, 1:3]).tobytes()


def _pairs(joint: NDArray[np.uint8]) -> PairKeys:
    """(k0_i, k1_i) for i = 0..127 from K_i^0 and K_i^3."""
    k0, k1 = (joint[:, case].reshape(KAPPA, KEY_BYTES) for case in (0, 3))
    return PairKeys(np.stack([k0, k1], axis=1).tobytes())


def _sender(seed: Seed) -> Scalar:
    return Scalar(seed.derive_bytes(SCALAR_BYTES, "base ot sender"))


def _cut(stream: bytes) -> tuple[bytes, list[bytes]]:
    """The receiver's choices, and the uniform bytes of its scalars."""
    starts = range(_CHOICE_BYTES, len(stream), SCALAR_BYTES)
    return stream[:_CHOICE_BYTES], [stream[at : at + SCALAR_BYTES] for at in starts]


def _cases(choices: bytes) -> NDArray[np.intp]:
    """c_i = s_2i + 2·s_2i+1 as [64]."""
    bits = np.unpackbits(np.frombuffer(choices, np.uint8), bitorder="little").reshape(_INSTANCES, 2)
    return bits[:, 0].astype(np.intp) + 2 * bits[:, 1]


def _transcript(context: bytes, offered: bytes, message: bytes) -> bytes:
    """All points, which the paper has in every H."""
    return digest("base ot", context, offered, message)


def _key(transcript: bytes, instance: int, product: bytes) -> bytes:
    """H: two keys of 16 bytes."""
    return digest("base ot key", transcript, instance.to_bytes(2, "big"), product)


def _expect(what: str, raw: bytes, length: int) -> None:
    if len(raw) != length:
        raise MalformedError(f"{what}: {len(raw)} bytes, expected {length}")


def _check_length(what: str, raw: bytes, length: int) -> None:
    if len(raw) != length:
        raise ValueError(f"{what}: {len(raw)} bytes, expected {length}")
