"""A spec is one question among certain parties at a certain time; its id is the hash of its bytes."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.functionalities.sum import Sum
from protocol.messages import MalformedError
from protocol.spec import SessionSpec, session_id
from tests.support.sessions import NOW, PARTIES, make_spec, repeatable


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"inputs": ("alice", "alice")}, "a party is named twice in one role"),
        ({"compute": ("alice", "bob", "alice")}, "a party is named twice in one role"),
        ({"results": ("bob", "bob")}, "a party is named twice in one role"),
        ({"members": {}}, "members are exactly the parties that have a role"),
        ({"members": {name: bytes(32) for name in (*PARTIES, "eve")}}, "members are exactly"),
        ({"members": {name: bytes(31) for name in PARTIES}}, "at least 32 bytes"),
        ({"members": {name: bytes(33) for name in PARTIES}}, "at most 32 bytes"),
        ({"compute": ("alice",)}, "at least 2 items"),
        ({"min_inputs": 5}, "min_inputs 5 is more than the 4 input parties"),
        ({"min_inputs": 0}, "greater than or equal to 1"),
        ({"join_by": NOW}, "the times are not in order"),
        ({"share_by": NOW + 999}, "the times are not in order"),
        ({"close_by": NOW + 1999}, "the times are not in order"),
        ({"created": -1}, "greater than or equal to 0"),
        ({"close_by": 2**53}, "less than"),
        ({"nonce": bytes(15)}, "at least 16 bytes"),
        ({"nonce": bytes(17)}, "at most 16 bytes"),
        ({"input": "a b"}, "pattern"),
        ({"input": "../x"}, "pattern"),
        ({"input": ""}, "pattern"),
        ({"input": "x\n"}, "pattern"),
        ({"input": "x" * 65}, "pattern"),
        ({"coordinator": "all"}, "a name has 1 to 32"),
        ({"surplus": 1}, "extra inputs"),
        ({"function": {"name": "code"}}, "does not match any of the expected tags"),
        ({"function": {"name": "sum", "surplus": 1}}, "extra inputs"),
    ],
)
def test_a_spec_that_cannot_be_is_refused_with_what_is_wrong(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=f"(?i){problem}"):
        make_spec(**fields)  # type: ignore[arg-type]  # one field of several types at a time


@pytest.mark.parametrize("role", ["inputs", "results"])
def test_nobody_is_no_role(role: str) -> None:
    fields = make_spec().model_dump() | {role: ()}
    with pytest.raises(ValueError, match=f"{role}\\n  Tuple should have at least 1 item"):
        SessionSpec.model_validate(fields)


def test_times_may_coincide_but_for_the_first() -> None:
    spec = make_spec(join_by=NOW + 1, share_by=NOW + 1, close_by=NOW + 1)
    assert spec.join_by == spec.close_by


@pytest.mark.parametrize("inputs", [2, 4])
def test_a_question_whose_sum_could_leave_the_ring_is_refused(inputs: int) -> None:
    bound = Decimal((2**63 - 1) // inputs)
    named = PARTIES[:inputs]
    make_spec(Sum(lower=-bound, upper=bound, decimals=0), named)
    with pytest.raises(ValueError, match=f"{inputs} inputs within"):
        make_spec(Sum(lower=-bound, upper=bound + 1, decimals=0), named)


def test_the_first_compute_party_leads_and_input_parties_can_be_spared() -> None:
    spec = make_spec(inputs=("alice", "bob"), compute=("carlos", "david"), results=("erin", "carlos"))
    assert spec.leader == "carlos"
    assert spec.needed == ("carlos", "david", "erin")


@pytest.mark.parametrize(
    ("spec", "to_all"),
    [
        (make_spec(), True),
        (make_spec(results=("alice", "bob")), False),
        (make_spec(results=(*PARTIES, "coordinator")), True),
        (make_spec(inputs=("alice", "bob"), compute=("carlos", "david"), results=("erin",)), False),
    ],
)
def test_reveals_go_to_all_where_every_member_learns_the_answer(spec: SessionSpec, to_all: bool) -> None:
    assert spec.reveal_to_all is to_all


@repeatable
@given(st.data())
def test_every_byte_of_a_spec_counts_for_its_id(data: st.DataObject) -> None:
    raw = bytearray(make_spec().encode())
    before = session_id(bytes(raw))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    assert session_id(bytes(raw)) != before
    assert len(before) == 64


def test_two_like_questions_are_two_sessions() -> None:
    ids = {session_id(make_spec(nonce=bytes([number]) * 16).encode()) for number in range(3)}
    assert len(ids) == 3


def test_a_spec_that_arrives_is_held_to_the_same_rules() -> None:
    raw = make_spec(min_inputs=4).encode()
    with pytest.raises(MalformedError, match="min_inputs 5 is more than"):
        SessionSpec.decode(raw.replace(b'"min_inputs":4', b'"min_inputs":5'))
