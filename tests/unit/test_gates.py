"""One circuit, several interpreters: they agree on the rounds, and rounds are shared."""

from collections.abc import Callable

import numpy as np
import pytest

from protocol.bits import Bits
from protocol.errors import LocalProtocolError
from protocol.gates import And, Circuit, Cost, Rounds, cost, evaluate, together


def bits(text: str) -> Bits:
    """Bit 0 first."""
    return Bits.from_bools(np.array([each == "1" for each in text], dtype=np.bool_))


def text(packed: Bits) -> str:
    return "".join("1" if each else "0" for each in packed.to_bools())


def all_of(*sides: str) -> Circuit[str]:
    """The AND of its sides, one after the other: a round for each but the first."""
    product = bits(sides[0])
    for side in sides[1:]:
        [product] = yield [(product, bits(side))]
    return text(product)


def test_a_circuit_returns_its_result_on_plaintexts() -> None:
    assert evaluate(all_of("111100", "110110", "011111")) == "010100"


def test_rounds_and_single_ands_are_counted() -> None:
    assert cost(all_of("111100", "110110", "011111")) == Cost(rounds=2, ands=12)


def test_a_circuit_without_gates_is_done_at_once() -> None:
    rounds = Rounds(all_of("10"))
    assert (rounds.done, rounds.number, rounds.gates, rounds.result) == (True, 0, [], "10")
    assert evaluate(all_of("10")) == "10"
    assert cost(all_of("10")) == Cost(rounds=0, ands=0)


def test_independent_circuits_share_their_rounds() -> None:
    def circuits() -> list[Circuit[str]]:
        return [all_of("11", "01"), all_of("1"), all_of("111", "110", "011"), all_of("1", "1", "1", "1")]

    assert evaluate(together(*circuits())) == ["01", "1", "010", "1"]
    assert cost(together(*circuits())) == Cost(rounds=3, ands=2 + 2 * 3 + 3)
    assert max(cost(each).rounds for each in circuits()) == 3
    assert sum(cost(each).ands for each in circuits()) == 11


def test_the_products_go_to_the_circuit_that_asked_for_them() -> None:
    def several(*pairs: tuple[str, str]) -> Circuit[list[str]]:
        products = yield [(bits(x), bits(y)) for x, y in pairs]
        return [text(each) for each in products]

    def circuit() -> Circuit[list[list[str]]]:
        return together(several(("1", "1"), ("0", "1")), several(("1100", "1010")), several(("11", "01")))

    assert evaluate(circuit()) == [["1", "0"], ["1000"], ["01"]]


def test_nothing_together_takes_no_round() -> None:
    assert cost(together()) == Cost(rounds=0, ands=0)


def test_together_nests() -> None:
    def inner() -> Circuit[list[str]]:
        return together(all_of("1", "1"), all_of("1", "1", "0"))

    assert evaluate(together(inner(), inner())) == [["1", "0"], ["1", "0"]]
    assert cost(together(inner(), inner())) == Cost(rounds=2, ands=6)


def one_round(gates: list[And]) -> Circuit[None]:
    yield gates


@pytest.mark.parametrize("interpreter", [evaluate, cost, Rounds, lambda circuit: evaluate(together(circuit))])
@pytest.mark.parametrize(
    "gates",
    [[], [(bits("1"), bits("11"))], [(bits("1"), bits("11")), (bits("11"), bits("1"))]],
    ids=["no gate", "sides of two lengths", "sides that are as long together"],
)
def test_a_round_without_gates_or_with_a_lopsided_one_is_an_error(
    interpreter: Callable[[Circuit[None]], object], gates: list[And]
) -> None:
    with pytest.raises(LocalProtocolError, match="round 1 has no gates, or one with sides of two lengths"):
        interpreter(one_round(gates))


def test_there_is_no_result_before_the_last_round() -> None:
    rounds = Rounds(all_of("1", "1"))
    with pytest.raises(LocalProtocolError, match="in round 1, before the last"):
        _ = rounds.result


def test_there_is_no_round_after_the_last() -> None:
    rounds = Rounds(all_of("1", "1"))
    rounds.answer([bits("1")])
    assert (rounds.done, rounds.number, rounds.gates) == (True, 1, [])
    with pytest.raises(LocalProtocolError, match="another round after the last one, 1"):
        rounds.answer([bits("1")])
