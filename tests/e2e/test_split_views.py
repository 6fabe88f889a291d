"""Who signs two announcements, begins, joins or lists, and a broker that shows one to each: nothing opens.

Real nodes and a real Mosquitto, with `tests/support/proxy.py` between them; the tests have everybody's keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from party_node.post import Publication
from protocol.messages import AbortReason, Begin, Join, Received, RefusalCode, Step
from protocol.spec import SessionSpec
from protocol.states import Outcome, State
from tests.support.broker_faults import Drop, Hold, ToOnly
from tests.support.lied import COMPUTE, PARTIES, RESULTS, Lied, lied_cluster

QUESTIONS = 6


@pytest.fixture(scope="module")
def lied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lied]:
    """Four nodes, with an input for each question."""
    with lied_cluster(tmp_path_factory.mktemp("split"), QUESTIONS) as made:
        yield made


def nothing_opened(lied: Lied, *sessions: str) -> None:
    """Nobody has revealed an output share, let alone has an answer."""
    for session in sessions:
        assert not lied.sent(session, Step.REVEAL)
        for name in PARTIES:
            rows = [row for row in lied.nodes.sessions(name) if row.id == session and row.outcome is not None]
            assert not any(row.outcome.answer for row in rows if row.outcome), name


def ending(outcome: Outcome) -> tuple[str, str, str | None]:
    """Why, in what words, and who saw it if we did not."""
    assert outcome.ending is not None, outcome
    return str(outcome.ending.reason), outcome.ending.detail, outcome.ending.reported_by


def two_announcements(lied: Lied, number: int) -> tuple[SessionSpec, SessionSpec]:
    """One question, with its nonce, told in two ways: in the second, carlos alone learns the answer."""
    spec = lied.sum(number, within=4)
    return spec, spec.model_copy(update={"results": ("carlos",)})


def test_two_announcements_and_a_broker_that_keeps_them_apart_are_two_sessions_that_nobody_shares_in(
    lied: Lied,
) -> None:
    one, other = two_announcements(lied, 0)
    first = lied.ask(one, Drop(reader="carlos"))
    second = lied.ask(other, *(Drop(reader=name) for name in PARTIES if name != "carlos"))
    ends = {name: lied.nodes.outcomes(first, name)[name] for name in PARTIES if name != "carlos"}
    assert {each.ending.silent for each in ends.values() if each.ending} == {("carlos",)}
    assert ending(ends["alice"])[0] == AbortReason.NEVER_JOINED
    (alone,) = lied.nodes.outcomes(second, "carlos").values()
    assert alone.ending is not None
    assert alone.ending.silent == ("alice",)
    assert not lied.sent(first, Step.SHARE) | lied.sent(second, Step.SHARE)
    nothing_opened(lied, first, second)


def test_two_announcements_that_members_tell_each_other_are_refused_and_what_differs_is_said(
    lied: Lied,
) -> None:
    one, other = two_announcements(lied, 1)
    alone = Hold(step="refuse"), Hold(step="abort")  # so that each says what it has seen itself
    first = lied.ask(one, Drop(step="announce", sender="coordinator", reader="carlos"), *alone)
    unheard = [name for name in PARTIES if name != "carlos"]
    apart = [Drop(step="announce", sender="coordinator", reader=name) for name in unheard]
    second = lied.ask(other, *apart, *alone)
    refused = lied.nodes.outcomes(first, "carlos")["carlos"], lied.nodes.outcomes(second, "alice")["alice"]
    for outcome in refused:
        reason, detail, _ = ending(outcome)
        assert (outcome.state, reason) == (State.REFUSED, RefusalCode.SPEC)
        assert detail.startswith("coordinator has announced this session twice, with different results")
    assert not lied.sent(first, Step.SHARE) | lied.sent(second, Step.SHARE)
    nothing_opened(lied, first, second)


def test_a_leader_that_signs_two_begins_opens_nothing_and_both_sides_say_so(lied: Lied) -> None:
    spec = lied.sum(2, within=6, min_inputs=1).model_copy(update={"results": ("alice", "bob")})
    session = lied.ask(spec, Hold(step="begin"))
    begin = Begin.decode(lied.letter(session, Step.BEGIN, "alice"))
    less = {name: join for name, join in begin.joins.items() if name != "david"}
    second = lied.signed(session, Step.BEGIN, "alice", begin.model_copy(update={"joins": less}))
    # Aborts are held, so that each says what it has seen itself.
    lied.proxy.release(session, ToOnly(step="begin", reader="carlos", payload=second), Hold(step="abort"))
    ends = lied.nodes.outcomes(session, *COMPUTE)
    for name, peers in (("alice", "carlos"), ("bob", "carlos"), ("carlos", "alice|bob")):
        reason, detail, _ = ending(ends[name])
        assert reason == AbortReason.SPLIT_VIEW
        assert re.fullmatch(f"({peers}) and {name} were told different begins", detail)
    held = {name: Received.decode(lied.letter(session, Step.RECEIVED, name)).inputs for name in COMPUTE}
    assert held["carlos"] == ("carlos",), "carlos has opened a share of another view"
    assert "carlos" not in (*held["alice"], *held["bob"]), "a share of carlos' was opened under another view"
    nothing_opened(lied, session)


def test_a_party_that_signs_two_joins_opens_nothing_and_is_named(lied: Lied) -> None:
    session = lied.ask(lied.sum(3, within=6), Hold(step="join", sender="carlos", reader="bob"))
    join = Join.decode(lied.letter(session, Step.JOIN, "carlos"))
    other = Join.decode(lied.letter(session, Step.JOIN, "bob")).sealing_key  # any other good key
    second = lied.signed(session, Step.JOIN, "carlos", join.model_copy(update={"sealing_key": other}))
    lied.proxy.release(session, ToOnly(step="join", sender="carlos", reader="bob", payload=second))
    ends = lied.nodes.outcomes(session, *PARTIES)
    said = {ending(each)[:2] for each in ends.values()}
    assert said == {(AbortReason.SPLIT_VIEW, "alice and carlos disagree about how carlos joined")}
    nothing_opened(lied, session)


def test_two_joins_of_one_party_that_meet_name_it(lied: Lied) -> None:
    session = lied.ask(lied.sum(4, within=6), Hold(step="begin"))
    join = Join.decode(lied.letter(session, Step.JOIN, "carlos"))
    lied.proxy.until_seen(session, Step.BEGIN, "alice")  # so alice has heard the first
    second = lied.signed(session, Step.JOIN, "carlos", join.model_copy(update={"shape": (2,)}))
    (topic,) = {each.publish.topic for each in lied.proxy.seen(session, Step.JOIN, "carlos")}
    lied.nodes.publish("carlos", Publication(topic, second))
    (outcome,) = lied.nodes.outcomes(session, "alice").values()
    assert outcome.ending is not None
    assert (outcome.ending.reason, outcome.ending.culprit) == (AbortReason.CONTRADICTION, "carlos")
    assert outcome.ending.detail == "two different join letters from carlos"
    nothing_opened(lied, session)


def test_a_compute_party_that_signs_two_lists_opens_nothing(lied: Lied) -> None:
    session = lied.ask(lied.sum(5, within=3), Hold(step="received", sender="carlos", reader="bob"))
    received = Received.decode(lied.letter(session, Step.RECEIVED, "carlos"))
    fewer = {"inputs": received.inputs[:3], "commitment": None}
    second = lied.signed(session, Step.RECEIVED, "carlos", received.model_copy(update=fewer))
    lied.proxy.release(session, ToOnly(step="received", sender="carlos", reader="bob", payload=second))
    ends = lied.nodes.outcomes(session, *PARTIES)
    assert {ending(each)[0] for each in ends.values()} <= {AbortReason.SPLIT_VIEW, AbortReason.TIMEOUT}
    assert "bob" not in lied.sent(session, Step.REVEAL), "bob was told another list than those who reveal"
    for name in RESULTS:
        assert ends[name].answer is None
