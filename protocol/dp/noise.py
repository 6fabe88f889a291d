"""The noise that a session adds before anything is opened: who adds how much of it, and what it promises.

Each of the k compute parties adds Polya(r, α) − Polya(r, α) with r = 1/(k − c) and α = e^(−ε/Δ).  Whoever
takes off the shares of c of them is left with a discrete Laplace variable, so what is opened is ε-DP even
for those c [Ács, Castelluccia, IH 2011; Goryczka, Xiong, TDSC 2015].  "Computationally" so
[Mironov et al., CRYPTO 2009]: shares and noise come from a PRG.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from fractions import Fraction
from typing import Literal

from pydantic import Field

from protocol.dp.epsilon import LARGEST, NANO
from protocol.dp.polya import always, noise_share
from protocol.messages import Strict
from protocol.secret import Seed
from protocol.sharing import Share


class Relation(StrEnum):
    """Which two sets of inputs no answer may tell apart."""

    REPLACE_ONE = "replace-one"  # one party's whole input is another one
    ADD_REMOVE = "add-remove"  # one party's whole input is there or not; where n is public it counts as least


class Noise(Strict):
    """Discrete Laplace noise on what is shared, before anything is opened."""

    mechanism: Literal["discrete-laplace"] = "discrete-laplace"
    epsilon: int = Field(ge=1, le=LARGEST)  # nano-ε that each input pays
    sensitivity: int = Field(ge=1, lt=2**63)  # l1, over the whole tuple, in units of what is shared
    relation: Relation
    colluders: int = Field(ge=0)  # compute parties that may pool their noise shares

    @property
    def rate(self) -> Fraction:
        """ε/Δ, exactly: α = e^−rate."""
        return Fraction(self.epsilon, NANO * self.sensitivity)

    def parts(self, compute: int) -> int:
        """How many noise shares together are the promised noise: those of the honest."""
        return compute - self.colluders

    def tail(self, compute: int) -> int:
        """B: no element of the whole noise is as large, but for one in 2^64.

        For X, the difference of two Polya(R, α) with R = k/(k − c), and 0 < θ < 1, E e^(θaX) is at most
        (1 − θ²)^−R, since ln(sinh(x)/x) is convex.  So P(|X| ≥ B) ≤ 2 e^(−θaB) (1 − θ²)^−R.  θ = 7/8 and
        aB = 52 + 5R/3 make this less than 2^−64.
        """
        bound = Fraction(52 + Fraction(5 * compute, 3 * self.parts(compute)), self.rate)
        return -(-bound.numerator // bound.denominator)

    def share(
        self, compute: int, shape: tuple[int, ...], seed: Seed, wanted: Callable[[], bool] = always
    ) -> Share:
        """One compute party's noise: one more share to be added to those of the inputs.

        UnwantedError as soon as it is no longer `wanted`.
        """
        return Share(noise_share(self.parts(compute), self.rate, shape, seed, wanted))
