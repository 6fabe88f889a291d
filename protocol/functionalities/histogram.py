"""histogram: how many inputs are 1, how many 2, … up to the number of bins."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

import numpy as np
from pydantic import Field

from protocol import encoding, ring
from protocol.dp.noise import Relation
from protocol.encoding import Exact
from protocol.errors import InputError
from protocol.functionalities.base import Answer, Domain
from protocol.functionalities.linear import Linear
from protocol.ring import Ring


class Histogram(Linear):
    """The number of inputs in each bin; an input is the number of its bin, from 1 on."""

    name: Literal["histogram"] = "histogram"
    bins: int = Field(ge=2, le=2**16, description="how many bins there are; an input is one's number, from 1")

    @property
    def shape(self) -> tuple[int, ...]:
        """A 1 in one bin, 0 in the others."""
        return (self.bins,)

    def domain(self, inputs: int) -> Domain:
        """1 to the number of bins."""
        return Domain(Decimal(1), Decimal(self.bins), 0)

    def encode(self, value: Exact, inputs: int, *, clamp: bool = False) -> Ring:
        """1 in the input's bin and 0 in all others."""
        if value.units.ndim:
            raise InputError(f"{value.source}: a list, a histogram takes one number", "the number of its bin")
        limits = {"decimals": 0, "lowest": 1, "highest": self.bins}
        found = encoding.clamped(value, **limits) if clamp else encoding.encode(value, **limits)
        counts = np.zeros(self.bins, dtype=np.uint64)
        counts[int(found) - 1] = 1
        return counts

    def decode(self, opened: Ring, inputs: int) -> Answer:
        """The counts; with noise they may be negative, or more than there are inputs."""
        return Answer(ring.to_signed(opened))

    def ideal(self, values: Sequence[Decimal]) -> list[Decimal]:
        """How often each number occurs."""
        return [Decimal(values.count(Decimal(each))) for each in range(1, self.bins + 1)]

    def sensitivity(self, relation: Relation) -> int:
        """Who is replaced leaves one bin and enters another one; who is added or removed changes one."""
        return 2 if relation is Relation.REPLACE_ONE else 1

    def magnitude(self, inputs: int) -> int:
        """All in one bin."""
        return inputs
