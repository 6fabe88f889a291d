"""What a function is: the trusted party's computation and how it is done without one, side by side.

One function is one small file.  The catalogue is closed: nothing announced over the network is code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from protocol import encoding, sharing
from protocol.bits import Bits
from protocol.encoding import MOST_DECIMALS, Exact
from protocol.gates import Circuit
from protocol.messages import Strict
from protocol.ring import Ring
from protocol.sharing import BITS, INTEGERS, Group, Share


@dataclass(frozen=True, repr=False)
class Answer:
    """What is opened: the exact decimals units·10^−decimals, int64[()] or int64[length].

    Where `words` are given, units number them.  An answer is for the result parties alone, so it has no
    repr; `text` is the one way to show it.
    """

    units: NDArray[np.int64]
    decimals: int = 0
    words: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Answer(<redacted>, shape={self.units.shape})"

    def text(self) -> str | list[str]:
        """Words, or decimal strings with exactly `decimals` places: one, or a list for a vector."""
        if self.words:
            return self.words[int(self.units)]
        if self.units.ndim == 0:
            return f"{encoding.from_units(int(self.units), self.decimals):f}"
        return [f"{encoding.from_units(units, self.decimals):f}" for units in self.units.tolist()]


class Domain(NamedTuple):
    """What each party may put in: from `lower` to `upper`, with at most `decimals` places."""

    lower: Decimal
    upper: Decimal
    decimals: int


class Functionality(Strict, ABC):
    """What every function has: how an input is encoded and shared, and what comes out."""

    group: ClassVar[Group]
    interactive: ClassVar[bool] = False  # whether the compute parties need rounds
    shape: ClassVar[tuple[int, ...] | None] = None  # of every input; None where any will do
    largest: ClassVar[int] = 2**64 - 1  # word of an output share

    @abstractmethod
    def domain(self, inputs: int) -> Domain:
        """What each of `inputs` parties may put in; ValueError if the function cannot serve so many."""

    @abstractmethod
    def encode(self, value: Exact, inputs: int) -> Ring:
        """A party's own value as it is shared; InputError names the place and never the value."""

    @abstractmethod
    def decode(self, opened: Ring, inputs: int) -> Answer:
        """The answer from the opened elements, given how many inputs were counted."""

    @abstractmethod
    def ideal(self, values: Sequence[Decimal]) -> Decimal:
        """What a trusted party would answer for scalars; shares no code with the rest."""

    def facts(self, inputs: int) -> dict[str, int]:  # noqa: ARG002 - most functions have nothing to add
        """Public numbers that belong to an answer over so many inputs; none may depend on a value."""
        return {}


class Boolean(Functionality):
    """Functions of one shared bit from each party, computed by gates on shares.

    An input shared as a bit cannot be anything but 0 or 1, whatever its party sends.
    """

    group = BITS
    interactive = True
    shape = ()
    largest = 1

    @abstractmethod
    def circuit(self, inputs: Bits, one: Bits) -> Circuit[Bits]:
        """The answer's bit from the counted inputs' bits; `one` is the constant 1, shared."""

    @abstractmethod
    def most_ands(self, inputs: int) -> int:
        """AND gates that suffice for this many inputs, and for fewer."""

    def domain(self, inputs: int) -> Domain:  # noqa: ARG002 - a bit is a bit among any number
        """0 or 1."""
        return Domain(Decimal(0), Decimal(1), 0)

    def encode(self, value: Exact, inputs: int) -> Ring:  # noqa: ARG002 - as above
        """yes or no as 1 or 0."""
        return encoding.ballot(value)


def _finite(value: Decimal) -> Decimal:
    if not value.is_finite() or abs(value.adjusted()) > 2 * MOST_DECIMALS:
        raise ValueError("a bound is a finite number below 2^63")
    return value


Bound = Annotated[Decimal, AfterValidator(_finite)]


class FixedPoint(Functionality):
    """Functions of exact decimals whose shared part is linear: each compute party adds what it holds."""

    group = INTEGERS

    lower: Bound | None = Field(default=None, description="smallest value a party may put in")
    upper: Bound | None = Field(default=None, description="largest value a party may put in")
    decimals: int = Field(default=2, ge=0, le=MOST_DECIMALS, description="decimal places, kept exactly")

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> Self:
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"lower {self.lower} is above upper {self.upper}")
        for bound in (self.lower, self.upper):
            if bound is not None:
                encoding.to_units(bound, self.decimals)  # ValueError if it has more decimals
        return self

    def range(self, inputs: int) -> tuple[int, int]:
        """The units each of `inputs` parties may put in; ValueError if their sum could leave the ring."""
        limit = encoding.limit(inputs)
        lowest = -limit if self.lower is None else encoding.to_units(self.lower, self.decimals)
        highest = limit if self.upper is None else encoding.to_units(self.upper, self.decimals)
        if max(abs(lowest), abs(highest)) > limit:
            raise ValueError(
                f"{inputs} inputs within [{self.lower}, {self.upper}] with {self.decimals} decimals "
                "could pass 2^63"
            )
        return lowest, highest

    def domain(self, inputs: int) -> Domain:
        """The bounds; where there is none, what the ring leaves to each of so many."""
        lowest, highest = (encoding.from_units(units, self.decimals) for units in self.range(inputs))
        return Domain(lowest, highest, self.decimals)

    def encode(self, value: Exact, inputs: int) -> Ring:
        """A party's own value in the ring."""
        lowest, highest = self.range(inputs)
        return encoding.encode(value, decimals=self.decimals, lowest=lowest, highest=highest)

    def aggregate(self, shares: Iterable[Share], shape: tuple[int, ...]) -> Ring:
        """A compute party's output share from its input shares."""
        return sharing.add(shares, shape)
