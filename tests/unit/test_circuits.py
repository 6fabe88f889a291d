"""Every circuit gives what integers give, in the fewest rounds its degree allows, and looks alike whatever
the bits are."""

from collections.abc import Callable
from itertools import pairwise, product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.bits import Bits
from protocol.circuits import Number, add, carries, less_than, majority, most_ands, reaches, select
from protocol.errors import LocalProtocolError
from protocol.gates import Circuit, Cost, Rounds, cost, evaluate
from tests.support.sessions import repeatable


def bits(values: list[int]) -> Bits:
    return Bits.from_bools(np.array(values, dtype=np.bool_))


ONE = bits([1])


def number(lanes: list[int], width: int) -> Number:
    return [bits([lane >> place & 1 for lane in lanes]) for place in range(width)]


def lanes_of(shared: Number) -> list[int]:
    columns = [each.to_bools().tolist() for each in shared]
    return [sum(int(bit) << place for place, bit in enumerate(lane)) for lane in zip(*columns, strict=True)]


def shape(circuit: Circuit[object]) -> list[list[int]]:
    """What the traffic shows of a run: the lengths of the gates of each round."""
    rounds, lengths = Rounds(circuit), []
    while not rounds.done:
        lengths.append([len(x) for x, _ in rounds.gates])
        rounds.answer([x & y for x, y in rounds.gates])
    return lengths


# -- the tally against a threshold ------------------------------------------------------------------


def verdict(ballots: list[int], threshold: int) -> bool:
    answer = evaluate(reaches(bits(ballots), threshold, ONE)).to_bools().tolist()
    assert len(answer) == 1
    return bool(answer[0])


@pytest.mark.parametrize("count", range(9))
def test_every_ballot_vector_against_every_threshold(count: int) -> None:
    for ballots in product([0, 1], repeat=count):
        for threshold in range(1, count + 3):
            assert verdict(list(ballots), threshold) == (sum(ballots) >= threshold)


@repeatable
@given(st.lists(st.integers(0, 1), max_size=300), st.data())
def test_larger_referenda_against_thresholds_near_the_count(ballots: list[int], data: st.DataObject) -> None:
    near = st.integers(sum(ballots) - 1, sum(ballots) + 1).filter(lambda each: each >= 1)
    threshold = data.draw(st.one_of(near, st.integers(1, len(ballots) + 2)))
    assert verdict(ballots, threshold) == (sum(ballots) >= threshold)


