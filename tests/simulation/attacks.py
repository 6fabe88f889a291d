"""Attacks: who plots against a session and how, as data.

`generate(seed)` draws a plot: a schedule of the ordinary kind, at most one corrupt member, and what it, the
broker, the coordinator and the clocks do.  Its repr is Python: a plot that failed is pasted into
`attack_reproductions.py` under a name, and stays there.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from protocol.messages import AbortReason, Step
from tests.simulation.schedule import (
    COSTS,
    LONG,
    BrokerReset,
    CoordinatorGone,
    Crash,
    Function,
    Noised,
    Operation,
    Replay,
    Roles,
    Schedule,
)

HOUR = 3_600_000  # milliseconds
SIZES = {3: 60, 4: 24, 5: 10, 6: 4, 7: 2}  # members: how often
FUNCTIONS: dict[Function, int] = {"sum": 8, "average": 6, "histogram": 4, "referendum": 4}
PLAIN = ("join", "begin", "received", "commit", "confirm", "result", "masked", "opened")
SEALED = ("share", "reveal", "correlate")
INTERACTIVE = ("masked", "opened", "correlate")

# What a corrupt member may do to a letter of its own before it signs it anew; `forger.py` says how.
ANY_FLAW = ("garbage", "empty", "another statement", "many parts", "a late part", "copied", "replayed")
SEALED_FLAWS = (
    "does not open",
    "foreign slots",
    "no channel",
    "another channel",
    "another body",
    "short body",
)
FLAWS: dict[str, tuple[str, ...]] = {
    "join": (
        *("another key", "no key", "key of small order", "another shape", "no shape"),
        *("another offer", "no offer", "offer of small order", "invented setups", "others' setups"),
        "a refusal besides",
    ),
    "begin": (
        "fewer inputs",
        "too few inputs",
        "a stranger",
        "another order",
        "another join",
        "another shape",
    ),
    "received": (
        *("another view", "one input less", "no commitment", "another commitment"),
        *("another's commitment", "another order", "a stranger"),
    ),
    "commit": (
        "another view",
        "one input less",
        "another opened",
        "another commitment",
        "another's commitment",
    ),
    "confirm": ("another transcript",),
    "result": ("other elements", "too many elements", "one input less"),
    "masked": ("flipped bits", "another run", "another length", "padding"),
    "opened": ("flipped bits", "another run", "another length", "padding"),
    "share": (*SEALED_FLAWS, "another share"),
    "reveal": (*SEALED_FLAWS, "another output", "another nonce"),
    "correlate": (*SEALED_FLAWS, "flipped bits"),
}
# These change what the answer is about, as SPEC.md §8 says: nobody can tell what the right one would be.
FREE = {
    # (A body letter without its body is a seed letter.)
    *(("share", flaw) for flaw in ("another share", "another body", "copied", "empty")),
    *((step, "flipped bits") for step in ("masked", "opened", "correlate")),
    *((step, flaw) for step in ("masked", "correlate") for flaw in ("copied", "replayed", "another body")),
    *((step, "padding") for step in ("masked", "opened")),  # where there is none, it is a bit
    ("opened", "copied"),
    ("join", "others' setups"),
}
# The spec in which the coordinator shows something else to some of them.
CHANGES = (
    *("nonce", "results", "fewer inputs", "min_inputs", "another key", "sensitivity", "epsilon"),
    *("times", "one input", "compute", "bounds"),
)


@dataclass(frozen=True)
class Meddle:
    """What the broker does to letters of one step (or all) on their way to one party (or all)."""

    what: Literal["drop", "double", "delay", "truncate", "flip", "readdress", "misroute"]
    step: str | None
    to: str | None
    chance: float
    instead: bool = False  # of the letter, and not beside it, where it is damaged or astray

    @property
    def passes(self) -> bool:
        """Whether what is lost comes through when it is asked for."""
        return self.chance <= 0.3 or not (self.instead or self.what == "drop")


@dataclass(frozen=True)
class Again:
    """The broker delivers again what it has: of this session, of another that runs beside it, what it has
    retained; or, as if by mistake, the letters of the other one under the addresses of this one."""

    what: Literal["this", "other", "retained", "crossed"]
    at: int


@dataclass(frozen=True)
class Clear:
    """The broker forgets what it has retained, and tells nobody."""

    at: int


@dataclass(frozen=True)
class TwoSpecs:
    """The coordinator shows another spec to some and not the first one, or both under the first one's id."""

    change: str
    to: tuple[str, ...]
    own_id: bool


