"""Whoever falls silent in a referendum is named and not accused; those who are needed can end it."""

import pytest

from protocol.letters import Part
from protocol.messages import (
    Abort,
    AbortReason,
    Step,
    stage,
)
from protocol.states import Ending
from tests.support.ballots import FOUR, TRIO, VOTERS, YES, aborted, ending, parts_of, stages, vote, vote_spec
from tests.support.sessions import losing, said


def test_a_compute_party_that_never_joins_is_named_and_nobody_shares() -> None:
    spec = vote_spec("1/2", VOTERS, TRIO, min_inputs=1)
    table = vote(YES, spec, absent=["carlos"]).run()
    aborted(table, AbortReason.NEVER_JOINED, None)
    assert table.now == spec.join_by
    assert {ending(table, name).silent for name in table.sessions} == {("carlos",)}
    assert "share" not in stages(table)


@pytest.mark.parametrize(
    ("step", "round_", "sender", "at"),
    [
        (Step.CORRELATE, 1, "alice", "carlos"),
        (Step.CORRELATE, 2, "carlos", "alice"),
        (Step.CORRELATE, 3, "alice", "carlos"),
        (Step.MASKED, 1, "carlos", "alice"),
        (Step.MASKED, 2, "carlos", "alice"),
        (Step.OPENED, 1, "alice", "carlos"),
        (Step.OPENED, 2, "alice", "carlos"),
        (Step.COMMIT, 0, "carlos", "alice"),
    ],
)
def test_whoever_falls_silent_in_a_round_is_named_with_the_round_and_not_accused(
    step: Step, round_: int, sender: str, at: str
) -> None:
    def wire(reader: str, part: Part) -> list[Part]:
        header = part.header
        hit = (header.step, header.sender, header.round, reader) == (step, sender, round_, at)
        return [] if hit else [part]

    table = vote(YES, FOUR, wire).deliver()
    assert (stage(step, round_), sender) in table.sessions[at].waiting_for()
    assert Step.REVEAL not in table.steps(at)
    table.run()
    assert (ending(table, at).reason, ending(table, at).culprit) == (AbortReason.TIMEOUT, None)
    assert table.texts() == {}
    assert ending(table, at).silent[0] == sender
    assert f"{stage(step, round_)} from {sender}" in ending(table, at).detail


def test_what_is_waited_for_in_a_round_is_exactly_what_is_lacking() -> None:
    table = vote(YES, FOUR, losing(Step.MASKED, "carlos")).deliver()
    assert table.sessions["alice"].waiting_for() == [("masked-1", "carlos")]
    assert table.sessions["bob"].waiting_for() == [("opened-1", "alice")]
    (lost,) = parts_of(table, Step.MASKED, "carlos")
    assert not table.sessions["alice"].knows(lost)
    table.wire = lambda _reader, part: [part]
    table.put("alice", lost)
    assert set(table.deliver().texts().values()) == {"YES"}


# -- others end it -----------------------------------------------------------------------------------

STOPS = {
    "joined": Step.BEGIN,
    "sharing": Step.CORRELATE,
    "computing": Step.OPENED,
    "opening": Step.REVEAL,
}


@pytest.mark.parametrize("step", STOPS.values(), ids=STOPS)
@pytest.mark.parametrize("sender", ["coordinator", "david"])
def test_a_referendum_can_be_ended_in_every_state(step: Step, sender: str) -> None:
    def wire(reader: str, part: Part) -> list[Part]:
        return [] if part.header.step is step and reader == "bob" else [part]

    table = vote(YES, FOUR, wire).deliver()
    assert not table.sessions["bob"].over
    table.put("bob", said(table.id, sender, Abort(reason=AbortReason.CANCELLED, detail="stop")))
    assert ending(table, "bob") == Ending(AbortReason.CANCELLED, "stop", reported_by=sender)
    assert table.sessions["bob"].waiting_for() == []
    assert table.sessions["bob"].tick(FOUR.close_by + 1) == []
