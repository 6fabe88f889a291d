"""A commitment opens to one output share, of one party, over one set of inputs, in one view."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import opening
from protocol.messages import MalformedError
from protocol.ring import Ring
from tests.support.sessions import elements, flipped, repeatable, seed_of

VIEW, INPUTS = bytes(32), ("alice", "bob")
OUTPUT = elements([7, -8, 9])
RAW = opening.opening(seed_of("bob"), VIEW, INPUTS, OUTPUT)
COMMITMENT = opening.commit(VIEW, "bob", INPUTS, RAW)


def opened(
    commitment: bytes = COMMITMENT,
    view: bytes = VIEW,
    party: str = "bob",
    inputs: tuple[str, ...] = INPUTS,
    raw: bytes = RAW,
    shape: tuple[int, ...] = (3,),
) -> Ring:
    return opening.verify(commitment, view, party, inputs, raw, shape)


@repeatable
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=9), st.binary(max_size=9))
def test_what_was_committed_to_opens(values: list[int], view: bytes) -> None:
    output = elements(values)
    raw = opening.opening(seed_of("s"), view, INPUTS, output)
    commitment = opening.commit(view, "bob", INPUTS, raw)
    assert np.array_equal(opening.verify(commitment, view, "bob", INPUTS, raw, output.shape), output)


@pytest.mark.parametrize(
    "change",
    [
        {"commitment": flipped(COMMITMENT)},
        {"view": flipped(VIEW)},
        {"party": "carlos"},
        {"inputs": ("alice",)},
        {"inputs": ("bob", "alice")},
        {"inputs": ("alicebob",)},
        {"inputs": ("alice", "bob", "")},
        {"raw": b""},
        {"raw": RAW[:-1]},
        {"raw": RAW + b"\x00"},
        *({"raw": flipped(RAW, at)} for at in range(len(RAW))),
    ],
)
def test_anything_else_does_not_open_and_the_party_is_named(change: dict[str, object]) -> None:
    with pytest.raises(MalformedError, match=r"^the output share of .* is not the one it committed to$"):
        opened(**change)  # type: ignore[arg-type]  # one argument of several types at a time


@pytest.mark.parametrize("shape", [(), (1,), (2,), (4,)])
def test_a_committed_share_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(MalformedError, match=r"^the output share of bob has another shape than the inputs$"):
        opened(shape=shape)


@pytest.mark.parametrize("raw", [b"", bytes(31), bytes(32), bytes(33)])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_commitment_to_nonsense_does_not_open_either(raw: bytes, shape: tuple[int, ...]) -> None:
    with pytest.raises(MalformedError, match="another shape"):
        opened(commitment=opening.commit(VIEW, "bob", INPUTS, raw), raw=raw, shape=shape)


def test_the_nonce_is_another_one_for_each_party_view_and_set_of_inputs() -> None:
    nonces = {
        opening.opening(seed_of(party), view, inputs, OUTPUT)[:32]
        for party in ("alice", "bob")
        for view in (VIEW, flipped(VIEW))
        for inputs in (("a", "b"), ("ab",), ("a",), ("b", "a"))
    }
    assert len(nonces) == 16


def test_equal_shares_have_unequal_commitments() -> None:
    """Else whoever guesses a share could check the guess before it is opened."""
    commitments = {
        opening.commit(VIEW, "bob", INPUTS, opening.opening(seed_of(seed), VIEW, INPUTS, OUTPUT))
        for seed in ("one", "other")
    }
    assert len(commitments) == 2


def test_a_transcript_changes_with_everything_that_fixes_the_answer() -> None:
    ways = [
        (VIEW, INPUTS, [b"c", b"d"]),
        (flipped(VIEW), INPUTS, [b"c", b"d"]),
        (VIEW, ("alice",), [b"c", b"d"]),
        (VIEW, INPUTS, [b"d", b"c"]),
        (VIEW, INPUTS, [b"cd"]),
        (VIEW, INPUTS, [b"c", b"d", b""]),
    ]
    assert len({opening.transcript(*way) for way in ways}) == len(ways)
