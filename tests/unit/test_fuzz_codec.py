"""Any bytes at the codec: malformed, or the one spelling of what was read; nothing else is ever raised.

Whatever is valid is taken from real letters; its mutations are made of its tokens, where a parser goes wrong.
"""

from __future__ import annotations

import json
import re
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from party_node.post import Publication
from protocol.letters import PART_BYTES, frame, parse
from protocol.messages import MalformedError
from protocol.spec import SessionSpec, session_id
from tests.fuzz import corpus, oracles
from tests.support.sessions import repeatable

some = settings(repeatable, max_examples=150)
few = settings(repeatable, max_examples=60)

TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9.eE+-]+|true|false|null|[{}\[\],:]')
# Numbers, strings and structure as other writers, and people who mean harm, spell them.
EVIL = (
    *(b"1.0", b"1e0", b"1E400", b"-0", b"+1", b"01", b"0x1", b".5", b"1.", b"NaN", b"Infinity", b"-1"),
    *(b"9" * 30, b"9" * 5000, b"1" + b"0" * 400, b"18446744073709551616", b"-9223372036854775809"),
    *(
        b"null",
        b"true",
        b"false",
        b'""',
        b'" "',
        b'"\\u0000"',
        b'"\\ud800"',
        b'"\\u00e9"',
        b'"\xc3\xa9"',
        b'"\xff"',
    ),
    *(b'"\xed\xa0\x80"', b'"\\/"', b'"all"', b'"Alice"', b'"' + b"a" * 3000 + b'"', b'"\xe2\x80\xae"'),
    *(b"[]", b"{}", b"[" * 2000, b"[" * 500 + b"]" * 500, b'{"a":' * 500 + b"1" + b"}" * 500),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b",,",
        b" ",
        b"\n",
        b"\t",
        b"\x00",
        b"\xef\xbb\xbf",
        b"//",
        b"/**/",
    ),
)


@cache
def payloads() -> list[bytes]:
    """Every letter of a few sessions."""
    return sorted({each.payload for each in corpus.letters()})


@cache
def encodings() -> list[tuple[int, bytes]]:
    """The number of each kind, and a statement of it, as it was sent."""
    seeds = {seed for seed in corpus.statements() if oracles.statement(oracles.KINDS[seed[0]], seed[1:])}
    assert {seed[0] for seed in seeds} == set(range(len(oracles.KINDS))), "every kind is among them"
    return sorted((seed[0], seed[1:]) for seed in seeds)


valid = st.deferred(lambda: st.sampled_from(encodings()))
whole = st.deferred(lambda: st.sampled_from(payloads()))


@st.composite
def flipped(draw: st.DrawFn, raw: bytes) -> bytes:
    """A few bytes are others, gone or new; often the end is missing."""
    found = bytearray(raw)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(found) - 1)))
        match draw(st.sampled_from(["change", "drop", "insert", "cut"])):
            case "change" if found:
                found[at] = draw(st.integers(0, 255))
            case "drop":
                del found[at : at + draw(st.integers(1, 8))]
            case "insert":
                found[at:at] = draw(st.binary(min_size=1, max_size=8))
            case _:
                del found[at:]
    return bytes(found)


@st.composite
def respelt(draw: st.DrawFn, raw: bytes) -> bytes:
    """Tokens of a JSON text are others, gone, doubled, swapped or wrapped."""
    tokens = TOKEN.findall(raw)
    assert b"".join(tokens) == raw, "canonical JSON is all tokens"
    for _ in range(draw(st.integers(1, 3))):
        at, other = (draw(st.integers(0, len(tokens) - 1)) for _ in range(2))
        match draw(st.sampled_from(["replace", "insert", "drop", "double", "swap", "repeat a field"])):
            case "replace":
                tokens[at] = draw(st.sampled_from(EVIL))
            case "insert":
                tokens.insert(at, draw(st.sampled_from(EVIL)))
            case "drop" if len(tokens) > 1:
                del tokens[at]
            case "double":
                tokens.insert(at, tokens[at])
            case "swap":
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case _:
                tokens[1:1] = [*tokens[1:4], b","]
    return b"".join(tokens)


# -- statements --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", oracles.KINDS, ids=lambda kind: kind.__name__)
@few
@given(raw=st.binary(max_size=200) | st.text(max_size=60).map(str.encode) | st.sampled_from(EVIL))
@example(raw=b"")
@example(raw=b"[" * 100_000)
def test_any_bytes_are_malformed_or_a_statement(kind: type, raw: bytes) -> None:
    oracles.statement(kind, raw)


@some
@given(valid, st.data())
def test_a_statement_with_other_bytes_is_malformed_or_another_one(
    found: tuple[int, bytes], data: st.DataObject
) -> None:
    number, raw = found
    oracles.statement(oracles.KINDS[number], data.draw(flipped(raw)))


@settings(repeatable, max_examples=400)
@given(valid, st.data())
def test_a_statement_with_other_tokens_is_malformed_or_another_one(
    found: tuple[int, bytes], data: st.DataObject
) -> None:
    number, raw = found
    changed = data.draw(respelt(raw))
    statement = oracles.statement(oracles.KINDS[number], changed)
    try:
        same = json.loads(changed) == json.loads(raw)
    except (ValueError, RecursionError):
        return
    assert not (same and statement and changed != raw), "one statement has two spellings"


