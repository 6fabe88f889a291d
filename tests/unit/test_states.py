"""The table of transitions is closed: nothing happens outside of it, and nothing after the end."""

from itertools import pairwise

import pytest

from protocol.errors import LocalProtocolError
from protocol.states import OVER, TRANSITIONS, State, check

PATH = [
    State.ANNOUNCED,
    State.JOINED,
    State.SHARING,
    State.COMPUTING,
    State.OPENING,
    State.CONFIRMING,
    State.COMPLETED,
]


def test_every_state_stands_in_the_table() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {following for each in TRANSITIONS.values() for following in each} <= set(State)


def test_the_way_to_the_answer_leads_through_every_step() -> None:
    for state, following in pairwise(PATH):
        onward = TRANSITIONS[state] - OVER
        assert onward <= {following}, "no step can be left out, and there is no way back"
        assert check(state, following) is following


def test_the_ends_are_ends() -> None:
    assert {State.COMPLETED, State.REFUSED, State.ABORTED} == OVER
    assert all(not TRANSITIONS[state] for state in OVER)


def test_whoever_has_joined_can_abort_until_the_end() -> None:
    for state in PATH[1:-1]:
        assert check(state, State.ABORTED) is State.ABORTED


FORBIDDEN = [
    (state, following) for state in State for following in State if following not in TRANSITIONS[state]
]


@pytest.mark.parametrize(("state", "following"), FORBIDDEN)
def test_a_transition_that_is_not_in_the_table_is_our_bug(state: State, following: State) -> None:
    with pytest.raises(LocalProtocolError, match=f"^no transition from {state} to {following}$"):
        check(state, following)
