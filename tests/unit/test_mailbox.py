"""A letter is kept if its sender may write it to us; nonsense and contradictions are told apart."""

import pytest

from protocol.errors import RemoteProtocolError
from protocol.functionalities.referendum import Referendum
from protocol.letters import ALL, COMPUTE, Part, Slot
from protocol.mailbox import STATEMENTS, ContradictionError, Mailbox, audience, senders
from protocol.messages import (
    IN_ROUNDS,
    SEALED,
    Confirm,
    Join,
    MalformedError,
    Masked,
    Opened,
    Refuse,
    Step,
)
from protocol.spec import SessionSpec
from tests.support.sessions import make_part, make_spec, said, sealing_key

SPEC = make_spec(inputs=("ivy", "ian"), compute=("carl", "cora"), results=("rosa",))
VOTE = make_spec(
    Referendum(threshold="1/2"), ("ivy", "ian"), compute=("carl", "cora", "cleo"), results=("rosa", "cora")
)
EVERYBODY = (*VOTE.members, SPEC.coordinator, "eve")
SESSION = "5e" * 32
CONFIRM = Confirm(transcript=bytes(32))
MASKED, OPENED = (kind(run=bytes(32), bits=b"1").encode() for kind in (Masked, Opened))
MAY_SEND = {
    Step.JOIN: set(SPEC.members),
    Step.REFUSE: set(SPEC.members),
    Step.BEGIN: {"carl"},
    Step.SHARE: {"ivy", "ian"},
    Step.RECEIVED: {"carl", "cora"},
    Step.COMMIT: {"carl", "cora"},
    Step.REVEAL: {"carl", "cora"},
    Step.CONFIRM: {"rosa"},
    Step.RESULT: {"rosa"},
    Step.ABORT: {*SPEC.members, "coordinator"},
    Step.ANNOUNCE: set(),
    Step.REQUEST: set(),
    Step.CORRELATE: set(),  # a linear function has no rounds
    Step.MASKED: set(),
    Step.OPENED: set(),
}
MAY_SEND_IN_ROUNDS = {
    Step.CORRELATE: {"carl", "cora", "cleo"},
    Step.MASKED: {"cora", "cleo"},
    Step.OPENED: {"carl"},
}


def letter(step: Step, sender: str, to: str = ALL, body: bytes = b"", round_: int | None = None) -> Part:
    slots = (Slot(to="rosa", open=None, box=bytes(48)),) if step in SEALED else ()
    number = int(step in IN_ROUNDS) if round_ is None else round_
    return make_part(SESSION, step, sender, to, body, slots, round_=number)


def mailbox(me: str = "rosa", spec: SessionSpec = SPEC) -> Mailbox:
    return Mailbox(spec, SESSION, me)


def test_every_step_but_the_sealed_and_the_nodes_own_is_a_statement() -> None:
    assert set(STATEMENTS) | SEALED | {Step.ANNOUNCE, Step.REQUEST} == set(Step) == set(MAY_SEND)


@pytest.mark.parametrize("step", Step)
def test_only_the_right_senders_are_heard(step: Step) -> None:
    assert set(senders(SPEC, step)) == MAY_SEND[step]
    for sender in sorted(set(EVERYBODY) - MAY_SEND[step]):
        with pytest.raises(MalformedError, match=f"{step}(-1)? from {sender} to .* is not expected here"):
            mailbox().add(letter(step, sender, audience(SPEC, step, sender, "rosa")))


@pytest.mark.parametrize("step", [step for step in Step if MAY_SEND[step]])
def test_a_letter_for_another_audience_is_not_expected(step: Step) -> None:
    sender = min(MAY_SEND[step] - {"rosa"}, default="rosa")
    me = "cora" if sender == "rosa" else "rosa"
    right = audience(SPEC, step, sender, me)
    for to in sorted({ALL, COMPUTE, *EVERYBODY} - {right}):
        with pytest.raises(MalformedError, match="not expected here"):
            mailbox(me).add(letter(step, sender, to))


@pytest.mark.parametrize(
    ("step", "sender", "to"),
    [
        (Step.JOIN, "ivy", COMPUTE),
        (Step.JOIN, "rosa", COMPUTE),
        (Step.JOIN, "cora", ALL),
        (Step.BEGIN, "carl", ALL),
        (Step.SHARE, "ivy", "bob"),
        (Step.REVEAL, "carl", "bob"),
        (Step.CONFIRM, "rosa", ALL),
        (Step.ABORT, "coordinator", ALL),
    ],
)
def test_each_letter_has_one_audience(step: Step, sender: str, to: str) -> None:
    assert audience(SPEC, step, sender, "bob") == to


