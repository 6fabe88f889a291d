"""The protocol with one mistake each: what the privacy test is there to notice.

Those that leave the output share alone give right answers: no test of answers would mind them.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from protocol.beaver import Triples
from protocol.bits import Bits, concat, cut
from protocol.circuits import Number, add, carries, reaches
from protocol.correlation.robust_hash import RobustHash, Rows
from protocol.gates import Circuit, cost
from protocol.ring import Ring
from tests.statistics.cases import Ballots, Case, Keys, Setups, fresh_keys
from tests.statistics.play import Product


class OpensTheCount(Product):
    """Adds the ballots up and opens the sum: everyone can compare for himself."""

    def circuit(self, case: Case, inputs: Bits, one: Bits, noise: Number) -> Circuit[Bits]:
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


# -- with noise ----------------------------------------------------------------------------------------


class ComparesFirst(Product):
    """Compares the count itself; whatever noise is added afterwards, the exact answer has been opened."""

    def circuit(self, case: Case, inputs: Bits, one: Bits, noise: Number) -> Circuit[Bits]:
        """[count ≥ T]."""
        return reaches(inputs, case.function.least(len(inputs)), one)


class OpensTheNoisedCount(Product):
    """Opens the count and its noise, which is private enough, but not what was agreed."""

    def ands(self, case: Case) -> int:
        """As many as it takes."""
        noise = [Bits.zeros(len(case.compute))] * case.spec.noise_width
        return cost(self.circuit(case, Bits.zeros(len(case.inputs)), Bits.zeros(1), noise)).ands

    def circuit(self, case: Case, inputs: Bits, one: Bits, noise: Number) -> Circuit[Bits]:
        """count + noise − T + 2^(m−1), least significant bit first."""
        count = yield from _count(inputs, one)
        total = list(cut(count, [1] * len(count)))
        for lane in range(len(case.compute)):
            total += [Bits.zeros(1)] * (len(noise) - len(total))
            total = (yield from add(total, [bits[lane : lane + 1] for bits in noise]))[: len(noise)]
        return concat(total)

    def output(self, result: Bits, inputs: Bits) -> Ring:
        """All of it."""
        return result.words[0:1].reshape(())


class NoiseUnderTheMasksOfBallots(Product):
    """The second half of each round's gates goes under the masks of the first half."""

    def triples(self, made: Triples) -> Triples:
        """Half of them serve twice."""
        return _Halved(*made._unused)


class NoiseFromTheBallot(Product):
    """A party's noise is made of its ballot: unknown to others, and anything but independent of it."""

    def noise(self, case: Case, name: str, ballots: Ballots) -> int:
        """What was drawn is never looked at."""
        return dict(zip(case.inputs, ballots, strict=False)).get(name, 1) - 1


class ShowsItsNoise(Product):
    """Reveals, beside its share of the answer, a bit of the noise that it has entered."""

    def circuit(self, case: Case, inputs: Bits, one: Bits, noise: Number) -> Circuit[Bits]:
        """The answer, and this party's share of the sum of all lowest bits."""
        answer = yield from super().circuit(case, inputs, one, noise)
        return concat([answer, Bits.from_bools(np.logical_xor.reduce(noise[0].to_bools(), keepdims=True))])

    def output(self, result: Bits, inputs: Bits) -> Ring:
        """Both."""
        return result.words[0:1].reshape(())


class _Halved(Triples):
    def take(self, count: int) -> tuple[Bits, Bits, Bits]:
        a, b, c = super().take(count)
        half = count // 2
        a, b, c = (concat([each[: count - half], each[:half]]) for each in (a, b, c))
        return a, b, c


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
