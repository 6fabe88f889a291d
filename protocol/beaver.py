"""One party's side of a circuit: ANDs of shared bits by Beaver triples, each used once and forgotten.

Source: Beaver, *Efficient Multiparty Protocols Using Circuit Randomization*, CRYPTO 1991, over GF(2).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import xor
from typing import Generic

from protocol.bits import Bits, concat, cut
from protocol.errors import LocalProtocolError
from protocol.gates import Circuit, Rounds, T


class Triples:
    """This party's XOR shares of random bits a, b and of c = a ∧ b.  Secret: it has no repr."""

    def __init__(self, a: Bits, b: Bits, c: Bits) -> None:
        if not len(a) == len(b) == len(c):
            raise LocalProtocolError(f"triples of {len(a)}, {len(b)} and {len(c)} bits")
        self._unused = (a, b, c)

    def __repr__(self) -> str:
        return f"Triples(<redacted>, left={self.left})"

    @property
    def left(self) -> int:
        """How many were not handed out yet."""
        return len(self._unused[0])

    def take(self, count: int) -> tuple[Bits, Bits, Bits]:
        """The next `count` of them.  A mask used twice would open x ⊕ x', so they are not kept here."""
        if not 0 <= count <= self.left:
            raise LocalProtocolError(f"{count} triples asked for, {self.left} are left")
        a, b, c = self._unused
        self._unused = (a[count:], b[count:], c[count:])
        return a[:count], b[:count], c[:count]


class Run(Generic[T]):
    """One party's run of one circuit on its shares, round by round.

    Send `masked`; `advance` with the XOR of all parties'; until `done`, when there is a `result`.  Exactly
    one party is the leader.
    """

    def __init__(self, circuit: Circuit[T], triples: Triples, leader: bool) -> None:
        self._rounds = Rounds(circuit)
        self._triples = triples
        self._leader = leader
        self._begin_round()

    @property
    def done(self) -> bool:
        """Whether no round is left."""
        return self._rounds.done

    @property
    def round(self) -> int:
        """The number of the current round, or of the last one, from 1; 0 if the circuit has none."""
        return self._rounds.number

    @property
    def result(self) -> T:
        """What the circuit returned: this party's share of it."""
        return self._rounds.result

    def advance(self, opened: Bits) -> None:
        """Ends the round with the opened d and e; ValueError if they are not as long as `masked`."""
        if self.masked is None:
            raise LocalProtocolError(f"another round after the last one, {self.round}")
        if len(opened) != len(self.masked):
            raise ValueError(f"round {self.round} opens {len(self.masked)} bits, not {len(opened)}")
        a, b, c = self._triple
        d, e = opened[: len(a)], opened[len(a) :]
        # [xy] = [c] ⊕ d[b] ⊕ e[a] ⊕ de, where d = x ⊕ a, e = y ⊕ b, and one party alone adds de  [Bea91]
        product = c ^ (d & b) ^ (e & a)
        if self._leader:
            product ^= d & e
        self._rounds.answer(list(cut(product, [len(x) for x, _ in self._rounds.gates])))
        self._begin_round()

    def _begin_round(self) -> None:
        self.masked: Bits | None = None
        self._triple: tuple[Bits, ...] = ()
        if self.done:
            return
        # [d] = [x] ⊕ [a] of all gates, then [e] = [y] ⊕ [b]
        sides = [concat(side) for side in zip(*self._rounds.gates, strict=True)]
        self._triple = self._triples.take(len(sides[0]))
        self.masked = concat(sides) ^ concat(self._triple[:2])


def open_all(shares: Iterable[Bits]) -> Bits:
    """x = ⊕_j [x]_j."""
    return reduce(xor, shares)