def test_reveals_go_to_all_at_once_where_all_learn_the_answer() -> None:
    assert audience(make_spec(), Step.REVEAL, "alice", "bob") == ALL


def test_our_own_letters_do_not_come_from_outside() -> None:
    with pytest.raises(MalformedError):
        mailbox("rosa").add(said(SESSION, "rosa", CONFIRM))


def test_a_coordinator_that_takes_part_can_still_cancel_from_elsewhere() -> None:
    spec = make_spec(results=("alice", "coordinator"))
    box = Mailbox(spec, SESSION, "coordinator")
    box.add(
        letter(
            Step.ABORT, "coordinator", body=b'{"reason":"cancelled","detail":"","silent":[],"culprit":null}'
        )
    )


def test_what_does_not_belong_here_changes_nothing() -> None:
    box = mailbox("carl")
    wrong = said(SESSION, "ivy", CONFIRM)
    for _ in range(2):
        with pytest.raises(MalformedError):
            box.add(wrong)
    assert not box.knows(wrong)


def test_a_statement_is_there_once_it_has_come() -> None:
    box, refuse = mailbox(), Refuse.decode(b'{"code":"policy","words":""}')
    part = said(SESSION, "ivy", refuse)
    assert box.lacks(Step.REFUSE, "ivy")
    box.add(part)
    box.add(part)
    assert box.knows(part)
    assert not box.lacks(Step.REFUSE, "ivy")
    assert box.statements(Refuse, SPEC.members) == {"ivy": refuse}
    assert box.statements(Join, SPEC.members) == {}


def test_statements_come_in_the_order_asked_for() -> None:
    box = mailbox("carl")
    for name in ("rosa", "ian", "ivy"):
        box.add(
            said(SESSION, name, Join(sealing_key=sealing_key(name), shape=(), offer=None, setups={}), COMPUTE)
        )
    assert list(box.statements(Join, SPEC.members)) == ["ivy", "ian", "rosa"]


@pytest.mark.parametrize("sender", ["ivy", "carl"])
def test_two_different_letters_under_one_address_are_a_contradiction_of_their_sender(sender: str) -> None:
    box = mailbox()
    box.add(letter(Step.REFUSE, sender, body=b'{"code":"policy","words":""}'))
    with pytest.raises(ContradictionError, match=f"two different refuse letters from {sender}") as caught:
        box.add(letter(Step.REFUSE, sender, body=b'{"code":"input"}'))
    assert caught.value.culprit == sender
    assert list(box.statements(Refuse, [sender])) == [sender]


def test_sealed_letters_are_held_to_one_version_too_and_the_slots_count() -> None:
    box = mailbox()
    box.add(letter(Step.REVEAL, "carl", "rosa"))
    other = make_part(SESSION, Step.REVEAL, "carl", "rosa", b"", (Slot(to="rosa", open=b"", box=bytes(48)),))
    with pytest.raises(ContradictionError):
        box.add(other)


# -- rounds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("me", ["carl", "cora", "rosa"])
@pytest.mark.parametrize("step", MAY_SEND_IN_ROUNDS)
def test_in_rounds_only_the_right_senders_are_heard(step: Step, me: str) -> None:
    assert set(senders(VOTE, step)) == MAY_SEND_IN_ROUNDS[step]
    for sender in sorted(set(EVERYBODY) - MAY_SEND_IN_ROUNDS[step]):
        with pytest.raises(MalformedError, match=f"{step}-1 from {sender} to .* is not expected here"):
            mailbox(me, VOTE).add(letter(step, sender, audience(VOTE, step, sender, me)))


@pytest.mark.parametrize(
    ("step", "sender", "me", "to"),
    [
        (Step.CORRELATE, "cora", "carl", "carl"),
        (Step.CORRELATE, "carl", "cora", "cora"),
        (Step.MASKED, "cora", "carl", "carl"),
        (Step.OPENED, "carl", "cora", COMPUTE),
    ],
)
def test_in_rounds_each_letter_has_one_audience(step: Step, sender: str, me: str, to: str) -> None:
    assert audience(VOTE, step, sender, me) == to
    mailbox(me, VOTE).add(letter(step, sender, to, MASKED if step is Step.MASKED else OPENED))
    for other in sorted({ALL, COMPUTE, *EVERYBODY} - {to}):
        with pytest.raises(MalformedError, match="not expected here"):
            mailbox(me, VOTE).add(letter(step, sender, other))


def test_what_is_masked_for_the_leader_is_expected_by_nobody_else() -> None:
    for me in sorted(set(VOTE.members) - {"carl", "cora"}):
        with pytest.raises(MalformedError, match="not expected here"):
            mailbox(me, VOTE).add(letter(Step.MASKED, "cora", me, MASKED))


