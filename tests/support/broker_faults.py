"""What a lying broker does to the letters of one session, as data: operations in order, and a seed.

The repr of `Lies` is Python, so that what failed once is pasted into a test and stays there.  The dice are
one pair for each party and way: what becomes of a letter follows from the seed and from the letters that
passed there before it.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from tests.support.mqtt_packets import Publish

Way = Literal["up", "down"]  # from a party to the broker, from the broker to a party
BOTH: tuple[Way, ...] = ("up", "down")


@dataclass(frozen=True)
class Letter:
    """A PUBLISH of some session as it passes: once on its way up, once on its way down to each reader."""

    way: Way
    peer: str  # the party at the other end of the connection
    connection: int
    publish: Publish

    @property
    def session(self) -> str:
        """The session that its topic names."""
        return self._level(3)

    @property
    def stage(self) -> str:
        """Step and round."""
        return self._level(4)

    @property
    def step(self) -> str:
        """The step without its round."""
        return self.stage.partition("-")[0]

    @property
    def sender(self) -> str:
        """Whose letter it is, by its topic."""
        return self._level(5)

    @property
    def payload(self) -> bytes:
        """What it carries."""
        return self.publish.payload

    def _level(self, index: int) -> str:
        return self.publish.topic.split("/")[index]

    def saying(self, payload: bytes) -> Letter:
        """The same letter with other contents."""
        return replace(self, publish=replace(self.publish, payload=payload))


# -- operations ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Which letters it is about, empty being all of them, and how often it happens to one."""

    step: str = ""
    sender: str = ""
    reader: str = ""  # whose copy; empty: everybody's
    chance: float = 1.0
    ways: ClassVar[tuple[Way, ...]] = ("down",)

    def concerns(self, letter: Letter) -> bool:
        """True for a letter that this may happen to.

        Announcements reach the broker: a session of which nobody hears is none.
        """
        return (
            letter.way in self.ways
            and (letter.way, letter.step) != ("up", "announce")
            and self.step in ("", letter.step, letter.stage)
            and self.sender in ("", letter.sender)
            and self.reader in ("", letter.peer if letter.way == "down" else "")
        )


@dataclass(frozen=True, kw_only=True)
class Drop(Operation):
    """It is lost: to all on its way up, to one on its way down."""

    ways: ClassVar[tuple[Way, ...]] = BOTH


@dataclass(frozen=True, kw_only=True)
class Double(Operation):
    """It comes twice."""

    ways: ClassVar[tuple[Way, ...]] = BOTH


@dataclass(frozen=True, kw_only=True)
class Delay(Operation):
    """It comes up to so much later, and others overtake it."""

    ms: int
    ways: ClassVar[tuple[Way, ...]] = BOTH


@dataclass(frozen=True, kw_only=True)
class Reorder(Operation):
    """Letters of a tenth of a second, but no more than so many, are shuffled."""

    window: int
    ways: ClassVar[tuple[Way, ...]] = BOTH


@dataclass(frozen=True, kw_only=True)
class Replay(Operation):
    """After it comes some earlier letter, of this session or of old ones, perhaps under this one's name."""

    old: bool = False
    relabelled: bool = False


@dataclass(frozen=True, kw_only=True)
class Swap(Operation):
    """It says what an earlier letter of somebody else has said."""


@dataclass(frozen=True, kw_only=True)
class Alter(Operation):
    """One bit of it is flipped."""


@dataclass(frozen=True, kw_only=True)
class Hold(Operation):
    """It stays with the broker until somebody sends a letter of the step `until`, or the test lets it go."""

    until: str = ""


@dataclass(frozen=True, kw_only=True)
class Freeze(Operation):
    """Once such a letter has been sent, or heard, the session stands still until the test lets it go on."""

    heard: bool = False  # by one reader; else it is with the broker, and nobody has heard it
    ways: ClassVar[tuple[Way, ...]] = BOTH

    def concerns(self, letter: Letter) -> bool:
        """True for the letter that begins it."""
        return super().concerns(letter) and (letter.way == "down") == self.heard


@dataclass(frozen=True, kw_only=True)
class ToOnly(Operation):
    """It says something else: where a reader is named, to that one only."""

    payload: bytes


@dataclass(frozen=True)
class Lies:
    """Everything that happens to the letters of one session."""

    seed: int = 0
    operations: tuple[Operation, ...] = ()


def generate(seed: int) -> Lies:
    """Lies drawn at random; the same seed gives the same."""
    rng = random.Random(seed)
    chance = round(rng.uniform(0.05, 0.4), 2)
    drawn: list[Operation] = [
        Drop(chance=chance),
        Double(chance=chance),
        Delay(ms=rng.choice([20, 300, 1500]), chance=chance),
        Reorder(window=rng.randint(2, 9)),
        Replay(chance=chance, old=rng.random() < 0.5, relabelled=rng.random() < 0.5),
        Swap(chance=chance / 2),
        Alter(chance=chance / 2),
        Hold(step=rng.choice(["join", "share", "reveal"]), until=rng.choice(["request", "abort"])),
    ]
    return Lies(seed, tuple(rng.sample(drawn, rng.randint(2, 5))))


