"""Functions of one shared bit from each party, computed by gates on shares."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from decimal import Decimal

from protocol import encoding
from protocol.bits import Bits
from protocol.circuits import Number
from protocol.encoding import Exact
from protocol.functionalities.base import Domain, Functionality
from protocol.gates import Circuit
from protocol.ring import Ring
from protocol.sharing import BITS


class Boolean(Functionality):
    """An input shared as a bit cannot be anything but 0 or 1, whatever its party sends."""

    group = BITS
    interactive = True
    largest = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """One ballot."""
        return ()

    @abstractmethod
    def circuit(self, inputs: Bits, one: Bits, noise: Sequence[Bits] = ()) -> Circuit[Bits]:
        """The answer's bit from the counted inputs' bits; `one` is the constant 1, shared.

        `noise` is what all compute parties have entered, a bit of each for every power of two; empty where
        none is added.
        """

    @abstractmethod
    def enter_noise(self, noise: int, inputs: int, me: int, parties: int, width: int) -> Number:
        """Compute party `me`'s shares of what the circuit takes as noise: its own, nothing of others'."""

    @abstractmethod
    def most_ands(self, inputs: int, noises: int = 0, width: int = 0) -> int:
        """AND gates that suffice for this many inputs, and for fewer, with so many noises of `width` bits."""

    def domain(self, inputs: int) -> Domain:
        """0 or 1."""
        return Domain(Decimal(0), Decimal(1), 0)

    def encode(self, value: Exact, inputs: int, *, clamp: bool = False) -> Ring:
        """yes or no as 1 or 0."""
        return encoding.ballot(value, clamp=clamp)
