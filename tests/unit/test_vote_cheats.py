"""A referendum in which somebody lies or is silent opens nothing and ends in an abort with the right name."""

from collections.abc import Callable

import pytest

from protocol.letters import COMPUTE, Part, Slot
from protocol.messages import (
    Abort,
    AbortReason,
    Commit,
    Join,
    MalformedError,
    Masked,
    Opened,
    Received,
    Statement,
    Step,
    stage,
)
from protocol.states import Ending, State
from tests.support.ballots import TRIO, VOTERS, parts_of, retelling, stages, vote, vote_spec
from tests.support.sessions import Table, Wire, flipped, losing, make_part, reboxed, rewritten, said

YES = dict.fromkeys(VOTERS, 1)
FOUR = vote_spec("2/3")  # four who do everything; alice leads; two rounds of gates
VIEW = bytes(32)


def aborted(table: Table, reason: AbortReason, culprit: str | None, *, liar: str = "") -> None:
    """Nobody has an answer, everybody knows why and who is to blame, and no honest party has revealed."""
    assert table.texts() == {}
    for name in table.sessions:
        outcome = table.outcome(name)
        assert outcome.state is State.ABORTED, name
        assert outcome.ending is not None
        assert (outcome.ending.reason, outcome.ending.culprit) == (reason, culprit), (name, outcome.ending)
    assert {name for name, letter in table.letters if letter.step is Step.REVEAL} <= {liar}


def ending(table: Table, name: str) -> Ending:
    """How it ended at one party."""
    found = table.outcome(name).ending
    assert found is not None
    return found


def resealed(step: Step, sender: str, round_: int, change: Callable[[bytes], bytes], *readers: str) -> Wire:
    """The sender seals something else in one round; behind the first 32 bytes, where our envelopes say
    under which view they open."""

    def wire(reader: str, part: Part) -> list[Part]:
        header = part.header
        hit = (header.step, header.sender, header.round) == (step, sender, round_)
        if not hit or (readers and reader not in readers):
            return [part]
        return [rewritten(part, part.body[:32] + change(part.body[32:]))]

    return wire


# -- the rounds of the gates -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lie",
    [
        {"bits": b""},
        {"bits": bytes(2)},
        {"bits": b"\x10"},  # four bits are opened in this round; this is a fifth
        {"bits": b"\xff"},
    ],
)
@pytest.mark.parametrize(
    ("kind", "sender", "round_"), [(Masked, "carlos", 1), (Masked, "carlos", 2), (Opened, "alice", 1)]
)
def test_a_round_of_another_length_names_its_sender(
    kind: type[Statement], sender: str, round_: int, lie: dict[str, bytes]
) -> None:
    step = Step.MASKED if kind is Masked else Step.OPENED
    table = vote(YES, FOUR, retelling(kind, step, sender, lie, round_=round_)).deliver()
    aborted(table, AbortReason.INVALID_MESSAGE, sender)
    teller = "alice" if kind is Masked else "bob"
    assert f" from {sender}" in ending(table, teller).detail


@pytest.mark.parametrize(("kind", "sender"), [(Masked, "carlos"), (Opened, "alice")])
def test_a_round_over_other_inputs_is_a_split_view_and_names_nobody(
    kind: type[Statement], sender: str
) -> None:
    step = Step.MASKED if kind is Masked else Step.OPENED
    table = vote(YES, FOUR, retelling(kind, step, sender, {"run": VIEW}, round_=1)).deliver()
    aborted(table, AbortReason.SPLIT_VIEW, None)


def test_who_was_told_another_list_of_inputs_is_not_blamed_for_it() -> None:
    """Carlos tells alice, who leads, another list than bob; bob computes on what he was told."""
    spec = vote_spec("1/2", (*TRIO, "vera"), TRIO, ("alice",), min_inputs=2)

    def wire(reader: str, part: Part) -> list[Part]:
        if (part.header.step, part.header.sender, reader) != (Step.RECEIVED, "carlos", "alice"):
            return [part]
        told = Received.decode(part.body)
        return [rewritten(part, told.model_copy(update={"inputs": told.inputs[:3]}).encode())]

    table = vote(dict.fromkeys(spec.inputs, 1), spec, wire).run()
    assert {ending(table, name).culprit for name in TRIO} == {None}


