"""Additive secret sharing over Z_2^64: x = Σ_j [x]_j, and any k − 1 of the k shares are uniform.

Shares as seeds: every share but one is a PRG seed of 32 bytes, whatever the vector's length; the last
one, x − Σ PRG(seed_j), is explicit.  Source: Cramer, Damgård, Nielsen, *Secure Multiparty Computation and
Secret Sharing* (2015), §3.2; the seeds as in Bonawitz et al., CCS 2017, §3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from protocol.ring import Ring
from protocol.secret import Seed


@dataclass(frozen=True, slots=True)
class Share:
    """One compute party's share of one input: a seed, or explicit ring elements.  Secret: it has no repr."""

    content: Seed | Ring

    def __repr__(self) -> str:
        return "Share(<redacted>)"

    def add_to(self, total: Ring) -> None:
        """total += share, in place."""
        if not isinstance(self.content, Seed):
            total += self.content
            return
        flat = total.reshape(-1)
        for place, block in self.content.blocks(flat.size):
            flat[place] += block

    def elements(self, shape: tuple[int, ...]) -> Ring:
        """The share as uint64[shape]."""
        return self.content.expand(shape) if isinstance(self.content, Seed) else self.content


def split(x: Ring, holders: Sequence[str], explicit: str, seed: Seed) -> dict[str, Share]:
    """Shares of `x`, one for each holder; `explicit` gets the long one.

    `seed` must be fresh for each (input, session view): all seeds of the split are derived from it.
    """
    seeds = {holder: seed.derive("share", holder) for holder in holders if holder != explicit}
    rest = np.array(x)  # a copy, and an array even where numpy would make a scalar of it
    flat = rest.reshape(-1)
    for each in seeds.values():
        for place, block in each.blocks(flat.size):
            flat[place] -= block
    return {holder: Share(seeds.get(holder, rest)) for holder in holders}


def add(shares: Iterable[Share], shape: tuple[int, ...]) -> Ring:
    """[x + y + …]_j = [x]_j + [y]_j + …: addition needs no communication."""
    total = np.zeros(shape, dtype=np.uint64)
    for share in shares:
        share.add_to(total)
    return total


def reconstruct(output_shares: Iterable[Ring], shape: tuple[int, ...]) -> Ring:
    """x = Σ_j [x]_j mod 2^64."""
    return add((Share(elements) for elements in output_shares), shape)
