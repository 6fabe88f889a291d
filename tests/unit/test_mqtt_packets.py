"""The tests' own MQTT codec reads what it writes, and a lying broker's operations do what they say."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.broker_faults import (
    Alter,
    Delay,
    Double,
    Drop,
    Freeze,
    Hold,
    Letter,
    Liar,
    Lies,
    Operation,
    Reorder,
    Replay,
    Swap,
    ToOnly,
    Way,
    generate,
)
from tests.support.mqtt_packets import (
    CONNECT,
    V5,
    MalformedPacketError,
    Packet,
    Publish,
    level,
    read,
    with_user_name,
)

LEVELS = (4, V5)


async def parsed(raw: bytes) -> Packet | None:
    reader = asyncio.StreamReader()
    reader.feed_data(raw)
    reader.feed_eof()
    return await read(reader)


publishes = st.builds(
    Publish,
    topic=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    payload=st.binary(max_size=300) | st.integers(16_000, 17_000).map(bytes),
    qos=st.just(1),
    retain=st.booleans(),
    dup=st.booleans(),
    packet_id=st.integers(1, 65535),
)


@given(publish=publishes, version=st.sampled_from(LEVELS), properties=st.binary(max_size=200))
def test_a_publish_is_read_as_it_was_written(publish: Publish, version: int, properties: bytes) -> None:
    if version == V5:
        publish = Publish(**{**vars(publish), "properties": properties})
    packet = asyncio.run(parsed(publish.encode(version)))
    assert packet is not None
    assert Publish.decode(packet, version) == publish
    assert packet.encode() == publish.encode(version)


def test_a_publish_is_what_the_standard_shows() -> None:
    assert Publish("a/b", b"\x00", retain=True).encode(V5).hex() == "3107" + "0003" + "612f62" + "00" + "00"
    assert (
        Publish("a/b", b"\x00", qos=1, packet_id=10).encode(4).hex() == "3208" + "0003612f62" + "000a" + "00"
    )


@pytest.mark.parametrize("raw", ["30ffffffff7f", "3005ffff612f62", "32040002", "30020000"])
async def test_what_is_no_packet_is_refused(raw: str) -> None:
    with pytest.raises((MalformedPacketError, asyncio.IncompleteReadError)):
        Publish.decode(await parsed(bytes.fromhex(raw)) or Packet(0, b""), V5)


@pytest.mark.parametrize("version", LEVELS)
def test_a_connect_gets_a_user_name_behind_everything_else(version: int) -> None:
    properties = b"\x00" if version == V5 else b""
    head = b"\x00\x04MQTT" + bytes([version])
    connect = Packet(CONNECT << 4, head + b"\x02\x00\x3c" + properties + b"\x00\x02id")
    named = with_user_name(connect, "alice")
    assert level(named) == version
    assert named.body == head + b"\x82\x00\x3c" + properties + b"\x00\x02id\x00\x05alice"
    with pytest.raises(MalformedPacketError):
        with_user_name(named, "bob")


# -- lies ------------------------------------------------------------------------------------------------


def letter(step: str, sender: str, payload: bytes = b"", *, reader: str = "bob", way: Way = "down") -> Letter:
    return Letter(way, reader, 1, Publish(f"sotto/1/session/5e/{step}/{sender}/all/0", payload))


def told(operations: tuple[Operation, ...], *letters: Letter, old: tuple[Letter, ...] = ()) -> list[bytes]:
    liar = Liar(Lies(7, operations), old)
    return [each.payload for one in letters for _, each in liar.take(one)]


ONE, TWO, THREE = (letter("share", name, name.encode()) for name in ("alice", "carlos", "david"))


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (Drop(sender="alice"), [b"carlos", b"david"]),
        (Drop(step="join"), [b"alice", b"carlos", b"david"]),
        (Drop(reader="alice"), [b"alice", b"carlos", b"david"]),
        (Double(sender="alice"), [b"alice", b"alice", b"carlos", b"david"]),
        (Swap(sender="carlos"), [b"alice", b"alice", b"david"]),
        (ToOnly(sender="carlos", reader="bob", payload=b"x"), [b"alice", b"x", b"david"]),
        (Hold(sender="alice"), [b"carlos", b"david"]),
        (Freeze(sender="alice", heard=True), [b"alice"]),
        (Freeze(sender="alice"), [b"alice", b"carlos", b"david"]),
    ],
    ids=repr,
)
def test_each_operation_does_what_it_says(operation: Operation, expected: list[bytes]) -> None:
    assert told((operation,), ONE, TWO, THREE) == expected


def test_what_is_held_comes_after_the_step_it_waits_for_or_when_it_is_let_go() -> None:
    liar = Liar(Lies(0, (Hold(step="share", until="request"), Hold(step="join"))))
    assert liar.take(ONE) == liar.take(letter("join", "alice")) == []
    request = letter("request", "bob", way="up")
    assert [each for _, each in liar.take(request)] == [request, ONE]
    assert [each.payload for _, each in liar.release(ToOnly(step="join", payload=b"other"))] == [b"other"]


def test_earlier_letters_come_again_under_the_name_that_is_wanted() -> None:
    old = Letter("down", "bob", 9, Publish("sotto/1/session/01d/join/carlos/all/0", b"old", retain=True))
    liar = Liar(Lies(0, (Replay(old=True, relabelled=True),)), [old])
    (_, first), (_, again) = liar.take(ONE)
    assert (first, again.payload, again.connection) == (ONE, b"old", ONE.connection)
    assert again.publish.topic == "sotto/1/session/5e/join/carlos/all/0"


def test_reordered_letters_are_the_same_letters() -> None:
    letters = [letter("share", "alice", bytes([number])) for number in range(8)]
    seen = told((Reorder(window=8),), *letters)
    assert seen != [each.payload for each in letters]
    assert sorted(seen) == [each.payload for each in letters]
    liar = Liar(Lies(0, (Reorder(window=8),)))
    assert liar.take(ONE) == []
    assert (liar.shuffling, liar.shuffled(), liar.shuffling) == (True, [(0, ONE)], False)


def test_late_letters_are_late_and_altered_ones_differ_in_one_bit() -> None:
    liar = Liar(Lies(0, (Delay(ms=50), Alter())))
    ((late, altered),) = liar.take(ONE)
    assert 0 <= late <= 50
    difference = int.from_bytes(altered.payload, "big") ^ int.from_bytes(ONE.payload, "big")
    assert difference.bit_count() == 1


@pytest.mark.parametrize("seed", range(20))
def test_lies_can_be_pasted_and_come_true_again(seed: int) -> None:
    lies = generate(seed)
    assert eval(repr(lies)) == lies
    letters = [letter("share", "alice", bytes([number])) for number in range(50)]
    assert told(lies.operations, *letters, old=(ONE,)) == told(lies.operations, *letters, old=(ONE,))
