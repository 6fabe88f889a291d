"""Circuits over shared bits, in as few rounds as their degree allows.

An AND doubles the degree over GF(2) at most, so a function of degree d needs ⌈log₂ d⌉ rounds.  `reaches`
takes exactly that many, `less_than` and `add` of k bits ⌈log₂(k + 1)⌉, which is theirs.  A round costs a
trip through the broker; an AND costs a triple, made beforehand.

A number is a list of bits, least significant first; each entry holds one bit of every lane.
"""

from __future__ import annotations

import numpy as np

from protocol.bits import Bits, concat
from protocol.errors import LocalProtocolError
from protocol.gates import Circuit

Number = list[Bits]  # Bits[lanes] for each power of two


def majority(a: Bits, b: Bits, c: Bits) -> Circuit[Bits]:
    """The carry of the full adder of a, b and c, for one AND; its sum, a ⊕ b ⊕ c, is free.

    carry = ((a ⊕ c) ∧ (b ⊕ c)) ⊕ c  [Boyar, Peralta, Pochuev 2000]
    """
    [product] = yield [(a ^ c, b ^ c)]
    return product ^ c


def reaches(ballots: Bits, threshold: int, one: Bits) -> Circuit[Bits]:
    """One bit: whether at least `threshold` ≥ 1 of the ballots are 1.  `one` is a share of the constant 1.

    With m the bit length of the number of ballots, count + (2^m − T) has bit m set iff count ≥ T.
    The bits of one weight are added up in one round, which makes the bits of the next weight.
    """
    if threshold < 1:
        raise LocalProtocolError(f"a threshold of {threshold} is reached without a vote")
    if threshold > len(ballots):
        return Bits.zeros(1)
    m = len(ballots).bit_length()
    constant = 2**m - threshold
    column = ballots  # all n_w bits of weight 2^w: n_w = ⌊(n + constant mod 2^w) / 2^w⌋
    for w in range(m):
        column = yield from carries(column, constant >> w & 1, one)
    return column  # one bit, since 2^m ≤ n + constant < 2^(m+1)


def carries(column: Bits, constant: int, one: Bits) -> Circuit[Bits]:
    """The carries of adding the column's n bits and a public bit: ⌊(n + constant) / 2⌋ bits, ⌊n / 2⌋ ANDs.

    A chain of full adders, each taking the sum so far and two more bits.  The sums are XORs of inputs,
    so no adder waits for another: all of them share one round.
    """
    pairs, odd = divmod(len(column), 2)
    # An even column's chain starts at the constant.  An odd one's starts at a ballot and meets the constant
    # last, in a half adder that needs no AND: public times shared.
    chain = column if odd else concat([one if constant else Bits.zeros(1), column])
    bools = chain.to_bools()
    sums = np.logical_xor.accumulate(bools)  # sums[i]: the XOR of bits 0 to i
    made = []
    if pairs:
        x, y, sum_so_far = (Bits.from_bools(each) for each in (bools[1::2], bools[2::2], sums[:-1:2]))
        made.append((yield from majority(x, y, sum_so_far)))
    if odd and constant:
        made.append(Bits.from_bools(sums[-1:]))
    return concat(made)


def most_ands(ballots: int) -> int:
    """No `reaches` of so many ballots or fewer takes more ANDs, whatever the threshold.

    A column of n_w bits takes ⌊n_w/2⌋ of them and leaves at most n_w − ⌊n_w/2⌋ bits to the next; the first
    column has n bits and the last one has one, so all take n − 1 or fewer.
    """
    return max(ballots - 1, 0)


def add(x: Number, y: Number) -> Circuit[Number]:
    """x + y, one bit longer.

    With p = x ⊕ y the carry is c' = p ? c : y.  For u = c ⊕ y this is u' = p·u ⊕ z, where z = y ⊕ y' (y'
    the next bit) is linear: no round is spent on generating carries.  All prefixes of this recurrence
    [Kogge, Stone 1973], combined in the pattern of [Sklansky 1960].
    """
    width = _width(x, y)
    u = _changes(y)  # u[j], p[j]: of the recurrence's steps from a block's start to j
    p = {j: a ^ b for j, (a, b) in enumerate(zip(x, y, strict=True), start=1)}
    span = 1
    while span <= width:
        higher = [j for j in range(width + 1) if j & span]
        lower = {j: (j & -span) - 1 for j in higher}  # the end of the block below
        unfinished = [j for j in higher if lower[j] >= span]
        products = yield [(p[j], u[lower[j]]) for j in higher] + [(p[j], p[lower[j]]) for j in unfinished]
        for j, product in zip(higher, products, strict=False):
            u[j] ^= product
        p.update(zip(unfinished, products[len(higher) :], strict=True))
        span *= 2
    return [*(a ^ b for a, b in zip(x, u, strict=False)), u[width]]  # x ⊕ y ⊕ c = x ⊕ u


def less_than(x: Number, y: Number) -> Circuit[Bits]:
    """Whether x < y, both unsigned.

    With d = x ⊕ y the borrow is b' = d ? y : b.  For u = b ⊕ y this is u' = u ⊕ d·u ⊕ z, where z = y ⊕ y'
    (y' the next bit) is linear.  The last value of this recurrence by a tree [Kogge, Stone 1973].
    """
    _width(x, y)
    z = _changes(y)
    d = [a ^ b for a, b in zip(x, y, strict=True)]  # d[i] belongs to z[i + 1]; the lowest z needs none
    while d:
        pairs = len(z) // 2
        both = list(zip(d[1::2], d[2::2], strict=False))
        products = yield list(zip(d[::2], z[: 2 * pairs : 2], strict=True)) + both
        merged = zip(z[::2], z[1::2], products, strict=False)
        z = [low ^ high ^ product for low, high, product in merged] + z[2 * pairs :]
        either = zip(both, products[pairs:], strict=True)  # d or d' = d ⊕ d' ⊕ dd'
        d = [low ^ high ^ product for (low, high), product in either] + d[2 * pairs - 1 :]
    return z[0]


def select(c: Bits, x: Number, y: Number) -> Circuit[Number]:
    """c ? x : y in every lane, in one round: y ⊕ c∧(x ⊕ y)."""
    _width(x, y)
    products = yield [(c, a ^ b) for a, b in zip(x, y, strict=True)]
    return [b ^ product for b, product in zip(y, products, strict=True)]


def _changes(y: Number) -> Number:
    """y[0], y[0] ⊕ y[1], …, y[k−2] ⊕ y[k−1], y[k−1]."""
    nothing = Bits.zeros(len(y[0]))
    return [low ^ high for low, high in zip([nothing, *y], [*y, nothing], strict=True)]


def _width(x: Number, y: Number) -> int:
    if not x or len(x) != len(y):
        raise LocalProtocolError(f"numbers of {len(x)} and {len(y)} bits meet")
    return len(x)
