"""Parties that hold shares get shares of the answer, from triples that serve once; what they
open is uniform."""

from collections import Counter
from collections.abc import Callable
from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.beaver import Run, Triples, open_all
from protocol.bits import Bits, concat
from protocol.circuits import Number, add, less_than, most_ands, reaches, select
from protocol.errors import LocalProtocolError
from protocol.gates import Circuit, T, cost, together
from tests.support.sessions import repeatable


def bits(values: list[int]) -> Bits:
    return Bits.from_bools(np.array(values, dtype=np.bool_))


def random_bits(length: int, source: Random) -> Bits:
    return bits([source.getrandbits(1) for _ in range(length)])


def split(x: Bits, parties: int, source: Random) -> list[Bits]:
    masks = [random_bits(len(x), source) for _ in range(parties - 1)]
    return [*masks, open_all([x, *masks])]


def dealt(count: int, parties: int, source: Random) -> list[Triples]:
    """Triples from a dealer, whom only a test can have."""
    a, b = random_bits(count, source), random_bits(count, source)
    return deal(a, b, a & b, parties, source)


def deal(a: Bits, b: Bits, c: Bits, parties: int, source: Random) -> list[Triples]:
    shares = [split(each, parties, source) for each in (a, b, c)]
    return [Triples(*each) for each in zip(*shares, strict=True)]


def run_together(circuits: list[Circuit[T]], triples: list[Triples]) -> list[T]:
    """All parties' runs, round by round; the first party leads."""
    runs = [
        Run(circuit, mine, leader=place == 0)
        for place, (circuit, mine) in enumerate(zip(circuits, triples, strict=True))
    ]
    rounds = 0
    while not runs[0].done:
        rounds += 1
        assert [run.round for run in runs] == [rounds] * len(runs)
        opened = open_all([sent(run) for run in runs])
        for run in runs:
            run.advance(opened)
    assert all(run.done and run.masked is None and run.round == rounds for run in runs)
    return [run.result for run in runs]


def sent(run: Run[T]) -> Bits:
    assert run.masked is not None
    return run.masked


def constant_one(parties: int) -> list[Bits]:
    """A public constant is shared as (c, 0, …, 0)."""
    return [bits([1]), *(Bits.zeros(1) for _ in range(parties - 1))]


def referendum(ballots: list[int], threshold: int, triples: list[Triples], source: Random) -> bool:
    parties = len(triples)
    shares = split(bits(ballots), parties, source)
    ones = constant_one(parties)
    circuits = [reaches(share, threshold, one) for share, one in zip(shares, ones, strict=True)]
    [answer] = open_all(run_together(circuits, triples)).to_bools().tolist()
    return bool(answer)


# -- the answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("parties", [2, 3, 4, 5])
@pytest.mark.parametrize("count", range(1, 5))
def test_every_small_referendum_on_shares(count: int, parties: int) -> None:
    source = Random(f"{count} ballots, {parties} parties")
    for ballots in product([0, 1], repeat=count):
        for threshold in range(1, count + 2):
            triples = dealt(most_ands(count), parties, source)
            answer = referendum(list(ballots), threshold, triples, source)
            assert answer == (sum(ballots) >= threshold)


@repeatable
@given(st.lists(st.integers(0, 1), min_size=1, max_size=200), st.integers(2, 5), st.data())
def test_larger_referenda_on_shares(ballots: list[int], parties: int, data: st.DataObject) -> None:
    source = Random(data.draw(st.integers(0, 2**32)))
    near = st.integers(sum(ballots), sum(ballots) + 1).filter(lambda each: each >= 1)
    threshold = data.draw(near | st.integers(1, len(ballots)))
    triples = dealt(most_ands(len(ballots)), parties, source)
    assert referendum(ballots, threshold, triples, source) == (sum(ballots) >= threshold)


def shared_number(lanes: list[int], width: int, parties: int, source: Random) -> list[Number]:
    """Each party's share of the number, by party."""
    columns = [split(bits([lane >> place & 1 for lane in lanes]), parties, source) for place in range(width)]
    return [list(each) for each in zip(*columns, strict=True)]


def opened_lanes(shares: list[Number]) -> list[int]:
    columns = [open_all(column).to_bools().tolist() for column in zip(*shares, strict=True)]
    return [sum(int(bit) << place for place, bit in enumerate(lane)) for lane in zip(*columns, strict=True)]


@repeatable
@given(st.integers(1, 40), st.integers(1, 20), st.integers(2, 5), st.integers(0, 2**32))
def test_numbers_on_shares(width: int, count: int, parties: int, seed: int) -> None:
    """The larger and the sum of two numbers: what an auction will do, two circuits in the same rounds."""
    source = Random(seed)
    x, y = ([source.getrandbits(width) for _ in range(count)] for _ in range(2))
    shares = list(zip(*(shared_number(each, width, parties, source) for each in (x, y)), strict=True))

    def circuit(mine: Number, yours: Number) -> Circuit[Number]:
        def maximum() -> Circuit[Number]:
            smaller = yield from less_than(mine, yours)
            return (yield from select(smaller, yours, mine))

        larger, total = yield from together(maximum(), add(mine, yours))
        return larger + total

    triples = dealt(cost(circuit(*shares[0])).ands, parties, source)
    results = run_together([circuit(*each) for each in shares], triples)
    assert opened_lanes([each[:width] for each in results]) == [max(pair) for pair in zip(x, y, strict=True)]
    assert opened_lanes([each[width:] for each in results]) == [a + b for a, b in zip(x, y, strict=True)]
    assert [mine.left for mine in triples] == [0] * parties, "the estimate is what is used"


