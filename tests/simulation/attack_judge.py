"""Judges a plot, for every honest party: the right answer or a named end, and nobody honest is blamed.

What a compute party of the adversary may add to an answer is known here: it commits to that before it can
see anything (SPEC.md §8), so the right answer is the ideal one and what was added.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from protocol.bits import Bits
from protocol.messages import Commit, Received
from protocol.rounds import Evaluation
from protocol.session import Session
from protocol.spec import SessionSpec
from protocol.states import OVER, Outcome, State
from tests.simulation.attackers import SECOND, Battle
from tests.simulation.attacks import Clock, Plot
from tests.simulation.ideal import Brought, ideal, recorded
from tests.simulation.judge import GRACE, check_ledgers, check_letters
from tests.simulation.run import Run
from tests.support.ledger import _start as unaudited
from tests.support.ledger import audited

Reveals = dict[tuple[str, str], set[tuple[bytes, tuple[str, ...]]]]  # (session, party) → (view, inputs)
Answer = str | list[str]


@dataclass(frozen=True)
class Played:
    """What came of a plot."""

    battle: Battle
    outcomes: dict[str, dict[str, Outcome]]  # by session and honest party
    known: dict[str, int]  # how many sessions are in the journal of each party

    @property
    def ends(self) -> dict[str, Outcome]:
        """Of the session that the plot is about."""
        return self.outcomes[self.battle.session]

    @property
    def word(self) -> str:
        """How that ended for the honest ones, in a word for each way."""
        ways = {str(each.ending.reason if each.ending else each.state) for each in self.ends.values()}
        return " + ".join(sorted(ways)) or "never announced"


def play(plot: Plot) -> Played:
    """Carry a plot out and judge it; AssertionError if a promise to somebody honest was broken."""
    with revealed(plot) as reveals, books(plot.corrupt), recorded() as brought:
        try:
            battle = Battle(plot)
            try:
                battle.network.run()
                outcomes = {
                    session: judge(battle, session, spec, brought) for session, spec in battle.specs.items()
                }
                check_letters([each for each in battle.network.tap if _honest(battle, each.topic)])
                assert all(len(once) == 1 for once in reveals.values()), "two different sets were revealed"
                journals = battle.network.journals
                known = {name: len(journals[name].sessions()) for name in plot.schedule.members}
                return Played(battle, outcomes, known)
            finally:
                battle.close()
        except BaseException as error:
            error.add_note(repr(plot))
            raise


@contextmanager
def books(corrupt: str | None) -> Iterator[None]:
    """Nobody honest masks two things with one triple.  A liar may have two nodes, and keeps no books."""
    with audited() as ledger:
        honest = ledger.start

        def start(
            evaluation: Evaluation, view: bytes, counted: tuple[str, ...], inputs: Bits, noise: int
        ) -> None:
            begin = unaudited if evaluation._me == corrupt else honest
            begin(evaluation, view, counted, inputs, noise)

        ledger.start = start  # type: ignore[method-assign] # of this one ledger
        yield


def _honest(battle: Battle, topic: str) -> bool:
    return topic.split("/")[5] not in battle.liars


@contextmanager
def revealed(plot: Plot) -> Iterator[Reveals]:
    """For the length of a `with` block: nobody honest reveals before it has everybody's commitment."""
    reveals: Reveals = defaultdict(set)
    honest = Session._reveal

    def reveal(self: Session) -> None:
        if self.me != plot.corrupt:
            compute = self.spec.compute
            early = self._mail.statements(Received, compute)
            late = self._mail.statements(Commit, compute)
            at_once = all(each.commitment for each in early.values())
            assert len(early) == len(compute), f"{self.me} reveals without all lists"
            assert at_once or len(late) == len(compute), f"{self.me} reveals without all commitments"
            reveals[self.id, self.me].add((self.view, self._included))
        honest(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "_reveal", reveal)
        yield reveals


def judge(battle: Battle, session: str, spec: SessionSpec, brought: Brought) -> dict[str, Outcome]:
    """How one of the sessions that the adversary had a hand in ended for honest parties."""
    honest = tuple(name for name in spec.members if name not in battle.liars)
    outcomes = battle.network.outcomes(
        session, tuple(name for name in honest if name in battle.network.names)
    )
    run = _as_run(battle, session, spec)
    check_answers(battle, run, outcomes, brought)
    check_blame(battle, outcomes)
    check_ends(battle, run, outcomes)
    check_forgotten(battle, run, outcomes)
    check_ledgers(run)
    if battle.plot.must_complete:
        for name in honest:
            assert name in outcomes, f"{name} never heard of the session"
            assert outcomes[name].state is State.COMPLETED, f"{name}: {outcomes[name]}"
    return outcomes


def _as_run(battle: Battle, session: str, spec: SessionSpec) -> Run:
    """The same run, as that of another of its sessions."""
    run: Run = copy(battle)
    roles = {"inputs": spec.inputs, "compute": spec.compute, "results": spec.results}
    run.schedule = replace(battle.schedule, **roles, min_inputs=spec.min_inputs)  # type: ignore[arg-type] # names
    run.session, run.spec, run.noise = session, spec, spec.noise
    return run


