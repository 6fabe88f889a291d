"""OT extension: 128 base transfers become m products of a sender's bit with a receiver's bit, each shared.

Ishai, Kilian, Nissim and Petrank, CRYPTO 2003, §3, in the form of Asharov, Lindell, Schneider and Zohner,
*More Efficient Oblivious Transfer and Extensions for Faster Secure Computation*, CCS 2013, whose receiver
sends one column for each base transfer, and whose correlated transfers cost one bit each.  The receiver's
choices are r_0..r_{m−1}, the sender's bits x_0..x_{m−1}; the base transfers run the other way, so that the
sender holds 128 secret bits s and the keys k{s_i}_i.

    receiver   t_i = G(k0_i),  u_i = t_i ⊕ G(k1_i) ⊕ r                        u →
    sender     q_i = G(k{s_i}_i) ⊕ s_i·u_i,  so that row by row  q_j = t_j ⊕ r_j·s
               y_j = H(j, q_j) ⊕ H(j, q_j ⊕ s) ⊕ x_j                        ← y
    shares     sender H(j, q_j),  receiver H(j, t_j) ⊕ r_j·y_j;  their XOR is r_j·x_j

128 rows more, with fresh random choices and without y, are random transfers of whole keys, and as such the
base transfers of the next extension between the two, in the other direction.  So a setup serves once: no s
comes twice, and what is stolen later opens nothing that is past.
Security is passive: nothing here notices a receiver that uses different r in different columns.
"""

from __future__ import annotations

from hashlib import shake_256

import numpy as np
from numpy.typing import NDArray

from protocol.bits import Bits, concat
from protocol.correlation.base_ot import KAPPA, ChoiceKeys, PairKeys
from protocol.correlation.robust_hash import RobustHash, Rows
from protocol.messages import MalformedError
from protocol.transcript import pack

Matrix = NDArray[np.uint8]  # uint8[128, ⌈m/8⌉]: one row of packed bits, little endian, for each base transfer
# Bits that change places in a block of 8 × 8: at a distance of 7, 14 and 28, and where the nearer ones are.
_SWAPS = [
    (np.uint64(shift), np.uint64(mask))
    for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0))
]


class Receiver:
    """The receiver's side of m products, between its message and the sender's correction."""

    def __init__(self, keys: PairKeys, choices: Bits, fresh: bytes, context: bytes) -> None:
        """`fresh` holds the 128 choices of the next setup, `made`."""
        every = concat([choices, Bits.from_bytes(fresh, KAPPA)])
        width = _width(len(every))
        t = _expand(keys.column(0), width, context)
        u = t ^ _expand(keys.column(1), width, context)
        u ^= np.frombuffer(every.to_bytes(), np.uint8)
        self.message = u.tobytes()
        self._choices = choices
        hashes = RobustHash(context)(_rows(t, len(every)))
        self._masks = _lowest(hashes[: len(choices)])
        self.made = ChoiceKeys(fresh, hashes[len(choices) :].tobytes())

    def finish(self, correction: bytes) -> Bits:
        """The receiver's share; MalformedError unless the correction is one bit for each product."""
        try:
            y = Bits.from_bytes(correction, self._choices.length)
        except ValueError as error:
            raise MalformedError(f"the correction bits: {error}") from None
        return self._masks ^ (self._choices & y)


def send(keys: ChoiceKeys, message: bytes, x: Bits, context: bytes) -> tuple[bytes, Bits, PairKeys]:
    """The correction for the receiver's message, the sender's share, and its half of the next setup.

    MalformedError unless the message is as long as the bits of `x` make it.
    """
    rows = len(x) + KAPPA
    width = _width(rows)
    if len(message) != KAPPA * width:
        raise MalformedError(f"the columns: {len(message)} bytes, expected {KAPPA * width}")
    s = np.frombuffer(keys.choices, np.uint8)
    columns = np.frombuffer(message, np.uint8).reshape(KAPPA, width)
    selected = columns * np.unpackbits(s, bitorder="little")[:, np.newaxis]
    q = _rows(_expand(keys.keys(), width, context) ^ selected, rows)
    robust = RobustHash(context)
    zeros, ones = robust(q), robust(q ^ s)  # what the receiver has of each row if its choice is 0, or 1
    share = _lowest(zeros[: len(x)])
    made = PairKeys(np.stack([zeros[len(x) :], ones[len(x) :]], axis=1).tobytes())
    return (share ^ _lowest(ones[: len(x)]) ^ x).to_bytes(), share, made


def _width(count: int) -> int:
    return -(-count // 8)


def _expand(keys: list[bytes], width: int, context: bytes) -> Matrix:
    """G(k_i) for every i: SHAKE-256 with an output of `width` bytes.  Keys have 16 bytes."""
    prefix = shake_256(pack("ot extension", context))
    rows = []
    for key in keys:
        stream = prefix.copy()
        stream.update(key)
        rows.append(stream.digest(width))
    return np.frombuffer(b"".join(rows), np.uint8).reshape(KAPPA, width)


def _rows(matrix: Matrix, count: int) -> Rows:
    """The matrix transposed: row j holds bit j of every column, as uint8[count, 16].

    Blocks of 8 × 8 bits are transposed inside words of 64 [Warren, *Hacker's Delight*, §7-3], and the blocks
    by numpy: ten times faster than with one byte for each bit.
    """
    width = matrix.shape[1]
    blocks = matrix.reshape(16, 8, width).transpose(2, 0, 1).copy().view("<u8")
    for shift, mask in _SWAPS:
        swapped = (blocks ^ (blocks >> shift)) & mask
        blocks ^= swapped ^ (swapped << shift)
    return blocks.view(np.uint8).reshape(width, 16, 8).transpose(0, 2, 1).reshape(8 * width, 16)[:count]


def _lowest(hashes: Rows) -> Bits:
    """The lowest bit of each hash."""
    return Bits.from_bools((hashes[:, 0] & 1).astype(np.bool_))
