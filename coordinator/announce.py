"""From what the coordinator's operator asks for to a session spec, checked before anybody hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from party_node.roster import Roster
from protocol.errors import SpecError
from protocol.functionalities import Function
from protocol.spec import SessionSpec

# How a session's time is divided: people join in the first half, shares arrive in the next quarter.
JOIN_PART, SHARE_PART = 0.5, 0.75


@dataclass(frozen=True)
class Question:
    """What is to be computed, and among whom; None stands for everybody in the roster."""

    function: Function
    input: str
    parties: Sequence[str] | None = None  # input parties
    compute: Sequence[str] | None = None  # default: the input parties
    result_to: Sequence[str] | None = None  # default: the input parties and the coordinator
    min_inputs: int | None = None  # default: all of them
    public: bool = False
    within: float = 60.0  # seconds


def names(text: str | None) -> list[str] | None:
    """A comma-separated list of names."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def build(question: Question, coordinator: str, roster: Roster, now: int, nonce: bytes) -> SessionSpec:
    """The spec; SpecError names the option that cannot be."""
    inputs = tuple(roster.parties if question.parties is None else question.parties)
    compute = tuple(inputs if question.compute is None else question.compute)
    results = (*inputs, coordinator) if question.result_to is None else tuple(question.result_to)
    members = tuple(dict.fromkeys((*inputs, *compute, *results)))
    identities = {name: _identity(name, roster) for name in members}
    span = int(question.within * 1000)
    if span < 4:
        raise SpecError(f"--within {question.within:g}: no time at all", "give the parties some seconds")
    try:
        return SessionSpec(
            function=question.function,
            input=question.input,
            coordinator=coordinator,
            members=identities,
            inputs=inputs,
            compute=compute,
            results=results,
            min_inputs=len(inputs) if question.min_inputs is None else question.min_inputs,
            public=question.public,
            created=now,
            join_by=now + int(span * JOIN_PART),
            share_by=now + int(span * SHARE_PART),
            close_by=now + span,
            nonce=nonce,
        )
    except ValidationError as error:
        raise flaw(error) from None


def flaw(error: ValidationError) -> SpecError:
    """The first thing that pydantic finds wrong with a spec or a function's parameters."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ").lower()
    return SpecError(f"--{place.replace('_', '-')}: {message}" if place else message, "nothing was announced")


def _identity(name: str, roster: Roster) -> bytes:
    identity = roster.identity(name)
    if identity is None:
        known = ", ".join((*roster.parties, *roster.coordinators))
        raise SpecError(f"{name} is not in the roster", f"the roster names {known}")
    return identity