def test_who_waits_for_the_same_gates_is_not_called_silent() -> None:
    table = vote(YES, FOUR, losing(Step.MASKED, "bob")).run()
    assert ending(table, "alice").silent == ("bob",)


def test_the_lengths_in_the_test_above_are_those_of_its_rounds() -> None:
    table = vote(YES, FOUR).deliver()
    for part in parts_of(table, Step.MASKED):
        raw = Masked.decode(part.body).bits
        assert (len(raw), raw[0] >> 4) == (1, 0)


@pytest.mark.parametrize("raw", [b"{}", b"", b"nonsense"])
@pytest.mark.parametrize(("step", "sender"), [(Step.MASKED, "carlos"), (Step.OPENED, "alice")])
def test_nonsense_in_a_round_names_its_sender(step: Step, sender: str, raw: bytes) -> None:
    def wire(_reader: str, part: Part) -> list[Part]:
        hit = (part.header.step, part.header.sender) == (step, sender)
        return [rewritten(part, raw)] if hit else [part]

    aborted(vote(YES, FOUR, wire).deliver(), AbortReason.INVALID_MESSAGE, sender)


@pytest.mark.parametrize(
    ("kind", "sender", "to", "readers"),
    [
        (Masked, "alice", "alice", ("bob", "carlos")),  # the leader adds its own part itself
        (Masked, "bob", "carlos", ("carlos",)),
        (Masked, "bob", "all", ("alice", "carlos")),
        (Masked, "rosa", "alice", ("alice",)),
        (Masked, "vera", "alice", ("alice",)),
        (Masked, "coordinator", "alice", ("alice",)),
        (Opened, "bob", COMPUTE, ("alice", "carlos")),
        (Opened, "alice", "bob", ("bob",)),
        (Opened, "alice", "all", ("bob", "carlos")),
        (Opened, "rosa", COMPUTE, TRIO),
        (Opened, "vera", COMPUTE, TRIO),
        (Opened, "alice", COMPUTE, ("rosa", "vera")),
    ],
)
def test_a_round_from_or_for_somebody_else_is_dropped_and_changes_nothing(
    kind: type[Statement], sender: str, to: str, readers: tuple[str, ...]
) -> None:
    """It is nobody's letter by rights, so that it is no reason to abort either: else outsiders could."""
    spec = vote_spec("2/3", (*TRIO, "vera"), TRIO, ("rosa",))
    table = vote(dict.fromkeys(spec.inputs, 1), spec)
    lie = kind.model_validate({"run": VIEW, "bits": b"\x01"})
    expected = {} if readers != ("rosa", "vera") else {"rosa", "vera"}
    for reader in readers:
        if reader in expected:  # an opening reaches those who compute, and nobody else looks at it
            table.put(reader, said(table.id, sender, lie, to, 1))
            continue
        with pytest.raises(MalformedError, match="not expected here"):
            table.put(reader, said(table.id, sender, lie, to, 1))
    assert table.deliver().texts() == {"rosa": "YES"}


def test_a_leader_that_tells_two_parties_different_openings_is_caught_before_anything_is_revealed() -> None:
    def wire(reader: str, part: Part) -> list[Part]:
        if (part.header.step, part.header.round, reader) != (Step.OPENED, 1, "bob"):
            return [part]
        told = Opened.decode(part.body)
        return [rewritten(part, Opened(run=told.run, bits=flipped(told.bits)).encode())]

    table = vote(YES, FOUR, wire).run()
    aborted(table, AbortReason.SPLIT_VIEW, None)
    assert stages(table).count("commit") == 4
    details = {ending(table, name).detail for name in VOTERS}
    assert details == {"the compute parties were told different openings of the gates"}


