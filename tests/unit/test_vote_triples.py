"""Whoever sends garbage while triples are made is named, and a bad point never meets a secret."""

from collections.abc import Callable

import pytest

from protocol.letters import Part, Slot
from protocol.messages import (
    AbortReason,
    Join,
    Step,
)
from protocol.states import State
from tests.support.ballots import (
    FOUR,
    VOTERS,
    YES,
    aborted,
    ending,
    resealed,
    retelling,
    stages,
    vote,
    vote_spec,
)
from tests.support.sessions import make_part, reboxed

ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
BAD_POINTS = {
    "the neutral element": (1).to_bytes(32, "little"),
    "order 2": (2**255 - 20).to_bytes(32, "little"),
    "order 4": bytes(32),
    "order 8": ORDER_8,
    "not canonical": (2**255 - 18).to_bytes(32, "little"),
    "not on the curve": (2).to_bytes(32, "little"),
    "all ones": b"\xff" * 32,
}


@pytest.mark.parametrize("point", BAD_POINTS.values(), ids=BAD_POINTS)
@pytest.mark.parametrize("sender", ["alice", "bob"])
def test_a_bad_point_in_a_join_names_its_sender(sender: str, point: bytes) -> None:
    table = vote(YES, FOUR, retelling(Join, Step.JOIN, sender, {"offer": point})).run()
    aborted(table, AbortReason.INVALID_MESSAGE, sender)
    assert "the offered point " in ending(table, "carlos").detail
    assert not {"received", "masked-1"} & set(stages(table))


@pytest.mark.parametrize("sender", VOTERS)
def test_a_compute_party_that_offers_nothing_is_named(sender: str) -> None:
    table = vote(YES, FOUR, retelling(Join, Step.JOIN, sender, {"offer": None})).run()
    aborted(table, AbortReason.INVALID_MESSAGE, sender)
    assert not {"received", "masked-1"} & set(stages(table))


def test_an_offer_that_nobody_needs_is_not_looked_at() -> None:
    """Of two, the first sends the base transfers; the other's point is never multiplied with anything.

    Its lie splits the view all the same: the two know different joins, and the begin shows it.
    """
    spec = vote_spec("1/2", VOTERS, ("alice", "bob"))
    lie = retelling(Join, Step.JOIN, "bob", {"offer": BAD_POINTS["order 2"]})
    aborted(vote(YES, spec, lie).run(), AbortReason.SPLIT_VIEW, None)


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"",
        lambda _: b"nonsense",
        lambda body: body[:-1],
        lambda body: body + b"\x00",
        lambda body: body[: len(body) // 2],
        lambda body: body * 2,
    ],
    ids=["nothing", "nonsense", "cut", "longer", "half", "twice"],
)
@pytest.mark.parametrize(("round_", "sender"), [(1, "alice"), (2, "carlos"), (3, "alice")])
def test_garbage_in_the_making_of_triples_names_its_sender(
    round_: int, sender: str, change: Callable[[bytes], bytes]
) -> None:
    """Of the first and the third it is the first who receives the base transfers, in rounds 1 and 3."""
    reader = "carlos" if sender == "alice" else "alice"
    table = vote(YES, FOUR, resealed(Step.CORRELATE, sender, round_, change, reader)).run()
    aborted(table, AbortReason.INVALID_MESSAGE, sender)
    assert ending(table, reader).reported_by is None


@pytest.mark.parametrize("point", BAD_POINTS.values(), ids=BAD_POINTS)
@pytest.mark.parametrize("at", [0, 63])
def test_a_bad_point_among_the_base_transfers_is_named_with_its_place(point: bytes, at: int) -> None:
    def change(body: bytes) -> bytes:
        return body[: 32 * at] + point + body[32 * at + 32 :]

    table = vote(YES, FOUR, resealed(Step.CORRELATE, "alice", 1, change, "carlos")).run()
    aborted(table, AbortReason.INVALID_MESSAGE, "alice")
    assert f"point {at} of the base transfers " in ending(table, "carlos").detail


@pytest.mark.parametrize("round_", [1, 2, 3])
def test_a_letter_of_the_triples_that_does_not_open_names_its_sender(round_: int) -> None:
    def wire(_reader: str, part: Part) -> list[Part]:
        hit = (part.header.step, part.header.sender, part.header.round) == (Step.CORRELATE, "carlos", round_)
        return [reboxed(part, b"\x01" * 48)] if hit else [part]

    table = vote(YES, FOUR, wire).run()
    aborted(table, AbortReason.INVALID_MESSAGE, "carlos")


@pytest.mark.parametrize("round_", [2, 3, 4, 255])
def test_a_letter_of_the_triples_that_is_not_due_waits_and_harms_nobody(round_: int) -> None:
    """carlos, who receives alice's points in round 1, is due no round 2 from her, and round 3 later."""
    table = vote(YES, FOUR)
    slots = (Slot(to="carlos", open=None, box=bytes(48)),)
    put = make_part(table.id, Step.CORRELATE, "alice", "carlos", bytes(32), slots, round_=round_)
    table.put("carlos", put)
    assert table.outcome("carlos").state is State.JOINED
    table.deliver()
    if round_ == 3:  # its own round comes, and it is the second letter of that round
        assert ending(table, "carlos").culprit == "alice"
    else:
        assert set(table.texts().values()) == {"YES"}
