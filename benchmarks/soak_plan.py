"""What a soak asks and what goes wrong in it: both follow from the seed, before anything is started.

Everybody's inputs are known here, so that every answer can be checked against what a trusted party would say.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.measurement import BenchmarkError
from coordinator.announce import Question
from coordinator.cluster import BROKER
from protocol.dp.epsilon import NANO
from protocol.encoding import to_units
from protocol.functionalities import Answer, Function
from protocol.functionalities.average import Average
from protocol.functionalities.histogram import Histogram
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.spec import SessionSpec

LENGTH = 1_000  # of a vector
FEWEST, MOST = 3, 7  # members of a session
LONGEST_S = 60.0  # from announcement to end
SHORTEST_PART = 0.6  # of the longest session
KILL_EVERY = 8  # sessions, a node
BROKER_EVERY = 50  # sessions, the broker
ABSENT_EVERY = 100  # sessions: a node stays away for so long that sessions end without it,
MOST_ABSENT = 2  # but not more often, or all wait for these
STEADY_PART = 4  # one node in so many is never killed, so that its memory can be followed for long
VECTOR = "sum of 1,000"
_SOME = "some"  # names of the inputs
_BALLOT, _BIN, _SCORE, _SERIES = "ballot", "bin", "score", "series"
_BINS = 5
_WORDS = {"yes": "1", "no": "0"}

# function, input, ε in nano-ε, how often
_Choice = tuple[Function, str, int | None, int]
CHOICES: dict[str, _Choice] = {
    "sum": (Sum(), _SOME, None, 30),
    "average": (Average(), _SOME, None, 20),
    "histogram": (Histogram(bins=_BINS), _BIN, None, 15),
    "referendum": (Referendum(threshold="1/2"), _BALLOT, None, 15),
    "sum with ε": (Sum(lower=Decimal(0), upper=Decimal(100), decimals=0), _SCORE, NANO, 12),
    VECTOR: (Sum(decimals=0), _SERIES, None, 8),
}


@dataclass(frozen=True)
class Asked:
    """One session to be launched; `kind` is its function as the report names it."""

    kind: str
    question: Question


@dataclass(frozen=True)
class Fault:
    """A kill -9 once so many sessions have been launched, and a start after so many seconds."""

    after: int
    service: str
    away_s: float
    forgets: bool = False  # the broker loses what it had stored


@dataclass(frozen=True)
class Plan:
    """One soak.  `minutes` is what everything together may take."""

    nodes: int
    sessions: int
    at_once: int
    minutes: float
    seed: int

    def __post_init__(self) -> None:
        if self.nodes < FEWEST or min(self.sessions, self.at_once) < 1 or self.minutes < 1:
            raise BenchmarkError(f"at least {FEWEST} nodes, a session, one at once and a minute are needed")

    @property
    def names(self) -> list[str]:
        """The nodes."""
        return [f"party-{index}" for index in range(self.nodes)]

    @cached_property
    def steady(self) -> list[str]:
        """Those that are never killed."""
        return sorted(self._random("steady").sample(self.names, max(1, self.nodes // STEADY_PART)))

    @property
    def limit_s(self) -> float:
        """For everything together."""
        return 60 * self.minutes

    @property
    def longest_s(self) -> float:
        """The longest session."""
        return min(LONGEST_S, self.limit_s / 7.5)

    @property
    def launching_s(self) -> float:
        """Until the last launch: what is left is for the longest session, and for what comes after it."""
        return self.limit_s - self.longest_s - min(90.0, self.limit_s / 3)

    def questions(self) -> list[Asked]:
        """What is asked, in order.

        Every node reads its file in one of the first sessions: what it needs for that, it keeps.
        """
        chance = self._random("questions")
        groups = -(-self.nodes // MOST)
        first = [self.names[index::groups] for index in range(groups)][: self.sessions]
        weights = [weight for *_, weight in CHOICES.values()]
        kinds = chance.choices(list(CHOICES), weights, k=self.sessions - len(first))
        asked = [Asked(VECTOR, self._question(VECTOR, chance, group, group)) for group in first]
        return asked + [Asked(kind, self._any_question(kind, chance)) for kind in kinds]

    def _any_question(self, kind: str, chance: random.Random) -> Question:
        """Among some of the nodes, and not each of them need have an input."""
        members = chance.sample(self.names, chance.randint(FEWEST, min(MOST, self.nodes)))
        inputs = members[: len(members) - chance.choice((0, 0, 0, 1))]
        return self._question(kind, chance, members, inputs)

    def _question(self, kind: str, chance: random.Random, members: list[str], inputs: list[str]) -> Question:
        """Who of the members computes and learns is left to chance."""
        function, name, epsilon, _ = CHOICES[kind]
        return Question(
            function=function,
            input=name,
            parties=inputs,
            compute=chance.sample(members, chance.randint(2, len(members))),
            result_to=chance.choice((members, chance.sample(members, chance.randint(1, len(members))))),
            min_inputs=max(2, len(inputs) - chance.choice((0, 0, 1))),
            within=chance.uniform(SHORTEST_PART * self.longest_s, self.longest_s),
            epsilon=epsilon,
        )

    def faults(self) -> list[Fault]:
        """What is killed, in order."""
        chance = self._random("faults")
        mortal = [name for name in self.names if name not in self.steady]
        absent = min(MOST_ABSENT, self.sessions // ABSENT_EVERY)
        kills = [
            Fault(self._moment(chance), chance.choice(mortal), chance.uniform(0, self.longest_s / 20))
            for _ in range(max(1, self.sessions // KILL_EVERY) - absent)
        ]
        kills += [
            Fault(self._moment(chance), chance.choice(mortal), 0.8 * self.longest_s) for _ in range(absent)
        ]
        kills += [
            Fault(
                self._moment(chance), BROKER, chance.uniform(0, self.longest_s / 40), forgets=bool(index % 2)
            )
            for index in range(max(1, self.sessions // BROKER_EVERY))
        ]
        return sorted(kills, key=lambda fault: fault.after)

    def _moment(self, chance: random.Random) -> int:
        """Some sessions have ended before the first fault, and some are launched after the last one."""
        return chance.randint(1 + self.sessions // 10, max(1 + self.sessions // 10, 8 * self.sessions // 10))

    def _random(self, what: str) -> random.Random:
        return random.Random(f"{self.seed} {what}")


# -- everybody's inputs ------------------------------------------------------------------------------------


def values(index: int) -> dict[str, str]:
    """The literal inputs of a node, as its config says them."""
    return {
        _SOME: f"{1000 + 37 * index}.{index:02}",
        _BALLOT: "yes" if index % 3 else "no",
        _BIN: str(1 + index % _BINS),
        _SCORE: str(5 * index % 101),
    }


def series(index: int) -> list[int]:
    """The vector of a node."""
    return [1_000_000 * index + place for place in range(LENGTH)]


def config_text(index: int, before: str) -> str:
    """A node's config; its vector is in a CSV file.

    Nothing is refused for its question, and plain letters go as soon as they may.
    """
    tables = "".join(f'\n[inputs.{name}]\nvalue = "{text}"\n' for name, text in values(index).items())
    return f"""\
