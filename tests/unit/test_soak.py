"""A short soak on real processes, and its judges, each shown something that it must not let pass."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks import soak, soak_growth, soak_judge, soak_plan
from benchmarks.measurement import BenchmarkError
from benchmarks.soak_crowd import Flight
from benchmarks.soak_network import Down, Network, Sample
from benchmarks.soak_plan import CHOICES, Asked, Plan
from benchmarks.soak_report import tables
from coordinator.announce import build
from coordinator.cluster import BROKER
from party_node.daemon import JOURNAL
from party_node.journal import Journal, SessionRow
from party_node.roster import Roster
from protocol.functionalities import Answer
from protocol.messages import AbortReason, RefusalCode
from protocol.states import Ending, Outcome, State
from tests.support.brokers import require

SHORT = Plan(nodes=6, sessions=12, at_once=4, minutes=1, seed=1)
FULL = Plan(nodes=20, sessions=200, at_once=20, minutes=8, seed=1)
NOW = 1_800_000_000_000
KEYS = {name: bytes([index]) * 32 for index, name in enumerate(SHORT.names, start=1)}
ROSTER = Roster(KEYS, {"coordinator": bytes(32)})


# -- all of it ---------------------------------------------------------------------------------------------


def test_a_short_soak_with_a_node_and_the_broker_killed_fails_nowhere(tmp_path: Path) -> None:
    require("mosquitto")
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    found = soak.run(SHORT, tmp_path / "D")
    assert found.failures == []
    assert len(found.verdicts) == SHORT.sessions
    assert any(verdict.ending is None for verdict in found.verdicts)
    assert [down.service == BROKER for down in found.downs].count(True) == 1
    assert len(found.downs) == 2
    assert sum(disk.evidence for disk in found.before.values()) > 0
    for disk in found.after.values():
        assert not any(disk.rows[table] for table in soak_growth.EMPTY)
        assert disk.sessions == disk.rows["session"]
    assert all(used > 0 for used in found.cpu_s.values())
    assert [len(table.rows) > 0 for table in tables(found)] == [
        True,
        True,
        False,
        True,
    ]  # too short for trends
    services = Path(tmp_path / "D" / "run").glob("*.json")
    assert list(services) == []
    after = psutil.Process().children(recursive=True)
    assert [child.pid for child in after if child.pid not in before] == []


def test_a_failure_is_told_with_the_seed_and_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_plan: Plan, _directory: Path) -> None:
        raise BenchmarkError("more than 52 s")

    monkeypatch.setattr(soak, "run", fail)
    assert soak.main(["--minutes", "1", "--seed", "77"]) == soak.FAILED
    assert "failed, seed 77: more than 52 s" in capsys.readouterr().err


# -- what is asked and killed ------------------------------------------------------------------------------


def test_questions_and_faults_follow_from_the_seed() -> None:
    again = Plan(20, 200, 20, 8, seed=1)
    assert (again.questions(), again.faults()) == (FULL.questions(), FULL.faults())
    other = replace(FULL, seed=2)
    assert other.questions() != FULL.questions()
    assert other.faults() != FULL.faults()


def test_a_full_soak_asks_everything_and_kills_whom_it_may() -> None:
    assert {asked.kind for asked in FULL.questions()} == set(CHOICES)
    faults = FULL.faults()
    brokers = [fault for fault in faults if fault.service == BROKER]
    assert {fault.forgets for fault in brokers} == {True, False}
    assert len(brokers) == 4
    assert len(faults) - len(brokers) == 25
    assert sum(fault.away_s > 30 for fault in faults) == 2
    assert not {fault.service for fault in faults} & set(FULL.steady)


def test_every_node_reads_its_file_before_its_memory_is_looked_at() -> None:
    for plan in (FULL, SHORT):
        warm_up = plan.questions()[: int(soak_growth.WARM_UP * plan.sessions)]
        readers = [asked.question.parties or () for asked in warm_up if asked.kind == soak_plan.VECTOR]
        assert {name for group in readers for name in group} == set(plan.names)


def test_a_soak_that_cannot_be_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="at least 3 nodes"):
        Plan(2, 1, 1, 1, seed=1)


# -- the judge of sessions ---------------------------------------------------------------------------------


def flight(kind: str = "sum") -> Flight:
    """A session that has just been completed, as the coordinator has seen it."""
    question = next(each.question for each in FULL.questions() if each.kind == kind)
    question = replace(
        question, parties=SHORT.names[:4], compute=None, result_to=SHORT.names[:4], min_inputs=3
    )
    spec = build(question, "coordinator", ROSTER, NOW, bytes(16))
    completed = Outcome(State.COMPLETED)
    return Flight(
        *(0, Asked(kind, question), "ab" * 32, spec, 1.0, 1.0),
        ended=2.0,
        ended_ms=NOW + 1000,
        outcome=completed,
    )


def rows(seen: Flight, outcome: Outcome, *, after: int = 1000) -> dict[str, SessionRow]:
    """The same end at every member, so many milliseconds after the announcement."""
    row = SessionRow(seen.session, b"", NOW, None, outcome.state, outcome, NOW + after, retained=False)
    return dict.fromkeys(seen.spec.members, row)


def right(seen: Flight, off: int = 0) -> Outcome:
    """The answer over all inputs, or one that is off by so much."""
    inputs = seen.spec.inputs
    units = soak_plan._units(seen.spec, [int(name[-1]) for name in inputs])
    return Outcome(State.COMPLETED, Answer(units + off, 2), inputs)


def given_up(reason: AbortReason | RefusalCode, *silent: str, culprit: str | None = None) -> Outcome:
    """An abort of a session."""
    return Outcome(State.ABORTED, ending=Ending(reason, "as it was", silent, culprit))


def problems(seen: Flight, said: dict[str, SessionRow], *downs: Down) -> list[str]:
    """What the judge says."""
    network = Network(Path("nowhere"), SHORT)
    network.downs += downs
    return soak_judge.judge(network, seen, said).problems


def test_right_answers_of_all_kinds_pass() -> None:
    for kind in CHOICES:
        seen = flight(kind)
        assert problems(seen, rows(seen, right(seen))) == []


def test_a_number_that_is_off_by_one_unit_is_found_for_every_exact_function() -> None:
    for kind, (_, _, epsilon, _) in CHOICES.items():
        seen = flight(kind)
        found = problems(seen, rows(seen, right(seen, off=1)))
        assert bool(found) is (epsilon is None), kind


def test_noise_beyond_its_bound_is_found() -> None:
    seen = flight("sum with ε")
    assert seen.spec.noise is not None
    tail = seen.spec.noise.tail(len(seen.spec.compute))
    assert problems(seen, rows(seen, right(seen, off=-tail))) == []
    assert "is off by" in problems(seen, rows(seen, right(seen, off=-tail - 1)))[0]


def test_two_answers_within_the_bound_of_the_noise_are_two_answers() -> None:
    seen = flight("sum with ε")
    said = rows(seen, right(seen)) | {"party-2": rows(seen, right(seen, off=1))["party-2"]}
    assert problems(seen, said) == ["two different answers"]


def test_an_answer_over_too_few_inputs_is_found() -> None:
    seen = flight()
    units = soak_plan._units(seen.spec, [0, 1])
    few = Outcome(State.COMPLETED, Answer(units, 2), seen.spec.inputs[:2])
    assert "an answer over 2 inputs at party-0" in problems(seen, rows(seen, few))


def test_an_answer_that_one_lacks_is_missed_if_all_had_confirmed() -> None:
    seen = flight()
    lacking = rows(seen, right(seen)) | {"party-1": rows(seen, given_up(AbortReason.TIMEOUT))["party-1"]}
    assert "said to be completed, and not at party-1" in problems(seen, lacking)


def test_a_session_that_does_not_end_or_ends_too_late_is_found() -> None:
    seen = flight()
    late = seen.spec.close_by - NOW + 60_000
    assert "after its time" in problems(seen, rows(seen, right(seen), after=late))[0]
    open_row = replace(rows(seen, right(seen))["party-3"], state=State.OPENING, outcome=None, ended=None)
    said = rows(seen, right(seen)) | {"party-3": open_row}
    assert "no end at party-3, where it is opening" in problems(seen, said)


@pytest.mark.parametrize("reason", [AbortReason.SPLIT_VIEW, AbortReason.LOST_STATE, RefusalCode.DIFFERENCING])
def test_an_end_that_silence_does_not_lead_to_is_found(reason: AbortReason | RefusalCode) -> None:
    ended = given_up(reason, "party-1")
    seen = replace(flight(), outcome=ended)
    assert f"{reason} at party-0" in problems(seen, rows(seen, ended), Down("party-1", NOW, NOW + 2000))[0]


def test_nobody_may_be_blamed() -> None:
    blamed = given_up(AbortReason.TIMEOUT, "party-1", culprit="party-1")
    seen = replace(flight(), outcome=blamed)
    found = problems(seen, rows(seen, blamed), Down("party-1", NOW, NOW + 2000))
    assert "says that party-1 has cheated" in found[0]


def test_who_was_silent_must_have_been_down() -> None:
    seen = replace(flight(), outcome=given_up(AbortReason.NEVER_JOINED))
    said = rows(seen, given_up(AbortReason.NEVER_JOINED, "party-1"), after=20_000)
    assert problems(seen, said, Down("party-1", NOW + 15_000, NOW + 16_000)) == []
    assert problems(seen, said, Down(BROKER, NOW + 19_000, NOW + 21_000)) == []
    for excuse in (
        Down("party-2", NOW + 15_000, NOW + 16_000),  # somebody else
        Down("party-1", NOW + 1_000, NOW + 2_000),  # long before
        Down("party-1", NOW + 20_001, NOW + 22_000),  # afterwards
    ):
        assert "party-1 had no reason to be silent" in problems(seen, said, excuse)[0]


def test_who_waited_for_somebody_who_was_down_may_be_silent() -> None:
    waits_for_leader, leader = (given_up(AbortReason.TIMEOUT, name) for name in ("party-0", "party-1"))
    seen = replace(flight(), outcome=waits_for_leader)
    said = rows(seen, waits_for_leader) | {"party-0": rows(seen, leader, after=1001)["party-0"]}
    assert problems(seen, said, Down("party-1", NOW, NOW + 900)) == []
    assert "party-0 had no reason to be silent" in problems(seen, said, Down("party-3", NOW, NOW + 900))[0]


def test_who_was_told_of_the_end_may_have_waited_for_a_compute_party() -> None:
    ending = Ending(AbortReason.TOO_FEW_INPUTS, "as it was", ("party-0", "party-1"))
    first, told = (Outcome(State.ABORTED, ending=replace(ending, reported_by=by)) for by in (None, "party-2"))
    seen = replace(flight(), outcome=told)
    said = rows(seen, told, after=1001) | {"party-2": rows(seen, first)["party-2"]}
    assert problems(seen, said, Down("party-1", NOW, NOW + 900)) == []
    assert "party-0, party-1 had no reason" in problems(seen, said, Down("elsewhere", NOW, NOW + 900))[0]


def test_a_session_of_which_nobody_has_heard_is_no_answer_and_no_accident() -> None:
    seen = replace(flight(), outcome=Outcome(State.ANNOUNCED))
    assert "nobody has an end" in problems(seen, {})[0]


# -- the judge of growth -----------------------------------------------------------------------------------


def climb(memory: int, handles: float) -> list[str]:
    """What is said of a process that has got so many bytes, and files, a sample."""
    samples = [
        Sample("party-1", 7, ended, (80 << 20) + memory * ended, int(10 + handles * ended))
        for ended in range(100)
    ]
    return list(soak_growth.grown(samples, 100, ["party-1"]))


def test_memory_and_files_that_grow_are_found() -> None:
    assert climb(0, 0) == []
    assert climb(200_000, 0) == ["party-1 has grown by 14.1 MiB"]
    assert climb(0, 0.1) == ["party-1 holds 7.4 more files open"]


def test_a_node_that_was_started_again_may_have_what_the_others_have_and_no_more() -> None:
    def again(megabytes: int) -> list[str]:
        first = [Sample("party-1", 1, 50, 100 << 20, 10)] * 20
        second = [Sample("party-1", 2, 60, size << 20, 10) for size in (10, 80, megabytes)]
        return list(soak_growth.grown([*first, *second], 100, ["party-1"]))

    assert again(105) == []
    assert again(111) == ["party-1, started again, has 11.0 MiB more than any node before"]


def test_what_stays_in_a_journal_is_found(tmp_path: Path) -> None:
    Journal(tmp_path / JOURNAL).close()
    empty = soak_growth.disk(tmp_path)
    assert list(soak_growth.unbounded({"party-1": empty}, empty.used)) == []
    with closing(sqlite3.connect(tmp_path / JOURNAL)) as db, db:
        db.execute("INSERT INTO outbox VALUES ('a', 'join', 'all', 0, ?)", (bytes(50_000),))
        columns, values = "id, announce, joined, seed, state, ended", "'a', x'', 0, x'00', '', 1"
        db.execute(f"INSERT INTO session ({columns}) VALUES ({values})")
    left = soak_growth.disk(tmp_path)
    assert left.sessions == 1
    assert [line.split(" still has ")[-1] for line in soak_growth.unbounded({"p": left}, empty.used)][:2] == [
        "1 rows of outbox",
        "the secrets of 1 sessions",
    ]
    assert "bytes of each finished session" in list(soak_growth.unbounded({"p": left}, empty.used))[2]


def test_the_answer_is_worked_out_by_other_code_than_the_nodes_run() -> None:
    seen = flight("sum of 1,000")
    expected = np.array([sum(soak_plan.series(index)[place] for index in range(4)) for place in range(1000)])
    assert (soak_plan._units(seen.spec, range(4)) == expected).all()
