"""A payload counts only under its own topic and its sender's signature."""

import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from party_node.post import Post, Publication, Sent, check_signature
from protocol.letters import PART_BYTES, Slot
from protocol.messages import MalformedError, Step
from tests.support.sessions import flipped, repeatable

SESSION = "5e" * 32
KEYS = {name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32)) for name in ("alice", "bob")}
IDENTITY = {name: key.public_key().public_bytes_raw() for name, key in KEYS.items()}
ALICE, BOB = (Post(name, KEYS[name], "home/sotto") for name in ("alice", "bob"))
CARLOS = Post("carlos", KEYS["bob"], "home/sotto")  # who only reads
BODY = random.Random(0).randbytes(2 * PART_BYTES + 1)


def published(step: Step = Step.CONFIRM, to: str = "all", body: bytes = b"body") -> Publication:
    (sent,) = ALICE.plain(SESSION, step, to, body)
    return ALICE.publication(SESSION, sent)


def test_a_letter_is_read_back_with_its_signature() -> None:
    sent = published()
    assert sent.topic == f"home/sotto/1/session/{SESSION}/confirm/alice/all/0"
    part = BOB.read(sent.topic, sent.payload)
    check_signature(part, IDENTITY["alice"])
    header = part.header
    assert (header.session, header.step, header.sender, header.to) == (SESSION, Step.CONFIRM, "alice", "all")
    assert part.body == b"body"


def test_a_long_letter_goes_out_in_numbered_parts_that_are_each_signed() -> None:
    parts = ALICE.plain(SESSION, Step.RESULT, "all", BODY)
    assert [sent.part for sent in parts] == [0, 1, 2]
    read = [BOB.read(ALICE.publication(SESSION, sent).topic, sent.payload) for sent in parts]
    for part in read:
        check_signature(part, IDENTITY["alice"])
    assert b"".join(part.body for part in read) == BODY


def test_only_the_first_part_carries_the_slots() -> None:
    slot = Slot(to="bob", open=None, box=bytes(48))
    parts = ALICE.write(SESSION, Step.SHARE, "bob", (slot,), [b"1", b"2"])
    read = [BOB.read(ALICE.publication(SESSION, sent).topic, sent.payload) for sent in parts]
    assert [part.header.slots for part in read] == [(slot,), ()]


def test_a_letter_of_a_round_travels_under_its_stage() -> None:
    (sent,) = ALICE.write(SESSION, Step.MASKED, "bob", (), [b"bits"], 12)
    assert sent == Sent("masked-12", "bob", 0, sent.payload)
    published = ALICE.publication(SESSION, sent)
    assert published.topic == f"home/sotto/1/session/{SESSION}/masked-12/alice/bob/0"
    assert BOB.address(published.topic) == (SESSION, "masked-12", "alice")
    part = BOB.read(published.topic, published.payload)
    assert (part.header.step, part.header.round) == (Step.MASKED, 12)
    for level in ("masked", "masked-1", "masked-2", "masked-012", "masked-120", "opened-12"):
        with pytest.raises(MalformedError, match="under the topic of somebody else"):
            BOB.read(published.topic.replace("masked-12", level), published.payload)


@settings(repeatable, max_examples=60)
@given(st.data())
def test_no_byte_can_be_changed(data: st.DataObject) -> None:
    sent = published()
    payload = bytearray(sent.payload)
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(MalformedError):
        check_signature(BOB.read(sent.topic, bytes(payload)), IDENTITY["alice"])


@pytest.mark.parametrize("identity", [IDENTITY["bob"], bytes(32), b"\xff" * 32, b"", bytes(31)])
def test_a_letter_signed_by_another_key_is_refused(identity: bytes) -> None:
    sent = published()
    with pytest.raises(MalformedError, match="the signature on confirm is not alice's"):
        check_signature(BOB.read(sent.topic, sent.payload), identity)


@pytest.mark.parametrize(
    ("level", "other"), [(-5, "ab" * 32), (-4, "commit"), (-3, "bob"), (-2, "carlos"), (-1, "1"), (0, "away")]
)
def test_a_letter_under_another_topic_is_refused(level: int, other: str) -> None:
    sent = published()
    levels = sent.topic.split("/")
    levels[level] = other
    with pytest.raises(MalformedError, match="a letter of alice under the topic of somebody else"):
        BOB.read("/".join(levels), sent.payload)


@pytest.mark.parametrize("to", ["all", "compute"])
def test_a_letter_to_many_may_be_repeated_for_one_who_lacks_it_and_for_nobody_else(to: str) -> None:
    (sent,) = ALICE.plain(SESSION, Step.BEGIN, to, b"body")
    again = ALICE.repeated(SESSION, sent, "bob")
    assert (again.topic, again.retain) == (f"home/sotto/1/session/{SESSION}/begin/alice/bob/0", False)
    assert BOB.read(again.topic, again.payload).header.to == to
    with pytest.raises(MalformedError):
        CARLOS.read(again.topic, again.payload)


def test_a_letter_to_one_is_not_read_under_the_name_of_another() -> None:
    sent = published(to="carlos")
    with pytest.raises(MalformedError):
        BOB.read(sent.topic.replace("/carlos/", "/bob/"), sent.payload)


def test_an_announcement_may_be_passed_on_and_still_proves_itself() -> None:
    original = published(Step.ANNOUNCE)
    passed = BOB.passed_on(SESSION, original.payload, "carlos")
    assert passed.topic == f"home/sotto/1/session/{SESSION}/announce/bob/carlos/0"
    check_signature(ALICE.read(passed.topic, passed.payload), IDENTITY["alice"])
    with pytest.raises(MalformedError):
        check_signature(ALICE.read(passed.topic, flipped(passed.payload)), IDENTITY["alice"])


def test_clearing_takes_exactly_the_retained_letter_away() -> None:
    sent = Sent("confirm", "all", 0, b"payload")
    retained = ALICE.publication(SESSION, sent, retain=True)
    assert ALICE.clearing(SESSION, sent) == Publication(retained.topic, b"", retain=True)


@pytest.mark.parametrize(
    ("topic", "address"),
    [
        (f"home/sotto/1/session/{SESSION}/confirm/alice/all/0", (SESSION, "confirm", "alice")),
        (f"home/sotto/2/session/{SESSION}/confirm/alice/all/0", None),
        (f"sotto/1/session/{SESSION}/confirm/alice/all/0", None),
        (f"home/sotto/1/session/{SESSION}/confirm/alice/all", None),
        (f"home/sotto/1/session/{SESSION}/confirm/alice/all/0/0", None),
        ("home/sotto/1/party/alice/status", None),
        ("", None),
    ],
)
def test_only_session_topics_have_an_address(topic: str, address: tuple[str, str, str] | None) -> None:
    assert ALICE.address(topic) == address
