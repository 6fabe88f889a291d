"""A circuit is a generator: one `yield` is one round of AND gates, XOR is free.

The same circuit is run by a party on its shares (`beaver`), by the oracle on plaintexts (`evaluate`)
and by the estimate (`cost`).  Which gates a circuit asks for depends on lengths and public constants,
never on the value of a bit: otherwise the traffic would tell.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeAlias, TypeVar

from protocol.bits import Bits
from protocol.errors import LocalProtocolError

T = TypeVar("T")

And = tuple[Bits, Bits]  # two vectors of one length, ANDed bit by bit
# It yields the gates of a round, is sent their products in the same order, and returns its result.
Circuit: TypeAlias = Generator[list[And], list[Bits], T]


class Rounds(Generic[T]):
    """A circuit, held between two rounds: every interpreter is a loop over this.

    `gates` are those of round `number`, counted from 1, until `done`; then there is a `result`.
    """

    def __init__(self, circuit: Circuit[T]) -> None:
        self._circuit = circuit
        self._results: list[T] = []
        self.gates: list[And] = []
        self.number = 0
        self._enter(lambda: next(circuit))

    @property
    def done(self) -> bool:
        """Whether the circuit has asked for its last gate."""
        return bool(self._results)

    @property
    def result(self) -> T:
        """What the circuit returned."""
        if not self._results:
            raise LocalProtocolError(f"the result is asked for in round {self.number}, before the last one")
        return self._results[0]

    def answer(self, products: list[Bits]) -> None:
        """The products of this round's gates; on to the next round."""
        if self.done:
            raise LocalProtocolError(f"another round after the last one, {self.number}")
        self._enter(lambda: self._circuit.send(products))

    def _enter(self, step: Callable[[], list[And]]) -> None:
        try:
            self.gates = step()
        except StopIteration as end:
            self.gates = []
            self._results.append(end.value)
            return
        self.number += 1
        if not self.gates or any(len(x) != len(y) for x, y in self.gates):
            raise LocalProtocolError(f"round {self.number} has no gates, or one with sides of two lengths")


def together(*circuits: Circuit[T]) -> Circuit[list[T]]:
    """Independent circuits side by side: their gates share rounds, and the slowest sets the number."""
    running = [Rounds(circuit) for circuit in circuits]
    while waiting := [each for each in running if not each.done]:
        products = iter((yield [gate for each in waiting for gate in each.gates]))
        for each in waiting:
            each.answer(list(islice(products, len(each.gates))))
    return [each.result for each in running]


def evaluate(circuit: Circuit[T]) -> T:
    """The result on plaintexts: the oracle's interpreter."""
    rounds = Rounds(circuit)
    while not rounds.done:
        rounds.answer([x & y for x, y in rounds.gates])
    return rounds.result


@dataclass(frozen=True)
class Cost:
    """What a circuit costs on shares: rounds of messages, and Beaver triples (AND gates of single bits)."""

    rounds: int
    ands: int


def layers(circuit: Circuit[T]) -> list[int]:
    """The counting interpreter: the AND gates of each round.  Any bits of the right lengths will do."""
    rounds, counts = Rounds(circuit), []
    while not rounds.done:
        counts.append(sum(len(x) for x, _ in rounds.gates))
        rounds.answer([x & y for x, y in rounds.gates])
    return counts


def cost(circuit: Circuit[T]) -> Cost:
    """What the circuit costs, counted on bits of the right lengths."""
    counts = layers(circuit)
    return Cost(len(counts), sum(counts))
