"""The node decides: what a coordinator announces is checked here before anything is sent.

A `Refusal` is answered with a signed letter that carries its coarse code alone; the detail is for this
node's own log.  An announcement that cannot be believed at all is an error and is answered with nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from party_node.ledger import Account
from party_node.roster import Roster
from protocol.dp.epsilon import text
from protocol.errors import SpecError
from protocol.letters import ALL, Part
from protocol.messages import MalformedError, RefusalCode
from protocol.spec import SessionSpec, session_id

_ROSTER = "is roster.toml the same here and at the coordinator?  `party-node check` says more"
CLOCK_SKEW = 120_000  # milliseconds that a coordinator's clock may be ahead of ours


@dataclass(frozen=True)
class Refusal:
    """Why we take no part."""

    code: RefusalCode
    detail: str
    hint: str = ""


def believe(part: Part, me: str, roster: Roster, now: int) -> SessionSpec | None:
    """The spec in an announcement whose signature has been checked; None if we are no member.

    SpecError: it is not to be answered.
    """
    header = part.header
    if header.session != session_id(part.body):
        raise SpecError(f"an announcement from {header.sender} whose id is not the hash of its spec")
    try:
        spec = SessionSpec.decode(part.body)
    except MalformedError as error:
        raise SpecError(error.message, "does the coordinator run the same version?") from None
    if header.sender != spec.coordinator or not roster.is_coordinator(spec.coordinator):
        raise SpecError(
            f"{header.sender} announces a session of {spec.coordinator}",
            "only a party under [coordinators] in the roster may announce, and only its own sessions",
        )
    if me not in spec.members:
        return None
    if now >= spec.join_by:
        raise SpecError(
            "the time to join is over",
            "the coordinator can announce it again; if it has only just done so, set the clocks by NTP",
        )
    if spec.created > now + CLOCK_SKEW:
        raise SpecError(
            f"announced {(spec.created - now) // 1000} s in the future",
            "set the clocks of both machines by NTP",
        )
    return spec


@dataclass(frozen=True)
class Declared:
    """What a party says of an input beforehand, so that no decision depends on the value itself.

    ε is in nano-ε; None is no limit.
    """

    lower: Decimal | None = None
    upper: Decimal | None = None
    decimals: int | None = None
    exact: bool = True  # whether it may go into answers without noise
    budget: int | None = None  # ε of all sessions together
    max_epsilon: int | None = None  # ε of one session
    min_colluders: int = 0  # against how many compute parties the noise of others must suffice


@dataclass(frozen=True)
class Limits:
    """This node's own rules.  Where a rule names some, None stands for all; times are milliseconds."""

    inputs: Mapping[str, Declared]
    min_inputs: int  # of a session that our input goes into
    functions: Collection[str] | None = None
    over: Collection[str] | None = None  # inputs of sessions in which we compute or learn the answer
    recipients: Collection[str] | None = None  # who may learn an answer; `all` stands for a public one
    recognised: Collection[str] | None = None  # compute parties that we do not expect all to collude,
    min_recognised: int = 2  # and how many of them must compute
    longest: int | None = None  # from announcement to end
    most_open: int = 100  # sessions at a time
    min_difference: int | None = None  # see releases.py
    ask: bool = False  # a person, before we join


def refuse(spec: SessionSpec, me: str, roster: Roster, limits: Limits) -> Refusal | None:
    """Why this node takes no part in a spec that it believes; None if it does."""
    return (
        refuse_strangers(spec, roster)
        or _refuse_noise(spec)
        or _refuse_question(spec, me, limits)
        or _refuse_parties(spec, limits)
        or (_refuse_input(spec, limits) if me in spec.inputs else None)
    )


def refuse_strangers(spec: SessionSpec, roster: Roster) -> Refusal | None:
    """Somebody whom we do not know, or no longer, under the key that the spec gives."""
    if not roster.is_coordinator(spec.coordinator):
        why = roster.objection(spec.coordinator) or "is no coordinator in the roster"
        return Refusal(RefusalCode.SPEC, f"{spec.coordinator}, who announced it, {why}", _ROSTER)
    for name, identity in spec.members.items():
        if objection := roster.objection(name, identity):
            return Refusal(RefusalCode.SPEC, f"{name} {objection}", _ROSTER)
    return None


def refuse_twins(spec: SessionSpec, running: Sequence[SessionSpec]) -> Refusal | None:
    """Two specs of one coordinator with one nonce are one question that was told in two ways."""
    for other in running:
        if (other.coordinator, other.nonce) == (spec.coordinator, spec.nonce):
            names = SessionSpec.model_fields
            fields = [name for name in names if getattr(spec, name) != getattr(other, name)]
            return Refusal(
                RefusalCode.SPEC,
                f"{spec.coordinator} has announced this session twice, with different {' and '.join(fields)}",
                "somebody else may have been told yet another one: ask the coordinator",
            )
    return None


def refuse_more(running: int, limits: Limits) -> Refusal | None:
    """So many at a time and no more, whatever a coordinator announces."""
    if running < limits.most_open:
        return None
    return Refusal(
        RefusalCode.BUSY,
        f"{running} sessions are open, expected at most {limits.most_open} with this one",
        "max_sessions under [policy] in this node's config",
    )