@dataclass(frozen=True)
class Flood:
    """The coordinator announces many times: the same bytes, or the same question with fresh nonces."""

    times: int
    fresh: bool


@dataclass(frozen=True)
class Cancel:
    """The coordinator says that it is over, to some, and what it likes about who is to blame."""

    at: int
    reason: str
    culprit: str
    to: tuple[str, ...]


@dataclass(frozen=True)
class Forge:
    """Letters of one step from the corrupt member are flawed: to some or all, instead of the right one or
    beside it."""

    step: str
    flaw: str
    to: tuple[str, ...]
    beside: bool = False


@dataclass(frozen=True)
class Hold:
    """Letters of one step from the corrupt member do not leave, towards some or all; or not before it has
    seen everybody else's."""

    step: str
    to: tuple[str, ...]
    last_word: bool = False


@dataclass(frozen=True)
class Intrude:
    """The corrupt member sends signed nonsense under a step that may not be its own."""

    step: str
    at: int


@dataclass(frozen=True)
class Accuse:
    """The corrupt member says that it is over, and that somebody else is to blame."""

    at: int
    reason: str
    culprit: str
    to: tuple[str, ...]


@dataclass(frozen=True)
class Shift:
    """The corrupt member, or its second node, adds to its output share, commits to the sum and reveals it."""

    units: int
    twin: bool = False


@dataclass(frozen=True)
class Twin:
    """The corrupt member has two nodes under one name: some hear the second one, and all others the first.

    They are born with the same coins or others; what one party sends does not reach the second.
    """

    to: tuple[str, ...]
    same_coins: bool
    deaf_to: str | None


@dataclass(frozen=True)
class Clock:
    """A party's clock is ahead by so many milliseconds (or behind), from some time on."""

    party: str
    ahead: int
    since: int = 0


Brokers = Meddle | Again | Clear
Coordinators = TwoSpecs | Flood | Cancel
Members = Forge | Hold | Intrude | Accuse | Shift | Twin
Attack = Brokers | Coordinators | Members | Clock


@dataclass(frozen=True)
class Plot:
    """One session and who plots against it."""

    schedule: Schedule
    corrupt: str | None = None  # the member that lies
    attacks: tuple[Attack, ...] = ()

    @property
    def coordinator_lies(self) -> bool:
        """Whether the coordinator's key is the adversary's."""
        return any(isinstance(each, Coordinators) for each in self.attacks)

    @property
    def shifts(self) -> tuple[Shift, ...]:
        """Errors that are committed to."""
        return tuple(each for each in self.attacks if isinstance(each, Shift))

    @property
    def free(self) -> bool:
        """Whether the corrupt member may have changed what the answer is about."""
        return any(isinstance(each, Forge) and (each.step, each.flaw) in FREE for each in self.attacks)

    @property
    def must_complete(self) -> bool:
        """Where nobody has lied and what was lost may be asked for, nothing but the right answer will do."""
        passing = [
            isinstance(each, Again | Clear) or (isinstance(each, Meddle) and each.passes)
            for each in self.attacks
        ]
        return self.corrupt is None and all(passing) and self.schedule.must_complete


