"""What is sealed opens for its recipient, under its address and view, whole and in order, or not at all."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from party_node.post import Post, Publication
from party_node.seal import Seal
from protocol.functionalities.sum import Sum
from protocol.letters import PART_BYTES, Letter, Slot, parse
from protocol.messages import Join, MalformedError, Step
from protocol.sealed import Outgoing
from protocol.secret import Seed
from protocol.states import OVER
from tests.support.network import Network
from tests.support.sessions import flipped, repeatable, seed_of

SESSION, VIEW = "5e" * 32, bytes(range(32))
BULK = random.Random(0).randbytes(2 * PART_BYTES + 1000)


class Trio:
    """Alice, bob and carlos, each with their side of the channels of one session."""

    def __init__(self, session: str = SESSION) -> None:
        self.seals = {
            name: Seal(session, name, seed_of(name), random.Random(0).randbytes)
            for name in ("alice", "bob", "carlos")
        }

    def key(self, name: str) -> bytes:
        return self.seals[name].public_key

    def sealed(self, letter: Outgoing, sender: str = "alice") -> Letter:
        slots, chunks = self.seals[sender].seal(letter, self.key)
        return Letter(SESSION, letter.step, letter.round, sender, letter.to, slots, tuple(chunks), b"")


def share(seed: Seed | None = None, body: bytes = b"", to: str = "bob", view: bytes = VIEW) -> Outgoing:
    return Outgoing(Step.SHARE, to, body, (to,), seed, view=view)


def reveal(body: bytes, *recipients: str, opened: frozenset[str] = frozenset()) -> Outgoing:
    return Outgoing(Step.REVEAL, "all", body, recipients, opened=opened, view=VIEW)


def correlate(body: bytes, round_: int = 1, to: str = "bob") -> Outgoing:
    """A letter from before the begin, when there is no view."""
    return Outgoing(Step.CORRELATE, to, body, (to,), round=round_)


def refused(trio: Trio, letter: Letter, reader: str = "bob", view: bytes = VIEW) -> None:
    with pytest.raises(MalformedError):
        trio.seals[reader].unseal(letter, view)


def test_a_seed_comes_out_as_it_went_in() -> None:
    trio, seed = Trio(), seed_of("share")
    unsealed = trio.seals["bob"].unseal(trio.sealed(share(seed)), VIEW)
    assert unsealed.seed is not None
    assert (unsealed.seed.expose(), unsealed.body) == (seed.expose(), b"")


@pytest.mark.parametrize(
    ("size", "chunks"),
    [(1, 1), (8, 1), (PART_BYTES - 16, 1), (PART_BYTES - 15, 2), (len(BULK), 3)],
)
def test_a_body_comes_out_as_it_went_in(size: int, chunks: int) -> None:
    trio = Trio()
    letter = trio.sealed(share(body=BULK[:size]))
    assert len(letter.chunks) == chunks
    assert all(len(chunk) <= PART_BYTES for chunk in letter.chunks)
    unsealed = trio.seals["bob"].unseal(letter, VIEW)
    assert (unsealed.seed, unsealed.body) == (None, BULK[:size])


def test_one_letter_opens_for_each_of_its_recipients() -> None:
    trio = Trio()
    letter = trio.sealed(reveal(b"output", "bob", "carlos"))
    for name in ("bob", "carlos"):
        assert trio.seals[name].unseal(letter, VIEW).body == b"output"


def test_nothing_of_what_is_sealed_is_readable() -> None:
    trio, seed = Trio(), seed_of("share")
    for letter in (trio.sealed(share(seed)), trio.sealed(share(body=BULK[:64]))):
        raw = b"".join((*letter.chunks, *(slot.box + (slot.open or b"") for slot in letter.slots)))
        assert seed.expose() not in raw
        assert BULK[:16] not in raw


def test_a_letter_without_a_slot_for_us_is_refused() -> None:
    trio = Trio()
    refused(trio, trio.sealed(share(seed_of("share"))), "carlos")


def test_somebody_elses_slot_under_our_name_does_not_open() -> None:
    trio = Trio()
    letter = trio.sealed(share(seed_of("share")))
    (slot,) = letter.slots
    refused(trio, replace(letter, slots=(slot.model_copy(update={"to": "carlos"}),)), "carlos")


@pytest.mark.parametrize("body", [b"", b"body"])
@pytest.mark.parametrize(
    "change",
    [{"sender": "carlos"}, {"step": Step.REVEAL}, {"to": "carlos"}, {"round": 1}],
    ids=["sender", "step", "to", "round"],
)
def test_a_letter_under_another_address_does_not_open(change: dict[str, object], body: bytes) -> None:
    trio = Trio()
    letter = trio.sealed(share(None if body else seed_of("share"), body))
    refused(trio, replace(letter, **change))  # type: ignore[arg-type]  # one field of several types
    trio.seals["bob"].unseal(letter, VIEW)  # so it was the address alone


def test_a_letter_of_another_view_or_session_does_not_open() -> None:
    trio = Trio()
    letter = trio.sealed(share(seed_of("share")))
    refused(trio, letter, view=flipped(VIEW))
    refused(Trio("ab" * 32), letter)
    refused(trio, trio.sealed(share(seed_of("share"), view=flipped(VIEW))))


@pytest.mark.parametrize(
    "change",
    [
        lambda one, two, three: (two, one, three),
        lambda one, two, three: (one, three, two),
        lambda one, two, three: (one, two),
        lambda one, two, three: (one,),
        lambda one, two, three: (two, three),
        lambda one, two, three: (one, two, two, three),
        lambda one, two, three: (one, two, three, three),
        lambda one, two, three: (flipped(one), two, three),
        lambda one, two, three: (one, flipped(two, 0), three),
        lambda one, two, three: (one, two, three[:-1]),
        lambda one, two, three: (one, two, b""),
        lambda one, two, three: (b"", b""),
    ],
)
def test_chunks_out_of_order_dropped_doubled_or_altered_do_not_open(change: object) -> None:
    assert callable(change)
    trio = Trio()
    letter = trio.sealed(share(body=BULK))
    refused(trio, replace(letter, chunks=change(*letter.chunks)))


def test_chunks_of_another_letter_do_not_open() -> None:
    trio = Trio()
    one, other = trio.sealed(share(body=b"one")), trio.sealed(reveal(b"two", "bob"))
    refused(trio, replace(one, chunks=other.chunks))


@settings(repeatable, max_examples=30)
@given(st.integers(0, 47), st.integers(1, 255))
def test_an_altered_box_does_not_open(at: int, change: int) -> None:
    trio = Trio()
    letter = trio.sealed(share(seed_of("share")))
    box = bytearray(letter.slots[0].box)
    box[at] ^= change
    refused(trio, replace(letter, slots=(letter.slots[0].model_copy(update={"box": bytes(box)}),)))


@settings(repeatable, max_examples=40)
@given(st.one_of(st.none(), st.binary(max_size=40), st.integers(0, 1200).map(bytes)))
def test_an_opening_that_is_none_is_malformed_and_nothing_worse(opening: bytes | None) -> None:
    trio = Trio()
    letter = trio.sealed(share(seed_of("share")))
    refused(trio, replace(letter, slots=(letter.slots[0].model_copy(update={"open": opening}),)))
    refused(trio, replace(letter, slots=(Slot(to="bob", open=opening, box=bytes(48)),), chunks=(b"x",)))


# -- views -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", [share(seed_of("share")), share(body=b"body"), reveal(b"output", "bob")])
@pytest.mark.parametrize("view", [flipped(VIEW), VIEW[:16], bytes(32), b""])
def test_a_share_and_a_reveal_open_under_their_view_alone(letter: Outgoing, view: bytes) -> None:
    trio = Trio()
    sealed = trio.sealed(letter)
    refused(trio, sealed, view=view)
    trio.seals["bob"].unseal(sealed, VIEW)


def test_a_correlate_letter_opens_before_any_view_exists_and_under_none_later() -> None:
    trio = Trio()
    letter = trio.sealed(correlate(b"columns"))
    refused(trio, letter, view=VIEW)
    assert trio.seals["bob"].unseal(letter, b"").body == b"columns"


def test_a_correlate_letter_opens_in_its_own_round_alone() -> None:
    trio = Trio()
    letter = trio.sealed(correlate(b"columns", 2))
    for other in (1, 3, 12, 22):
        refused(trio, replace(letter, round=other), view=b"")
    assert trio.seals["bob"].unseal(letter, b"").body == b"columns"


# -- channels ----------------------------------------------------------------------------------------


def test_a_channel_is_opened_once_and_used_from_then_on() -> None:
    trio = Trio()
    first = trio.sealed(share(seed_of("share")))
    later = trio.sealed(reveal(b"output", "bob", opened=frozenset({"bob"})))
    assert first.slots[0].open is not None
    assert later.slots[0].open is None
    refused(trio, later)
    trio.seals["bob"].unseal(first, VIEW)
    assert trio.seals["bob"].unseal(later, VIEW).body == b"output"


def test_the_opening_is_made_once_and_travels_with_every_letter_that_may_come_first() -> None:
    """HPKE draws anew for each opening: two of them would be two public-key operations for one channel."""
    letters = [correlate(b"points"), correlate(b"bits", 3), share(seed_of("share")), reveal(b"output", "bob")]
    assert len({Trio().sealed(each).slots[0].open for each in letters}) == 4, "no two are the same bytes"
    trio = Trio()
    sealed = [trio.sealed(each) for each in letters]
    (opening,) = {each.slots[0].open for each in sealed}
    assert opening is not None
    for first in range(4):
        reader = Seal(SESSION, "bob", seed_of("bob"), bytes)
        for letter, plain in zip(
            sealed[first:] + sealed[:first], letters[first:] + letters[:first], strict=True
        ):
            found = reader.unseal(letter, plain.view)
            assert found.body == plain.body
            assert (found.seed is None) == (plain.seed is None)


def test_each_recipient_has_a_channel_and_an_opening_of_its_own() -> None:
    trio = Trio()
    letter = trio.sealed(reveal(b"output", "bob", "carlos"))
    assert len({slot.open for slot in letter.slots}) == 2
    exchanged = tuple(
        slot.model_copy(update={"open": other.open})
        for slot, other in zip(letter.slots, reversed(letter.slots), strict=True)
    )
    for name in ("bob", "carlos"):
        refused(trio, replace(letter, slots=exchanged), name)


def test_the_recipient_keeps_the_channel_that_was_opened_first() -> None:
    trio = Trio()
    twice = Seal(SESSION, "alice", seed_of("another"), random.Random(1).randbytes)
    trio.seals["bob"].unseal(trio.sealed(correlate(b"points")), b"")
    trio.seals["alice"], first = twice, trio.seals["alice"]
    refused(trio, trio.sealed(share(seed_of("share"))))
    trio.seals["alice"] = first
    later = trio.sealed(reveal(b"output", "bob", opened=frozenset({"bob"})))
    assert trio.seals["bob"].unseal(later, VIEW).body == b"output"


def test_a_letter_can_open_the_channel_for_one_and_use_it_for_the_other() -> None:
    trio = Trio()
    trio.seals["bob"].unseal(trio.sealed(share(seed_of("share"))), VIEW)
    letter = trio.sealed(reveal(b"output", "bob", "carlos", opened=frozenset({"bob"})))
    assert [slot.open is None for slot in letter.slots] == [True, False]
    assert {trio.seals[name].unseal(letter, VIEW).body for name in ("bob", "carlos")} == {b"output"}


def test_the_same_seed_gives_the_same_key_and_the_same_boxes_after_a_restart() -> None:
    before, after = Trio(), Trio()
    assert before.key("alice") == after.key("alice")
    one, other = (trio.sealed(share(seed_of("share"))) for trio in (before, after))
    assert one.slots[0].box == other.slots[0].box
    assert after.seals["bob"].unseal(one, VIEW).seed is not None


def test_no_two_slots_share_a_key() -> None:
    trio, seed = Trio(), seed_of("share")
    plain = share(seed)
    letters = [plain, replace(plain, step=Step.REVEAL), replace(plain, to="all")]
    letters += [replace(plain, step=Step.CORRELATE, round=number) for number in (1, 2, 12)]
    boxes = [
        trio.sealed(replace(letter, view=view), sender).slots[0].box
        for sender in ("alice", "carlos")
        for view in (VIEW, flipped(VIEW), b"")
        for letter in letters
    ]
    boxes.append(trio.sealed(share(seed, to="carlos")).slots[0].box)
    assert len(set(boxes)) == len(boxes) == 37


# -- hostile keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [b"\xff" * 1216, bytes(1216)], ids=["no ML-KEM key", "low-order X25519 key"])
def test_a_join_with_a_key_that_is_none_does_not_bring_the_others_down(key: bytes) -> None:
    """One member's signed nonsense must end in an abort or be left out: no exception may leave a node."""
    network = Network({name: {"raise": "10"} for name in ("alice", "bob", "mallory")})
    forge = Post("mallory", network.keys["mallory"], "sotto")

    def tamper(_to: str, sent: Publication) -> list[Publication]:
        if "/join/mallory/" not in sent.topic:
            return [sent]
        part = parse(sent.payload)
        body = Join.decode(part.body).model_copy(update={"sealing_key": key}).encode()
        header = part.header
        (other,) = forge.plain(header.session, header.step, header.to, body)
        return [forge.publication(header.session, other)]

    network.tamper = tamper
    session = network.announce(network.spec(Sum()))
    network.run()
    outcomes = network.outcomes(session, ("alice", "bob"))
    assert all(outcome.state in OVER and outcome.answer is None for outcome in outcomes.values())
    network.close()
