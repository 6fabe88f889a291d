"""One party's noise, exactly: a difference of two Polya variables, in integers from first to last.

Polya(r, α), α = e^−a, has P(x) = Γ(x + r) / (x! Γ(r)) · α^x · (1 − α)^r, and r = 1/parts here: `parts` of
them add up to a geometric variable, and their differences to a discrete Laplace one [Ács, Castelluccia,
*I have a DREAM!*, IH 2011; Goryczka, Xiong, TDSC 2015].  `rate` is a, an exact fraction.  Values are
elements of the ring: a sum of noise wraps as the sum of inputs does.

Everything rests on the binary digits of a geometric variable G, P(G ≥ x) = α^x.  They are independent, and
digit j is 1 with probability α^(2^j) / (1 + α^(2^j)) [Marsaglia, *Random variables with independent binary
digits*, 1971; used for noise by Dwork et al., EUROCRYPT 2006].  So whatever is tossed, however large the
values are, has a constant probability: one for each power of two.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from protocol.dp.coins import Coins
from protocol.dp.thresholds import Enclosure, Thresholds, exp_minus
from protocol.errors import LocalProtocolError
from protocol.ring import Ring
from protocol.secret import Seed

_TOGETHER = 1 << 12  # variables drawn at a time, so that memory is bounded
_ONE = np.uint64(1)


class UnwantedError(Exception):
    """Nobody waits for the noise any more: the drawing was given up."""


def always() -> bool:
    """The noise is wanted, however long it takes."""
    return True


def noise_share(
    parts: int, rate: Fraction, shape: tuple[int, ...], seed: Seed, wanted: Callable[[], bool] = always
) -> Ring:
    """uint64[shape], each element Polya(1/parts, e^−rate) − Polya(1/parts, e^−rate) mod 2^64.

    The first variables of all differences come first, then the second ones.  UnwantedError as soon as it is
    no longer `wanted`, which is asked now and then.
    """
    coins, share = Coins(seed), np.empty(shape, dtype=np.uint64)
    share.reshape(-1)[:] = polya(parts, rate, share.size, coins, wanted)
    share.reshape(-1)[:] -= polya(parts, rate, share.size, coins, wanted)
    return share


def polya(parts: int, rate: Fraction, count: int, coins: Coins, wanted: Callable[[], bool] = always) -> Ring:
    """uint64[count]: draws of Polya(1/parts, e^−rate) mod 2^64, 2^12 at a time.

    With parts > 1, how long it takes depends on what is drawn: draw it before anybody waits for it.
    """
    if parts < 1 or rate <= 0:
        raise LocalProtocolError(f"Polya(1/{parts}, e^−{rate}): both must be positive")
    variable = _Geometric.of(rate) if parts == 1 else _Thinned.of(parts, rate)
    drawn = np.empty(count, dtype=np.uint64)
    for start in range(0, count, _TOGETHER):
        if not wanted():
            raise UnwantedError
        block = drawn[start : start + _TOGETHER]
        block[:] = variable.draw(block.size, coins)
    return drawn


def _doublings(rate: Fraction, least: int) -> int:
    """The least j with rate · 2^j ≥ least."""
    return (-(-least * rate.denominator // rate.numerator) - 1).bit_length()


class _Powers:
    """α^(2^j) for j = 0, 1, …, to any precision; each is computed once."""

    def __init__(self, rate: Fraction) -> None:
        self._rate = rate
        self._known: dict[tuple[int, int], Enclosure] = {}

    def __call__(self, j: int, bits: int) -> Enclosure:
        if (j, bits) not in self._known:
            self._known[j, bits] = exp_minus(self._rate * 2**j, bits)
        return self._known[j, bits]


class _Geometric:
    """P(x) = (1 − α)·α^x: all digits of all draws are tossed, whatever comes out, so time tells nothing."""

    def __init__(self, rate: Fraction) -> None:
        self._rate, self.power = rate, _Powers(rate)
        # Digits above are zero, but for one draw in 2^92 (if the rate is at least 2^−57).
        self._places = min(_doublings(rate, 64), 63)
        self._digits = Thresholds(self._digit, self._places)
        self.heights = Thresholds(self.power, self._places + 1)  # P(G ≥ 2^j)

    @staticmethod
    @lru_cache(maxsize=64)
    def of(rate: Fraction) -> _Geometric:
        """Its thresholds are computed once; they are public."""
        return _Geometric(rate)

    def _digit(self, j: int, bits: int) -> Enclosure:
        """y / (1 + y) with y = α^(2^j)."""
        (low, high), one = self.power(j, bits), 1 << bits
        return (low << bits) // (one + low), -(-high << bits) // (one + high)

    def draw(self, count: int, coins: Coins) -> Ring:
        """uint64[count], mod 2^64."""
        drawn = self.lowest(self._places, count, coins)
        # G ≥ 2^places, independently of the digits below; if so, G / 2^places has no memory of it:
        # it is 1 more than a geometric variable whose rate is 2^places times as large.
        above = np.flatnonzero(self.heights.reached(np.full(count, self._places), coins))
        if above.size:
            further = _Geometric.of(self._rate * 2**self._places).draw(above.size, coins)
            drawn[above] += (further + _ONE) << np.uint64(self._places)
        return drawn

    def lowest(self, places: int, count: int, coins: Coins) -> Ring:
        """uint64[count]: only so many digits of each draw.  Those of the first draw are tossed first, from
        the lowest one on."""
        bits = self._digits.reached(np.broadcast_to(np.arange(places), (count, places)), coins)
        octets = np.zeros((count, 8), dtype=np.uint8)
        octets[:, : (places + 7) // 8] = np.packbits(bits, axis=1, bitorder="little")
        return octets.view("<u8").reshape(count).astype(np.uint64, copy=False)


class _Poisson:
    """P(M ≤ m) = e^−λ Σ λ^i / i! over i ≤ m, for M ~ Poisson(λ), to any precision."""

    def __init__(self, intensity: Fraction) -> None:
        self._intensity, self._power = intensity, _Powers(intensity)
        self._terms = [(1, 1, 1)]  # Σ, λ^m and 1, each times m!·denominator^m

    def __call__(self, m: int, bits: int) -> Enclosure:
        while len(self._terms) <= m:
            total, power, scale = self._terms[-1]
            power, factor = power * self._intensity.numerator, self._intensity.denominator * len(self._terms)
            self._terms.append((total * factor + power, power, scale * factor))
        total, _, scale = self._terms[m]
        low, high = self._power(0, bits)
        return low * total // scale, -(-high * total // scale)


class _Cells:
    """P(cell ≤ j), to any precision: Σ α^(2^i) / (J + 1) over i ≤ j for the cells below L = 2^J.

    At J all others count as one, with the geometric series of Σ α^(L·s) over s ≥ 1; and beyond is none.
    """

    def __init__(self, power: _Powers, top: int) -> None:
        self._power, self._top = power, top

    def __call__(self, j: int, bits: int) -> Enclosure:
        one = 1 << bits
        if j > self._top:
            return one, one
        lows, highs = map(list, zip(*(self._power(i, bits) for i in range(j + 1)), strict=True))
        if j == self._top:
            low, high = lows[-1], highs[-1]
            lows[-1], highs[-1] = (low << bits) // (one - low), -(-high << bits) // (one - high)
        return sum(lows) // (self._top + 1), -(-sum(highs) // (self._top + 1))


class _Thinned:
    """X = Σ k·N_k with independent N_k ~ Poisson(r·α^k / k) [Quenouille, Biometrics 1949], by thinning.

    The numbers from 1 on are cut into cells of width w = 2^j: [1, 2), [2, 4), … up to L = 2^J ≥ 1/a, and from
    there on [L, 2L), [2L, 3L), ….  A cell that begins at s·w gets Poisson(r·α^(s·w)) points, each anywhere
    in it.  One at k = s·w + u stays with probability α^u · w/k, which leaves r·α^k / k, as it should be.
    """

    def __init__(self, parts: int, rate: Fraction) -> None:
        top = _doublings(rate, 1)  # J
        if top > 63:
            raise LocalProtocolError(f"Polya(1/{parts}, e^−{rate}): the rate is below 2^−63")
        self._top = top
        self._geometric, self._tail = _Geometric.of(rate), _Geometric.of(rate * 2**top)
        # Points of all cells, and of none: Σ α^(2^i) + Σ α^(L·s) < J + 1.
        self._points = Thresholds(_Poisson(Fraction(top + 1, parts)))
        self._cells = Thresholds(_Cells(self._geometric.power, top))
        self._masks = np.array([(1 << j) - 1 for j in range(top + 1)], dtype=np.uint64)

    @staticmethod
    @lru_cache(maxsize=64)
    def of(parts: int, rate: Fraction) -> _Thinned:
        """Its thresholds are computed once; they are public."""
        return _Thinned(parts, rate)

    def draw(self, count: int, coins: Coins) -> Ring:
        """uint64[count], mod 2^64."""
        points = self._points.first(count, coins)
        ends: NDArray[np.intp] = np.cumsum(points)
        j = self._cells.first(int(ends[-1]), coins)
        placed = np.flatnonzero(j <= self._top)
        sums = np.zeros(j.size + 1, dtype=np.uint64)
        sums[placed + 1] = self._values(j[placed], coins)
        np.cumsum(sums, out=sums)  # mod 2^64, so that differences are right whatever it wraps to
        drawn: Ring = sums[ends] - sums[ends - points]
        return drawn

    def _values(self, j: NDArray[np.intp], coins: Coins) -> Ring:
        """k for each point, in a cell of width 2^j, that stays, and 0 for the others."""
        u = coins.words(j.size) & self._masks[j]
        s = np.ones(j.size, dtype=np.uint64)
        tail = np.flatnonzero(j == self._top)
        s[tail] += self._tail.draw(tail.size, coins)  # P(s) ∝ α^(L·s); not even e^(−2^64) for s ≥ 2^64
        stays = self._in_front(j, s, u, coins)
        stays &= self._outlasts(j, u, coins)
        return ((s << j.astype(np.uint64)) + u) * stays

    def _in_front(self, j: NDArray[np.intp], s: Ring, u: Ring, coins: Coins) -> NDArray[np.bool_]:
        """Bern(w/k): whether a uniform number below k = s·w + u is below w.

        The number is t·w + v with t ≤ s and v < w, drawn again if it is not below k.  It is never put
        together, since k may not fit a word.  The bit above v is enough of a t for s = 1.
        """
        first = np.empty(j.size, dtype=np.bool_)
        unsettled, masks = np.arange(j.size), self._masks[j]
        while unsettled.size:
            words = coins.words(unsettled.size)
            t, v = words >> np.uint64(63), words & masks
            several = np.flatnonzero(s > _ONE)
            t[several] = coins.up_to(s[several])
            first[unsettled] = t == 0
            again = np.flatnonzero((t == s) & (v >= u))
            unsettled, masks, s, u = unsettled[again], masks[again], s[again], u[again]
        return first

    def _outlasts(self, j: NDArray[np.intp], u: Ring, coins: Coins) -> NDArray[np.bool_]:
        """Bern(α^u) for u < 2^j: whether a geometric variable G is at least u.

        It is if G ≥ 2^j, with probability α^(2^j); else its lowest j digits tell, which know nothing of that.
        """
        outlasts = self._geometric.heights.reached(j, coins)
        below = np.flatnonzero(~outlasts)
        digits = self._geometric.lowest(self._top, below.size, coins) & self._masks[j[below]]
        outlasts[below] = digits >= u[below]
        return outlasts