def generate(seed: int) -> Plot:
    """A random plot; the same seed gives the same one."""
    rng = random.Random(seed)
    schedule = _schedule(rng, seed)
    who = rng.choices(["broker", "coordinator", "member", "clocks"], [3, 2, 9, 1])[0]
    corrupt = rng.choice(schedule.members) if who == "member" else None
    draws = {"broker": _broker, "coordinator": _coordinator, "clocks": _clock}
    attacks = [
        _member(rng, schedule, corrupt) if corrupt else draws[who](rng, schedule)
        for _ in range(rng.choice([1, 1, 2, 3]))
    ]
    if any(isinstance(each, Twin) for each in attacks) and rng.random() < 0.3:
        attacks.append(Shift(5, twin=True))
    if corrupt and any(isinstance(each, Forge | Hold) and each.step == "commit" for each in attacks):
        # Nobody commits a second time unless somebody lacks a share: one from the liar itself.
        attacks.append(Forge("share", "does not open", (rng.choice(schedule.compute),)))
    if rng.random() < 0.4:
        attacks.append(_broker(rng, schedule))
    return Plot(schedule, corrupt, tuple(attacks))


# -- the session ---------------------------------------------------------------------------------------------


def _schedule(rng: random.Random, seed: int) -> Schedule:
    function = rng.choices([*FUNCTIONS], [*FUNCTIONS.values()])[0]
    votes = function == "referendum"
    count = rng.choices([*SIZES], [*SIZES.values()])[0]
    inputs, compute, results = _roles(rng, min(count, 4) if votes else count)
    exact = rng.random() < 0.7
    return Schedule(
        seed=seed,
        inputs=inputs,
        compute=compute,
        results=results,
        min_inputs=rng.choice([len(inputs), rng.randint(1, len(inputs))]),
        function=function,
        noise=None if exact else Noised(rng.choice(COSTS), colluders=rng.randrange(len(compute))),
        threshold=rng.choice(["1/2", "2/3", "1/1", str(rng.randint(1, len(inputs)))]),
        before="acquainted" if votes and rng.random() < 0.3 else "strangers",
        length=rng.choice([None, None, None, 3, 600]) if function in ("sum", "average") else None,
        public=rng.random() < 0.2,
        within=rng.choice([10_000, 60_000, LONG]),
        lose=rng.choice([0.0, 0.0, 0.0, 0.05]),
        double=rng.choice([0.0, 0.0, 0.2]),
        delay=rng.choice([0, 1, 50]),
        operations=_operations(rng, inputs + compute),
    )


def _roles(rng: random.Random, count: int) -> Roles:
    """All do everything, or each does something, result parties that do not compute among them."""
    parties = tuple(f"p{number}" for number in range(count))
    if rng.random() < 0.4:
        return parties, parties, parties
    compute = tuple(rng.sample(parties, rng.randint(2, max(2, count - 1))))
    inputs = tuple(rng.sample(parties, rng.randint(max(1, count - 2), count)))
    results = [name for name in parties if name not in (*inputs, *compute)]  # everybody has a role
    results += [name for name in rng.sample(parties, rng.randint(1, count)) if name not in results]
    return inputs, compute, tuple(results)


def _operations(rng: random.Random, members: tuple[str, ...]) -> tuple[Operation, ...]:
    """Sometimes there is bad luck besides."""
    match rng.randrange(10):
        case 0:
            return (Crash(rng.randint(1, 8 * len(members) ** 2), rng.random() < 0.5),)
        case 1:
            return (BrokerReset(rng.randint(0, 100)),)
        case 2:
            return (CoordinatorGone(),)
        case 3:
            return (Replay(rng.randint(0, 2_000)),)
    return ()


# -- the adversaries -----------------------------------------------------------------------------------------


def _steps(schedule: Schedule) -> tuple[str, ...]:
    return tuple(step for step in PLAIN + SEALED if schedule.votes or step not in INTERACTIVE)