# -- how they are told -----------------------------------------------------------------------------------

Due = tuple[int, Letter]  # in how many milliseconds it is delivered
Place = tuple[Way, str]  # where letters pass: way and party


class Liar:
    """Tells the lies about one session.  Letters go in one by one, and come out as they are delivered."""

    def __init__(self, lies: Lies, old: Sequence[Letter] = ()) -> None:
        """`old` are letters of sessions that are over."""
        self.operations: Sequence[Operation] = lies.operations
        self.frozen = False
        self._old = list(old)
        self._earlier: list[Letter] = []
        self._kept: list[tuple[str, Letter]] = []  # until a letter of which step, if any; and what
        self._shuffling: dict[Place, list[Letter]] = defaultdict(list)
        self._seed = lies.seed
        self._dice: dict[Place, random.Random] = {}

    def take(self, letter: Letter) -> list[Due]:
        """A letter comes in; what goes out for it, and with it."""
        self._earlier.append(letter)
        return self._told(letter) + self._let_go(letter.step)

    def release(self, *operations: Operation) -> list[Due]:
        """Let go of all that was held or frozen; from now on these happen instead, to that as well."""
        self.operations = operations
        self.frozen = False
        kept, self._kept = self._kept, []
        return [due for _, letter in kept for due in self._told(letter)]

    def shuffled(self) -> list[Due]:
        """Let go of what lies together to be reordered."""
        out: list[Due] = []
        for (way, peer), letters in self._shuffling.items():
            self._dice[way, peer].shuffle(letters)
            out += [(0, letter) for letter in letters]
        self._shuffling.clear()
        return out

    @property
    def shuffling(self) -> bool:
        """True while letters lie together to be reordered."""
        return bool(self._shuffling)

    def _told(self, letter: Letter) -> list[Due]:
        """What the operations make of a letter, one after the other."""
        place = letter.way, letter.peer
        dice = self._dice.setdefault(place, random.Random(f"{self._seed} {place}"))
        out: list[Due] = [(0, letter)]
        for operation in self.operations:
            out = [due for at, each in out for due in self._happens(operation, at, each, dice)]
        return out

    def _let_go(self, step: str) -> list[Due]:
        freed = [letter for until, letter in self._kept if until == step]
        self._kept = [(until, letter) for until, letter in self._kept if until != step]
        return [(0, letter) for letter in freed]

    def _happens(self, operation: Operation, at: int, letter: Letter, dice: random.Random) -> list[Due]:
        """What one operation makes of one letter."""
        if isinstance(operation, Freeze) and self.frozen:
            self._kept.append(("", letter))
            return []
        if not operation.concerns(letter) or dice.random() >= operation.chance:
            return [(at, letter)]
        match operation:
            case Freeze():
                self.frozen = True
            case Hold(until=until):
                self._kept.append((until, letter))
                return []
            case Reorder(window=window):
                return self._reordered(letter, window, dice)
            case Delay(ms=ms):
                return [(at + dice.randint(0, ms), letter)]
        return [(at, each) for each in self._instead(operation, letter, dice)]

    def _instead(self, operation: Operation, letter: Letter, dice: random.Random) -> list[Letter]:
        """What is delivered in the place of a letter."""
        match operation:
            case Drop():
                return []
            case Double():
                return [letter, letter]
            case Replay():
                return [letter, *self._again(operation, letter, dice)]
            case Swap():
                others = [each.payload for each in self._earlier if each.sender != letter.sender]
                return [letter.saying(dice.choice(others))] if others else [letter]
            case Alter():
                return [letter.saying(_flipped(letter.payload, dice))]
            case ToOnly(payload=payload):
                return [letter.saying(payload)]
        return [letter]

    def _reordered(self, letter: Letter, window: int, dice: random.Random) -> list[Due]:
        together = self._shuffling[letter.way, letter.peer]
        together.append(letter)
        if len(together) < window:
            return []
        del self._shuffling[letter.way, letter.peer]
        dice.shuffle(together)
        return [(0, each) for each in together]

    def _again(self, replay: Replay, letter: Letter, dice: random.Random) -> list[Letter]:
        """An earlier letter, by way of the connection that `letter` takes."""
        choice = self._old if replay.old else self._earlier
        if not choice:
            return []
        earlier = dice.choice(choice)
        topic = earlier.publish.topic
        if replay.relabelled:
            topic = topic.replace(earlier.session, letter.session)
        return [replace(letter, publish=replace(earlier.publish, topic=topic, retain=False))]


def _flipped(payload: bytes, dice: random.Random) -> bytes:
    raw = bytearray(payload)
    if raw:
        raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
    return bytes(raw)
