"""Rule 1: every transition of a session lives in this table.  It also draws the diagram in SPEC.md."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from protocol.errors import LocalProtocolError
from protocol.functionalities import Answer
from protocol.messages import AbortReason, RefusalCode


class State(StrEnum):
    """Where a session is, as one party sees it."""

    ANNOUNCED = "announced"
    JOINED = "joined"
    SHARING = "sharing"
    COMPUTING = "computing"
    OPENING = "opening"
    CONFIRMING = "confirming"
    COMPLETED = "completed"
    REFUSED = "refused"
    ABORTED = "aborted"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.ANNOUNCED: frozenset({State.JOINED, State.REFUSED}),
    State.JOINED: frozenset({State.SHARING, State.ABORTED}),
    State.SHARING: frozenset({State.COMPUTING, State.ABORTED}),
    State.COMPUTING: frozenset({State.OPENING, State.ABORTED}),
    State.OPENING: frozenset({State.CONFIRMING, State.ABORTED}),
    State.CONFIRMING: frozenset({State.COMPLETED, State.ABORTED}),
    State.COMPLETED: frozenset(),
    State.REFUSED: frozenset(),
    State.ABORTED: frozenset(),
}
OVER = frozenset(state for state, following in TRANSITIONS.items() if not following)

# Once a result is known, only a proof that somebody saw another one takes it back.
DISPROOFS = frozenset({AbortReason.SPLIT_VIEW, AbortReason.CONTRADICTION, AbortReason.BAD_OPENING})


def check(current: State, following: State) -> State:
    """`following`, if the table allows it; anything else is our bug."""
    if following not in TRANSITIONS[current]:
        raise LocalProtocolError(f"no transition from {current} to {following}")
    return following


@dataclass(frozen=True)
class Ending:
    """Why there is no answer.  Silence is not guilt, so `silent` and `culprit` are kept apart."""

    reason: AbortReason | RefusalCode
    detail: str = ""
    silent: tuple[str, ...] = ()
    culprit: str | None = None
    reported_by: str | None = None  # who said so, where we did not see it ourselves


@dataclass(frozen=True)
class Outcome:
    """How a session stands.  `inputs` are the parties whose inputs count, known from OPENING on."""

    state: State
    answer: Answer | None = None
    inputs: tuple[str, ...] = ()
    unconfirmed: tuple[str, ...] = ()  # result parties that had not confirmed when the session closed
    ending: Ending | None = None