@pytest.mark.parametrize("count", [1000, 1023, 1024, 1025, 10_000])
def test_a_single_vote_decides_a_large_referendum(count: int) -> None:
    for threshold in (1, count // 2, -(-2 * count // 3), count):
        ballots = [1] * threshold + [0] * (count - threshold)
        assert verdict(ballots[::-1], threshold)
        assert not verdict([0, *ballots[1:]], threshold)


@pytest.mark.parametrize("threshold", [0, -1])
def test_a_threshold_that_nobody_needs_to_meet_is_an_error(threshold: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"a threshold of {threshold}"):
        evaluate(reaches(bits([1, 1]), threshold, ONE))


TWO_THIRDS = {
    3: Cost(rounds=1, ands=1),
    5: Cost(rounds=2, ands=3),
    10: Cost(rounds=3, ands=8),
    20: Cost(rounds=4, ands=18),
    50: Cost(rounds=6, ands=49),
    1000: Cost(rounds=10, ands=998),
    10_000: Cost(rounds=13, ands=9998),
}


@pytest.mark.parametrize("count", TWO_THIRDS)
def test_what_two_thirds_cost(count: int) -> None:
    assert cost(reaches(Bits.zeros(count), -(-2 * count // 3), ONE)) == TWO_THIRDS[count]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_more_votes_than_there_are_ballots_cost_nothing(count: int) -> None:
    assert cost(reaches(Bits.zeros(count), count + 1, ONE)) == Cost(rounds=0, ands=0)


def test_one_ballot_is_its_own_answer() -> None:
    assert cost(reaches(Bits.zeros(1), 1, ONE)) == Cost(rounds=0, ands=0)


def degree(count: int, threshold: int) -> int:
    """Of [x₁ + … + x_n ≥ T] as a polynomial over GF(2): all its products of j variables have the coefficient
    Σ_i C(j, i)·[i ≥ T], by Möbius inversion over the subsets of j ones."""
    return max(
        j for j in range(1, count + 1) if sum(comb(j, ones) for ones in range(threshold, j + 1)) % 2 == 1
    )


def test_no_circuit_has_fewer_rounds() -> None:
    """A round at most doubles the degree: ⌈log₂ degree⌉ rounds are needed, and are enough."""
    for count in range(1, 66):
        for threshold in range(1, count + 1):
            rounds = cost(reaches(Bits.zeros(count), threshold, ONE)).rounds
            assert rounds == (degree(count, threshold) - 1).bit_length(), (count, threshold)


def ands(count: int, threshold: int) -> int:
    return cost(reaches(Bits.zeros(count), threshold, ONE)).ands


def test_the_bound_on_ands_holds_for_every_threshold_and_is_reached() -> None:
    for count in range(1, 131):
        costs = [ands(count, threshold) for threshold in range(1, count + 2)]
        assert max(costs) == most_ands(count), count


@pytest.mark.parametrize("count", [255, 256, 257, 1000, 4095, 8191, 8192, 10_000])
def test_the_bound_on_ands_holds_for_large_referenda(count: int) -> None:
    for threshold in {1, 2, 3, count // 3, count // 2, count // 2 + 1, 2 * count // 3, count - 1, count}:
        assert ands(count, threshold) <= most_ands(count)


def test_the_bound_on_ands_never_falls_as_ballots_arrive() -> None:
    bounds = [most_ands(count) for count in range(300)]
    assert bounds[0] == 0
    assert all(fewer <= more for fewer, more in pairwise(bounds))


@pytest.mark.parametrize("count", range(7))
def test_the_traffic_of_a_referendum_does_not_depend_on_the_ballots(count: int) -> None:
    for threshold in range(1, count + 2):
        shapes = [
            shape(reaches(bits(list(ballots)), threshold, ONE)) for ballots in product([0, 1], repeat=count)
        ]
        assert all(each == shapes[0] for each in shapes)


@pytest.mark.parametrize("constant", [0, 1])
@pytest.mark.parametrize("count", range(8))
def test_the_carries_of_a_column_are_half_its_sum(count: int, constant: int) -> None:
    for values in product([0, 1], repeat=count):
        made = evaluate(carries(bits(list(values)), constant, ONE))
        assert len(made) == (count + constant) // 2
        assert int(made.to_bools().sum()) == (sum(values) + constant) // 2
    expected = Cost(rounds=int(count > 1), ands=count // 2)
    assert cost(carries(Bits.zeros(count), constant, ONE)) == expected


def test_a_majority_is_the_carry_of_a_full_adder() -> None:
    cases = list(product([0, 1], repeat=3))
    a, b, c = (bits(list(side)) for side in zip(*cases, strict=True))
    assert evaluate(majority(a, b, c)).to_bools().tolist() == [sum(case) >= 2 for case in cases]
    assert cost(majority(a, b, c)) == Cost(rounds=1, ands=8)


# -- numbers ----------------------------------------------------------------------------------------


def every_pair(width: int) -> tuple[list[int], list[int]]:
    cases = list(product(range(2**width), repeat=2))
    return [x for x, _ in cases], [y for _, y in cases]


@pytest.mark.parametrize("width", range(1, 7))
def test_every_sum_of_two_small_numbers(width: int) -> None:
    x, y = every_pair(width)
    total = evaluate(add(number(x, width), number(y, width)))
    assert len(total) == width + 1
    assert lanes_of(total) == [a + b for a, b in zip(x, y, strict=True)]


@pytest.mark.parametrize("width", range(1, 7))
def test_every_comparison_of_two_small_numbers(width: int) -> None:
    x, y = every_pair(width)
    less = evaluate(less_than(number(x, width), number(y, width)))
    assert less.to_bools().tolist() == [a < b for a, b in zip(x, y, strict=True)]


@pytest.mark.parametrize("width", range(1, 5))
def test_every_choice_between_two_small_numbers(width: int) -> None:
    x, y = every_pair(width)
    for wanted in (0, 1):
        chosen = evaluate(select(bits([wanted] * len(x)), number(x, width), number(y, width)))
        assert lanes_of(chosen) == (x if wanted else y)


@st.composite
def lanes(draw: st.DrawFn) -> tuple[int, list[tuple[int, int, int]]]:
    """A width, and for each lane two numbers and a bit; neighbours are drawn often, and any width."""
    width = draw(st.integers(1, 70))
    whole = st.integers(0, 2**width - 1)
    near = whole.flatmap(lambda x: st.tuples(st.just(x), st.sampled_from([x, x ^ 1, max(x - 1, 0)])))
    pair = st.one_of(st.tuples(whole, whole), near)
    drawn = draw(st.lists(st.tuples(pair, st.integers(0, 1)), min_size=1, max_size=80))
    return width, [(x, y, c) for (x, y), c in drawn]


@repeatable
@given(lanes())
def test_every_lane_of_wide_numbers_is_its_own(drawn: tuple[int, list[tuple[int, int, int]]]) -> None:
    width, cases = drawn
    x, y = number([x for x, _, _ in cases], width), number([y for _, y, _ in cases], width)
    c = bits([c for _, _, c in cases])
    assert lanes_of(evaluate(add(x, y))) == [a + b for a, b, _ in cases]
    assert evaluate(less_than(x, y)).to_bools().tolist() == [a < b for a, b, _ in cases]
    assert lanes_of(evaluate(select(c, x, y))) == [a if choice else b for a, b, choice in cases]


@pytest.mark.parametrize("width", range(1, 71))
def test_rounds_of_numbers_grow_with_the_logarithm_of_the_width(width: int) -> None:
    """The last carry, and the last borrow, is a polynomial of degree k + 1: no circuit has fewer rounds."""
    x = number([0], width)
    fewest = width.bit_length()  # ⌈log₂(k + 1)⌉
    assert cost(add(x, x)).rounds == cost(less_than(x, x)).rounds == fewest
    assert cost(add(x, x)).ands <= (width + 1) * fewest
    assert cost(less_than(x, x)).ands <= 2 * width
    assert cost(select(ONE, x, x)) == Cost(rounds=1, ands=width)


@pytest.mark.parametrize(
    ("width", "adding", "comparing"), [(1, 1, 1), (4, 6, 5), (8, 18, 12), (32, 130, 58), (64, 322, 121)]
)
def test_what_numbers_cost_in_each_lane(width: int, adding: int, comparing: int) -> None:
    for count in (1, 7):
        x = number([0] * count, width)
        assert cost(add(x, x)).ands == adding * count
        assert cost(less_than(x, x)).ands == comparing * count


Function = Callable[[Number, Number], Circuit[object]]
FUNCTIONS: list[Function] = [add, less_than, lambda x, y: select(bits([1, 0]), x, y)]
IDS = ["add", "less_than", "select"]


@pytest.mark.parametrize("function", FUNCTIONS, ids=IDS)
def test_the_traffic_of_numbers_does_not_depend_on_their_value(function: Function) -> None:
    shapes = [shape(function(number([x, x], 3), number([y, y], 3))) for x, y in product(range(8), repeat=2)]
    assert all(each == shapes[0] for each in shapes)


@pytest.mark.parametrize("function", FUNCTIONS, ids=IDS)
@pytest.mark.parametrize(("one", "other"), [(0, 0), (0, 1), (2, 1), (3, 4)])
def test_numbers_of_different_widths_or_without_bits_are_an_error(
    function: Function, one: int, other: int
) -> None:
    with pytest.raises(LocalProtocolError, match=f"numbers of {one} and {other} bits meet"):
        evaluate(function(number([1, 1], one), number([1, 1], other)))


@pytest.mark.parametrize("function", FUNCTIONS, ids=IDS)
def test_numbers_with_different_lanes_are_an_error(function: Function) -> None:
    with pytest.raises(LocalProtocolError, match="bits"):
        evaluate(function(number([1, 1], 4), number([1, 1, 1], 4)))
