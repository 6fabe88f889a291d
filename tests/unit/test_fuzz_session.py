"""Any order, repetition, loss, delay, forgery and foreign letter: a session and a node keep their promises.

The plans are those of the coverage-guided fuzzer, `tests/fuzz`; a failure here is shown as the shortest plan.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.messages import MalformedError, Step
from protocol.states import OVER, State
from tests.fuzz import node_play, table_play
from tests.fuzz.node_play import NodePlay
from tests.fuzz.table_play import SPECS, Move, Play
from tests.simulation.conftest import silence
from tests.support.sessions import repeatable

some = settings(repeatable, max_examples=120)
few = settings(repeatable, max_examples=50)

BYTE = st.integers(0, 255)


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    silence()
    yield
    structlog.reset_defaults()


def plans(moves: int, longest: int) -> st.SearchStrategy[list[Move]]:
    """Of so many kinds of moves, after some peace: else most sessions would end before they begin."""
    hostile = st.lists(st.builds(Move, st.integers(0, moves - 1), BYTE, BYTE), max_size=longest)
    return st.builds(lambda quiet, plan: peace(quiet) + plan, st.integers(0, 24), hostile)


def peace(letters: int) -> list[Move]:
    """Everybody has drawn his noise, and so many letters have arrived as they should."""
    (draw,) = only(Play.draw_noise)
    return [Move(draw, number, 0) for number in range(3)] + [Move(0, 0, 0)] * letters


def only(*allowed: object) -> list[int]:
    """The numbers of these moves."""
    return [number for number, move in enumerate(table_play.MOVES) if move in allowed]


HONEST = only(Play.next, Play.repeat, Play.wait, Play.draw_noise, Play.stray)
honest_plans = st.lists(st.builds(Move, st.sampled_from(HONEST), BYTE, BYTE), max_size=60)


# -- a session ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(SPECS)))
@some
@given(plan=plans(len(table_play.MOVES), 50))
def test_a_session_whose_wires_are_somebody_elses_keeps_its_promises(number: int, plan: list[Move]) -> None:
    """No other error than a malformed letter; only transitions of the table; the answer right or none;
    nobody blamed who has signed nothing false; an end after a few deadlines; the same again in a replay."""
    table_play.play(number, plan)


@pytest.mark.parametrize("number", range(len(SPECS)))
@few
@given(plan=honest_plans)
def test_letters_in_any_order_and_number_give_the_right_answer(number: int, plan: list[Move]) -> None:
    """Unless the clock alone has ended it before."""
    played = table_play.play(number, plan)
    waited = any(table_play.MOVES[move.what] is Play.wait for move in plan)
    for session in played.sessions.values():
        assert session.state is State.COMPLETED or waited, session.outcome


def test_one_forgery_at_any_moment_is_survived_and_every_kind_of_it_is_tried() -> None:
    """Most plans above end early; these get to the end."""
    seen: Counter[str] = Counter()
    (flip,) = only(Play.flip)
    hostile = only(Play.flip, Play.transplant, Play.readdress, Play.recut, Play.give_up)
    draw = random.Random(1)
    forgeries = [Move(draw.choice(hostile), *draw.randbytes(2)) for _ in range(200)]
    # The ends of the last letters on their way, for each reader: numbers, nonces and hashes.
    forgeries += [Move(flip, which, how) for which in range(3) for how in range(1, 48, 2)] * 5
    for seed, forgery in enumerate(forgeries):
        plan = [*peace(8 + seed % 17), forgery]
        played = table_play.play(seed, plan)
        seen.update(str(session.state) for session in played.sessions.values())
        seen.update(
            str(each.outcome.ending.reason) for each in played.sessions.values() if each.outcome.ending
        )
        seen.update(f"{part.header.step} forged" for part in played.altered)
        seen["refused"] += played.refused
    for what in (
        "completed",
        "aborted",
        "contradiction",
        "invalid-message",
        "bad-opening",
        "split-view",
        "refused",
    ):
        assert seen[what] > 0, seen
    for step in (Step.JOIN, Step.BEGIN, Step.SHARE, Step.RECEIVED, Step.REVEAL, Step.CONFIRM, Step.ABORT):
        assert seen[f"{step} forged"] > 0, seen


@few
@given(BYTE, BYTE)
def test_a_letter_of_another_session_is_malformed_and_changes_nothing(which: int, reader: int) -> None:
    played = Play(0)
    name = played.name(reader)
    before = played.sessions[name].outcome
    letter = played.foreign[which % len(played.foreign)]
    with pytest.raises(MalformedError):
        played.sessions[name].receive(letter, played.now)
    assert played.sessions[name].outcome == before


@few
@given(st.integers(0, 2**53 - 1), st.lists(st.integers(0, 2**53 - 1), max_size=6))
def test_a_clock_that_jumps_ends_a_session_at_most(first: int, others: list[int]) -> None:
    """Also backwards, and into another millennium."""
    played = Play(0)
    session = played.sessions["bob"]
    for now in (first, *others):
        session.tick(now)
        assert session.state in OVER or session.deadline is not None
    if max(first, *others, 0) >= played.spec.close_by + 1000:
        assert session.over


# -- a node ------------------------------------------------------------------------------------------


@settings(repeatable, max_examples=80)
@given(plan=plans(len(node_play.MOVES), 50))
def test_a_node_whose_broker_and_peers_are_hostile_keeps_its_promises(plan: list[Move]) -> None:
    """Nothing escapes; the answer is right or there is none; never two different letters under one address;
    and it may die and start again at any time."""
    node_play.play(plan)


topics = st.text(max_size=80) | st.lists(
    st.sampled_from(
        ["sotto", "1", "session", "party", "join", "announce", "request", "alice", "all", "0", "ab" * 32]
    )
    | st.text(max_size=10),
    max_size=10,
).map("/".join)


@some
@given(topics, st.binary(max_size=200), st.integers(-(2**63), 2**63))
def test_any_bytes_under_any_topic_at_any_time_are_dropped(topic: str, payload: bytes, now: int) -> None:
    played = NodePlay()
    played.node.handle(topic, payload, now)
    assert played.node.commit() == []
    assert played.journal.sessions() == []
    played.close()


@few
@given(st.data(), topics)
def test_a_letter_under_any_other_topic_is_dropped_or_passed_on_lawfully(
    data: st.DataObject, topic: str
) -> None:
    played = NodePlay().play([Move(0, 1, 0)] * 4)
    before = [played.node.outcome(session) for session in played.sessions]
    sent = data.draw(st.sampled_from(played.letters))
    played.node.handle(topic, sent.payload, played.now)
    if topic != sent.topic:
        assert [played.node.outcome(session) for session in played.sessions] == before
    played.judge().close()


def test_a_log_line_holds_nothing_that_a_terminal_obeys(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Topics and the names of fields are a stranger's words."""
    from party_node import logs

    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    logs.configure("debug")
    log = structlog.get_logger("node")
    for problem in (
        "jo\x1b[31min",
        "a\x07b c",
        "line\nparty-node: error: forged",
        "\x9b31m",
        "right\u202eleft",
    ):
        log.warning("letter dropped", step=problem, list=[problem])
    colours = "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[33m", "\x1b[35m", "\x1b[36m"
    told = capsys.readouterr().err
    for colour in colours:
        told = told.replace(colour, "")
    for line in told.split("\n"):
        assert line.isprintable(), repr(line)
    assert len(told.splitlines()) == 5
