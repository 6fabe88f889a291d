"""From what the coordinator's operator asks for to a session spec, checked before anybody hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from pydantic import ValidationError

from party_node import pins
from party_node.roster import Roster
from protocol.dp import epsilon as epsilons
from protocol.dp.noise import Noise, Relation
from protocol.errors import SpecError
from protocol.functionalities import Function
from protocol.spec import SessionSpec

# How a session's time is divided: people join in the first half, shares arrive in the next quarter.
JOIN_PART, SHARE_PART = 0.5, 0.75
_NOTHING = "nothing was announced"


@dataclass(frozen=True)
class Question:
    """What is to be computed, and among whom; None stands for everybody in the roster who is not revoked."""

    function: Function
    input: str
    parties: Sequence[str] | None = None  # input parties
    compute: Sequence[str] | None = None  # default: the input parties
    result_to: Sequence[str] | None = None  # default: the input parties and the coordinator
    min_inputs: int | None = None  # default: all of them
    public: bool = False
    within: float = 60.0  # seconds
    epsilon: int | None = None  # nano-ε that noise is added for; None: the answer is exact
    relation: Relation | None = None  # default: replace-one
    colluders: int | None = None  # default: all compute parties but one


def names(text: str | None) -> list[str] | None:
    """A comma-separated list of names."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def build(question: Question, coordinator: str, roster: Roster, now: int, nonce: bytes) -> SessionSpec:
    """The spec; SpecError names the option that cannot be."""
    everybody = (name for name in roster.parties if name not in roster.revoked)
    inputs = tuple(everybody if question.parties is None else question.parties)
    compute = tuple(inputs if question.compute is None else question.compute)
    results = (*inputs, coordinator) if question.result_to is None else tuple(question.result_to)
    members = tuple(dict.fromkeys((*inputs, *compute, *results)))
    identities = {name: _identity(name, roster) for name in members}
    span = int(question.within * 1000)
    if span < 4:
        raise SpecError(f"--within {question.within:g}: no time at all", "give the parties some seconds")
    noise = _noise(question, len(compute))
    try:
        return SessionSpec(
            function=question.function,
            noise=noise,
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


def nano(epsilon: Decimal | None) -> int | None:
    """What was given as --epsilon, in nano-ε."""
    try:
        return None if epsilon is None else epsilons.parse(epsilon)
    except ValueError as error:
        raise SpecError(f"--epsilon {epsilon}: {error}", _NOTHING) from None


def _noise(question: Question, compute: int) -> Noise | None:
    """The noise that was asked for."""
    if question.epsilon is None:
        for option, value in (("relation", question.relation), ("colluders", question.colluders)):
            if value is not None:
                raise SpecError(f"--{option} without --epsilon", "an exact answer has no noise: leave it out")
        return None
    relation = question.relation or Relation.REPLACE_ONE
    colluders = max(compute - 1, 0) if question.colluders is None else question.colluders
    if compute and colluders >= compute:
        message = f"--colluders {colluders}: at least one of {compute} compute parties must be honest"
        raise SpecError(message, _NOTHING)
    fields = {"epsilon": question.epsilon, "relation": relation, "colluders": colluders}
    try:
        return Noise.model_validate({**fields, "sensitivity": _sensitivity(question.function, relation)})
    except ValidationError as error:
        raise flaw(error) from None


def _sensitivity(function: Function, relation: Relation) -> int:
    """Δ as the function says; each node works it out again, and refuses another one."""
    try:
        sensitivity = function.sensitivity(relation)
    except ValueError as error:
        raise SpecError(str(error), _NOTHING) from None
    if sensitivity >= 2**63:
        raise SpecError("Δ could pass 2^63: narrower bounds or fewer --decimals are needed", _NOTHING)
    return sensitivity


def flaw(error: ValidationError) -> SpecError:
    """The first thing that pydantic finds wrong with a spec or a function's parameters."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ").lower()
    return SpecError(f"--{place.replace('_', '-')}: {message}" if place else message, _NOTHING)


def _identity(name: str, roster: Roster) -> bytes:
    identity = roster.identity(name)
    if identity is None:
        message = f"{name} {roster.objection(name)}"
        if name in roster.changed:
            raise SpecError(message, pins.remedy(roster, name, "coordinator"))
        known = [each for each in (*roster.parties, *roster.coordinators) if each not in roster.revoked]
        raise SpecError(message, f"the roster names {', '.join(known)}")
    return identity