# -- answers -------------------------------------------------------------------------------------------------


def check_answers(battle: Battle, run: Run, outcomes: dict[str, Outcome], brought: Brought) -> None:
    """Whoever learns an answer learns the right one, and the same as everybody else, confirmed or not."""
    done = {name: each for name, each in outcomes.items() if each.state is State.COMPLETED}
    for name, each in outcomes.items():
        if name not in done or name not in run.schedule.results:
            assert each.answer is None or name not in done, f"{name} learned an answer"
            continue
        assert len(each.inputs) >= run.schedule.min_inputs, f"{name} counted too few inputs"
        assert each.answer is not None, f"{name} completed without an answer"
        if not battle.plot.free:
            right = expected(battle, run, name, each.inputs, brought)
            assert each.answer.text() == right, f"{name} has a wrong answer, {each.answer.text()} not {right}"
    learned = {name: each for name, each in done.items() if each.answer is not None}
    for name, each in learned.items():
        for other in set(learned) - {name}:
            assert each.inputs == learned[other].inputs, f"{name} and {other} counted different inputs"
            assert _text(each) == _text(learned[other]), f"{name} and {other} disagree"


def _text(outcome: Outcome) -> Answer | None:
    return None if outcome.answer is None else outcome.answer.text()


def expected(battle: Battle, run: Run, name: str, inputs: tuple[str, ...], brought: Brought) -> Answer:
    """The ideal answer, and what the adversary's compute party has added for this result party."""
    twin = battle._twin
    second = twin is not None and name in twin.to
    if second:
        run = _with_the_second_one(battle, run)
    units = sum(each.units for each in battle.plot.shifts if each.twin == second)
    if units == 0 or battle.plot.corrupt not in run.schedule.compute:
        return ideal(run, inputs, brought)
    if run.schedule.votes:
        return "NO" if ideal(run, inputs, brought) == "YES" else "YES"
    if run.schedule.function != "average":
        places = Decimal(1) if run.schedule.function == "histogram" else Decimal("0.01")
        return _more(ideal(run, inputs, brought), units * places)
    total = copy(run)
    total.schedule = replace(run.schedule, function="sum")
    sums = _more(ideal(total, inputs, brought), units * Decimal("0.01"))
    if isinstance(sums, str):
        return _mean(sums, len(inputs))
    return [_mean(each, len(inputs)) for each in sums]


def _with_the_second_one(battle: Battle, run: Run) -> Run:
    """The same run, with the noise of the corrupt member's second node for the first one's."""
    found, run = copy(run), copy(run)
    run.network = copy(found.network)
    first = battle.plot.corrupt or ""
    noises = found.network.noises
    key = (run.session, first + SECOND)
    run.network.noises = noises | ({(run.session, first): noises[key]} if key in noises else {})
    return run


def _more(answer: Answer, added: Decimal) -> Answer:
    if isinstance(answer, str):
        return str(Decimal(answer) + added)
    return [str(Decimal(each) + added) for each in answer]


def _mean(total: str, count: int) -> str:
    return f"{Decimal(round(Decimal(total) * 100 / count)).scaleb(-2):.2f}"


# -- ends ----------------------------------------------------------------------------------------------------


def check_blame(battle: Battle, outcomes: dict[str, Outcome]) -> None:
    """Whoever honest parties call guilty is guilty; what liars claim stands under their names."""
    for name, each in outcomes.items():
        ending = each.ending
        if ending is None or ending.culprit is None or ending.reported_by in battle.liars:
            continue
        assert ending.culprit in battle.liars, f"{name} blames {ending.culprit}, who is honest: {ending}"


def check_ends(battle: Battle, run: Run, outcomes: dict[str, Outcome]) -> None:
    """Every session ends, in time by the node's own clock, in an answer or with a reason."""
    clocks = [each for each in battle.plot.attacks if isinstance(each, Clock)]
    for name, each in outcomes.items():
        assert each.state in OVER, f"{name} is still {each.state}"
        assert (each.state is State.COMPLETED) == (each.ending is None), f"{name}: {each}"
        ahead = sum(max(0, clock.ahead) for clock in clocks if clock.party == name)
        row = battle.network.journals[name].session(run.session)
        assert row is not None
        assert row.ended is not None
        late = row.ended - max(run.spec.close_by, battle.last_start)
        assert late <= GRACE + ahead, f"{name} ended {late} ms late"


def check_forgotten(battle: Battle, run: Run, outcomes: dict[str, Outcome]) -> None:
    """After the session, no honest node keeps a secret of it, nor what was sent in it."""
    for name in outcomes:
        journal = battle.network.journals[name]
        row = journal.session(run.session)
        assert row is not None
        assert row.seed is None, f"{name} keeps its seed"
        assert journal.value(run.session) is None, f"{name} keeps its input"
        assert not journal.outbox(run.session), f"{name} keeps its letters"
        assert run.session not in battle.network.nodes[name]._active, f"{name} keeps its session"
