"""Who takes part, and whose inputs count.

The first compute party freezes the joins, and everybody checks what it froze.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from protocol.messages import Abort, AbortReason, Begin, Join, Received, Refuse
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
    misfits = [name for name in spec.inputs if name in joins and not _takes(spec, joins[name].shape)]
    if spoiling := [name for name in spec.needed if name in misfits]:
        detail = f"{spoiling[0]} brings {describe(joins[spoiling[0]].shape)}, {_wanted(spec)}"
        return Abort.of(AbortReason.SHAPES_DIFFER, detail, culprit=spoiling[0])
    inputs = [name for name in spec.inputs if name in joins and name not in misfits]
    if len(inputs) < spec.min_inputs:
        silent = tuple(name for name in spec.inputs if name in absent)
        detail = f"{len(inputs)} of at least {spec.min_inputs} inputs"
        detail += f"; {_names(silent)} never joined" if silent else ""
        detail += f"; {_names(refused)} refused" if refused else ""
        detail += f"; {_names(misfits)} brought something else, {_wanted(spec)}" if misfits else ""
        return Abort.of(AbortReason.NEVER_JOINED, detail, silent)
    shapes = {name: joins[name].shape for name in inputs}
    if len(set(shapes.values())) > 1:
        detail = ", ".join(f"{name}: {describe(shape)}" for name, shape in shapes.items())
        return Abort.of(AbortReason.SHAPES_DIFFER, detail)
    shape = shapes[inputs[0]]
    if shape is None:
        detail = f"{inputs[0]} joined as an input party and brings no input"
        return Abort.of(AbortReason.INVALID_MESSAGE, detail, culprit=inputs[0])
    # One who brings what the function cannot take is left out like one who stayed away.
    counted_in = [name for name in spec.members if name in joins and name not in misfits]
    frozen = {name: join_digest(name, joins[name]) for name in counted_in}
    return Begin(joins=frozen, shape=shape)


def _impossible(spec: SessionSpec, refusals: Mapping[str, Refuse]) -> Abort | None:
    """Refusals that no further join can make good."""
    needed = [name for name in spec.needed if name in refusals]
    willing = [name for name in spec.inputs if name not in refusals]
    if not needed and len(willing) >= spec.min_inputs:
        return None
    reasons = ", ".join(f"{name} refused ({refusals[name]})" for name in spec.members if name in refusals)
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
    if not _takes(spec, begin.shape):
        return f"begin for inputs of {describe(begin.shape)}, {_wanted(spec)}"
    if me in inputs and begin.shape != shape:
        return f"begin for inputs of {describe(begin.shape)}, ours is {describe(shape)}"
    return ""


def fits(spec: SessionSpec, joined: tuple[str, ...], received: Received) -> bool:
    """Whether a compute party's list names inputs of the begin, in order; only a full one may commit."""
    listed = set(received.inputs)
    ordered = tuple(name for name in joined if name in listed)
    early = received.commitment is not None
    return received.inputs == ordered and not (early and (ordered != joined or spec.function.interactive))


def counted(joined: tuple[str, ...], received: Iterable[Received]) -> tuple[str, ...]:
    """The inputs that every compute party holds."""
    common = set.intersection(*(set(each.inputs) for each in received))
    return tuple(name for name in joined if name in common)


def _takes(spec: SessionSpec, shape: tuple[int, ...] | None) -> bool:
    """Whether the function can take inputs of this shape."""
    return spec.shape in (None, shape)


def _wanted(spec: SessionSpec) -> str:
    return f"{spec.function.name} takes {describe(spec.shape)}"


def describe(shape: tuple[int, ...] | None) -> str:
    """A shape in words."""
    if shape is None:
        return "no input"
    return f"{shape[0]} elements" if shape else "one number"


def _names(names: tuple[str, ...] | list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
