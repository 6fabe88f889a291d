"""A referendum in which somebody lies or is silent opens nothing and ends in an abort with the right name."""

import pytest

from protocol.letters import COMPUTE, Part
from protocol.messages import (
    AbortReason,
    Commit,
    MalformedError,
    Masked,
    Opened,
    Received,
    Statement,
    Step,
    stage,
)
from protocol.states import State
from tests.support.ballots import (
    FOUR,
    TRIO,
    VOTERS,
    YES,
    aborted,
    ending,
    parts_of,
    retelling,
    stages,
    vote,
    vote_spec,
)
from tests.support.sessions import Table, flipped, losing, rewritten, said

VIEW = bytes(32)


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
