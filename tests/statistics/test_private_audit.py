"""Audits: what an answer proves about one input is no more than the ε that was said; where more is, it shows.

The audits are tight: they prove most of ε, so that nothing is merely lost among the draws.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log

import numpy as np
import pytest
from numpy.typing import NDArray

from party_node.journal import Journal
from protocol import ring
from protocol.dp.epsilon import NANO
from protocol.dp.noise import Noise, Relation
from protocol.dp.randomised_response import NANO_LN_3, randomise
from protocol.encoding import Exact
from protocol.functionalities.histogram import Histogram
from protocol.functionalities.poll import Poll
from protocol.ring import Ring
from protocol.secret import Seed
from protocol.states import State
from tests.statistics.noise_laws import Integers
from tests.statistics.private_audit import proven
from tests.support.network import Network
from tests.support.sessions import Table, make_spec, seed_of

DRAWS = 20_000  # over each of two neighbours
MOST = 0.8  # of ε, which an audit proves at least
HISTOGRAM = Histogram(bins=4)
NAMES = ("alice", "bob", "carlos", "david", "erin")
COMPUTE, COALITION = NAMES[:3], NAMES[:1]
VOTES = (2, 2, 3, 1, 4)
MOVED = (3, *VOTES[1:])  # alice's vote is in bin 3, and not in bin 2
GONE = VOTES[1:]  # alice's vote is in no bin
Bools = NDArray[np.bool_]
Event = Callable[[Integers], Bools]  # int64[draws, bins] → whether it came up


def together(counts: Integers) -> Bools:
    """All votes in bin 2 are there, and none has come to bin 3."""
    return at_least(counts) & (counts[:, 2] <= 1)


def at_least(counts: Integers) -> Bools:
    """All votes in bin 2 are there."""
    return np.asarray(counts[:, 1] >= 2)


def exactly(counts: Integers) -> Bools:
    """Those and no more."""
    return np.asarray(counts[:, 1] == 2)


def stated(relation: Relation, nano: int = NANO) -> Noise:
    """The noise of a histogram."""
    sensitivity = HISTOGRAM.sensitivity(relation)
    return Noise(epsilon=nano, sensitivity=sensitivity, relation=relation, colluders=len(COALITION))


def encoded(votes: tuple[int, ...]) -> Integers:
    """What each vote puts into the bins: int64[votes, bins]."""
    exact = (Exact(np.array(vote), 0, "vote") for vote in votes)
    return ring.to_signed(np.array([HISTOGRAM.encode(each, len(votes), clamp=True) for each in exact]))


def left(noise: Noise, votes: tuple[int, ...], coalition: tuple[str, ...]) -> Integers:
    """Noised histograms, as a coalition has them that has taken off its own noise: int64[draws, bins]."""
    honest = [seed_of(f"{noise} {votes} {name}") for name in COMPUTE if name not in coalition]
    shares = [noise.share(len(COMPUTE), (DRAWS, HISTOGRAM.bins), seed).elements(()) for seed in honest]
    noises: Integers = ring.to_signed(np.sum(shares, axis=0, dtype=np.uint64))
    return np.asarray(noises + encoded(votes).sum(axis=0))


def loss(
    noise: Noise, neighbour: tuple[int, ...], event: Event, coalition: tuple[str, ...] = COALITION
) -> float:
    """The ε that an event proves to be lost between VOTES and a neighbour."""
    return proven(*(event(left(noise, votes, coalition)) for votes in (VOTES, neighbour)))


# -- a histogram ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relation", "neighbour", "event"),
    [
        (Relation.REPLACE_ONE, MOVED, together),
        (Relation.REPLACE_ONE, MOVED, at_least),
        (Relation.ADD_REMOVE, GONE, at_least),
        (Relation.ADD_REMOVE, GONE, exactly),
    ],
)
def test_a_histogram_loses_epsilon_and_no_more(
    relation: Relation, neighbour: tuple[int, ...], event: Event
) -> None:
    found = loss(stated(relation), neighbour, event)
    half = relation is Relation.REPLACE_ONE and event is at_least  # one bin has half of it
    assert MOST <= (2 * found if half else found) <= 1


def test_a_histogram_whose_sensitivity_forgets_the_other_bin_loses_twice_as_much() -> None:
    """Δ = 1 under replace-one; to a node that reckons so, too, nothing seems wrong."""
    careless = stated(Relation.REPLACE_ONE).model_copy(update={"sensitivity": 1})
    assert MOST * 2 <= loss(careless, MOVED, together) <= 2
    assert loss(careless, MOVED, at_least) <= 1, "one bin alone would not have shown it"


def test_shares_for_all_instead_of_for_the_honest_lose_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """n = 3, c = 1, ε = 1: 1.389 instead of 1."""
    monkeypatch.setattr(Noise, "parts", lambda _self, compute: compute)
    assert 1 < loss(stated(Relation.ADD_REMOVE), GONE, exactly) <= 1.389


def test_without_the_noise_of_another_party_more_is_lost() -> None:
    """To a coalition larger than was assumed."""
    assert loss(stated(Relation.ADD_REMOVE), GONE, exactly, coalition=NAMES[:2]) > 1.5


def test_the_draws_that_are_audited_are_what_sessions_publish() -> None:
    for number, votes in enumerate((VOTES, MOVED)):
        noise = stated(Relation.REPLACE_ONE)
        spec = make_spec(HISTOGRAM, NAMES, COMPUTE, noise=noise, nonce=bytes([number]) * 16)
        values = dict(zip(NAMES, encoded(votes).tolist(), strict=True))
        table = Table(spec, values).start()
        seeds = {name: table.sessions[name]._noise_seed for name in COMPUTE}
        shares = [noise.share(len(COMPUTE), (HISTOGRAM.bins,), seed).elements(()) for seed in seeds.values()]
        published = encoded(votes).sum(axis=0) + ring.to_signed(np.sum(shares, axis=0, dtype=np.uint64))
        table.deliver()
        shown = [str(count) for count in published.tolist()]
        assert [*table.texts().items()] == [(name, shown) for name in NAMES]


# -- a poll --------------------------------------------------------------------------------------------


def answers(truth: int) -> Bools:
    """What many respondents say whose truth is the same."""
    value = Poll().encode(Exact(np.array(truth), 0, "vote"), 3, clamp=True)
    said = [Poll().randomise(value, seed_of(f"{truth} {run}")).item() == 1 for run in range(DRAWS)]
    return np.array(said)


def polled() -> tuple[float, float]:
    """The ε that a yes proves to be lost, and that a no does."""
    yes, no = answers(1), answers(0)
    return proven(yes, no), proven(~no, ~yes)


def test_an_answer_to_a_poll_loses_ln_3_and_no_more() -> None:
    for found in polled():
        assert MOST * log(3) <= found <= log(3) < NANO_LN_3 / NANO


def one_coin(truth: Ring, seed: Seed) -> Ring:
    """Heads: the truth; tails: yes."""
    return np.array(int(truth) if seed.derive_bytes(1, "coin")[0] & 1 else 1, dtype=np.uint64)


def the_same_coin_again(truth: Ring, seed: Seed) -> Ring:
    """Heads: the truth; tails: what the coin says, which is no."""
    return np.array(int(truth) * (seed.derive_bytes(1, "coin")[0] & 1), dtype=np.uint64)


def a_biased_coin(truth: Ring, seed: Seed) -> Ring:
    """The truth but for one time in eight."""
    flipped = seed.derive_bytes(1, "coin")[0] % 8 == 0
    return np.array(int(truth) ^ flipped, dtype=np.uint64)


@pytest.mark.parametrize("mistake", [one_coin, the_same_coin_again, a_biased_coin])
def test_other_coins_lose_more(
    mistake: Callable[[Ring, Seed], Ring], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("protocol.functionalities.poll.randomise", mistake)
    assert max(polled()) > 1.5 * log(3)


def test_what_a_respondents_node_keeps_and_shares_is_the_answer_and_not_the_truth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And those answers are counted."""

    def keep(self: Journal, session: str, announce: bytes, now: int, seed: Seed, value: Ring | None) -> None:
        kept[self] = seed, value
        honest(self, session, announce, now, seed, value)

    kept: dict[Journal, tuple[Seed, Ring | None]] = {}
    honest = Journal.open
    monkeypatch.setattr(Journal, "open", keep)
    truths = {f"p{number}": number % 2 for number in range(40)}
    network = Network({name: {"vote": str(truth)} for name, truth in truths.items()}, seed=1)
    committee = network.names[:2]
    session = network.announce(network.spec(Poll(), "vote", compute=committee, results=committee))
    network.run()
    said = {}
    for name, truth in truths.items():
        seed, value = kept[network.journals[name]]
        assert value == randomise(np.array(truth, dtype=np.uint64), seed)
        said[name] = int(value)
    changed = [name for name in truths if said[name] != truths[name]]
    assert 2 <= len(changed) <= 20
    outcome = network.outcomes(session)["p0"]
    assert outcome.state is State.COMPLETED
    assert outcome.answer is not None
    assert outcome.answer.text() == str(sum(said.values()))
    network.close()
