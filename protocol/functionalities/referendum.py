"""referendum: do at least T of the n ballots say yes?  One bit is opened, and never the count."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from protocol import circuits, counting
from protocol.bits import Bits
from protocol.circuits import Number
from protocol.dp.noise import Relation
from protocol.functionalities.base import Answer, Domain
from protocol.functionalities.boolean import Boolean
from protocol.gates import Circuit
from protocol.ring import Ring


class Referendum(Boolean):
    """YES if at least the threshold of the counted ballots say yes, else NO, and nothing more."""

    name: Literal["referendum"] = "referendum"
    threshold: str = Field(
        description="ballots that must say yes: a fraction of those counted (2/3), or a whole number",
    )

    @field_validator("threshold")
    @classmethod
    def _is_a_threshold(cls, threshold: str) -> str:
        if re.fullmatch(r"[0-9]{1,9}(/[0-9]{1,9})?", threshold, re.ASCII) is None:
            raise ValueError("write it like 2/3, or as a whole number of ballots")
        part, _, whole = threshold.partition("/")
        if int(part) < 1:
            raise ValueError("at least one ballot must have to say yes")
        if whole and int(part) > int(whole):
            raise ValueError(f"{threshold} is more than all ballots")
        return threshold

    def least(self, ballots: int) -> int:
        """T: how many of so many counted ballots must say yes."""
        return ceil(Fraction(self.threshold) * ballots) if "/" in self.threshold else int(self.threshold)

    def domain(self, inputs: int) -> Domain:
        """Yes or no; ValueError if not even all of them could reach the threshold."""
        if self.least(inputs) > inputs:
            raise ValueError(f"a threshold of {self.threshold} is more than the {inputs} input parties")
        return super().domain(inputs)

    def circuit(self, inputs: Bits, one: Bits, noise: Sequence[Bits] = ()) -> Circuit[Bits]:
        """[count + noise ≥ T]; the count exists only as shares."""
        if noise:
            return counting.reaches_noised(inputs, list(noise))
        return circuits.reaches(inputs, self.least(len(inputs)), one)

    def enter_noise(self, noise: int, inputs: int, me: int, parties: int, width: int) -> Number:
        """The first compute party takes T off its own."""
        return counting.own_noise(noise, self.least(inputs), me, parties, width)

    def most_ands(self, inputs: int, noises: int = 0, width: int = 0) -> int:
        """Of the tally and the comparison, whatever the threshold."""
        if width:
            return counting.most_ands_noised(inputs, noises, width)
        return circuits.most_ands(inputs)

    def decode(self, opened: Ring, inputs: int) -> Answer:
        """The one bit."""
        return Answer(np.asarray(opened, dtype=np.int64), words=("NO", "YES"))

    def ideal(self, values: Sequence[Decimal]) -> Decimal:
        """[Σ x_i / n ≥ the fraction], or [Σ x_i ≥ the number]."""
        part, _, whole = self.threshold.partition("/")
        yes = sum(values, Decimal(0))
        return Decimal(int(yes * int(whole) >= int(part) * len(values) if whole else yes >= int(part)))

    def facts(self, answer: Answer, inputs: int) -> Mapping[str, int | str]:
        """How many ballots were counted, and how many had to say yes."""
        return {"n": inputs, "T": self.least(inputs)}

    def sensitivity(self, relation: Relation) -> int:
        """One ballot moves the count by one."""
        return 1

    def magnitude(self, inputs: int) -> int:
        """All say yes."""
        return inputs
