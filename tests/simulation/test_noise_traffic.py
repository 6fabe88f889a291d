"""In a session with ε nothing depends on a value but what is sealed: no refusal and no letter that leaves."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from party_node.node import Node
from party_node.policy import Declared, Limits, refuse
from party_node.post import Publication
from party_node.roster import Roster
from protocol import ring
from protocol.dp.epsilon import NANO
from protocol.dp.noise import Noise, Relation
from protocol.encoding import Exact
from protocol.functionalities import Functionality
from protocol.functionalities.average import Average
from protocol.functionalities.histogram import Histogram
from protocol.functionalities.poll import Poll
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.letters import ALL
from protocol.messages import Received, Statement, Step
from protocol.session import Session
from protocol.sharing import Share
from protocol.states import State
from tests.support.network import START, Faults, Network
from tests.support.sessions import make_spec, repeatable

TRIO = ("alice", "bob", "carlos")
LARGEST = 2**63 - 1
FUNCTIONS: dict[str, Functionality] = {
    "sum": Sum(lower=Decimal(0), upper=Decimal(1), decimals=0),
    "average": Average(lower=Decimal("-0.5"), upper=Decimal("12345.25")),
    "histogram": Histogram(bins=3),
    "referendum": Referendum(threshold="1/2"),
    "poll": Poll(),
}
STRANGE = ["9223372036854775807", "-9223372036854775808", "0.000000000000000001", "-0", "0.5", "2.5", "-3"]


def noise_of(name: str, compute: int, nano: int = NANO) -> Noise | None:
    """A poll's respondents add their own."""
    if name == "poll":
        return None
    relation = Relation.REPLACE_ONE
    sensitivity = FUNCTIONS[name].sensitivity(relation)
    return Noise(epsilon=nano, sensitivity=sensitivity, relation=relation, colluders=compute - 1)


# -- refusals ------------------------------------------------------------------------------------------


@repeatable
@given(
    st.sampled_from([*FUNCTIONS]),
    st.one_of(st.integers(-LARGEST - 1, LARGEST), st.sampled_from([-LARGEST - 1, -1, 0, 1, LARGEST])),
    st.integers(0, 18),
)
def test_whatever_number_a_party_has_it_joins(name: str, units: int, scale: int) -> None:
    spec = make_spec(FUNCTIONS[name], TRIO, noise=noise_of(name, 3))
    limits = Limits({"raise": Declared()}, min_inputs=1)
    assert refuse(spec, "alice", Roster(spec.members, {spec.coordinator: bytes(32)}), limits) is None
    encoded = spec.function.encode(Exact(np.array(units), scale, "raise"), 3, clamp=True)
    assert encoded.shape == spec.shape
    if isinstance(spec.function, Sum | Average):
        lowest, highest = spec.function.range(3)
        assert lowest <= int(ring.to_signed(encoded)) <= highest
    else:
        assert set(encoded.reshape(-1).tolist()) <= {0, 1}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_real_nodes_join_with_the_strangest_numbers(name: str) -> None:
    values = {f"p{number}": {"raise": value} for number, value in enumerate(STRANGE)}
    network = Network(values)
    committee = network.names[:2]
    fields = {"noise": noise_of(name, 2), "compute": committee, "results": committee}
    session = network.announce(network.spec(FUNCTIONS[name], **fields))  # type: ignore[arg-type] # of a spec
    network.run()
    outcomes = network.outcomes(session)
    assert {outcome.state for outcome in outcomes.values()} == {State.COMPLETED}
    assert {outcome.inputs for outcome in outcomes.values()} == {network.names}
    network.close()


# -- traffic -------------------------------------------------------------------------------------------

Traffic = list[tuple[int, str, int, bool]]  # when, what from whom to whom, how many bytes, whether it is kept
Toll = Callable[[int, int], int]  # (now, noise) → when it has been drawn
LATE = START + 5_000  # when carlos comes
ANSWERS = [("0", "0", "0"), ("1", "1", "1"), ("9223372036854775807", "-5", "0.5")]


def at_once(now: int, _noise: int) -> int:
    """It takes no time."""
    return now


def traffic(
    name: str, values: tuple[str, ...], seed: int, toll: Toll = at_once, late: int = START
) -> Traffic:
    """What anybody can see of a session of alice and bob, who compute, and carlos."""
    inputs = {who: {"raise": value} for who, value in zip(TRIO, values, strict=True)}
    network = Network(inputs, seed=seed, faults=Faults(delay=0))
    seen: Traffic = []

    def leaves(sender: str, sent: Publication) -> bool:
        address = "/".join(sent.topic.split("/")[4:])
        seen.append((network.now - START, address, len(sent.payload), sent.retain))
        return sender not in network.down

    network.leaves = leaves
    _charge(network, toll)
    network.stop("carlos")
    network.at(late, lambda: network.start("carlos"))
    fields = {"noise": noise_of(name, 2, NANO // 10), "compute": TRIO[:2], "results": TRIO[:2]}
    session = network.announce(network.spec(FUNCTIONS[name], **fields))  # type: ignore[arg-type] # of a spec
    network.run()
    assert {outcome.state for outcome in network.outcomes(session).values()} == {State.COMPLETED}
    assert len(network.noises) == (0 if name == "poll" else 2)
    network.close()
    return seen


def _charge(network: Network, toll: Toll) -> None:
    def drawn(name: str, node: Node, session: str, noise: Share) -> None:
        size = int(np.abs(ring.to_signed(noise.elements(()))).sum())
        network.at(toll(network.now, size), partial(honest, name, node, session, noise))

    honest = network._drawn
    network._drawn = drawn  # type: ignore[method-assign] # of this one network


@pytest.mark.parametrize("name", FUNCTIONS)
def test_letters_and_their_sizes_depend_neither_on_values_nor_on_noise(name: str) -> None:
    seen = [traffic(name, values, seed) for values in ANSWERS for seed in (1, 2)]
    assert len(seen[0]) >= 15
    assert all(each == seen[0] for each in seen)


def while_waiting(now: int, noise: int) -> int:
    """A millisecond for each unit: noise is drawn as soon as its party has joined."""
    return now + min(noise, 4_000)


def on_demand(now: int, noise: int) -> int:
    """As long, but only when all are there who were waited for."""
    return while_waiting(max(now, LATE), noise)


@pytest.mark.parametrize("name", ["sum", "histogram", "referendum"])
def test_how_long_the_noise_has_taken_shows_nowhere_since_people_took_longer(name: str) -> None:
    seen = [traffic(name, ANSWERS[1], seed, while_waiting, LATE) for seed in (1, 2, 3)]
    assert all(each == seen[0] for each in seen)


@pytest.mark.parametrize("name", ["sum", "histogram", "referendum"])
def test_noise_that_is_drawn_on_demand_is_noticed(name: str) -> None:
    seen = [traffic(name, ANSWERS[1], seed, on_demand, LATE) for seed in (1, 2, 3)]
    assert not all(each == seen[0] for each in seen)


def test_a_commitment_that_comes_later_where_the_noise_is_even_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def say(self: Session, step: Step, statement: Statement, to: str = ALL) -> None:
        if isinstance(statement, Received) and self._holding.noise() % 2 == 0:
            statement = statement.model_copy(update={"commitment": None})
        honest(self, step, statement, to)

    honest = Session._say
    monkeypatch.setattr(Session, "_say", say)
    seen = [traffic("sum", ANSWERS[1], seed) for seed in range(4)]
    assert not all(each == seen[0] for each in seen)
