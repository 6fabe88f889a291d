"""poll: what part of the inputs say yes?  Estimated from answers that each respondent randomises itself.

The pollster's protocol: nobody can know whether an answer is the truth or a coin's, not even all compute
parties together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from math import isqrt
from typing import Literal

from protocol import encoding, ring
from protocol.dp.randomised_response import NANO_LN_3, randomise
from protocol.encoding import Exact
from protocol.functionalities.base import Answer, Domain
from protocol.functionalities.linear import Linear
from protocol.ring import Ring
from protocol.secret import Seed

PLACES = 4  # of the estimate


class Poll(Linear):
    """What part say yes, estimated from answers that each respondent's own node has randomised.

    The estimate is 2N/n − 1/2, where N of n answers say yes; it may lie below 0 or above 1.
    """

    name: Literal["poll"] = "poll"
    local_epsilon = NANO_LN_3

    @property
    def shape(self) -> tuple[int, ...]:
        """One answer."""
        return ()

    def domain(self, inputs: int) -> Domain:
        """0 or 1."""
        return Domain(Decimal(0), Decimal(1), 0)

    def encode(self, value: Exact, inputs: int, *, clamp: bool = False) -> Ring:
        """yes or no as 1 or 0."""
        return encoding.ballot(value, clamp=clamp)

    def randomise(self, encoded: Ring, seed: Seed) -> Ring:
        """Two coins, flipped by the respondent's own node before the answer is kept or shared."""
        return randomise(encoded, seed)

    def decode(self, opened: Ring, inputs: int) -> Answer:
        """N, the number of answers that say yes."""
        return Answer(ring.to_signed(opened))

    def ideal(self, values: Sequence[Decimal]) -> Decimal:
        """N over answers that are randomised already."""
        return sum(values, Decimal(0))

    def text(self, answer: Answer, inputs: int) -> str:
        """The estimate, rounded half to even."""
        estimate = Fraction(2 * int(answer.units), inputs) - Fraction(1, 2)
        return _shown(estimate)

    def facts(self, answer: Answer, inputs: int) -> Mapping[str, int | str]:
        """n, N and the estimate's standard error √(3/(4n)): an answer's variance is 3/16 for every truth."""
        squared = Fraction(3, 4 * inputs)
        root = isqrt(squared.numerator * 10 ** (2 * PLACES + 2) // squared.denominator)
        error = _shown(Fraction(root, 10 ** (PLACES + 1)))
        return {"n": inputs, "yes": int(answer.units), "standard_error": error}


def _shown(value: Fraction) -> str:
    return f"{encoding.from_units(round(value * 10**PLACES), PLACES):f}"
