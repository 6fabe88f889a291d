"""A letter arrives whole and unaltered, in whatever order its parts come, or it does not arrive."""

import itertools
import random
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol import letters
from protocol.letters import PART_BYTES, Assembler, Header, Letter, Part, Slot, cut, frame, parse
from protocol.messages import IN_ROUNDS, SEALED, MalformedError, Step
from tests.support.sessions import make_part, repeatable

SESSION = "5e" * 32
SLOT = Slot(to="bob", open=None, box=bytes(48))
few = settings(repeatable, max_examples=40)


def header(**fields: object) -> Header:
    given_fields = {"session": SESSION, "step": Step.JOIN, "sender": "alice", "to": "all"} | fields
    return Header.model_validate(given_fields)


def plain(body: bytes = b"", part: int = 0, parts: int = 1, sender: str = "alice") -> Part:
    return make_part(SESSION, Step.RESULT, sender, body=body, part=part, parts=parts)


def whole(*bodies: bytes) -> list[Part]:
    return [plain(body, index, len(bodies)) for index, body in enumerate(bodies)]


def assembled(parts: list[Part]) -> list[Letter]:
    """The letters that come out; the conflicts are asked for first, as a mailbox does."""
    assembler, found = Assembler(), []
    for part in parts:
        assert not assembler.conflicts(part)
        if letter := assembler.add(part):
            found.append(letter)
        assert assembler.knows(part)
    return found


# -- framing -----------------------------------------------------------------------------------------


@repeatable
@given(st.binary(max_size=200), st.binary(min_size=64, max_size=64))
def test_a_part_survives_its_framing(body: bytes, signature: bytes) -> None:
    raw = header().encode()
    part = parse(frame(raw, body, signature))
    assert (part.header, part.body, part.signature) == (header(), body, signature)
    assert part.digest == letters.letter_digest(raw, body)


def test_a_part_cut_short_within_its_header_is_malformed() -> None:
    raw = header().encode()
    payload = frame(raw, b"", bytes(64))
    for size in range(len(payload)):
        with pytest.raises(MalformedError):
            parse(payload[:size])


def test_a_body_cut_short_or_longer_has_another_digest() -> None:
    payload = frame(header().encode(), b"a body", bytes(64))
    digests = {parse(payload[: len(payload) - short]).digest for short in range(7)}
    digests.add(parse(payload + b"\x00").digest)
    assert len(digests) == 8


@repeatable
@given(st.binary(max_size=400))
@example(bytes(68))
@example(bytes(64) + b"\xff\xff\xff\xff")
@example(bytes(64) + b"\x00\x00\x00\x02{}")
def test_noise_is_malformed_and_nothing_worse(payload: bytes) -> None:
    with pytest.raises(MalformedError):
        parse(payload)


@repeatable
@given(st.integers(64, 400), st.integers(1, 255))
def test_every_altered_byte_is_noticed_by_the_digest_or_the_codec(at: int, change: int) -> None:
    payload = bytearray(frame(header().encode(), b"body" * 10, bytes(64)))
    original = parse(bytes(payload))
    payload[64 + (at - 64) % (len(payload) - 64)] ^= change
    with suppress(MalformedError):
        assert parse(bytes(payload)).digest != original.digest


def test_header_and_body_cannot_be_told_apart_differently() -> None:
    assert letters.letter_digest(b"ab", b"c") != letters.letter_digest(b"a", b"bc")


def test_a_body_over_the_limit_is_refused() -> None:
    assert len(parse(frame(header().encode(), bytes(PART_BYTES), bytes(64))).body) == PART_BYTES
    with pytest.raises(MalformedError, match=f"{PART_BYTES + 1} bytes, at most {PART_BYTES}"):
        parse(frame(header().encode(), bytes(PART_BYTES + 1), bytes(64)))


@pytest.mark.parametrize(
    "fields",
    [
        {"part": 1},
        {"part": 2, "parts": 2},
        {"part": -1},
        {"parts": 0},
        {"parts": letters.MOST_PARTS + 1},
        {"slots": (SLOT,)},
        {"step": Step.SHARE, "to": "bob"},
        {"step": Step.SHARE, "to": "bob", "part": 1, "parts": 2, "slots": (SLOT,)},
        {"round": 1},
        {"step": Step.MASKED},
        {"step": Step.MASKED, "round": 256},
        {"step": Step.MASKED, "round": -1},
        {"step": Step.MASKED, "round": True},
        {"step": Step.OPENED, "round": 0},
        {"step": Step.CORRELATE, "to": "bob", "slots": (SLOT,)},
        {"step": Step.CORRELATE, "to": "bob", "round": 1},
        {"step": Step.MASKED, "round": 1, "slots": (SLOT,)},
        {"session": "5E" * 32},
        {"session": "5e" * 31},
        {"session": "5e" * 32 + "\n"},
        {"to": "Bob"},
        {"to": "bob/#"},
        {"to": "+"},
        {"sender": "all"},
        {"sender": "a" * 33},
        {"sender": ""},
    ],
)
def test_headers_that_cannot_be_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        header(**fields)


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("round_", [0, 1, 9, 10, 255])
def test_a_round_is_0_exactly_where_the_step_has_none(step: Step, round_: int) -> None:
    fields = {"step": step, "round": round_, "slots": (SLOT,) if step in SEALED else ()}
    if bool(round_) != (step in IN_ROUNDS):
        with pytest.raises(ValueError, match=f"round {round_} of {step}"):
            header(**fields)
        return
    found = header(**fields)
    assert Header.decode(found.encode()) == found
    assert found.stage == (f"{step}-{round_}" if step in IN_ROUNDS else step)