def test_a_linear_function_knows_no_rounds_even_among_its_compute_parties() -> None:
    for step in sorted(IN_ROUNDS):
        assert senders(SPEC, step) == ()
        with pytest.raises(MalformedError, match="not expected here"):
            mailbox("carl").add(letter(step, "cora", audience(SPEC, step, "cora", "carl")))


def test_each_round_is_a_letter_of_its_own() -> None:
    box = mailbox("carl", VOTE)
    first, second = (Masked(run=bytes(32), bits=bits) for bits in (b"1", b"2"))
    for number, statement in ((2, second), (1, first)):
        box.add(said(SESSION, "cora", statement, "carl", number))
    assert [box.statements(Masked, ["cora"], number) for number in (1, 2, 3)] == [
        {"cora": first},
        {"cora": second},
        {},
    ]
    assert not box.lacks("masked-2", "cora")
    assert box.lacks("masked-3", "cora")
    assert box.lacks("masked-1", "cleo")


def test_each_round_of_a_sealed_letter_is_one_of_its_own_and_is_forgotten_with_the_rest() -> None:
    box = mailbox("carl", VOTE)
    for number in (3, 1):
        box.add(letter(Step.CORRELATE, "cora", "carl", b"%d" % number, number))
    found = [box.sealed(Step.CORRELATE, "cora", number) for number in (1, 2, 3)]
    assert [each and each.body for each in found] == [b"1", None, b"3"]
    assert [box.lacks(f"correlate-{number}", "cora") for number in (1, 2, 3)] == [False, True, False]
    box.forget()
    assert box.sealed(Step.CORRELATE, "cora", 1) is None


def test_two_different_letters_of_one_round_are_a_contradiction_and_of_two_rounds_are_not() -> None:
    box = mailbox("cora", VOTE)
    box.add(said(SESSION, "carl", Opened(run=bytes(32), bits=b"1"), COMPUTE, 1))
    box.add(said(SESSION, "carl", Opened(run=bytes(32), bits=b"2"), COMPUTE, 2))
    with pytest.raises(ContradictionError, match="two different opened-2 letters from carl") as caught:
        box.add(said(SESSION, "carl", Opened(run=bytes(32), bits=b"3"), COMPUTE, 2))
    assert caught.value.culprit == "carl"


def test_what_we_say_in_a_round_lies_beside_the_others_of_that_round() -> None:
    box, ours = mailbox("carl", VOTE), Masked(run=bytes(32), bits=b"1")
    box.put(Step.MASKED, ours, 2)
    assert box.statements(Masked, ["carl", "cora"], 2) == {"carl": ours}
    assert box.statements(Masked, ["carl", "cora"], 1) == {}


@pytest.mark.parametrize(
    ("step", "sender", "me"), [(Step.MASKED, "cora", "carl"), (Step.OPENED, "carl", "cora")]
)
def test_nonsense_in_a_round_is_its_senders_fault(step: Step, sender: str, me: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        mailbox(me, VOTE).add(letter(step, sender, audience(VOTE, step, sender, me), b"nonsense"))
    assert caught.value.culprit == sender


# -- nonsense ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sender", "step"), [("carl", Step.RECEIVED), ("rosa", Step.CONFIRM)])
def test_nonsense_from_a_party_that_is_needed_is_its_fault(sender: str, step: Step) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        mailbox("cora").add(letter(step, sender, body=b"nonsense"))
    assert caught.value.culprit == sender
    assert not isinstance(caught.value, ContradictionError)


def test_nonsense_from_an_input_party_counts_as_silence() -> None:
    box = mailbox("carl")
    box.add(letter(Step.JOIN, "ivy", COMPUTE, b"nonsense"))
    assert box.lacks(Step.JOIN, "ivy")
    assert box.statements(Join, ["ivy"]) == {}


def test_what_was_sealed_can_be_forgotten_and_the_rest_stays() -> None:
    box = mailbox()
    box.add(letter(Step.REVEAL, "carl", "rosa"))
    box.add(letter(Step.REFUSE, "ivy", body=b'{"code":"policy","words":""}'))
    assert box.sealed(Step.REVEAL, "carl") is not None
    box.forget()
    assert box.sealed(Step.REVEAL, "carl") is None
    assert box.statements(Refuse, ["ivy"])


def test_what_we_say_ourselves_lies_beside_the_others_and_is_never_lacking() -> None:
    box = mailbox()
    assert not box.lacks(Step.CONFIRM, "rosa")
    box.put(Step.CONFIRM, CONFIRM)
    assert box.statements(Confirm, ["rosa"]) == {"rosa": CONFIRM}