def test_a_circuit_without_gates_is_done_at_once() -> None:
    run = Run(reaches(bits([1]), 1, bits([1])), Triples(*[Bits.zeros(0)] * 3), leader=True)
    assert (run.done, run.round, run.masked) == (True, 0, None)
    assert run.result.to_bools().tolist() == [True]


# -- what would be wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize("ballots", list(product([0, 1], repeat=3)))
def test_a_wrong_triple_gives_a_wrong_answer(ballots: tuple[int, ...]) -> None:
    """So the tests above can fail: with T = n the last AND is the answer."""
    source = Random(7)
    a, b = random_bits(2, source), random_bits(2, source)
    wrong = deal(a, b, (a & b) ^ bits([0, 1]), 3, source)
    assert referendum(list(ballots), 3, wrong, source) != all(ballots)


def multiply(x: Bits, y: Bits) -> Circuit[Bits]:
    [xy] = yield [(x, y)]
    return xy


@pytest.mark.parametrize("leaders", [0, 1, 2, 3])
def test_one_party_alone_adds_the_product_of_what_was_opened(leaders: int) -> None:
    source = Random(11)
    x, y = random_bits(64, source), random_bits(64, source)
    shares = zip(split(x, 3, source), split(y, 3, source), dealt(64, 3, source), strict=True)
    runs = [
        Run(multiply(*pair), triples, leader=place < leaders) for place, (*pair, triples) in enumerate(shares)
    ]
    opened = open_all([sent(run) for run in runs])
    for run in runs:
        run.advance(opened)
    right = open_all([run.result for run in runs]).to_bytes() == (x & y).to_bytes()
    assert right == (leaders % 2 == 1), "two more leaders cancel out, one fewer does not"


@pytest.mark.parametrize(("x", "y"), list(product([0, 1], repeat=2)))
def test_what_is_opened_is_uniform_whatever_is_multiplied(x: int, y: int) -> None:
    """Over all triples, each value of (d, e) comes up equally often: it tells nothing about x and y."""
    seen = Counter[bytes]()
    for a, b in product([0, 1], repeat=2):
        run = Run(multiply(bits([x]), bits([y])), Triples(bits([a]), bits([b]), bits([a & b])), leader=True)
        seen[sent(run).to_bytes()] += 1
    assert seen == {bytes([value]): 1 for value in range(4)}


@pytest.mark.parametrize("wrong", [0, 3, 5, 8])
def test_an_opening_of_another_length_is_a_value_error_and_changes_nothing(wrong: int) -> None:
    source = Random(13)
    x, y = random_bits(2, source), random_bits(2, source)
    [triples] = dealt(2, 1, source)
    run = Run(multiply(x, y), triples, leader=True)
    masked = sent(run)
    with pytest.raises(ValueError, match=f"round 1 opens 4 bits, not {wrong}"):
        run.advance(Bits.zeros(wrong))
    run.advance(masked)
    assert run.result.to_bytes() == (x & y).to_bytes()


def test_there_is_no_round_after_the_last_and_no_result_before_it() -> None:
    run = Run(multiply(bits([1]), bits([1])), Triples(bits([0]), bits([1]), bits([0])), leader=True)
    with pytest.raises(LocalProtocolError, match="before the last one"):
        _ = run.result
    run.advance(sent(run))
    with pytest.raises(LocalProtocolError, match="another round after the last one, 1"):
        run.advance(Bits.zeros(2))


# -- triples ----------------------------------------------------------------------------------------


def test_each_triple_is_handed_out_once_and_in_order() -> None:
    source = Random(17)
    whole = [random_bits(100, source) for _ in range(3)]
    triples = Triples(*whole)
    taken = []
    for count in (1, 0, 63, 36):
        taken.append(triples.take(count))
        assert [len(each) for each in taken[-1]] == [count] * 3
    assert triples.left == 0
    for place, each in enumerate(whole):
        assert concat(part[place] for part in taken).to_bytes() == each.to_bytes()


@pytest.mark.parametrize("count", [-1, 3, 64])
def test_more_triples_than_are_left_are_an_error(count: int) -> None:
    triples = Triples(*[Bits.zeros(5)] * 3)
    triples.take(3)
    with pytest.raises(LocalProtocolError, match=f"{count} triples asked for, 2 are left"):
        triples.take(count)
    assert triples.left == 2


def test_a_second_run_cannot_have_the_triples_of_the_first() -> None:
    [triples] = dealt(1, 1, Random(19))
    Run(multiply(bits([1]), bits([1])), triples, leader=True)
    with pytest.raises(LocalProtocolError, match="1 triples asked for, 0 are left"):
        Run(multiply(bits([1]), bits([1])), triples, leader=True)


def test_a_run_and_its_triples_keep_nothing_of_what_was_used() -> None:
    [triples] = dealt(1, 1, Random(23))
    run = Run(multiply(bits([1]), bits([1])), triples, leader=True)
    run.advance(sent(run))
    kept = [each for owner in (run, triples) for each in vars(owner).values() if isinstance(each, tuple)]
    assert [len(each) for group in kept for each in group] == [0, 0, 0]


def test_triples_of_three_lengths_are_an_error() -> None:
    with pytest.raises(LocalProtocolError, match="triples of 1, 2 and 1 bits"):
        Triples(Bits.zeros(1), Bits.zeros(2), Bits.zeros(1))


Shown = Callable[[object], str]


@pytest.mark.parametrize("shown", [repr, str, "{}".format])
def test_triples_and_runs_have_no_repr(shown: Shown) -> None:
    triples = Triples(*[bits([1] * 9)] * 3)
    run = Run(multiply(bits([1]), bits([1])), triples, leader=True)
    assert shown(triples) == "Triples(<redacted>, left=8)"
    assert shown(run).startswith("<protocol.beaver.Run object at")