@some
@given(valid, st.sampled_from(oracles.KINDS))
def test_a_statement_is_of_one_kind(found: tuple[int, bytes], kind: type) -> None:
    """Empty ones apart, what one kind is made of is not what another is made of."""
    number, raw = found
    statement = oracles.statement(kind, raw)
    assert (statement is None) == (kind is not oracles.KINDS[number])


@few
@given(valid, st.data())
def test_the_id_of_a_session_fixes_every_byte_of_its_spec(
    found: tuple[int, bytes], data: st.DataObject
) -> None:
    number, raw = found
    changed = data.draw(respelt(raw) | flipped(raw))
    if oracles.KINDS[number] is SessionSpec and changed != raw:
        assert session_id(changed) != session_id(raw)


# -- payloads ----------------------------------------------------------------------------------------


@some
@given(st.binary(max_size=300))
def test_any_payload_is_malformed_or_a_part(payload: bytes) -> None:
    oracles.letter(payload)


@some
@given(whole, st.data())
def test_a_payload_with_other_bytes_is_malformed_or_another_part(payload: bytes, data: st.DataObject) -> None:
    oracles.letter(data.draw(flipped(payload)))


def test_every_truncation_is_malformed_or_has_another_digest() -> None:
    """A shorter body is a part too; but not the one that was signed."""
    for payload in payloads():
        whole_part = parse(payload)
        start = len(payload) - len(whole_part.body)
        for length in {*range(70), *range(start - 3, min(start + 50, len(payload))), len(payload) - 1}:
            part = oracles.letter(payload[:length])
            assert part is None or part.digest != whole_part.digest


@some
@given(whole, st.data())
def test_a_header_with_other_tokens_is_malformed_or_another_one(payload: bytes, data: st.DataObject) -> None:
    part = parse(payload)
    header = data.draw(respelt(part.header.encode()))
    found = oracles.letter(frame(header, part.body, part.signature))
    assert found is None or (found.digest == part.digest) == (header == part.header.encode())


@few
@given(whole, st.integers(0, 2**32 - 1))
def test_a_header_of_another_length_is_malformed(payload: bytes, length: int) -> None:
    part = parse(payload)
    changed = payload[:64] + length.to_bytes(4, "big") + payload[68:]
    assert (oracles.letter(changed) is None) == (length != len(part.header.encode()))


@pytest.mark.parametrize("surplus", [1, 1000])
def test_a_body_above_the_limit_is_malformed(surplus: int) -> None:
    part = parse(payloads()[0])
    with pytest.raises(MalformedError, match="at most 1048576 are allowed"):
        parse(frame(part.header.encode(), bytes(PART_BYTES + surplus), bytes(64)))


# -- topics ------------------------------------------------------------------------------------------

levels = st.sampled_from(
    ["", "all", "compute", "alice", "bob", "0", "1", "share", "masked-3", "..", "+", "#"]
)
topics = st.text(max_size=60) | st.lists(levels | st.text(max_size=8), max_size=12).map("/".join)


@some
@given(topics, st.binary(max_size=80) | whole)
def test_any_topic_is_malformed_or_the_letters_own(topic: str, payload: bytes) -> None:
    oracles.posted(topic, payload)


@some
@given(st.deferred(lambda: st.sampled_from(corpus.letters())), st.integers(0, 7), levels)
def test_a_topic_with_another_level_is_malformed_unless_it_asks_for_it(
    sent: Publication, at: int, level: str
) -> None:
    """Of a letter to many, the reader may have asked for itself; an announcement anybody may pass on."""
    parts = sent.topic.split("/")
    changed = "/".join([*parts[:at], level, *parts[at + 1 :]])
    found = oracles.posted(changed, sent.payload)
    if changed != sent.topic and parts[4] != "announce" and not (at == 6 and level == oracles.READER):
        assert found is None


# -- files -------------------------------------------------------------------------------------------


@few
@given(
    st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_any_file_is_a_config_error_or_a_configuration(text: bytes) -> None:
    oracles.toml(text)


@cache
def files() -> list[bytes]:
    return list(corpus.toml())


VALUES = (
    "1",
    "-1",
    "1e9",
    "nan",
    "true",
    '""',
    '"a\\u0000b"',
    "[]",
    "[1, 'x']",
    "{}",
    "1979-05-27",
    "'\\'",
    '"' + "x" * 300 + '"',
)


@some
@given(st.deferred(lambda: st.sampled_from(files())), st.data())
def test_a_file_with_another_value_or_line_is_a_config_error_or_a_configuration(
    text: bytes, data: st.DataObject
) -> None:
    lines = text.decode().splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    key, equals, _ = lines[at].partition("=")
    value = data.draw(st.sampled_from(VALUES))
    lines[at] = f"{key}= {value}" if equals else value
    oracles.toml("\n".join(lines).encode())


@few
@given(st.deferred(lambda: st.sampled_from(files())), st.data())
def test_a_damaged_file_is_a_config_error_or_a_configuration(text: bytes, data: st.DataObject) -> None:
    oracles.toml(data.draw(flipped(text)))


def test_every_commented_configuration_is_one() -> None:
    assert all(oracles.toml(text) for text in files()[:-1])
