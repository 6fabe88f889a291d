"""The referendum's two circuits and Beaver's rounds a second time, from SPEC.md §4.9 alone.

A bit is the list of its shares, one for each compute party, the leader's first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

from tests.vectors.reference import digest
from tests.vectors.reference_transfers import Bits, packed

Shared = list[int]  # one bit's share at each party
Block = list[Shared]  # z and p; of the lowest one u alone


def least(threshold: str, ballots: int) -> int:
    """T of so many counted ballots."""
    return ceil(Fraction(threshold) * ballots) if "/" in threshold else int(threshold)


def plus(one: Shared, other: Shared) -> Shared:
    """x ⊕ y."""
    return [a ^ b for a, b in zip(one, other, strict=True)]


def parity(bits: Sequence[Shared]) -> Shared:
    """x ⊕ y ⊕ …"""
    return [sum(shares) % 2 for shares in zip(*bits, strict=True)]


def entered(noise: int, threshold: int, party: int, width: int) -> int:
    """v_j: what a party enters for its noise, modulo 2^m."""
    return (noise + ((1 << width - 1) - threshold if party == 0 else 0)) % (1 << width)


def value(bit: Shared) -> int:
    """The bit itself."""
    return sum(bit) % 2


@dataclass
class Evaluation:
    """All parties at once.  `triples` are (a, b, c) of each party; `rounds` collects what is sent."""

    triples: Sequence[tuple[Bits, Bits, Bits]]
    rounds: list[tuple[list[bytes], bytes]] = field(default_factory=list)  # masked by party, opened
    widths: list[int] = field(default_factory=list)  # ANDs of each round
    used: int = 0

    def ands(self, x: list[Shared], y: list[Shared]) -> list[Shared]:
        """One round of gates."""
        count, parties = len(x), range(len(self.triples))
        place = slice(self.used, self.used + count)
        self.used += count
        a, b, c = ([triple[which][place] for triple in self.triples] for which in range(3))
        masked = [
            [x[i][j] ^ a[j][i] for i in range(count)] + [y[i][j] ^ b[j][i] for i in range(count)]
            for j in parties
        ]
        opened = [sum(bits) % 2 for bits in zip(*masked, strict=True)]
        d, e = opened[:count], opened[count:]
        self.rounds.append(([packed(each) for each in masked], packed(opened)))
        self.widths.append(count)
        return [
            [c[j][i] ^ (d[i] & b[j][i]) ^ (e[i] & a[j][i]) ^ (d[i] & e[i] if j == 0 else 0) for j in parties]
            for i in range(count)
        ]

    def reaches(self, ballots: list[Shared], threshold: int) -> Shared:
        """Whether at least so many of the ballots are 1."""
        parties = len(self.triples)
        if threshold > len(ballots):
            return [0] * parties
        m = len(ballots).bit_length()
        constant = (1 << m) - threshold
        column = ballots
        for w in range(m):
            column = self._carries(column, constant >> w & 1, parties)
        (result,) = column
        return result

    def _carries(self, column: list[Shared], constant: int, parties: int) -> list[Shared]:
        chain, sums = _chain(column, constant, parties)
        x, y = _sides(chain, sums)
        made = [plus(product, sums[2 * i]) for i, product in enumerate(self.ands(x, y) if x else [])]
        if len(column) % 2 and constant:
            made.append(sums[-1])
        return made

    def reaches_noised(self, ballots: list[Shared], integers: list[int], width: int) -> Shared:
        """Bit m − 1 of the ballots' sum and the parties' integers v_j, of which each knows its own."""
        parties, n = len(self.triples), len(ballots)
        columns = [
            [[integers[j] >> w & (i == j) for i in range(parties)] for j in range(parties)]
            for w in range(width)
        ]
        columns[0] = ballots + columns[0]
        u = parity(columns.pop())
        blocks: list[Block] = []
        r = 0
        while True:
            w = r + len(columns) - 1
            while columns and len(columns[-1]) == 2 and n - parties + (parties - 1) * 2 ** (w - r) < 2**w:
                x, y = columns.pop()
                blocks = [[plus(y, u), plus(x, y)], *blocks]
                u, w = y, w - 1
            if not columns:
                break
            carried, blocks = self._layer(columns, blocks)
            u = parity([u, *carried[-1]])
            columns = [[parity(old), *below] for old, below in zip(columns[1:], carried, strict=False)]
            r += 1
        blocks = [[u], *blocks]
        while len(blocks) > 1:
            _, blocks = self._layer([], blocks)
        return blocks[0][0]

    def _layer(
        self, columns: list[list[Shared]], blocks: list[Block]
    ) -> tuple[list[list[Shared]], list[Block]]:
        """One round: what each column carries, and each two neighbouring blocks as one."""
        chains = [_chain(column, 0, len(self.triples)) for column in columns]
        sides = [_sides(*each) for each in chains]
        pairs = list(zip(blocks[::2], blocks[1::2], strict=False))
        sides += [([p] * len(low), low) for low, (_, p) in pairs]
        products = self.ands([bit for x, _ in sides for bit in x], [bit for _, y in sides for bit in y])
        carried = []
        for _, sums in chains:
            count = len(sums) // 2
            carried.append([plus(products.pop(0), sums[2 * i]) for i in range(count)])
        joined = []
        for low, (z, _) in pairs:
            head, *rest = (products.pop(0) for _ in low)
            joined.append([plus(head, z), *rest])
        return carried, joined + blocks[2 * len(pairs) :]

    @property
    def transcript(self) -> bytes:
        """`commit.opened`."""
        return digest("rounds", *(opened for _, opened in self.rounds))


def _chain(column: list[Shared], constant: int, parties: int) -> tuple[list[Shared], list[Shared]]:
    """g_0 … g_2p, and the sums S_i."""
    chain = column if len(column) % 2 else [[constant] + [0] * (parties - 1), *column]
    sums = [chain[0]]
    for bit in chain[1:]:
        sums.append(plus(sums[-1], bit))
    return chain, sums


def _sides(chain: list[Shared], sums: list[Shared]) -> tuple[list[Shared], list[Shared]]:
    """X_i and Y_i."""
    steps = range(0, len(chain) - 1, 2)
    return [plus(chain[i + 1], sums[i]) for i in steps], [plus(chain[i + 2], sums[i]) for i in steps]


def widths_noised(ballots: int, parties: int, width: int) -> list[int]:
    """The gates of each round."""
    none: Bits = [0] * (2 * (ballots + parties * width))
    evaluation = Evaluation([(none, none, none)] * parties)
    evaluation.reaches_noised([[0] * parties] * ballots, [0] * parties, width)
    return evaluation.widths
