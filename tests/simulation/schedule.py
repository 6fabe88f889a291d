"""Schedules: what a simulated session is about and what goes wrong in it, as data.

`generate(seed)` draws one.  Its repr is Python: a schedule that failed is pasted into
`reproductions.py` under a name, and stays there.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from protocol.letters import PART_BYTES
from protocol.messages import Step

LONG = 600_000  # milliseconds; in this time every letter is asked for so often that none stays lost
Weights = dict[int, float]  # parties: how often
SIZES: Weights = {3: 24, 4: 24, 5: 18, 6: 10, 7: 8, 9: 6, 12: 5, 16: 3, 25: 2, 50: 0.2}
COUNTING: Weights = {2: 6, 3: 30, 4: 12, 5: 6, 7: 2, 9: 1, 12: 0.6, 16: 0.4, 20: 0.25}  # of a referendum

COSTS = [100_000_000, 500_000_000, 1_000_000_000, 3_000_000_000]  # nano-ε
FAULTS = ["crash", "crash", "late", "vanish", "vanish", "leave", "cut", "reset", "replay", "gone"]
VANISHING = [Step.JOIN, Step.BEGIN, Step.SHARE, Step.RECEIVED, Step.COMMIT, Step.REVEAL, Step.CONFIRM]
IN_ROUNDS = [Step.CORRELATE, Step.CORRELATE, Step.MASKED, Step.MASKED, Step.OPENED, Step.OPENED]
Roles = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]  # input, compute and result parties
Function = Literal["sum", "average", "histogram", "referendum", "poll"]
# Whether all of them have had a referendum before, and whether some have lost their journals since.
Before = Literal["strangers", "acquainted", "forgetful"]


@dataclass(frozen=True)
class Noised:
    """Noise in the answer."""

    epsilon: int  # nano-ε
    colluders: int  # compute parties
    relation: Literal["replace-one", "add-remove"] = "replace-one"


@dataclass(frozen=True)
class Crash:
    """`kill -9` at one action of the whole run, before its commit or after, and an immediate new start."""

    action: int
    committed: bool


@dataclass(frozen=True)
class Late:
    """A node that is started this long after the announcement, or never."""

    party: str
    start: int | None


@dataclass(frozen=True)
class Vanish:
    """`kill -9` of a node when `left` of its letters of one step have left; it returns later or never."""

    party: str
    step: Step
    left: int
    back: int | None


@dataclass(frozen=True)
class Leave:
    """An orderly stop and a start later."""

    party: str
    at: int
    back: int


@dataclass(frozen=True)
class Cut:
    """Parties without a link to the broker for a while."""

    parties: tuple[str, ...]
    at: int
    heals: int


@dataclass(frozen=True)
class BrokerReset:
    """The broker loses all that it has retained, and every link."""

    at: int


@dataclass(frozen=True)
class Replay:
    """Every letter of an earlier, finished session is delivered again."""

    at: int


@dataclass(frozen=True)
class CoordinatorGone:
    """The coordinator vanishes once it has announced."""


Operation = Crash | Late | Vanish | Leave | Cut | BrokerReset | Replay | CoordinatorGone


@dataclass(frozen=True)
class Schedule:
    """One session with everything that happens to it."""

    seed: int
    inputs: tuple[str, ...]
    compute: tuple[str, ...]
    results: tuple[str, ...]
    min_inputs: int
    function: Function = "average"
    noise: Noised | None = None
    drawing: int = 0  # milliseconds that drawing the noise takes, at most
    threshold: str = "1/2"  # of a referendum
    before: Before = "strangers"
    length: int | None = None
    public: bool = False
    within: int = LONG
    part_bytes: int = PART_BYTES  # small, so that short vectors travel in several parts
    lose: float = 0.0
    double: float = 0.0
    delay: int = 1
    operations: tuple[Operation, ...] = ()

    @property
    def members(self) -> tuple[str, ...]:
        """Everyone with a role."""
        return tuple(dict.fromkeys(self.inputs + self.compute + self.results))

    @property
    def votes(self) -> bool:
        """Whether it is a referendum."""
        return self.function == "referendum"

    @property
    def slow(self) -> bool:
        """Whether noise may come too late for an answer."""
        return self.noise is not None and self.drawing > self.within // 4

    @property
    def gone(self) -> frozenset[str]:
        """Parties that stay away for good."""
        lates = [each.party for each in self.operations if isinstance(each, Late) and each.start is None]
        vanished = [each.party for each in self.operations if isinstance(each, Vanish) and each.back is None]
        return frozenset(lates + vanished)

    @property
    def disturbed(self) -> frozenset[str]:
        """Parties to whom something happens, but for crashes at a number and what the network loses."""
        single = {each.party for each in self.operations if isinstance(each, Late | Vanish | Leave)}
        groups = [each.parties for each in self.operations if isinstance(each, Cut)]
        return frozenset(single.union(*groups, self.compute if self.slow else ()))

    @property
    def must_complete(self) -> bool:
        """True where nobody stays away and the time is long: then nothing but the right answer will do."""
        return self.within == LONG and not self.gone and not self.slow


def generate(seed: int, largest: int = 50) -> Schedule:
    """A random schedule; the same seed gives the same one."""
    rng = random.Random(seed)
    function: Function = rng.choice(["sum", "average", "histogram", "poll", "referendum", "referendum"])
    votes = function == "referendum"
    inputs, compute, results = (_vote_roles if votes else _roles)(rng, largest)
    within, few = rng.choice([10_000, 60_000, LONG, LONG]), len({*inputs, *compute, *results}) < 6
    return Schedule(
        seed=seed,
        inputs=inputs,
        compute=compute,
        results=results,
        min_inputs=rng.choice([len(inputs), rng.randint(1, len(inputs))]),
        function=function,
        noise=None if function == "poll" or rng.random() < 0.5 else _noise(rng, len(compute)),
        drawing=rng.choice([0, 0, 0, 30, 3_000, 3_000, 2 * within]),
        threshold=rng.choice(["1/2", "2/3", "1/1", str(rng.randint(1, len(inputs)))]),
        before=rng.choice(["strangers", "acquainted", "forgetful"]) if votes else "strangers",
        length=rng.choice([None, None, 1, 3, 40]) if function in ("sum", "average") else None,
        public=rng.random() < 0.2,
        within=within,
        part_bytes=rng.choice([PART_BYTES, 700 if votes else 80]) if few else PART_BYTES,
        lose=rng.choice([0.0, 0.0, 0.05, 0.2]),
        double=rng.choice([0.0, 0.2]),
        delay=rng.choice([0, 1, 50, 800]),
        operations=_operations(rng, (inputs, compute, results), within, votes),
    )


def everybody_computes(count: int) -> Schedule:
    """A referendum of so many who all do everything, on a network that is not quite in order."""
    everybody = tuple(f"p{number}" for number in range(count))
    return Schedule(
        *(count, everybody, everybody, everybody, count, "referendum"), lose=0.02, double=0.02, delay=20
    )


def _noise(rng: random.Random, compute: int) -> Noised:
    return Noised(
        rng.choice(COSTS),
        colluders=rng.choice([compute - 1, rng.randrange(compute)]),
        relation=rng.choice(["replace-one", "add-remove"]),
    )


def _parties(rng: random.Random, sizes: Weights, largest: int) -> tuple[str, ...]:
    sizes = {size: weight for size, weight in sizes.items() if size <= largest}
    return tuple(f"p{number}" for number in range(rng.choices([*sizes], [*sizes.values()])[0]))


def _roles(rng: random.Random, largest: int) -> Roles:
    """Input, compute and result parties: the same, overlapping or disjoint."""
    parties = _parties(rng, SIZES, largest)
    kind = rng.choice(["same", "overlapping", "disjoint"])
    if len(parties) > 12:  # all to all among fifty takes too long; so many vote, and a few count
        compute = tuple(rng.sample(parties, rng.randint(2, 4)))
        return parties, compute, tuple(rng.sample(parties, rng.randint(1, 5)))
    if kind == "same":
        return parties, parties, parties
    if kind == "disjoint" and len(parties) >= 4:
        shuffled = tuple(rng.sample(parties, len(parties)))
        first = rng.randint(1, len(parties) - 3)
        second = rng.randint(first + 2, len(parties) - 1)
        return shuffled[:first], shuffled[first:second], shuffled[second:]

    def some(least: int) -> tuple[str, ...]:
        return tuple(rng.sample(parties, rng.randint(least, len(parties))))

    return some(1), some(2), some(1)


def _vote_roles(rng: random.Random, largest: int) -> Roles:
    """Those who compute make triples with each other, which takes long among many: so they are few."""
    counting = len(_parties(rng, COUNTING, largest))
    members = min(counting + rng.choice([0, 0, 1, 2, 4]), largest)
    parties = tuple(f"p{number}" for number in range(members))
    compute = tuple(rng.sample(parties, counting))
    match rng.choice(["all vote", "all else vote", "some vote"]):
        case "all vote":
            return parties, compute, rng.choice([parties, compute])
        case "all else vote" if len(compute) < len(parties):
            voters = tuple(name for name in parties if name not in compute)
            return voters, compute, rng.choice([compute, voters, (rng.choice(parties),)])
    inputs = tuple(rng.sample(parties, rng.randint(1, len(parties))))
    return inputs, compute, tuple(rng.sample(parties, rng.randint(1, len(parties))))


def _who_sends(step: Step, roles: Roles) -> tuple[str, ...]:
    inputs, compute, results = roles
    senders = {
        Step.BEGIN: compute[:1],
        Step.SHARE: inputs,
        Step.CONFIRM: results,
        Step.JOIN: inputs + compute,
        Step.MASKED: compute[1:],
        Step.OPENED: compute[:1],
    }
    return senders.get(step, compute)


def _operations(rng: random.Random, roles: Roles, within: int, votes: bool) -> tuple[Operation, ...]:
    """Up to four faults.  Those that pass are over early, so that the time after them is enough."""
    return tuple(_operation(rng, roles, within, votes) for _ in range(rng.randint(0, 4)))


def _operation(rng: random.Random, roles: Roles, within: int, votes: bool) -> Operation:
    members = tuple(dict.fromkeys(name for role in roles for name in role))
    party, soon = rng.choice(members), within // 10
    start = rng.choice([rng.randint(0, 50), rng.randint(0, soon)])
    end = start + rng.randint(1, soon)
    match rng.choice(FAULTS):
        case "crash":
            actions = 8 * len(members) ** 2 + 12 * len(roles[1]) ** 2 * votes
            return Crash(rng.randint(1, actions), rng.random() < 0.5)
        case "late":
            return Late(party, rng.choice([end, None]))
        case "vanish":
            step = rng.choice(VANISHING + IN_ROUNDS * votes)
            party = rng.choice(_who_sends(step, roles))
            return Vanish(party, step, rng.choice([0, 0, 1, 1, 2]), rng.choice([rng.randint(1, soon), None]))
        case "leave":
            return Leave(party, start, end)
        case "cut":
            return Cut(tuple(rng.sample(members, rng.randint(1, len(members)))), start, end)
        case "reset":
            return BrokerReset(start)
        case "replay":
            return Replay(start)
    return CoordinatorGone()
