"""A referendum with noise: what a coalition sees depends on its own ballots and noise and on the answer, and
on nothing else.

How much noise each party adds is given here, as the ballots are.  So nobody can tell apart ballots, or the
noise of others, that lead to the same answer; every variant that leaks is noticed by the same test.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import pytest

from tests.statistics import leaky
from tests.statistics.cases import among, noised
from tests.statistics.play import Play, Product
from tests.statistics.views import Coalition
from tests.statistics.watch import NOISES, Story, tell_apart, told

RUNS = 150  # of each; the long form has 10,000
ALICE, BOB = ("alice",), ("bob",)
TWO, THREE = ("alice", "bob"), ("alice", "bob", "carlos")
ALL_OF_THREE = noised(among("3", TWO, ("carlos",)))
# Three ballots, then what alice and bob add.  Together they leave less than three, so the answer is NO.
LOST: Story = ((1, 1, 1, -1, 0),)
LOST_ANYWAY: Story = ((1, 1, 0, -1, 0),)
LOST_BY_BOB: Story = ((1, 1, 1, -1, -1),)


def test_an_answer_does_not_tell_what_it_would_be_without_the_noise() -> None:
    verdicts = tell_apart(ALL_OF_THREE, LOST, LOST_ANYWAY, RUNS)
    assert list(verdicts) == [ALICE, BOB]
    assert not told(verdicts), verdicts


def test_an_answer_does_not_tell_how_much_noise_another_party_has_added() -> None:
    verdicts = tell_apart(ALL_OF_THREE, LOST, LOST_BY_BOB, RUNS)
    assert list(verdicts) == [ALICE]
    assert not told(verdicts), verdicts


def test_two_of_three_learn_neither_the_noise_of_the_third_nor_its_ballot() -> None:
    case, one, other = noised(among("2", THREE)), ((1, 0, 1, 0, 0, 0),), ((1, 0, 0, 0, 0, 2),)
    verdicts = tell_apart(case, one, other, RUNS)
    assert list(verdicts) == [TWO]
    assert not told(verdicts), verdicts


class Leak(NamedTuple):
    """A variant, two stories that nobody should tell apart, and those who can."""

    variant: Product
    one: Story
    other: Story
    by: list[Coalition]


HALVES = leaky.NoiseUnderTheMasksOfBallots()
LEAKS = {
    "compares first": Leak(leaky.ComparesFirst(), LOST, LOST_ANYWAY, [ALICE, BOB]),
    "opens the noised count": Leak(leaky.OpensTheNoisedCount(), LOST, LOST_ANYWAY, [ALICE, BOB]),
    "masks noise as ballots": Leak(HALVES, LOST, LOST_BY_BOB, [ALICE]),
    "makes noise of its ballot": Leak(leaky.NoiseFromTheBallot(), LOST, LOST_ANYWAY, [ALICE, BOB]),
    "shows its noise": Leak(leaky.ShowsItsNoise(), LOST, LOST_BY_BOB, [ALICE]),
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_a_variant_that_leaks_is_noticed_where_the_product_is_not(leak: Leak) -> None:
    leaking = tell_apart(ALL_OF_THREE, leak.one, leak.other, RUNS, leak.variant)
    assert told(leaking) == set(leak.by)
    honest = tell_apart(ALL_OF_THREE, leak.one, leak.other, RUNS)
    assert set(leak.by) <= set(honest), "they should not be able to"
    assert not told(honest)


@pytest.mark.parametrize("variant", [Product(), HALVES], ids=["the product", "masks noise as ballots"])
def test_one_that_opens_nothing_more_has_the_right_answer_all_the_same(variant: Product) -> None:
    for ballots in product((0, 1), (0, 1), (0, 1), NOISES, NOISES):
        keys = variant.keys(ALL_OF_THREE, f"right with {ballots}", 1, None)
        assert Play(ALL_OF_THREE, ballots, keys, variant).answer == ALL_OF_THREE.answer(ballots)
