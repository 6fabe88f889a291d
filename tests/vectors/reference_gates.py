"""The referendum's circuit and Beaver's rounds a second time, from SPEC.md §4.9 alone.

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


def least(threshold: str, ballots: int) -> int:
    """T of so many counted ballots."""
    return ceil(Fraction(threshold) * ballots) if "/" in threshold else int(threshold)


def plus(one: Shared, other: Shared) -> Shared:
    """x ⊕ y."""
    return [a ^ b for a, b in zip(one, other, strict=True)]


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
        odd = len(column) % 2
        chain = column if odd else [[constant] + [0] * (parties - 1), *column]
        sums = [chain[0]]
        for bit in chain[1:]:
            sums.append(plus(sums[-1], bit))
        pairs = len(chain) // 2
        made: list[Shared] = []
        if pairs:
            x = [plus(chain[2 * i + 1], sums[2 * i]) for i in range(pairs)]
            y = [plus(chain[2 * i + 2], sums[2 * i]) for i in range(pairs)]
            made = [plus(product, sums[2 * i]) for i, product in enumerate(self.ands(x, y))]
        if odd and constant:
            made.append(sums[-1])
        return made

    @property
    def transcript(self) -> bytes:
        """`commit.opened`."""
        return digest("rounds", *(opened for _, opened in self.rounds))
