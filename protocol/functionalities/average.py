"""average: Σ x_i / n, with n public.  The sum is opened: whoever learns the average learns both."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Literal

import numpy as np

from protocol import ring
from protocol.functionalities.base import Answer
from protocol.functionalities.linear import FixedPoint
from protocol.ring import Ring


class Average(FixedPoint):
    """The average of the inputs, rounded half to even to the session's decimals."""

    name: Literal["average"] = "average"

    def decode(self, opened: Ring, inputs: int) -> Answer:
        """Integer division of the exact sum by n: round half to even, for negative sums too."""
        quotient, rest = np.divmod(ring.to_signed(opened), np.int64(inputs))  # 0 ≤ rest < n
        up = (2 * rest > inputs) | ((2 * rest == inputs) & (quotient % 2 == 1))
        return Answer(np.asarray(quotient + up, dtype=np.int64), self.decimals)

    def ideal(self, values: Sequence[Decimal]) -> Decimal:
        """Σ x_i / n, rounded half to even."""
        exact = sum(values, Decimal(0)) / len(values)
        return exact.quantize(Decimal(1).scaleb(-self.decimals), rounding=ROUND_HALF_EVEN)

    def unit(self, inputs: int) -> Fraction:
        """The noise is on the sum: the more inputs, the less of it is in the average."""
        return super().unit(inputs) / inputs
