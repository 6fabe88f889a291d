"""Additive secret sharing: x = Σ_j [x]_j, and any k − 1 of the k shares are uniform.

Numbers are shared over Z_2^64, bits over Z_2 (XOR), 64 of them in a word.

Shares as seeds: every share but one is a PRG seed of 32 bytes, whatever the vector's length; the last
one, x − Σ PRG(seed_j), is explicit.  Source: Cramer, Damgård, Nielsen, *Secure Multiparty Computation and
Secret Sharing* (2015), §3.2; the seeds as in Bonawitz et al., CCS 2017, §3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from protocol.ring import Ring
from protocol.secret import Seed


class Group(NamedTuple):
    """What shares add up in: addition and its inverse on words of 64 bits."""

    plus: np.ufunc
    minus: np.ufunc


INTEGERS = Group(np.add, np.subtract)  # Z_2^64
BITS = Group(np.bitwise_xor, np.bitwise_xor)  # Z_2, in every bit of a word


@dataclass(frozen=True, slots=True)
class Share:
    """One compute party's share of one input: a seed, or explicit ring elements.  Secret: it has no repr."""

    content: Seed | Ring

    def __repr__(self) -> str:
        return "Share(<redacted>)"

    def add_to(self, total: Ring, group: Group) -> None:
        """total += share, in place."""
        if not isinstance(self.content, Seed):
            group.plus(total, self.content, out=total)
            return
        flat = total.reshape(-1)
        for place, block in self.content.blocks(flat.size):
            group.plus(flat[place], block, out=flat[place])

    def elements(self, shape: tuple[int, ...]) -> Ring:
        """The share as uint64[shape]."""
        return self.content.expand(shape) if isinstance(self.content, Seed) else self.content


def split(
    x: Ring, holders: Sequence[str], explicit: str, seed: Seed, group: Group = INTEGERS
) -> dict[str, Share]:
    """Shares of `x`, one for each holder; `explicit` gets the long one.

    `seed` must be fresh for each (input, session view): all seeds of the split are derived from it.
    """
    seeds = {holder: seed.derive("share", holder) for holder in holders if holder != explicit}
    rest = np.array(x)  # a copy, and an array even where numpy would make a scalar of it
    flat = rest.reshape(-1)
    for each in seeds.values():
        for place, block in each.blocks(flat.size):
            group.minus(flat[place], block, out=flat[place])
    return {holder: Share(seeds.get(holder, rest)) for holder in holders}


def add(shares: Iterable[Share], shape: tuple[int, ...], group: Group = INTEGERS) -> Ring:
    """[x + y + …]_j = [x]_j + [y]_j + …: addition needs no communication."""
    total = np.zeros(shape, dtype=np.uint64)
    for share in shares:
        share.add_to(total, group)
    return total


def reconstruct(output_shares: Iterable[Ring], shape: tuple[int, ...], group: Group = INTEGERS) -> Ring:
    """x = Σ_j [x]_j."""
    return add((Share(elements) for elements in output_shares), shape, group)