@pytest.mark.parametrize("opened", [None, VIEW])
def test_a_commitment_after_other_openings_is_a_split_view(opened: bytes | None) -> None:
    wire = retelling(Commit, Step.COMMIT, "carlos", {"opened": opened})
    aborted(vote(YES, FOUR, wire).run(), AbortReason.SPLIT_VIEW, None, liar="carlos")


@pytest.mark.parametrize("lie", [{"view": VIEW}, {"inputs": TRIO}])
def test_a_commitment_of_another_view_or_over_other_ballots_is_a_split_view(lie: dict[str, object]) -> None:
    wire = retelling(Commit, Step.COMMIT, "carlos", lie)
    aborted(vote(YES, FOUR, wire).run(), AbortReason.SPLIT_VIEW, None, liar="carlos")


@pytest.mark.parametrize("inputs", [VOTERS, TRIO])
def test_a_list_of_received_ballots_with_a_commitment_is_invalid(inputs: tuple[str, ...]) -> None:
    spec = vote_spec("2/3", min_inputs=1)
    wire = retelling(Received, Step.RECEIVED, "carlos", {"inputs": inputs, "commitment": VIEW})
    table = vote(YES, spec, wire).run()
    aborted(table, AbortReason.INVALID_MESSAGE, "carlos")
    assert ending(table, "bob").detail == (
        "a list of received inputs that does not fit the session from carlos"
    )
    assert {name for name, letter in table.letters if letter.step is Step.MASKED} <= {"carlos"}


@pytest.mark.parametrize(
    ("step", "sender", "round_"),
    [(Step.MASKED, "bob", 1), (Step.OPENED, "alice", 2), (Step.CORRELATE, "bob", 2), (Step.COMMIT, "bob", 0)],
)
def test_two_different_letters_of_one_round_are_a_contradiction(step: Step, sender: str, round_: int) -> None:
    def wire(_reader: str, part: Part) -> list[Part]:
        header = part.header
        hit = (header.step, header.sender, header.round) == (step, sender, round_)
        return [part, rewritten(part, part.body + b" ")] if hit else [part]

    table = vote(YES, FOUR, wire).run()
    assert table.texts() == {}
    found = [ending(table, name) for name in VOTERS]
    assert {each.reason for each in found} == {AbortReason.CONTRADICTION}
    assert {each.culprit for each in found} == {sender}
    assert f"two different {stage(step, round_)} letters from {sender}" in {each.detail for each in found}


# -- the making of triples ---------------------------------------------------------------------------

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


# -- openings that are no bits, ballots that are no ballots ------------------------------------------


@pytest.mark.parametrize("extra", [2, 2**40, 2**63, 2**64 - 2])
def test_an_output_share_of_more_than_a_bit_is_a_bad_opening_of_its_sender(
    extra: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A committed share with other bits set must not become an answer that is neither YES nor NO."""
    table = vote(YES, FOUR)
    session = table.sessions["carlos"]
    evaluation = session._evaluation
    assert evaluation is not None
    honest = evaluation.output
    monkeypatch.setattr(evaluation, "output", lambda: honest() ^ type(honest()[()])(extra))
    table.run()
    for name in ("alice", "bob", "david"):
        outcome = table.outcome(name)
        assert outcome.answer is None
        assert ending(table, name).reason is AbortReason.BAD_OPENING
        assert ending(table, name).culprit == "carlos"


@pytest.mark.parametrize("voters", [("vera",), ("vera", "viola")])
def test_voters_that_bring_a_vector_are_named_and_bring_no_compute_party_down(
    voters: tuple[str, ...],
) -> None:
    """An honest node refuses such an input; here all who have joined are not honest."""
    spec = vote_spec("1/2", voters, TRIO, ("rosa",), min_inputs=1)
    table = Table(spec, {name: [1, 0, 1] for name in voters}).start().run()
    assert table.texts() == {}
    for name in TRIO:
        assert table.outcome(name).state is State.ABORTED
        assert "vera" in f"{ending(table, name)}"


# -- silence -----------------------------------------------------------------------------------------


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