def test_a_header_always_writes_its_round() -> None:
    for given_header in (header(), header(step=Step.MASKED, round=7)):
        raw = given_header.encode()
        number = b'"round":%d,' % given_header.round
        assert raw.count(number) == 1
        with pytest.raises(MalformedError):
            Header.decode(raw.replace(number, b""))


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES])
def test_a_cut_body_is_whole_again(size: int) -> None:
    body = random.Random(0).randbytes(size)
    pieces = list(cut(body))
    assert b"".join(pieces) == body
    assert len(pieces) == max(1, -(-size // PART_BYTES))
    assert all(len(piece) <= PART_BYTES for piece in pieces)


# -- assembling --------------------------------------------------------------------------------------


@few
@given(st.lists(st.binary(max_size=5), min_size=1, max_size=5), st.data())
def test_parts_come_in_any_order_and_any_number_of_times(bodies: list[bytes], data: st.DataObject) -> None:
    parts = whole(*bodies)
    again = data.draw(st.lists(st.sampled_from(parts), max_size=8))
    (letter,) = assembled(data.draw(st.permutations(parts + again)))
    assert letter.chunks == tuple(bodies)
    assert letter.body == b"".join(bodies)
    assert letter == assembled(parts)[0], "with the same digest"
    assert (letter.session, letter.step, letter.sender, letter.to) == (SESSION, Step.RESULT, "alice", "all")


def test_the_slots_of_the_first_part_are_the_letters() -> None:
    first = make_part(SESSION, Step.SHARE, "alice", "bob", b"1", (SLOT,), 0, 2)
    second = make_part(SESSION, Step.SHARE, "alice", "bob", b"2", (), 1, 2)
    for order in itertools.permutations([first, second]):
        assert assembled(list(order))[0].slots == (SLOT,)


def test_letters_under_other_addresses_do_not_mix() -> None:
    one, other = plain(b"1", 0, 2, "alice"), plain(b"2", 1, 2, "bob")
    assert assembled([one, other]) == []


def test_the_parts_of_two_rounds_do_not_mix() -> None:
    def correlate(number: int, part: int) -> Part:
        slots, body = () if part else (SLOT,), b"%d.%d" % (number, part)
        return make_part(SESSION, Step.CORRELATE, "alice", "bob", body, slots, part, 2, number)

    assert assembled([correlate(1, 0), correlate(2, 1)]) == []
    found = assembled([correlate(1, 0), correlate(2, 1), correlate(2, 0), correlate(1, 1)])
    assert [(each.round, each.stage, each.body) for each in found] == [
        (2, "correlate-2", b"2.02.1"),
        (1, "correlate-1", b"1.01.1"),
    ]


def test_digests_of_letters_differ_with_any_part() -> None:
    bodies = [(b"1", b"2"), (b"1", b"3"), (b"12",), (b"2", b"1")]
    assert len({assembled(whole(*each))[0].digest for each in bodies}) == len(bodies)


@pytest.mark.parametrize("complete", [False, True])
def test_another_part_under_the_same_address_conflicts(complete: bool) -> None:
    assembler = Assembler()
    first, second = whole(b"1", b"2")
    assembler.add(first)
    if complete:
        assembler.add(second)
    other = plain(b"not 1", 0, 2)
    assert assembler.conflicts(other)
    assert not assembler.knows(other)
    assert not assembler.conflicts(first)


@pytest.mark.parametrize("other", [plain(b"2", 1, 3), plain(b"3", 2, 3)])
def test_another_number_of_parts_conflicts_with_an_unfinished_letter(other: Part) -> None:
    assembler = Assembler()
    assembler.add(plain(b"1", 0, 2))
    assert assembler.conflicts(other)


@pytest.mark.parametrize("other", [plain(b"2", 1, 2), plain(b"3", 2, 3)])
def test_another_number_of_parts_conflicts_with_a_finished_letter_too(other: Part) -> None:
    """Whether a contradiction is noticed must not hang on which of the two came first."""
    assembler = Assembler()
    assert assembler.add(plain(b"1", 0, 1)) is not None
    assert assembler.conflicts(other)
