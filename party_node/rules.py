"""What a node's config says of sessions, as the rules that decide about them."""

from __future__ import annotations

from collections.abc import Mapping

from party_node.config import InputSource, Policy
from party_node.policy import Declared, Limits


def limits(sources: Mapping[str, InputSource], policy: Policy) -> Limits:
    """What the config says of sessions, as rules."""
    return Limits(
        inputs={name: declared(source, policy) for name, source in sources.items()},
        min_inputs=policy.min_inputs,
        functions=policy.functions,
        over=policy.inputs,
        recipients=policy.recipients,
        recognised=policy.recognised,
        min_recognised=policy.min_recognised,
        longest=1000 * policy.longest,
        most_open=policy.max_sessions,
        min_difference=policy.min_difference,
        ask=policy.approve == "ask",
    )


def declared(source: InputSource, policy: Policy) -> Declared:
    """What the config says of one input, as rules."""
    # Who limits what noise may cost would not have the same told without any.
    limited = source.epsilon is not None or policy.max_epsilon is not None
    exact = policy.exact if source.exact is None else source.exact
    return Declared(
        source.lower,
        source.upper,
        source.decimals,
        exact=not limited if exact is None else exact,
        budget=source.epsilon,
        max_epsilon=policy.max_epsilon,
        min_colluders=policy.min_colluders,
    )
