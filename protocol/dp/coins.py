"""All randomness of the noise: uniform words of 64 bits, in order, from one seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protocol.secret import Seed

_ENDLESS = 1 << 60  # words: nobody draws as many


class Coins:
    """PRG(seed), word after word: the same seed and the same calls give the same coins."""

    def __init__(self, seed: Seed) -> None:
        self._blocks = seed.blocks(_ENDLESS)
        self._left = np.empty(0, dtype=np.uint64)  # of the present block, which the next one overwrites

    def __repr__(self) -> str:
        return "Coins(<redacted>)"

    def words(self, count: int) -> NDArray[np.uint64]:
        """The next `count` words, uniform in [0, 2^64) and independent."""
        words = np.empty(count, dtype=np.uint64)
        filled = 0
        while filled < count:
            if not self._left.size:
                self._left = next(self._blocks)[1]
            taken = min(count - filled, self._left.size)
            words[filled : filled + taken] = self._left[:taken]
            self._left = self._left[taken:]
            filled += taken
        return words

    def up_to(self, bounds: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Uniform integers, each in [0, bound]: the low bits of a word, drawn again while above it."""
        masks = bounds.copy()
        for shift in (1, 2, 4, 8, 16, 32):
            masks |= masks >> np.uint64(shift)
        found = self.words(bounds.size) & masks
        while (again := np.flatnonzero(found > bounds)).size:
            found[again] = self.words(again.size) & masks[again]
        return found
