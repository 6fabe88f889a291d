"""Functions of which the shared part is a sum: each compute party adds what it holds."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from protocol import encoding
from protocol.dp.noise import Relation
from protocol.encoding import MOST_DECIMALS, Exact
from protocol.functionalities.base import Domain, Functionality
from protocol.ring import MOST_ELEMENTS, Ring
from protocol.sharing import INTEGERS


class Linear(Functionality):
    """Everything between the split and the opening is addition in Z_2^64."""

    group = INTEGERS


def _finite(value: Decimal) -> Decimal:
    if not value.is_finite() or abs(value.adjusted()) > 2 * MOST_DECIMALS:
        raise ValueError("a bound is a finite number below 2^63")
    return value


Bound = Annotated[Decimal, AfterValidator(_finite)]


class FixedPoint(Linear):
    """Functions of exact decimals."""

    lower: Bound | None = Field(default=None, description="smallest value a party may put in")
    upper: Bound | None = Field(default=None, description="largest value a party may put in")
    decimals: int = Field(default=2, ge=0, le=MOST_DECIMALS, description="decimal places, kept exactly")
    length: int | None = Field(
        default=None,
        ge=1,
        le=MOST_ELEMENTS,
        description="numbers in each input, a list [default: any; with --epsilon one number, no list]",
    )

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> Self:
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"lower {self.lower} is above upper {self.upper}")
        for bound in (self.lower, self.upper):
            if bound is not None:
                encoding.to_units(bound, self.decimals)  # ValueError if it has more decimals
        return self

    @property
    def shape(self) -> tuple[int, ...] | None:
        """A list of `length`, if that is given."""
        return None if self.length is None else (self.length,)

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

    def encode(self, value: Exact, inputs: int, *, clamp: bool = False) -> Ring:
        """A party's own value in the ring."""
        lowest, highest = self.range(inputs)
        limits = {"decimals": self.decimals, "lowest": lowest, "highest": highest}
        return encoding.clamped(value, **limits) if clamp else encoding.encode(value, **limits)

    def sensitivity(self, relation: Relation) -> int:
        """(upper − lower)·10^decimals for each number of an input.

        Whoever is replaced moves the sum by that much at most.  So does who is added or removed: n is
        public, and with it n·lower, which is what an absent input is taken to be.
        """
        if self.lower is None or self.upper is None:
            raise ValueError("--epsilon needs --lower and --upper: noise is as large as an input may be")
        width = encoding.to_units(self.upper, self.decimals) - encoding.to_units(self.lower, self.decimals)
        if width == 0:
            raise ValueError("--lower and --upper are the same: every input is public already")
        return width * (self.length or 1)

    def magnitude(self, inputs: int) -> int:
        """All at the bound that is further from zero."""
        return inputs * max(abs(bound) for bound in self.range(inputs))

    def unit(self, inputs: int) -> Fraction:
        """10^−decimals."""
        return Fraction(1, 10**self.decimals)
