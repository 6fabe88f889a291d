"""The circuit of a referendum with noise: whether count + noise ≥ T, and nobody learns count or noise.

All numbers are m bits of two's complement, modulo 2^m.  The noise is the sum of one integer of each compute
party, who enters it as its own shares: no letter is sent for it.  Party 0 takes T off its own integer, so
the circuit has no constant, and its gates depend on how many ballots, parties and bits there are alone.
"""

from __future__ import annotations

from itertools import count

import numpy as np

from protocol.bits import Bits, concat, cut
from protocol.circuits import Number, carries
from protocol.errors import LocalProtocolError
from protocol.gates import Circuit, cost, together


def own_noise(noise: int, threshold: int, me: int, parties: int, width: int) -> Number:
    """Party `me`'s shares of all parties' integers: its own one in its own lane, 0 in all others.

    Party 0's integer is noise − T + 2^(m−1), so that bit m − 1 of the sum with the ballots is set iff
    count + noise ≥ T, as long as these two are less than 2^(m−1) apart.
    """
    if me == 0:
        noise += 2 ** (width - 1) - threshold
    mine = np.arange(parties) == me
    return [Bits.from_bools(mine & bool(noise >> place & 1)) for place in range(width)]


def reaches_noised(ballots: Bits, noise: Number) -> Circuit[Bits]:
    """One bit: bit m − 1 of the number of ballots that are 1 plus all integers of `noise`.

    noise: Bits[parties] for each of the m powers of two, of which everybody has `own_noise`.

    In each round every column, the bits of one weight, becomes its sum, which is free, and carries for the
    next one.  From the top, columns are closed as soon as they are like two numbers to be added: two bits
    each, and one carry to come at most.  Closed columns are joined to blocks, as in `circuits.add`, while
    the carries below are still on their way.  That takes at most one round more than the degree needs, in
    all cases that tests/unit/test_counting.py tries.

    Its shares may be revealed: each is blinded by a share of the last triple's c, which enters nothing else,
    since the last round is one product, or carries of which every one is added.  And there is a round, since
    column 0 has two bits or more and is not the top.
    """
    parties = _parties(noise)
    columns = [concat([ballots, noise[0]]), *noise[1:-1]]  # the open ones, from the weight 2^rounds up
    entering = _parity(noise[-1])  # u of the lowest block, or of the top, without the carries to come
    blocks: list[Bits] = []
    for rounds in count():
        while columns and _closes(columns[-1], len(ballots), parties, rounds, rounds + len(columns) - 1):
            x, y = cut(columns.pop(), [1, 1])
            blocks.insert(0, concat([y ^ entering, x ^ y]))
            entering = y
        if not columns:
            break
        columns, blocks = yield from together(_halved(columns), _joined(blocks))
        entering ^= _parity(columns.pop())  # into a block there comes one at most, so XOR adds them
    blocks.insert(0, entering)
    while len(blocks) > 1:
        blocks = yield from _joined(blocks)
    return blocks[0]


def most_ands_noised(ballots: int, parties: int, width: int) -> int:
    """No `reaches_noised` of so many ballots or fewer takes more ANDs: one more ballot never saves any."""
    return cost(reaches_noised(Bits.zeros(ballots), [Bits.zeros(parties)] * width)).ands


def _closes(column: Bits, ballots: int, parties: int, rounds: int, w: int) -> bool:
    """Whether the column of weight 2^w has two bits after so many rounds, and one carry to come at most.

    Before the first round the columns below w hold ballots + parties·(2^w − 1) at most.  A round leaves one
    bit of column w − 1, and what was below that: after r rounds it is at most 2^w − 2^(w−r) + ballots +
    parties·(2^(w−r) − 1).  One carry is all that comes of it if this is less than 2·2^w.
    """
    most = 2**w + ballots - parties + (parties - 1) * 2 ** (w - rounds)
    return len(column) == 2 and most < 2 ** (w + 1)


def _halved(columns: list[Bits]) -> Circuit[list[Bits]]:
    """One round: the columns of the next weights, each its sum and its carries; the last without its sum."""
    carried = yield from together(*(carries(column, 0, Bits.zeros(1)) for column in columns))
    sums = [*map(_parity, columns[1:]), Bits.zeros(0)]
    return [concat(each) for each in zip(sums, carried, strict=True)]


def _joined(blocks: list[Bits]) -> Circuit[list[Bits]]:
    """One round: each two neighbours as one block; the highest stays as it is if it has no partner."""
    pairs = zip(blocks[::2], blocks[1::2], strict=False)
    joined = yield from together(*(_through(low, high) for low, high in pairs))
    return joined + blocks[2 * len(joined) :]


def _through(low: Bits, high: Bits) -> Circuit[Bits]:
    """The higher block after the lower one.

    A block is (z, p): of u = c ⊕ y, the carry into its lowest column and that column's y, it makes the u of
    the next block or of the top, p∧u ⊕ z.  The lowest block of all has its carry already, and is u alone.
    """
    z, p = cut(high, [1, 1])
    [product] = yield [(concat([p] * len(low)), low)]
    return product ^ concat([z, Bits.zeros(len(low) - 1)])


def _parity(column: Bits) -> Bits:
    """The sum bit of a column."""
    return Bits.from_bools(np.logical_xor.reduce(column.to_bools(), keepdims=True))


def _parties(noise: Number) -> int:
    lanes = {len(column) for column in noise}
    if len(noise) < 2 or len(lanes) != 1 or min(lanes) < 2:
        raise LocalProtocolError(f"noise of {sorted(lanes)} parties in {len(noise)} bits")
    return lanes.pop()