def _refuse_question(spec: SessionSpec, me: str, limits: Limits) -> Refusal | None:
    """What is computed, and for how long."""
    function, span = spec.function.name, spec.close_by - spec.created
    if limits.functions is not None and function not in limits.functions:
        return Refusal(
            RefusalCode.FUNCTION,
            f"{function}, expected {_either(limits.functions)}",
            "functions under [policy] in this node's config",
        )
    if me not in spec.inputs and limits.over is not None and spec.input not in limits.over:
        return Refusal(
            RefusalCode.FUNCTION,
            f"a session over {spec.input}, expected {_either(limits.over)}",
            "inputs under [policy] in this node's config",
        )
    if limits.longest is not None and span > limits.longest:
        return Refusal(
            RefusalCode.DEADLINE,
            f"a session of {span / 1000:g} s, expected at most {limits.longest / 1000:g}",
            "longest under [policy] in this node's config; the coordinator's option is --within",
        )
    return None


def _refuse_parties(spec: SessionSpec, limits: Limits) -> Refusal | None:
    """Who computes, and who learns the answer."""
    if limits.recipients is not None:
        learning = (*spec.results, ALL) if spec.public else spec.results
        if strangers := [name for name in learning if name not in limits.recipients]:
            who = "everybody" if ALL in strangers else " and ".join(strangers)
            return Refusal(
                RefusalCode.RECIPIENTS,
                f"{who} would learn the answer, expected nobody but {', '.join(limits.recipients)}",
                "recipients under [policy] in this node's config",
            )
    recognised = [name for name in spec.compute if limits.recognised is None or name in limits.recognised]
    if len(recognised) < limits.min_recognised:
        return Refusal(
            RefusalCode.COMPUTE,
            f"{len(recognised)} recognised compute parties ({', '.join(recognised) or 'none'}), "
            f"expected at least {limits.min_recognised}",
            "recognised and min_recognised under [policy] in this node's config",
        )
    return None


def _either(names: Collection[str]) -> str:
    return " or ".join(sorted(names)) or "none at all"


def _refuse_noise(spec: SessionSpec) -> Refusal | None:
    """Noise for a smaller Δ than the function has is too little, and would protect nobody as promised."""
    if spec.noise is None:
        return None
    stated, ours = spec.noise.sensitivity, spec.function.sensitivity(spec.noise.relation)
    if stated == ours:
        return None
    return Refusal(
        RefusalCode.SPEC,
        f"sensitivity {stated} under {spec.noise.relation}, by the function and its bounds it is {ours}",
        "does the coordinator run the same version?",
    )


def _refuse_input(spec: SessionSpec, limits: Limits) -> Refusal | None:
    if spec.input not in limits.inputs:
        known = ", ".join(sorted(limits.inputs)) or "none"
        return Refusal(
            RefusalCode.INPUT, f"no input is named {spec.input}", f"inputs in this node's config: {known}"
        )
    if spec.min_inputs < limits.min_inputs:
        return Refusal(
            RefusalCode.POLICY,
            f"an answer over {spec.min_inputs} inputs, expected at least {limits.min_inputs}",
            "the fewer inputs, the more an answer tells; min_inputs under [policy] in this node's config",
        )
    declared = limits.inputs[spec.input]
    return _refuse_privacy(spec, declared) or _refuse_narrow(spec, declared)


def _refuse_privacy(spec: SessionSpec, declared: Declared) -> Refusal | None:
    """An answer that tells more than this node lets one session tell."""
    nano, most = spec.epsilon, declared.max_epsilon
    if nano is None and not declared.exact:
        return Refusal(
            RefusalCode.POLICY,
            f"an exact answer over {spec.input}, expected one with epsilon",
            "what noise hides, an exact answer tells; "
            f"exact = true under [inputs.{spec.input}] in this node's config allows both",
        )
    if nano is not None and most is not None and nano > most:
        return Refusal(
            RefusalCode.POLICY,
            f"epsilon {text(nano)}, expected at most {text(most)}",
            "the larger, the more an answer tells; max_epsilon under [policy] in this node's config",
        )
    if spec.noise is not None and spec.noise.colluders < declared.min_colluders:
        return Refusal(
            RefusalCode.POLICY,
            f"noise against {spec.noise.colluders} colluders, expected at least {declared.min_colluders}",
            "more of them would see less noise; min_colluders under [policy] in this node's config",
        )
    return None


def refuse_cost(name: str, nano: int, account: Account, budget: int | None) -> Refusal | None:
    """The sum that does not fit into an input's budget, exactly."""
    if budget is None or account.fits(nano, budget):
        return None
    reserved = f" and {text(account.reserved)} reserved" if account.reserved else ""
    total = text(account.spent + account.reserved + nano)
    return Refusal(
        RefusalCode.POLICY,
        f"{text(nano)} on top of {text(account.spent)} spent{reserved} on {name} is {total}, "
        f"the budget is {text(budget)}",
        f"`party-node ledger` shows what was spent; epsilon under [inputs.{name}] in this node's config",
    )


def _refuse_narrow(spec: SessionSpec, declared: Declared) -> Refusal | None:
    """Bounds narrower than what the input may be would make our refusal tell something about its value."""
    # Without bounds, the ring's size is the bound; it shrinks with more decimals and more inputs.
    lowest, highest, decimals = spec.function.domain(len(spec.inputs))
    low, high = declared.lower, declared.upper
    if low is not None and lowest > low:
        problem = f"lower bound {lowest.normalize():f}, the input is declared from {low:f}"
    elif high is not None and highest < high:
        problem = f"upper bound {highest.normalize():f}, the input is declared up to {high:f}"
    elif declared.decimals is not None and decimals < declared.decimals:
        problem = f"{decimals} decimals, the input is declared with {declared.decimals}"
    else:
        return None
    return Refusal(RefusalCode.POLICY, problem, "the session must leave room for every declared value")
