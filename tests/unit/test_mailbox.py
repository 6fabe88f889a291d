"""A letter is kept if its sender may write it to us; nonsense and contradictions are told apart."""

import pytest

from protocol.errors import RemoteProtocolError
from protocol.letters import ALL, COMPUTE, Part, Slot
from protocol.mailbox import STATEMENTS, ContradictionError, Mailbox, audience, senders
from protocol.messages import SEALED, Confirm, Join, MalformedError, Refuse, Step
from tests.support.sessions import make_part, make_spec, said, sealing_key

SPEC = make_spec(inputs=("ivy", "ian"), compute=("carl", "cora"), results=("rosa",))
EVERYBODY = (*SPEC.members, SPEC.coordinator, "eve")
SESSION = "5e" * 32
CONFIRM = Confirm(transcript=bytes(32))
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
}


def letter(step: Step, sender: str, to: str = ALL, body: bytes = b"") -> Part:
    slots = (Slot(to="rosa", open=None, box=bytes(48)),) if step in SEALED else ()
    return make_part(SESSION, step, sender, to, body, slots)


def mailbox(me: str = "rosa") -> Mailbox:
    return Mailbox(SPEC, SESSION, me)


def test_every_step_but_the_sealed_and_the_nodes_own_is_a_statement() -> None:
    assert set(STATEMENTS) | SEALED | {Step.ANNOUNCE, Step.REQUEST} == set(Step) == set(MAY_SEND)


@pytest.mark.parametrize("step", Step)
def test_only_the_right_senders_are_heard(step: Step) -> None:
    assert set(senders(SPEC, step)) == MAY_SEND[step]
    for sender in sorted(set(EVERYBODY) - MAY_SEND[step]):
        with pytest.raises(MalformedError, match=f"{step} from {sender} to .* is not expected here"):
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
    box, refuse = mailbox(), Refuse.decode(b'{"code":"policy"}')
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
        box.add(said(SESSION, name, Join(sealing_key=sealing_key(name), shape=()), COMPUTE))
    assert list(box.statements(Join, SPEC.members)) == ["ivy", "ian", "rosa"]


@pytest.mark.parametrize("sender", ["ivy", "carl"])
def test_two_different_letters_under_one_address_are_a_contradiction_of_their_sender(sender: str) -> None:
    box = mailbox()
    box.add(letter(Step.REFUSE, sender, body=b'{"code":"policy"}'))
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
    box.add(letter(Step.REFUSE, "ivy", body=b'{"code":"policy"}'))
    assert box.sealed(Step.REVEAL, "carl") is not None
    box.forget()
    assert box.sealed(Step.REVEAL, "carl") is None
    assert box.statements(Refuse, ["ivy"])


def test_what_we_say_ourselves_lies_beside_the_others_and_is_never_lacking() -> None:
    box = mailbox()
    assert not box.lacks(Step.CONFIRM, "rosa")
    box.put(Step.CONFIRM, CONFIRM)
    assert box.statements(Confirm, ["rosa"]) == {"rosa": CONFIRM}