keep_evidence = 0
{before}
[policy]
min_inputs = 1
min_difference = 1
max_sessions = 10000
{tables}
[inputs.{_SERIES}]
csv = "{_SERIES}.csv"
column = "v"
"""


def series_text(index: int) -> str:
    """The CSV file."""
    return "\n".join(["v", *map(str, series(index))]) + "\n"


# -- what a trusted party would say ------------------------------------------------------------------------


def flaw(spec: SessionSpec, inputs: Sequence[str], answer: Answer) -> str:
    """What is wrong with an answer over these inputs; empty if nothing."""
    indices = [int(name.rpartition("-")[2]) for name in inputs]
    expected = _units(spec, indices)
    tail = 0 if spec.noise is None else spec.noise.tail(len(spec.compute))
    if answer.units.shape != expected.shape:
        return f"an answer of shape {answer.units.shape}, expected {expected.shape}"
    off = int(np.abs(answer.units - expected).max())
    return f"the answer is off by {off} units, expected at most {tail}" if off > tail else ""


def _units(spec: SessionSpec, indices: Sequence[int]) -> NDArray[np.int64]:
    """The exact answer, by code that the nodes do not run."""
    if spec.input == _SERIES:
        vectors = np.array([series(index) for index in indices], dtype=np.int64)
        return np.asarray(vectors.sum(axis=0), dtype=np.int64)
    texts = [values(index)[spec.input] for index in indices]
    ideal = spec.function.ideal([Decimal(_WORDS.get(text, text)) for text in texts])
    decimals: int = getattr(spec.function, "decimals", 0)
    if isinstance(ideal, list):
        return np.array([to_units(each, decimals) for each in ideal], dtype=np.int64)
    return np.array(to_units(ideal, decimals), dtype=np.int64)
