"""A session of three whose wires belong to somebody else: any order, repetition, loss, time and forgery.

A plan is data, a list of moves; it always ends, and `judge` says whether the promises were kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from protocol import ring
from protocol.dp.noise import Noise, Relation
from protocol.functionalities.average import Average
from protocol.functionalities.sum import Sum
from protocol.letters import Part, frame, parse
from protocol.messages import Abort, AbortReason, MalformedError, Step
from protocol.sealed import Outgoing
from protocol.session import Session
from protocol.sharing import Share
from protocol.spec import SessionSpec
from protocol.states import OVER, TRANSITIONS, State
from tests.support.sessions import Table, make_spec, sealing_key

MOST_TICKS = 8  # at its deadlines, that a session may take to end
RECENT = 10  # letters
ENDS = (0, 3, 7, 8, 31, 40, 65, 99)  # bytes before the end of a body: in numbers, nonces and hashes
LEAPS = (0, 1, 10, 100, 499, 500, 1000, 3000)  # milliseconds
SMALL: dict[str, int] = {"alice": 100, "bob": 20, "carlos": 3}
EPSILON = 10**9  # in nano-ε
TRIO = ("alice", "bob", "carlos")


@dataclass(frozen=True)
class Move:
    """One thing that happens: what, to which letter or party, and how."""

    what: int
    which: int
    how: int


def moves(raw: bytes) -> list[Move]:
    """Bytes as a plan: three a move."""
    return [Move(*raw[at : at + 3]) for at in range(0, len(raw) - len(raw) % 3, 3)]


def _specs() -> list[SessionSpec]:
    noise = Noise(epsilon=EPSILON, sensitivity=1000, relation=Relation.REPLACE_ONE, colluders=1)
    return [
        make_spec(Sum(decimals=0), TRIO, min_inputs=2),
        make_spec(Average(decimals=0), TRIO, TRIO[:2], TRIO[2:], min_inputs=3),
        make_spec(Sum(decimals=0), TRIO, TRIO[1:], TRIO, min_inputs=1, public=True),
        make_spec(
            Sum.model_validate_json('{"lower":"0","upper":"1000","decimals":0}'),
            *(TRIO, TRIO[:2], TRIO),
            min_inputs=2,
            noise=noise,
        ),
    ]


SPECS = _specs()


@cache
def foreign(number: int) -> tuple[Part, ...]:
    """Every letter of another session of the same people, with the same question."""
    spec = SPECS[number].model_copy(update={"nonce": b"another session."})
    return tuple(Table(spec, SMALL).start().run().parts)


class Play(Table):
    """A table whose every step is looked at."""

    def __init__(self, number: int) -> None:
        super().__init__(SPECS[number], SMALL)
        self.foreign = foreign(number)
        self.heard: dict[str, list[tuple[int, Part | Share | None]]] = {name: [] for name in self.sessions}
        self.refused = 0  # parts that were none of the session's
        self.altered: list[Part] = []  # forged, and taken in by somebody
        for name, session in self.sessions.items():
            self._post(name, session.join(sealing_key(name), self.now))

    # -- moves -------------------------------------------------------------------------------------

    def play(self, plan: Iterable[Move]) -> Play:
        """Make these moves, and let the rest happen in its own time."""
        for move in plan:
            MOVES[move.what % len(MOVES)](self, move.which, move.how)
        for name in self.sessions:
            self.noise(name)
        while self._queue:
            self._deliver(*self._queue.pop(0))
        for name in self.sessions:
            self.close(name)
        return self

    def name(self, number: int) -> str:
        return list(self.sessions)[number % len(self.sessions)]

    def next(self, which: int, _how: int) -> None:
        """One of the letters on their way arrives."""
        if self._queue:
            self._deliver(*self._queue.pop(which % len(self._queue)))

    def lose(self, which: int, _how: int) -> None:
        if self._queue:
            self._queue.pop(which % len(self._queue))

    def repeat(self, which: int, how: int) -> None:
        """A letter arrives once more, at anybody."""
        self._deliver(self.name(how), self.parts[which % len(self.parts)])

    def stray(self, which: int, how: int) -> None:
        """A letter of another session arrives."""
        self._deliver(self.name(how), self.foreign[which % len(self.foreign)])

    def wait(self, which: int, how: int) -> None:
        """Time passes, and somebody looks at the clock."""
        self.now += LEAPS[how % len(LEAPS)]
        self.tick(self.name(which))

    def draw_noise(self, which: int, _how: int) -> None:
        self.noise(self.name(which))

    def flip(self, which: int, how: int) -> None:
        """The sender of a letter has written something else to somebody: one byte of it."""
        part = self._recent(which)
        header, body = bytearray(part.header.encode()), bytearray(part.body)
        raw = body if body and how % 2 else header
        raw[-1 - (how * 31 if raw is header else ENDS[(how >> 1) % len(ENDS)]) % len(raw)] ^= 1 << (how % 8)
        self._forge(part, bytes(header), bytes(body), how >> 1)

    def transplant(self, which: int, how: int) -> None:
        """The sender of a letter has written the body of another."""
        part, other = self._recent(which), self.parts[how % len(self.parts)]
        self._forge(part, part.header.encode(), other.body, how >> 4)

    def readdress(self, which: int, how: int) -> None:
        """A letter under the header of another."""
        part, other = self._recent(which), self.parts[how % len(self.parts)]
        self._forge(other, other.header.encode(), part.body, how >> 4)

    def recut(self, which: int, how: int) -> None:
        """A letter that claims to have other parts."""
        part = self._recent(which)
        header = part.header.model_copy(update={"parts": 1 + how % 5, "part": how % 3})
        self._forge(part, header.encode(), part.body, how)

    def give_up(self, which: int, how: int) -> None:
        """Somebody signs an abort."""
        reason = list(AbortReason)[how % len(AbortReason)]
        abort = Abort.of(reason, "played", (self.name(how),), self.name(how + 1))
        part = next(part for part in self.parts if part.header.sender == self.name(which))
        header = part.header.model_copy(update={"step": Step.ABORT, "to": "all"})
        self._forge(part, header.encode(), abort.encode(), how)

    def _recent(self, which: int) -> Part:
        """One of the last letters: what is still on its way is worth forging."""
        return self.parts[-1 - which % min(len(self.parts), RECENT)]

    def _forge(self, was: Part, header: bytes, body: bytes, how: int) -> None:
        try:
            part = parse(frame(header, body, bytes(64)))
        except MalformedError:
            return
        if part.digest == was.digest:
            return
        reader = self.name(how)
        self._queue = [each for each in self._queue if each != (reader, was)]  # it comes instead
        if self._deliver(reader, part):
            self.altered.append(part)

    # -- each step, looked at ----------------------------------------------------------------------

    def noise(self, name: str) -> None:
        session = self.sessions[name]
        if session.drawing is not None:
            noise = session.drawing()
            self._step(name, noise, lambda: session.drawn(noise, self.now))

    def tick(self, name: str) -> None:
        self._step(name, None, lambda: self.sessions[name].tick(self.now))

    def _deliver(self, reader: str, part: Part) -> bool:  # type: ignore[override] # says whether it was taken in
        return self._step(reader, part, lambda: self.sessions[reader].receive(part, self.now))

    def _step(self, name: str, what: Part | Share | None, happens: Callable[[], list[Outgoing]]) -> bool:
        session = self.sessions[name]
        before, state = session.outcome, session.state
        try:
            letters = happens()
        except MalformedError:
            assert isinstance(what, Part), "nothing but a letter can be malformed"
            assert session.outcome == before, "a letter that was refused has changed something"
            self.refused += 1
            return False
        if state not in OVER:
            self.heard[name].append((self.now, what))
        self._post(name, letters)
        _check_move(state, session)
        assert state not in OVER or (session.outcome == before and not letters), "over is over"
        return True

    def close(self, name: str) -> None:
        """A session whose clock is looked at ends."""
        session = self.sessions[name]
        for _ in range(MOST_TICKS):
            if session.deadline is None:
                return
            self.now = max(self.now, session.deadline)
            self.tick(name)
        raise AssertionError(f"{name} is still {session.state} after {MOST_TICKS} deadlines")

    # -- what must be true in the end --------------------------------------------------------------

    def judge(self) -> Play:
        """The promises."""
        for name, session in self.sessions.items():
            assert session.over
            assert session.waiting_for() == []
            self._check_outcome(name, session)
            self._check_replay(name, session)
        self._check_agreement()
        return self

    def _check_outcome(self, name: str, session: Session) -> None:
        outcome = session.outcome
        if outcome.state is State.ABORTED:
            assert outcome.answer is None
            assert outcome.ending is not None
            culprit, told = outcome.ending.culprit, outcome.ending.reported_by
            traitors = {part.header.sender for part in self.altered}
            assert culprit is None or told is not None or culprit in traitors, f"{name} blames {culprit}"
            return
        assert outcome.state is State.COMPLETED
        if name not in self.spec.results:
            assert outcome.answer is None
            return
        assert outcome.answer is not None
        assert len(outcome.inputs) >= self.spec.min_inputs
        if not any(
            part.header.step is Step.SHARE for part in self.altered
        ):  # it is his own input that he altered
            assert outcome.answer.text() == self.right(outcome.inputs), f"{name} has a wrong answer"

    def right(self, inputs: Sequence[str]) -> str:
        """The answer over these inputs, from the inputs themselves."""
        total = sum(SMALL[name] for name in inputs)
        if self.spec.noise is not None:
            total += sum(int(ring.to_signed(noise.elements(()))) for noise in self._noises())
        if isinstance(self.spec.function, Average):
            assert total % len(inputs) == 0
            return str(total // len(inputs))
        return str(total)

    def _noises(self) -> list[Share]:
        return [each for heard in self.heard.values() for _, each in heard if isinstance(each, Share)]

    def _check_replay(self, name: str, session: Session) -> None:
        """The same arrivals, without those that were refused, give the same letters."""
        again = self.fresh(name)
        sent = again.join(sealing_key(name), self.spec.created)
        for now, what in self.heard[name]:
            if what is None:
                sent += again.tick(now)
            elif isinstance(what, Part):
                sent += again.receive(what, now)
            else:
                sent += again.drawn(what, now)
        assert [_bytes_of(each) for each in sent] == [
            _bytes_of(each) for who, each in self.letters if who == name
        ]
        assert again.outcome == session.outcome

    def _check_agreement(self) -> None:
        """Those who have confirmed each other's answer have the same one."""
        done = {n: s.outcome for n, s in self.sessions.items() if s.state is State.COMPLETED}
        sure = {
            (each.inputs, each.answer.text())
            for name, each in done.items()
            if each.answer is not None and not each.unconfirmed
        }
        forged = any(part.header.step is Step.CONFIRM for part in self.altered)
        assert len(sure) <= 1 or forged, f"different answers: {sure}"


def _check_move(before: State, session: Session) -> None:
    reachable = {before}
    while (more := reachable.union(*(TRANSITIONS[state] for state in reachable))) != reachable:
        reachable = more
    assert session.state in reachable, f"from {before} to {session.state}"
    due = session.deadline
    assert (due is None) == session.over
    assert due is None or session.spec.created <= due


def _bytes_of(letter: Outgoing) -> tuple[object, ...]:
    seed = None if letter.seed is None else letter.seed.expose()
    return (letter.stage, letter.to, letter.body, letter.recipients, seed, letter.opened, letter.view)


# Most of what happens is that letters arrive; else no session would get far.
MOVES: tuple[Callable[[Play, int, int], None], ...] = (
    *(Play.next,) * 10,
    *(Play.repeat, Play.stray, Play.wait, Play.draw_noise, Play.flip, Play.transplant, Play.readdress),
    *(Play.recut, Play.lose, Play.give_up),
)


def play(number: int, plan: Iterable[Move]) -> Play:
    """A session of one of the kinds under a plan, judged."""
    return Play(number % len(SPECS)).play(plan).judge()
