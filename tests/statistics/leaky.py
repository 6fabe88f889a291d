"""The protocol with one mistake each: what the privacy test is there to notice.

Those that leave the output share alone give right answers: no test of answers would mind them.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from protocol.beaver import Triples
from protocol.bits import Bits, concat
from protocol.circuits import carries
from protocol.correlation.robust_hash import RobustHash, Rows
from protocol.gates import Circuit
from protocol.ring import Ring
from tests.statistics.cases import Case, Keys, Setups, fresh_keys
from tests.statistics.play import Product


class OpensTheCount(Product):
    """Adds the ballots up and opens the sum: everyone can compare for himself."""

    def circuit(self, case: Case, inputs: Bits, one: Bits) -> Circuit[Bits]:
        """The count, least significant bit first."""
        return _count(inputs, one)

    def output(self, result: Bits, inputs: Bits) -> Ring:
        """All of it."""
        return result.words[0:1].reshape(())


class AddsUpShares(Product):
    """Reveals the sum of its shares of the ballots beside its share of the answer."""

    def output(self, result: Bits, inputs: Bits) -> Ring:
        """The answer's bit, and above it the sum."""
        return np.array(int(result.to_bools()[0]) + 2 * int(inputs.to_bools().sum()), dtype=np.uint64)


class SameTriples(Product):
    """Takes the same triples in every round."""

    def triples(self, made: Triples) -> Triples:
        """They are handed out, and stay."""
        return _Unspent(*made._unused)


class SameTriplesAgain(Product):
    """Takes the triples of one session in the next: a seed that a node has kept over a crash."""

    def keys(self, case: Case, label: str, number: int, left: Setups | None) -> Keys:
        """All is new but the randomness."""
        return fresh_keys(case, label, number, left)._replace(seeds=fresh_keys(case, label, 0).seeds)


class NoMasks(Product):
    """Opens the sides of every gate as they are: a, b and c are zero, which is a triple."""

    def triples(self, made: Triples) -> Triples:
        """0 ∧ 0 = 0."""
        return Triples(*[Bits.zeros(made.left)] * 3)


class SameSetup(Product):
    """Uses a setup that has served already; what it makes of it is bound to the session all the same."""

    def keys(self, case: Case, label: str, number: int, left: Setups | None) -> Keys:
        """All is new but the setups."""
        return fresh_keys(case, label, number)


class SameSetupAndContext(Product):
    """Extends the same setup in the same way in every session."""

    def keys(self, case: Case, label: str, number: int, left: Setups | None) -> Keys:
        """All is new but the setups, and what keystreams and hash are bound to."""
        fresh = fresh_keys(case, label, number)
        return fresh._replace(contexts=dict.fromkeys(fresh.contexts, bytes(32)))


class HashOfTheIndex(Product):
    """Hashes the number of a transfer and forgets its row."""

    class _Hash(RobustHash):
        def __call__(self, rows: Rows) -> Rows:
            """H(j, 0)."""
            return super().__call__(np.zeros_like(rows))

    robust_hash: ClassVar[type[RobustHash]] = _Hash


class _Unspent(Triples):
    def take(self, count: int) -> tuple[Bits, Bits, Bits]:
        a, b, c = self._unused
        return a[:count], b[:count], c[:count]


def _count(ballots: Bits, one: Bits) -> Circuit[Bits]:
    column, sums = ballots, []
    while len(column):
        sums.append(Bits.from_bools(np.array([np.logical_xor.reduce(column.to_bools())])))
        column = yield from carries(column, 0, one)
    return concat(sums)
