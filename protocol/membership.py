"""Who takes part: the first compute party freezes the joins, and everybody checks what it froze."""

from __future__ import annotations

from collections.abc import Mapping

from protocol.messages import Abort, AbortReason, Begin, Join, Refuse
from protocol.spec import SessionSpec
from protocol.transcript import digest


def join_digest(party: str, join: Join) -> bytes:
    """What a begin says of a join."""
    return digest("join", party, join.encode())


def view_digest(session: str, begin: Begin) -> bytes:
    """The hash over spec (through the session's id), joins (through their digests) and begin."""
    return digest("view", session, begin.encode())


def freeze(
    spec: SessionSpec, joins: Mapping[str, Join], refusals: Mapping[str, Refuse], now: int
) -> Begin | Abort | None:
    """The membership, or why there is none, or None while it is too early to say."""
    refused = [name for name in spec.members if name in refusals]
    absent = [name for name in spec.members if name not in joins and name not in refusals]
    if ending := _impossible(spec, refusals):
        return ending
    if absent and now < spec.join_by:
        return None
    if silent := tuple(name for name in spec.needed if name in absent):
        return Abort.of(AbortReason.NEVER_JOINED, f"{_names(silent)} never joined", silent)
    inputs = [name for name in spec.inputs if name in joins]
    if len(inputs) < spec.min_inputs:
        silent = tuple(name for name in spec.inputs if name in absent)
        detail = f"{len(inputs)} of at least {spec.min_inputs} inputs; {_names(silent)} never joined"
        if refused:
            detail += f"; {_names(refused)} refused"
        return Abort.of(AbortReason.NEVER_JOINED, detail, silent)
    shapes = {name: joins[name].shape for name in inputs}
    if len(set(shapes.values())) > 1:
        detail = ", ".join(f"{name}: {describe(shape)}" for name, shape in shapes.items())
        return Abort.of(AbortReason.SHAPES_DIFFER, detail)
    shape = shapes[inputs[0]]
    if shape is None:
        detail = f"{inputs[0]} joined as an input party and brings no input"
        return Abort.of(AbortReason.INVALID_MESSAGE, detail, culprit=inputs[0])
    frozen = {name: join_digest(name, joins[name]) for name in spec.members if name in joins}
    return Begin(joins=frozen, shape=shape)


def _impossible(spec: SessionSpec, refusals: Mapping[str, Refuse]) -> Abort | None:
    """Refusals that no further join can make good."""
    needed = [name for name in spec.needed if name in refusals]
    willing = [name for name in spec.inputs if name not in refusals]
    if not needed and len(willing) >= spec.min_inputs:
        return None
    reasons = ", ".join(
        f"{name} refused ({refusals[name].code})" for name in spec.members if name in refusals
    )
    return Abort.of(AbortReason.REFUSED, reasons)


def flaw(spec: SessionSpec, begin: Begin, me: str, shape: tuple[int, ...] | None) -> str:
    """What is wrong with the leader's begin, in words; empty if nothing."""
    if absent := [name for name in spec.needed if name not in begin.joins]:
        return f"begin without {_names(absent)}"
    if strangers := [name for name in begin.joins if name not in spec.members]:
        return f"begin with {_names(strangers)}, who are not in the spec"
    if list(begin.joins) != [name for name in spec.members if name in begin.joins]:
        return "begin in another order than the spec"
    inputs = [name for name in spec.inputs if name in begin.joins]
    if len(inputs) < spec.min_inputs:
        return f"begin with {len(inputs)} inputs, expected at least {spec.min_inputs}"
    if me in inputs and begin.shape != shape:
        return f"begin for inputs of {describe(begin.shape)}, ours is {describe(shape)}"
    return ""


def describe(shape: tuple[int, ...] | None) -> str:
    """A shape in words."""
    if shape is None:
        return "no input"
    return f"{shape[0]} elements" if shape else "one number"


def _names(names: tuple[str, ...] | list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
