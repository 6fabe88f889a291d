"""Whole sessions with noise, by the hundred: what is published, what it would have been, and the noise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from typing import NamedTuple

import numpy as np

from protocol import ring
from protocol.dp.epsilon import NANO
from protocol.dp.noise import Noise, Relation
from protocol.functionalities.sum import Sum
from protocol.messages import Step
from protocol.ring import Ring
from protocol.transcript import digest
from tests.statistics import noise_laws
from tests.statistics.noise_laws import Floats, Integers, Law, Promise, difference, lowest_p, variance_p
from tests.support.network import Network
from tests.support.sessions import Table, make_spec, seed_of

DEALS = ((2, 0), (3, 1), (3, 2), (5, 2))  # compute parties, and those of them that may collude
PARTIES = ("alice", "bob", "carlos", "david", "erin")
READER = "zoe"  # learns the answer and does nothing else
MODERATE = Fraction(1, 100)  # a rate of which the noise has values that come up again
LEAST = 0.01


class Held(NamedTuple):
    """What came of a session, or of many below each other: int64[…, length]."""

    published: Integers
    exact: Integers  # what it would be without noise
    opened: Integers  # the output shares of all, put together
    shares: Integers  # of the noise: int64[…, parties, length]


def promised(parties: int, colluders: int, rate: Fraction, length: int, widest: int = 1) -> Promise:
    """Noise of this rate on each of `length` numbers from 0 to `widest`."""
    return Promise(parties, colluders, rate * length * widest, length * widest)


def terms(promise: Promise, length: int) -> tuple[Sum, Noise]:
    """The sum of lists of so many numbers, and its noise."""
    function = Sum(lower=Decimal(0), upper=Decimal(promise.width // length), decimals=0, length=length)
    noise = Noise(
        epsilon=int(promise.epsilon * NANO),
        sensitivity=function.sensitivity(Relation.REPLACE_ONE),
        relation=Relation.REPLACE_ONE,
        colluders=promise.colluders,
    )
    assert noise.rate == promise.rate
    return function, noise


# -- sessions ------------------------------------------------------------------------------------------


def at_tables(
    promise: Promise, sessions: int, length: int, label: str = "", truth: Sequence[int] | None = None
) -> Held:
    """Sessions of pure machines, with a reader who does not compute.

    What each party brings are bits, or always its entry of `truth`.
    """
    return _below_each_other(
        _at_table(promise, length, f"{label} {number}", truth) for number in range(sessions)
    )


def _at_table(promise: Promise, length: int, label: str, truth: Sequence[int] | None) -> Held:
    (function, noise), names = terms(promise, length), PARTIES[: promise.parties]
    nonce = digest("nonce", label, str(promise))[:16]
    spec = make_spec(function, names, results=(*names, READER), noise=noise, nonce=nonce)
    values = {name: _bits(f"{label} {name}", length) for name in names}
    if truth is not None:
        values = {name: [each] * length for name, each in zip(names, truth, strict=True)}
    table = Table(spec, values).start().deliver()
    answers = table.texts()
    assert set(answers) == {*names, READER}, "somebody has no answer"
    [published] = {tuple(map(int, answer)) for answer in answers.values()}
    shares = [ring.to_signed(table.noises[name].elements(())) for name in names]
    return Held(np.array(published), np.sum([*values.values()], axis=0), opened(table), np.array(shares))


def _bits(label: str, length: int) -> list[int]:
    bits: list[int] = (seed_of(label).expand((length,)) & np.uint64(1)).tolist()
    return bits


def opened(table: Table) -> Integers:
    """What all output shares that were revealed make, put together."""
    bodies = {sender: letter.body for sender, letter in table.letters if letter.step is Step.REVEAL}
    assert set(bodies) == set(table.spec.compute)
    size = ring.BYTES * int(np.prod(table.spec.shape or ()))
    outputs: list[Ring] = [np.frombuffer(body[-size:], dtype="<u8") for body in bodies.values()]
    return ring.to_signed(np.asarray(reduce(np.add, outputs), dtype=np.uint64))


def at_nodes(promise: Promise, sessions: int, length: int) -> Held:
    """Sessions of real nodes, with all that belongs to them; nobody can look into their reveals."""
    (function, noise), names = terms(promise, length), PARTIES[: promise.parties]
    values = {name: _bits(f"node {name}", length) for name in names}
    network = Network({name: {"raise": [*map(str, each)]} for name, each in values.items()}, seed=1)
    held = []
    for _ in range(sessions):
        session = network.announce(network.spec(function, noise=noise))
        network.run()
        answers = [each.answer for each in network.outcomes(session).values()]
        [published] = {tuple(map(int, answer.text())) for answer in answers if answer is not None}
        shares = [ring.to_signed(network.noises[session, name]) for name in names]
        exact = np.sum([*values.values()], axis=0)
        held.append(Held(np.array(published), exact, np.array(published), np.array(shares)))
    network.close()
    return _below_each_other(held)


def _below_each_other(held: Iterable[Held]) -> Held:
    return Held(*(np.array(each) for each in zip(*held, strict=True)))


# -- what is asked of them -----------------------------------------------------------------------------


def findings(promise: Promise, held: Held) -> dict[str, float]:
    """How likely each finding is if all is as promised."""
    noise = (held.published - held.exact).ravel()
    found = {"variance": variance_p(promise, noise)}
    if promise.rate >= MODERATE:
        found["answers"] = law_of(all_shares(promise)).p(noise)
        left_law = law_of(discrete_laplace(promise))
    else:
        found["lowest digits"] = lowest_p(noise)
        left_law = noise_laws.discrete_laplace(promise.rate)
    for rest in promise.rests:
        coalition = [party for party in range(promise.parties) if party not in rest]
        left = noise - held.shares[:, coalition].sum(axis=1).ravel()
        found[f"left to a coalition: {rest}"] = left_law.p(left)
    return found


def all_shares(promise: Promise) -> Floats:
    """P(−m), …, P(m) of the sum of n differences of Polya(1/(n − c), α), convolved one by one."""
    one = difference(1 / promise.parts, np.exp(-float(promise.rate)), _terms(promise))
    return np.asarray(reduce(np.convolve, [one] * promise.parties))


def discrete_laplace(promise: Promise) -> Floats:
    """P(−m), …, P(m) in closed form: (1 − α)/(1 + α) · α^|x|."""
    rate, terms = float(promise.rate), _terms(promise)
    return np.asarray(np.tanh(rate / 2) * np.exp(-rate * np.abs(np.arange(1 - terms, terms))))


def _terms(promise: Promise) -> int:
    return int(40 / promise.rate) + 40


def law_of(chances: Floats) -> Law:
    """Such a distribution, in cells that each have a hundredth or more of it."""
    edges, below = [], [0.0]
    for x, total in enumerate(np.cumsum(chances), start=-(len(chances) // 2)):
        if total - below[-1] >= LEAST and 1 - total >= LEAST:
            edges.append(x)
            below.append(total)
    return Law(np.array(edges), np.diff(below, append=1.0))
