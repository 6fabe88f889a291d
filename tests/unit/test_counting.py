"""The noised count against the threshold is what integers give, on plaintexts and on shares, in hardly more
rounds than its degree needs; and neither what is sent nor a share of the answer tells anything."""

from functools import reduce
from itertools import accumulate, combinations_with_replacement, pairwise, product
from operator import xor
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.beaver import Run, Triples, open_all
from protocol.bits import Bits, concat
from protocol.circuits import Number
from protocol.counting import most_ands_noised, own_noise, reaches_noised
from protocol.errors import LocalProtocolError
from protocol.gates import Cost, Rounds, cost, evaluate, layers
from tests.support.sessions import repeatable


def bits(values: list[int]) -> Bits:
    return Bits.from_bools(np.array(values, dtype=np.bool_))


def lanes(integers: list[int], width: int) -> Number:
    """All parties' integers, as a trusted party would see them."""
    return [bits([each >> place & 1 for each in integers]) for place in range(width)]


def entered(noise: list[int], threshold: int, width: int) -> list[Number]:
    """What each party holds of the noise."""
    return [own_noise(each, threshold, me, len(noise), width) for me, each in enumerate(noise)]


def verdict(ballots: list[int], noise: list[int], threshold: int, width: int) -> bool:
    shares = zip(*entered(noise, threshold, width), strict=True)
    [answer] = evaluate(reaches_noised(bits(ballots), [reduce(xor, each) for each in shares])).to_bools()
    return bool(answer)


def wrapped(total: int, width: int) -> int:
    """The integer from −2^(m−1) up that `total` is modulo 2^m."""
    half = 1 << width - 1
    return (total + half) % (2 * half) - half


# -- the answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "parties", "width"), [(0, 2, 2), (1, 2, 2), (3, 2, 2), (2, 2, 3), (1, 3, 2), (1, 2, 4)]
)
def test_every_ballot_vector_with_every_noise(count: int, parties: int, width: int) -> None:
    every = range(-(2 ** (width - 1)), 2 ** (width - 1))
    for ballots in product([0, 1], repeat=count):
        for noise in product(every, repeat=parties):
            for threshold in range(1, count + 2):
                reached = wrapped(sum(ballots) + sum(noise) - threshold, width) >= 0
                assert verdict(list(ballots), list(noise), threshold, width) == reached


@pytest.mark.parametrize(
    ("count", "parties", "width"),
    [(2, 2, 5), (5, 2, 4), (5, 3, 3), (6, 3, 3), (3, 4, 3), (1, 5, 3), (9, 6, 2)],
)
def test_every_count_with_every_set_of_integers(count: int, parties: int, width: int) -> None:
    for yes in range(count + 1):
        ballots = bits([1] * yes + [0] * (count - yes))
        for integers in combinations_with_replacement(range(2**width), parties):
            [top] = evaluate(reaches_noised(ballots, lanes(list(integers), width))).to_bools()
            assert top == bool((yes + sum(integers)) >> (width - 1) & 1), (yes, integers)


@st.composite
def noised(draw: st.DrawFn) -> tuple[list[int], list[int], int, int]:
    """Ballots, noise, threshold and width: often with full columns, and with a sum near the threshold."""
    width = draw(st.integers(2, 40))
    whole = st.integers(-(2**width), 2**width)
    powers = st.integers(0, width).flatmap(
        lambda place: st.sampled_from([2**place, -(2**place), 2**place - 1])
    )
    noise = draw(st.lists(st.one_of(st.just(-1), powers, whole), min_size=2, max_size=9))
    ballots = draw(
        st.one_of(st.lists(st.integers(0, 1), max_size=70), st.integers(0, 70).map(lambda n: [1] * n))
    )
    threshold = draw(st.integers(1, len(ballots) + 2))
    if draw(st.booleans()):
        noise[draw(st.integers(0, len(noise) - 1))] += (
            threshold - sum(ballots) - sum(noise) - draw(st.integers(0, 1))
        )
    return ballots, noise, threshold, width


@repeatable
@given(noised())
def test_larger_counts_and_noises(drawn: tuple[list[int], list[int], int, int]) -> None:
    ballots, noise, threshold, width = drawn
    reached = wrapped(sum(ballots) + sum(noise) - threshold, width) >= 0
    assert verdict(ballots, noise, threshold, width) == reached


