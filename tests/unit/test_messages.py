"""A statement has one spelling: whatever else says the same is refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from protocol import messages, ring
from protocol.functionalities.average import Average
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.letters import Header
from protocol.messages import MalformedError, Statement, Step
from protocol.spec import SessionSpec
from tests.support.sessions import make_spec, repeatable, sealing_key

digests = st.binary(min_size=32, max_size=32)
names = st.from_regex(r"[a-z][a-z0-9-]{0,5}", fullmatch=True).filter(
    lambda name: name not in ("all", "compute")
)
lists = st.lists(names, max_size=4).map(tuple)
shapes = st.one_of(st.just(()), st.tuples(st.integers(1, ring.MOST_ELEMENTS)))
keys = st.sampled_from(["alice", "bob"]).map(sealing_key)
offers = st.none() | st.binary(min_size=32, max_size=32)
setup_ids = st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=4).map(tuple)
stages = st.builds(
    lambda step, round_: messages.stage(step, round_ if step in messages.IN_ROUNDS else 0),
    st.sampled_from(Step),
    st.integers(1, messages.MOST_ROUNDS),
)
functions = st.sampled_from(
    [
        Sum(),
        Average(decimals=0),
        Sum.model_validate_json('{"upper":"1.5E+3"}'),
        Referendum(threshold="2/3"),
        Referendum(threshold="4"),
    ]
)
STRATEGIES: dict[type[Statement], SearchStrategy[Statement]] = {
    messages.Join: st.builds(
        messages.Join,
        sealing_key=keys,
        shape=st.none() | shapes,
        offer=offers,
        setups=st.dictionaries(names, setup_ids, max_size=3),
    ),
    messages.Refuse: st.builds(
        messages.Refuse, code=st.sampled_from(messages.RefusalCode), words=st.text("ab ~", max_size=500)
    ),
    messages.Begin: st.builds(
        messages.Begin, joins=st.dictionaries(names, digests, max_size=4), shape=shapes
    ),
    messages.Received: st.builds(
        messages.Received, view=digests, inputs=lists, commitment=st.none() | digests
    ),
    messages.Masked: st.builds(messages.Masked, run=digests, bits=st.binary(max_size=24)),
    messages.Opened: st.builds(messages.Opened, run=digests, bits=st.binary(max_size=24)),
    messages.Commit: st.builds(
        messages.Commit, view=digests, inputs=lists, opened=st.none() | digests, commitment=digests
    ),
    messages.Confirm: st.builds(messages.Confirm, transcript=digests),
    messages.PublicResult: st.builds(messages.PublicResult, inputs=lists, elements=st.binary(max_size=24)),
    messages.Abort: st.builds(
        messages.Abort,
        reason=st.sampled_from(messages.AbortReason),
        detail=st.text('a "\\/~', max_size=20),
        silent=lists,
        culprit=st.none() | names,
    ),
    messages.Request: st.builds(
        messages.Request, steps=st.lists(stages, min_size=1, max_size=messages.MOST_STAGES).map(tuple)
    ),
    Header: st.builds(
        Header,
        session=st.just("ab" * 32),
        step=st.sampled_from(sorted(set(Step) - messages.SEALED - messages.IN_ROUNDS)),
        sender=names,
        to=names | st.sampled_from(["all", "compute"]),
    ),
    SessionSpec: st.builds(make_spec, functions, min_inputs=st.integers(1, 4), public=st.booleans()),
}
KINDS = pytest.mark.parametrize("kind", STRATEGIES, ids=lambda kind: kind.__name__)
VIEW = b"A" * 43 + b"="  # 32 zero bytes
SETUP = b"A" * 22 + b"=="  # 16 zero bytes
JOIN = b'{"sealing_key":"' + b"A" * 1621 + b'A==","shape":null,"offer":%s,"setups":%s}'
COMMIT = b'{"view":"' + VIEW + b'","inputs":[],"opened":%s,"commitment":"' + VIEW + b'"}'
few = settings(repeatable, max_examples=40)


def statements(data: st.DataObject, kind: type[Statement]) -> Statement:
    return data.draw(STRATEGIES[kind])


def refused(kind: type[Statement], raw: bytes) -> str:
    with pytest.raises(MalformedError) as caught:
        kind.decode(raw)
    assert caught.value.message.startswith(f"{kind.__name__.lower()}: ")
    return caught.value.message


def test_every_kind_of_statement_is_tried_here() -> None:
    kinds = {kind for kind in Statement.__subclasses__() if kind.__module__.startswith("protocol.")}
    assert kinds == set(STRATEGIES)


@KINDS
@few
@given(st.data())
def test_a_statement_survives_its_journey(kind: type[Statement], data: st.DataObject) -> None:
    statement = statements(data, kind)
    raw = statement.encode()
    again = kind.decode(raw)
    assert again == statement
    assert type(again) is type(statement)
    assert again.encode() == raw


@KINDS
@few
@given(st.data())
def test_other_spellings_are_refused(kind: type[Statement], data: st.DataObject) -> None:
    raw = statements(data, kind).encode()
    fields = json.loads(raw)
    first = next(iter(fields))
    value = json.dumps(fields[first], separators=(",", ":"), ensure_ascii=False).encode()
    key = f'"{first}":'.encode()
    spellings = {
        "unknown field": raw[:-1] + b',"surplus":1}',
        "leftover bytes": raw + b"{}",
        "leftover newline": raw + b"\n",
        "leading space": b" " + raw,
        "inner space": raw.replace(b'":', b'": ', 1),
        "escaped key": raw.replace(first.encode(), f"\\u{ord(first[0]):04x}{first[1:]}".encode(), 1),
        "repeated key": b"{" + key + value + b"," + raw[1:],
        "repeated key at the end": raw[:-1] + b"," + key + value + b"}",
        "byte order mark": b"\xef\xbb\xbf" + raw,
        "utf-16": raw.decode().encode("utf-16"),
        "cut short": raw[:-1],
    }
    for spelling in spellings.values():
        refused(kind, spelling)


@KINDS
@few
@given(st.data())
def test_a_field_in_another_place_or_gone_is_refused(kind: type[Statement], data: st.DataObject) -> None:
    fields = json.loads(statements(data, kind).encode())
    if len(fields) > 1:
        refused(kind, json.dumps(dict(reversed(fields.items())), separators=(",", ":")).encode())
    for name in fields:
        rest = {key: value for key, value in fields.items() if key != name}
        refused(kind, json.dumps(rest, separators=(",", ":"), ensure_ascii=False).encode())


@pytest.mark.parametrize("kind", [Header, SessionSpec])
@pytest.mark.parametrize("version", ["2", "0", "1.0", '"1"', "true", "null", "-1", "1e0", "01"])
@few
@given(st.data())
def test_another_version_is_refused(kind: type[Statement], version: str, data: st.DataObject) -> None:
    raw = statements(data, kind).encode()
    assert raw.startswith(b'{"version":1,')
    refused(kind, raw.replace(b'"version":1', b'"version":' + version.encode(), 1))


@KINDS
@repeatable
@given(st.data())
def test_altered_bytes_are_another_statement_or_none(kind: type[Statement], data: st.DataObject) -> None:
    raw = bytearray(statements(data, kind).encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        found = kind.decode(bytes(raw))
    except MalformedError:
        return
    assert found.encode() == bytes(raw)


@KINDS
@few
@given(st.binary(max_size=60))
def test_noise_is_malformed_and_nothing_worse(kind: type[Statement], raw: bytes) -> None:
    refused(kind, raw)


@KINDS
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"1",
        b'"x"',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 10_000,
        b'{"version":' + b"9" * 10_000 + b"}",
        b'"\\ud800"',
        b"\xff\xfe",
        b"NaN",
        b"\x00",
    ],
    ids=range(14),
)
def test_hostile_json_is_malformed_and_nothing_worse(kind: type[Statement], raw: bytes) -> None:
    refused(kind, raw)


@pytest.mark.parametrize(
    ("kind", "raw", "place"),
    [
        (messages.Refuse, b'{"code":"why"}', "code"),
        (messages.Confirm, b'{"transcript":"AAAA"}', "transcript"),
        (messages.Confirm, b'{"transcript":"' + b"-_" * 22 + b'="}', "transcript"),
        (messages.Received, b'{"view":"' + VIEW + b'","inputs":["Alice"],"commitment":null}', "inputs.0"),
        (messages.Received, b'{"view":"' + VIEW + b'","inputs":["all"],"commitment":null}', "inputs.0"),
        (messages.Received, b'{"view":"' + VIEW + b'","inputs":["a/b"],"commitment":null}', "inputs.0"),
        (messages.Received, b'{"view":"' + VIEW + b'","inputs":["a\\n"],"commitment":null}', "inputs.0"),
        (messages.Begin, b'{"joins":{},"shape":[0]}', "shape.0"),
        (messages.Begin, b'{"joins":{},"shape":[1,1]}', "shape"),
        (messages.Begin, b'{"joins":{},"shape":[4294967296]}', "shape.0"),
        (messages.Begin, b'{"joins":{},"shape":[1.0]}', "shape.0"),
        (messages.Begin, b'{"joins":{"compute":""},"shape":[]}', "joins.compute"),
        (messages.Request, b'{"steps":[]}', "steps"),
        (messages.Request, b'{"steps":["share","dance"]}', "steps.1"),
        (messages.Request, b'{"steps":["share-1"]}', "steps.0"),
        (messages.Request, b'{"steps":["masked"]}', "steps.0"),
        (messages.Request, b'{"steps":["masked-0"]}', "steps.0"),
        (messages.Request, b'{"steps":["masked-256"]}', "steps.0"),
        (messages.Request, b'{"steps":["masked-01"]}', "steps.0"),
        (messages.Request, b'{"steps":["masked-1","Opened-1"]}', "steps.1"),
        (messages.Request, b'{"steps":["masked-1 "]}', "steps.0"),
        (messages.Request, b'{"steps":["masked-1\\n"]}', "steps.0"),
        (messages.Request, b'{"steps":[' + b",".join([b'"join"'] * 33) + b"]}", "steps"),
        (messages.Join, JOIN % (b'"QUFB"', b"{}"), "offer"),
        (messages.Join, JOIN % (b'"' + VIEW[1:] + b'"', b"{}"), "offer"),
        (messages.Join, JOIN % (b"[]", b"{}"), "offer"),
        (messages.Join, JOIN % (b"null", b"null"), "setups"),
        (messages.Join, JOIN % (b"null", b'{"bob":[]}'), "setups.bob"),
        (messages.Join, JOIN % (b"null", b'{"bob":["QUFB"]}'), "setups.bob.0"),
        (messages.Join, JOIN % (b"null", b'{"all":["' + SETUP + b'"]}'), "setups.all"),
        (
            messages.Join,
            JOIN % (b"null", b'{"bob":[' + b",".join([b'"' + SETUP + b'"'] * 5) + b"]}"),
            "setups.bob",
        ),
        (messages.Masked, b'{"run":"AAAA","bits":""}', "run"),
        (messages.Masked, b'{"run":"' + VIEW + b'","bits":null}', "bits"),
        (messages.Opened, b'{"run":"' + VIEW + b'","bits":"#"}', "bits"),
        (messages.Commit, COMMIT % b'"AAAA"', "opened"),
        (messages.Abort, b'{"reason":"timeout","detail":"' + b"x" * 501 + b'"}', "detail"),
        (messages.Abort, b'{"reason":"timeout","detail":"\\u001b[2J","silent":[],"culprit":null}', "detail"),
        (messages.Abort, b'{"reason":"timeout","detail":"\\n","silent":[],"culprit":null}', "detail"),
    ],
)
def test_what_is_wrong_is_named(kind: type[Statement], raw: bytes, place: str) -> None:
    assert f": {place}" in refused(kind, raw)


def test_the_statements_of_rounds_are_right_but_for_what_was_wrong_above() -> None:
    assert messages.Join.decode(JOIN % (b'"' + VIEW + b'"', b'{"bob":["' + SETUP + b'"]}')).offer == bytes(32)
    assert messages.Commit.decode(COMMIT % b"null").opened is None
    asked = messages.Request.decode(b'{"steps":["masked-255","share","correlate-1"]}')
    assert asked.steps == ("masked-255", "share", "correlate-1")


@pytest.mark.parametrize("order", [("bob", "carlos"), ("carlos", "bob")])
def test_the_order_in_which_a_join_names_its_setups_is_part_of_its_bytes(order: tuple[str, ...]) -> None:
    setups: dict[str, tuple[bytes, ...]] = {name: (bytes(16), b"1" * 16) for name in order}
    join = messages.Join(sealing_key=sealing_key("alice"), shape=None, offer=bytes(32), setups=setups)
    assert list(messages.Join.decode(join.encode()).setups) == list(order)


def test_a_stage_is_a_step_with_its_round_if_it_has_one() -> None:
    assert messages.stage(Step.SHARE) == "share"
    assert messages.stage(Step.MASKED, 12) == "masked-12"
    stages = {messages.stage(step, round_) for step in messages.IN_ROUNDS for round_ in range(1, 256)}
    assert len(stages | {messages.stage(step) for step in Step}) == 3 * 255 + len(Step)


def test_base64_has_one_spelling_too() -> None:
    raw = messages.Confirm(transcript=b"\xff" * 32).encode()
    assert raw == b'{"transcript":"' + b"_" * 42 + b'8="}'
    for other in (b"_" * 42 + b"8", b"/" * 42 + b"8=", b"_" * 42 + b"9=", b"_" * 42 + b"8=="):
        refused(messages.Confirm, b'{"transcript":"' + other + b'"}')


def test_a_statement_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        messages.Confirm(transcript=bytes(32)).transcript = bytes(32)  # type: ignore[misc]  # the test's point
