"""What a config says about ε becomes the node's rules."""

from decimal import Decimal

import pytest

from party_node.config import InputSource, Policy
from party_node.rules import declared


@pytest.mark.parametrize(
    ("source", "policy", "exact"),
    [
        ({}, {}, True),
        ({"epsilon": "3"}, {}, False),
        ({}, {"max_epsilon": "1"}, False),
        ({"epsilon": "3", "exact": True}, {"max_epsilon": "1"}, True),
        ({"exact": False}, {}, False),
    ],
)
def test_an_input_whose_epsilon_is_limited_goes_into_no_exact_answer_unless_its_owner_says_so(
    source: dict[str, object], policy: dict[str, object], exact: bool
) -> None:
    rules = declared(InputSource.model_validate({"value": "1"} | source), Policy.model_validate(policy))
    assert rules.exact is exact


def test_every_rule_of_the_config_reaches_the_node() -> None:
    source = {"value": "5", "lower": "0", "upper": "9", "decimals": 1, "epsilon": "3"}
    policy = {"max_epsilon": "0.5", "min_colluders": 2}
    rules = declared(InputSource.model_validate(source), Policy.model_validate(policy))
    assert (rules.lower, rules.upper, rules.decimals) == (Decimal(0), Decimal(9), 1)
    assert (rules.budget, rules.max_epsilon, rules.min_colluders) == (3 * 10**9, 5 * 10**8, 2)
