"""What a function is: the trusted party's computation and how it is done without one, side by side.

One function is one small file.  The catalogue is closed: nothing announced over the network is code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocol import encoding
from protocol.dp.noise import Relation
from protocol.encoding import Exact
from protocol.errors import LocalProtocolError
from protocol.messages import Strict
from protocol.ring import Ring
from protocol.secret import Seed
from protocol.sharing import Group


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

    name: str = ""  # as the catalogue has it
    group: ClassVar[Group]
    interactive: ClassVar[bool] = False  # whether the compute parties need rounds
    largest: ClassVar[int] = 2**64 - 1  # word of an output share
    local_epsilon: ClassVar[int | None] = None  # nano-ε of the noise that input parties add themselves

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Of every input; None where any will do."""
        return None

    @abstractmethod
    def domain(self, inputs: int) -> Domain:
        """What each of `inputs` parties may put in; ValueError if the function cannot serve so many."""

    @abstractmethod
    def encode(self, value: Exact, inputs: int, *, clamp: bool = False) -> Ring:
        """A party's own value as it is shared; InputError names the place and never the value.

        With `clamp` whatever fits the shape is taken, and moved to the nearest value of the domain: where
        an answer is differentially private, not even a refusal may depend on the value.
        """

    def randomise(self, encoded: Ring, seed: Seed) -> Ring:
        """What the input party puts in: `encoded`, after whatever noise is its own to add."""
        return encoded

    @abstractmethod
    def decode(self, opened: Ring, inputs: int) -> Answer:
        """The answer from the opened elements, given how many inputs were counted."""

    @abstractmethod
    def ideal(self, values: Sequence[Decimal]) -> Decimal | list[Decimal]:
        """What a trusted party would answer for scalars; shares no code with the rest."""

    def text(self, answer: Answer, inputs: int) -> str | list[str]:
        """An answer over so many inputs as it is shown."""
        return answer.text()

    def facts(self, answer: Answer, inputs: int) -> Mapping[str, int | str]:
        """What else belongs to an answer over so many inputs; it is for those who may know the answer."""
        return {}

    # -- differential privacy: what is summed is Σ v_i over Z, and noise is added to it -----------------

    def sensitivity(self, relation: Relation) -> int:
        """Δ: how far apart Σ v_i of two neighbouring sets of inputs are at most, in l1 over the whole tuple.

        ValueError if no noise can be added to this function, or not with these parameters.
        """
        raise ValueError(f"a {self.name} takes no --epsilon")

    def magnitude(self, inputs: int) -> int:
        """The largest |Σ v_i| over so many inputs, in any element; for functions with a sensitivity."""
        raise LocalProtocolError(f"{type(self).__name__} has no sum")

    def unit(self, inputs: int) -> Fraction:
        """What 1 in Σ v_i is worth in the answer over so many inputs."""
        return Fraction(1)