def _broker(rng: random.Random, schedule: Schedule) -> Attack:
    at = rng.choice([rng.randint(0, 100), rng.randint(0, 5_000)])
    match rng.randrange(6):
        case 0:
            return Again(rng.choice(["this", "other", "retained", "crossed"]), at)
        case 1:
            return Clear(at)
    what = rng.choice(["drop", "drop", "double", "delay", "truncate", "flip", "readdress", "misroute"])
    step = rng.choice([None, rng.choice(_steps(schedule)), rng.choice([str(each) for each in Step])])
    to = rng.choice([None, rng.choice(schedule.members)])
    return Meddle(what, step, to, rng.choice([0.3, 1.0]), instead=rng.random() < 0.5)  # type: ignore[arg-type] # one of them


def _some(rng: random.Random, schedule: Schedule) -> tuple[str, ...]:
    """Everybody, or some."""
    members = schedule.members
    return rng.choice([members, tuple(rng.sample(members, rng.randint(1, len(members) - 1)))])


def _coordinator(rng: random.Random, schedule: Schedule) -> Attack:
    match rng.randrange(5):
        case 0:
            return Flood(rng.choice([3, 30]), fresh=False)
        case 1 if len(schedule.members) < 5 and not schedule.votes:
            return Flood(rng.choice([2, 4]), fresh=True)
        case 2:
            return Cancel(*_claim(rng, schedule, ""))
    return TwoSpecs(rng.choice(CHANGES), _some(rng, schedule), own_id=rng.random() < 0.7)


def _claim(rng: random.Random, schedule: Schedule, liar: str) -> tuple[int, str, str, tuple[str, ...]]:
    reason = str(rng.choice([*AbortReason]))
    culprit = rng.choice([name for name in schedule.members if name != liar])
    return rng.choice([0, rng.randint(1, 30), rng.randint(0, 400)]), reason, culprit, _some(rng, schedule)


def _member(rng: random.Random, schedule: Schedule, corrupt: str) -> Attack:
    steps = [step for step in _steps(schedule) if corrupt in _speakers(step, schedule)]
    match rng.randrange(14):
        case 0:
            step = rng.choice(steps)
            return Hold(step, _some(rng, schedule), last_word=rng.random() < 0.5)
        case 1:
            return Accuse(*_claim(rng, schedule, corrupt))
        case 2:
            return Intrude(rng.choice([str(step) for step in Step]), rng.randint(0, 100))
        case 3 | 4 if corrupt in schedule.compute:
            return Shift(rng.choice([1, 3, 2**40 + 1]), twin=rng.random() < 0.5)
        case 5 | 6:
            to = rng.choice([schedule.compute, _some(rng, schedule)])
            return Twin(to, rng.random() < 0.7, deaf_to=rng.choice([None, *schedule.inputs]))
        case 7 | 8 if corrupt in schedule.compute:
            flaw = rng.choice(["another output", "another output", "another nonce", "copied"])
            return Forge("reveal", flaw, _some(rng, schedule))
    step = rng.choice(steps)
    flaw = rng.choice(FLAWS[step] + FLAWS[step] + ANY_FLAW)
    return Forge(step, flaw, _some(rng, schedule), beside=rng.random() < 0.2)


def _speakers(step: str, schedule: Schedule) -> tuple[str, ...]:
    """Who sends this step."""
    speakers = {
        "join": schedule.members,
        "begin": schedule.compute[:1],
        "share": schedule.inputs,
        "masked": schedule.compute[1:],
        "opened": schedule.compute[:1],
        "confirm": schedule.results,
        "result": schedule.results,
    }
    return speakers.get(step, schedule.compute)


def _clock(rng: random.Random, schedule: Schedule) -> Attack:
    ahead = rng.choice([rng.randint(-HOUR, HOUR), rng.randint(-120_000, 120_000), rng.randint(-3_000, 3_000)])
    return Clock(rng.choice(schedule.members), ahead, rng.choice([0, 0, rng.randint(0, 400)]))
