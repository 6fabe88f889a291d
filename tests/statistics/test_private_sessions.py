"""Two thousand sessions: what is published has just the noise that was promised, and nothing else is opened.

Each mistake that such stages are known for is made here once, in the sessions themselves, and noticed.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from protocol.dp import noise as noise_module
from protocol.dp.noise import Noise
from protocol.dp.polya import noise_share
from protocol.holding import Holding
from protocol.ring import Ring
from protocol.secret import Seed
from protocol.sharing import Share
from tests.statistics.noise_battery import ALIKE, floats
from tests.statistics.noise_laws import Integers, Promise, alike_p, difference
from tests.statistics.private_sessions import (
    DEALS,
    Held,
    all_shares,
    at_nodes,
    at_tables,
    discrete_laplace,
    findings,
    promised,
)
from tests.support.sessions import seed_of

SESSIONS = dict(zip(DEALS, (800, 600, 400, 200), strict=True))  # 2,000 in all
LENGTH = 32  # numbers in each answer
FEWER, LONGER = 32, 128  # are enough for whatever is wrong
NOTICED = 1e-12
HALF = Fraction(1, 2)
CASES = [promised(*deal, HALF, LENGTH) for deal in SESSIONS]
ALONE, TRIO, WARY, FIVE = (promised(*deal, HALF, LONGER) for deal in SESSIONS)
STEEP = promised(3, 2, Fraction(3, 2), LONGER)  # little noise
WIDE = promised(3, 2, Fraction(1, 2**55), LONGER, 2**49)  # as much as there is room for in the ring


@pytest.mark.parametrize("promise", CASES, ids=str)
def test_the_answers_of_many_sessions_have_the_noise_that_was_promised(promise: Promise) -> None:
    """For whoever reads them; and as much of it as was promised is left to every coalition."""
    sessions = SESSIONS[promise.parties, promise.colluders]
    held = at_tables(promise, sessions, LENGTH)
    assert held.published.shape == (sessions, LENGTH)
    found = findings(promise, held)
    assert len(found) == 2 + len(list(promise.rests))
    assert min(found.values()) > ALIKE, found
    assert opened_what_was_published(held)


def opened_what_was_published(held: Held) -> bool:
    """Whether the output shares make the answer, and never what it would have been without noise."""
    as_published = bool((held.opened == held.published).all())
    return as_published and not (held.opened == held.exact).all(axis=1).any()


def test_the_answers_of_real_nodes_have_the_noise_that_was_promised() -> None:
    found = findings(TRIO, at_nodes(TRIO, FEWER, LONGER))
    assert min(found.values()) > ALIKE, found


@pytest.mark.parametrize("promise", [STEEP, WIDE], ids=str)
def test_so_have_answers_with_little_noise_and_with_as_much_as_there_is_room_for(promise: Promise) -> None:
    held = at_tables(promise, FEWER, LONGER)
    assert min(findings(promise, held).values()) > ALIKE
    assert opened_what_was_published(held)


@pytest.mark.parametrize("promise", CASES, ids=str)
def test_the_convolution_of_all_shares_is_the_distribution_that_theory_has(promise: Promise) -> None:
    convolved = all_shares(promise)
    terms = len(convolved) // 2 + 1
    alpha = np.exp(-float(promise.rate))
    known = difference(promise.parties / promise.parts, alpha, terms)
    assert np.abs(convolved - known).max() < 1e-12
    honest = discrete_laplace(promise)
    assert np.abs(honest - difference(1.0, alpha, len(honest) // 2 + 1)).max() < 1e-12


# -- mistakes ------------------------------------------------------------------------------------------


def test_shares_for_all_parties_instead_of_the_honest_ones_are_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """r = 1/n instead of 1/(n − c): by every reader, and in what is left to every coalition."""
    monkeypatch.setattr(Noise, "parts", lambda _self, compute: compute)
    for promise in (TRIO, WARY, FIVE):
        found = findings(promise, at_tables(promise, FEWER, LONGER))
        assert max(found.values()) < NOTICED, found


def test_the_noise_of_one_party_that_is_left_out_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(self: Holding, noise: Share) -> None:
        honest(self, Share(noise.elements(()) * np.uint64(self._me != "bob")))

    honest = Holding.take_noise
    monkeypatch.setattr(Holding, "take_noise", take)
    for promise in (TRIO, WARY, FIVE):
        found = findings(promise, at_tables(promise, FEWER, LONGER))
        assert found["answers"] < NOTICED, found


def test_noise_that_the_readers_add_after_the_opening_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what was opened, and by nothing else: the answers are as good as any."""

    def take(self: Holding, _noise: Share) -> None:
        self._noisy = False

    def total(self: Holding) -> Ring:
        seeds = [seed_of(f"party {party}").derive("after", self._view) for party in range(TRIO.parties)]
        added.append([noise_share(TRIO.parts, TRIO.rate, (LONGER,), seed) for seed in seeds])
        return np.asarray(honest(self) + np.sum(added[-1], axis=0, dtype=np.uint64))

    added: list[list[Ring]] = []
    honest = Holding.total
    monkeypatch.setattr(Holding, "take_noise", take)
    monkeypatch.setattr(Holding, "total", total)
    held = at_tables(TRIO, FEWER, LONGER)
    readers = TRIO.parties + 1
    found = findings(TRIO, held._replace(shares=np.array(added[::readers]).view(np.int64)))
    assert min(found.values()) > ALIKE, found
    assert not opened_what_was_published(held)
    assert (held.opened == held.exact).all()


def rounded_floats(_parts: int, rate: Fraction, shape: tuple[int, ...], seed: Seed, *_wanted: object) -> Ring:
    """Laplace noise as numerical libraries draw it, of the right scale, rounded to whole numbers."""
    drawn = np.rint(floats(int(np.prod(shape)), seed) / float(rate)).astype(np.int64)
    return drawn.view(np.uint64).reshape(shape)


def test_floats_are_noticed_where_there_is_little_noise_and_where_there_is_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(noise_module, "noise_share", rounded_floats)
    steep = findings(STEEP, at_tables(STEEP, FEWER, LONGER))
    assert max(steep[each] for each in steep if each != "variance") < NOTICED, steep
    assert findings(WIDE, at_tables(WIDE, FEWER, LONGER))["lowest digits"] < NOTICED


@pytest.mark.parametrize("mistaken", [False, True], ids=["the product", "floats"])
def test_no_answer_tells_neighbours_apart_but_those_with_floats_do(
    mistaken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All bring 0, or all but one bring 0 and that one brings 1: whether an answer is even tells nothing."""
    if mistaken:
        monkeypatch.setattr(noise_module, "noise_share", rounded_floats)
    counts = [np.bincount(published % 4, minlength=4) for published in neighbours()]
    assert (alike_p(np.array(counts, dtype=np.float64)) < NOTICED) == mistaken


def neighbours() -> list[Integers]:
    """What is published over (0, 0, 0) and over (1, 0, 0)."""
    truths = [(0, 0, 0), (1, 0, 0)]
    return [at_tables(WIDE, FEWER, LONGER, "neighbours", truth).published.ravel() for truth in truths]
