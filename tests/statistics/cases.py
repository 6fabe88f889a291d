"""Who votes, who computes and what sets one session apart from all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

import numpy as np

from protocol.correlation import ChoiceKeys, PairKeys
from protocol.dp.epsilon import NANO
from protocol.dp.noise import Noise, Relation
from protocol.functionalities.referendum import Referendum
from protocol.secret import Seed
from protocol.spec import SessionSpec
from protocol.transcript import digest
from tests.support.sessions import make_spec, seed_of

# A ballot of each input party; then, where noise is added, that of each compute party.
Ballots = tuple[int, ...]
Setups = Mapping[str, Mapping[str, PairKeys | ChoiceKeys]]  # party → peer → its half


@dataclass(frozen=True)
class Case:
    """A referendum: who votes, who computes, who learns the answer."""

    threshold: str
    inputs: tuple[str, ...]
    compute: tuple[str, ...]
    results: tuple[str, ...]
    noise: Noise | None = None  # its size says how many bits the circuit has; what it is, a play is told

    @cached_property
    def function(self) -> Referendum:
        """What is computed."""
        return Referendum(threshold=self.threshold)

    @cached_property
    def spec(self) -> SessionSpec:
        """What would be announced."""
        return make_spec(self.function, self.inputs, self.compute, self.results, noise=self.noise)

    @property
    def bringing(self) -> tuple[str, ...]:
        """Who brings each of the `Ballots`."""
        return self.inputs if self.noise is None else self.inputs + self.compute

    @property
    def members(self) -> tuple[str, ...]:
        """Everybody."""
        return tuple(dict.fromkeys(self.inputs + self.compute + self.results))

    @property
    def coalitions(self) -> list[tuple[str, ...]]:
        """All that the promise is about: all compute parties but one."""
        return list(combinations(self.compute, len(self.compute) - 1))

    def answer(self, ballots: Ballots) -> str:
        """What a trusted party would say."""
        return "YES" if sum(ballots) >= self.function.least(len(self.inputs)) else "NO"


def among(threshold: str, compute: tuple[str, ...], voters: tuple[str, ...] = ()) -> Case:
    """The compute parties vote, and so do some others; all of them learn the answer."""
    return Case(threshold, compute + voters, compute, compute + voters)


def noised(case: Case, epsilon: int = 20) -> Case:
    """The same with noise: if ε is as large as this, so little of it that the circuit is small."""
    relation, colluders = Relation.REPLACE_ONE, len(case.compute) - 1
    noise = Noise(epsilon=epsilon * NANO, sensitivity=1, relation=relation, colluders=colluders)
    return replace(case, noise=noise)


class Keys(NamedTuple):
    """What makes a session another one than the last: its randomness, and what everything is bound to."""

    seeds: Mapping[str, Seed]
    view: bytes
    contexts: Mapping[frozenset[str], bytes]  # of each two compute parties
    setups: Setups


def fresh_keys(case: Case, label: str, number: int, left: Setups | None = None) -> Keys:
    """Those of a session that nobody has played before, the `number`th of a story.

    `left` is what the session before has left of setups; before the first, a dealer hands them out.
    """
    name = f"{label} {number}"
    pairs = map(frozenset, combinations(case.compute, 2))
    return Keys(
        {member: seed_of(f"{name} {member}") for member in case.members},
        digest("view", name),
        {pair: digest("pair", name, *sorted(pair)) for pair in pairs},
        left or dealt_setups(case.compute, seed_of(label)),
    )


def dealt_setups(compute: tuple[str, ...], seed: Seed) -> Setups:
    """Setups as an earlier session leaves them, from a dealer, whom only a test can have.

    Base transfers take longest, and none of their letters knows of an input.
    """
    setups: dict[str, dict[str, PairKeys | ChoiceKeys]] = {name: {} for name in compute}
    for i, j in combinations(range(len(compute)), 2):
        sender, receiver = (compute[at] for at in ((i, j) if (i + j) % 2 == 0 else (j, i)))
        raw = seed.derive("setup", sender, receiver).expand((2 + 128 * 2 * 2,)).tobytes()
        s, keys = raw[:16], np.frombuffer(raw[16:], np.uint8).reshape(128, 2, 16)
        chosen = keys[np.arange(128), np.unpackbits(np.frombuffer(s, np.uint8), bitorder="little")]
        setups[sender][receiver] = ChoiceKeys(s, chosen.tobytes())
        setups[receiver][sender] = PairKeys(keys.tobytes())
    return setups