@pytest.mark.parametrize(("count", "parties", "width"), [(1000, 3, 12), (1000, 20, 16), (10_000, 5, 40)])
def test_one_more_or_less_of_the_noise_decides_a_large_referendum(
    count: int, parties: int, width: int
) -> None:
    source = Random(count + parties)
    ballots = [source.getrandbits(1) for _ in range(count)]
    for threshold in (1, count // 2, count + 7):
        noise = [source.randint(-99, 99) for _ in range(parties - 1)]
        noise.append(threshold - sum(ballots) - sum(noise))
        assert verdict(ballots, noise, threshold, width)
        assert not verdict(ballots, [*noise[:-1], noise[-1] - 1], threshold, width)


# -- on shares --------------------------------------------------------------------------------------


def split(x: Bits, parties: int, source: Random) -> list[Bits]:
    masks = [bits([source.getrandbits(1) for _ in range(len(x))]) for _ in range(parties - 1)]
    return [*masks, open_all([x, *masks])]


def dealt(count: int, parties: int, source: Random) -> list[list[Bits]]:
    """Each party's shares of a, b and c, from a dealer, whom only a test can have."""
    a, b = (bits([source.getrandbits(1) for _ in range(count)]) for _ in range(2))
    return [list(each) for each in zip(*(split(x, parties, source) for x in (a, b, a & b)), strict=True)]


def played(
    shares: list[Bits], noise: list[Number], triples: list[list[Bits]]
) -> tuple[list[bytes], list[Bits], int]:
    """What is opened, each party's share of the answer, and how many triples are left."""
    mine = [Triples(*each) for each in triples]
    circuits = [reaches_noised(*each) for each in zip(shares, noise, strict=True)]
    runs = [Run(each, mine[me], leader=me == 0) for me, each in enumerate(circuits)]
    opened = []
    while not runs[0].done:
        together = open_all(run.masked for run in runs if run.masked is not None)
        opened.append(together.to_bytes())
        for run in runs:
            run.advance(together)
    return opened, [run.result for run in runs], mine[0].left


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("count", range(1, 5))
def test_small_referenda_on_shares(count: int, parties: int) -> None:
    source = Random(f"{count} ballots, {parties} parties")
    for ballots in product([0, 1], repeat=count):
        for threshold in range(1, count + 2):
            noise = [source.randint(-4, 4) for _ in range(parties)]
            triples = dealt(most_ands_noised(count, parties, 6), parties, source)
            shares = split(bits(list(ballots)), parties, source)
            _, results, left = played(shares, entered(noise, threshold, 6), triples)
            [answer] = open_all(results).to_bools()
            assert answer == (sum(ballots) + sum(noise) >= threshold), (ballots, noise, threshold)
            assert left == 0, "the bound is what is used, whatever the threshold"


@repeatable
@given(noised(), st.integers(0, 2**32))
def test_larger_referenda_on_shares(drawn: tuple[list[int], list[int], int, int], seed: int) -> None:
    ballots, noise, threshold, width = drawn
    source, parties = Random(seed), len(noise)
    triples = dealt(most_ands_noised(len(ballots), parties, width), parties, source)
    shares = split(bits(ballots), parties, source)
    [answer] = open_all(played(shares, entered(noise, threshold, width), triples)[1]).to_bools()
    assert answer == (wrapped(sum(ballots) + sum(noise) - threshold, width) >= 0)


@pytest.mark.parametrize(("me", "own"), [(0, -3 - 5 + 8), (1, -3), (2, -3)])
def test_a_party_enters_its_integer_in_its_own_lane_and_zero_in_all_others(me: int, own: int) -> None:
    """Party 0 takes off the threshold, and adds the bit that turns a sign into an answer."""
    columns = [each.to_bools().tolist() for each in own_noise(-3, 5, me, 3, 4)]
    assert columns == [[own >> place & 1 if lane == me else 0 for lane in range(3)] for place in range(4)]


# -- the gates, bit by bit --------------------------------------------------------------------------

Gate = tuple[int, int]


def halved(column: list[int]) -> tuple[list[Gate], list[int]]:
    """The gates of a column, and what it carries: the steps of `reaches` with the constant 0."""
    chain = column if len(column) % 2 else [0, *column]
    sums = list(accumulate(chain, xor))
    gates = [(chain[i + 1] ^ sums[i], chain[i + 2] ^ sums[i]) for i in range(0, len(chain) - 1, 2)]
    return gates, [x & y ^ so_far for (x, y), so_far in zip(gates, sums[::2], strict=False)]


def specified(ballots: list[int], integers: list[int], width: int) -> list[list[Gate]]:
    """The gates of each round, one bit after the other, as protocol/SPEC.md puts them in section 4.9."""
    n, k = len(ballots), len(integers)
    columns = [[each >> w & 1 for each in integers] for w in range(width)]
    columns[0] = ballots + columns[0]
    blocks: list[tuple[int, ...]] = [(reduce(xor, columns.pop()),)]  # the first is u
    rounds, r = list[list[Gate]](), 0
    while columns or len(blocks) > 1:
        w = r + len(columns) - 1
        if columns and len(columns[-1]) == 2 and n - k + (k - 1) * 2 ** (w - r) < 2**w:
            x, y = columns.pop()
            blocks[:1] = [(y,), (y ^ blocks[0][0], x ^ y)]
            continue
        made = [halved(column) for column in columns]
        waiting, ready = (blocks[:1], blocks[1:]) if columns else ([], blocks)
        pairs = list(zip(ready[::2], ready[1::2], strict=False))
        products = [(high[1], bit) for low, high in pairs for bit in low]
        rounds.append([gate for gates, _ in made for gate in gates] + products)
        joined = [(high[1] & low[0] ^ high[0], *(high[1] & p for p in low[1:])) for low, high in pairs]
        blocks = [*waiting, *joined, *ready[2 * len(pairs) :]]
        if columns:
            blocks[0] = (reduce(xor, made[-1][1], blocks[0][0]),)
            columns = [
                [reduce(xor, column), *below] for column, (_, below) in zip(columns[1:], made, strict=False)
            ]
            r += 1
    return rounds


@pytest.mark.parametrize(
    ("count", "parties", "width"),
    [(0, 2, 2), (1, 2, 3), (4, 4, 9), (5, 5, 12), (9, 3, 10), (33, 20, 14), (7, 2, 40)],
)
def test_the_gates_and_their_order_are_those_of_the_specification(
    count: int, parties: int, width: int
) -> None:
    source = Random(count)
    for _ in range(5):
        ballots = [source.getrandbits(1) for _ in range(count)]
        integers = [source.getrandbits(width) for _ in range(parties)]
        rounds, gates = Rounds(reaches_noised(bits(ballots), lanes(integers, width))), []
        while not rounds.done:
            sides = [concat(side).to_bools().tolist() for side in zip(*rounds.gates, strict=True)]
            gates.append(list(zip(*sides, strict=True)))
            rounds.answer([x & y for x, y in rounds.gates])
        assert gates == specified(ballots, integers, width)


def test_the_gates_of_each_round_of_two_examples() -> None:
    assert layers(reaches_noised(Bits.zeros(4), [Bits.zeros(4)] * 9)) == [18, 8, 5, 3, 1]
    assert layers(reaches_noised(Bits.zeros(5), [Bits.zeros(5)] * 12)) == [25, 12, 10, 7, 3, 1, 1]


# -- what it costs ----------------------------------------------------------------------------------

COSTS = {
    (4, 4, 9): Cost(rounds=5, ands=35),
    (5, 5, 12): Cost(rounds=7, ands=59),
    (20, 20, 14): Cost(rounds=9, ands=283),
    (1000, 3, 12): Cost(rounds=11, ands=1057),
    (1000, 3, 16): Cost(rounds=11, ands=1073),
    (4, 4, 40): Cost(rounds=8, ands=187),
}


def spent(count: int, parties: int, width: int) -> Cost:
    return cost(reaches_noised(Bits.zeros(count), [Bits.zeros(parties)] * width))


@pytest.mark.parametrize("numbers", COSTS)
def test_what_referenda_with_noise_cost(numbers: tuple[int, int, int]) -> None:
    assert spent(*numbers) == COSTS[numbers]
    assert most_ands_noised(*numbers) == COSTS[numbers].ands


def degree(count: int, parties: int, width: int) -> int:
    """Of the bit as a polynomial over GF(2), which is the sum of the products of all sets of bits that weigh
    2^(m−1) together: C(Σ, 2^(m−1)) mod 2, by Lucas.  So it is the size of the largest such set."""
    largest = {0: 0}  # by what a set of the columns so far carries into the next one
    for w in range(width):
        bits_here = parties + (count if w == 0 else 0)
        grown: dict[int, int] = {}
        for (carry, size), more in product(largest.items(), range(bits_here + 1)):
            half, odd = divmod(carry + more, 2)
            if odd == (w == width - 1):
                grown[half] = max(grown.get(half, 0), size + more)
        largest = grown
    return largest[0]


@pytest.mark.parametrize("parties", [2, 3, 4, 5, 8])
def test_no_circuit_has_fewer_rounds_by_more_than_one(parties: int) -> None:
    """A round at most doubles the degree: ⌈log₂ degree⌉ rounds are needed."""
    more = []
    for count, width in product((1, 2, 3, 4, 5, 7, 8, 9, 16, 33, 100), (2, 3, 5, 9, 12, 20)):
        needed = (degree(count, parties, width) - 1).bit_length()
        more.append(spent(count, parties, width).rounds - needed)
    assert set(more) <= {0, 1}
    assert more.count(0) > len(more) / 2


@pytest.mark.parametrize(("parties", "width"), [(2, 2), (2, 11), (3, 9), (4, 20), (5, 12), (9, 10)])
def test_the_bound_on_ands_holds_for_fewer_ballots_too(parties: int, width: int) -> None:
    counted = [spent(count, parties, width).ands for count in range(100)]
    assert all(fewer <= more for fewer, more in pairwise(counted))
    assert [most_ands_noised(count, parties, width) for count in (1, 64, 99)] == [
        counted[count] for count in (1, 64, 99)
    ]


# -- what nobody learns -----------------------------------------------------------------------------


def shape(ballots: list[int], noise: list[int], threshold: int, width: int) -> list[list[int]]:
    """The lengths of the gates of each round."""
    numbers = [reduce(xor, each) for each in zip(*entered(noise, threshold, width), strict=True)]
    rounds, lengths = Rounds(reaches_noised(bits(ballots), numbers)), []
    while not rounds.done:
        lengths.append([len(x) for x, _ in rounds.gates])
        rounds.answer([x & y for x, y in rounds.gates])
    return lengths


@pytest.mark.parametrize("count", [1, 4])
def test_the_traffic_depends_on_numbers_of_ballots_parties_and_bits_alone(count: int) -> None:
    shapes = [
        shape(list(ballots), list(noise), threshold, 7)
        for ballots in product([0, 1], repeat=count)
        for noise in product([-64, -1, 0, 5], repeat=2)
        for threshold in (1, count, 9)
    ]
    assert all(each == shapes[0] for each in shapes)


ENDINGS = [(1, 2, 2), (3, 2, 2), (9, 3, 3), (1, 2, 3), (2, 2, 5), (4, 3, 9)]  # with a carry, or with a block


@pytest.mark.parametrize(("count", "parties", "width"), ENDINGS)
def test_a_share_of_the_answer_is_uniform_whatever_is_known_besides(
    count: int, parties: int, width: int
) -> None:
    """Of two parties' shares of the last c, all else equal, both values are equally likely.  With the one
    or the other, everything that is opened is the same, and these parties' shares of the answer are not."""
    source = Random(count)
    last = most_ands_noised(count, parties, width) - 1
    for ballots in product([0, 1], repeat=min(count, 3)):
        noise = entered([source.randint(-2, 2) for _ in range(parties)], 1, width)
        shares = split(bits([*ballots, *[1] * (count - len(ballots))]), parties, source)
        triples = dealt(last + 1, parties, source)
        opened, results, _ = played(shares, noise, triples)
        for one in triples[:2]:
            one[2] ^= bits([0] * last + [1])
        opened_again, results_again, _ = played(shares, noise, triples)
        assert opened_again == opened
        flipped = [x ^ y for x, y in zip(results, results_again, strict=True)]
        assert [each.to_bools().tolist() for each in flipped] == [[True]] * 2 + [[False]] * (parties - 2)


# -- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(("parties", "width"), [(2, 0), (2, 1), (1, 5), (0, 5)])
def test_noise_of_one_bit_or_of_one_party_is_an_error(parties: int, width: int) -> None:
    """With one bit there is no gate, and a share of the answer would be a sum of shares of inputs."""
    with pytest.raises(LocalProtocolError, match=rf"parties in {width} bits"):
        evaluate(reaches_noised(bits([1, 1]), [Bits.zeros(parties)] * width))


def test_noise_of_different_parties_in_different_bits_is_an_error() -> None:
    with pytest.raises(LocalProtocolError, match=r"noise of \[2, 3\] parties in 3 bits"):
        evaluate(reaches_noised(bits([1]), [Bits.zeros(2), Bits.zeros(3), Bits.zeros(2)]))
