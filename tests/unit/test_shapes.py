"""An input of another shape than the session's is refused at home: nothing of it is sent, nothing is paid."""

from decimal import Decimal

import pytest

from protocol.dp.noise import Noise, Relation
from protocol.functionalities.sum import Sum
from protocol.messages import RefusalCode, Step
from protocol.states import State
from tests.support.network import Network


@pytest.mark.parametrize(("length", "given"), [(3, "7"), (3, ["7", "8"]), (None, ["7"])])
def test_an_input_of_another_length_is_refused(length: int | None, given: str | list[str]) -> None:
    values = {"alice": given, "bob": given, "carlos": given}
    network = Network({name: {"raise": value} for name, value in values.items()})
    function = Sum(length=length, lower=Decimal(0), upper=Decimal(10))
    relation = Relation.REPLACE_ONE
    noise = Noise(epsilon=1, sensitivity=function.sensitivity(relation), relation=relation, colluders=2)
    session = network.announce(network.spec(function, noise=noise))
    network.run()
    for name, outcome in network.outcomes(session).items():
        assert outcome.state is State.REFUSED
        assert outcome.ending is not None
        assert outcome.ending.reason is RefusalCode.INPUT
        assert "the session takes" in outcome.ending.detail
        assert not network.journals[name].ledger.entries()
    assert {sent.topic.split("/")[4] for sent in network.tap if sent.payload} <= {Step.ANNOUNCE, Step.REFUSE}
    network.close()


def test_without_noise_a_stated_length_is_kept_to_as_well() -> None:
    network = Network({name: {"raise": ["1", "2"]} for name in ("alice", "bob", "carlos")})
    session = network.announce(network.spec(Sum(length=3)))
    network.run()
    assert {each.state for each in network.outcomes(session).values()} == {State.REFUSED}
    done = network.announce(network.spec(Sum(length=2)))
    network.run()
    assert {each.state for each in network.outcomes(done).values()} == {State.COMPLETED}
    network.close()
