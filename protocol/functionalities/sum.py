"""sum: Σ x_i, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from protocol import ring
from protocol.functionalities.base import Answer
from protocol.functionalities.linear import FixedPoint
from protocol.ring import Ring


class Sum(FixedPoint):
    """The sum of the inputs, element by element for vectors."""

    name: Literal["sum"] = "sum"

    def decode(self, opened: Ring, inputs: int) -> Answer:
        """Two's complement units are the answer as they stand."""
        return Answer(ring.to_signed(opened), self.decimals)

    def ideal(self, values: Sequence[Decimal]) -> Decimal:
        """Σ x_i."""
        return sum(values, Decimal(0))
