"""No k − 1 of the compute parties can tell two ballot vectors apart that have the same answer, and the same
test notices every variant that leaks.

The long form, over all pairs of vectors of the small cases: `python -m tests.statistics`.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import pytest

from tests.statistics import leaky
from tests.statistics.cases import Case, among
from tests.statistics.chi_square import compare
from tests.statistics.play import Play, Product
from tests.statistics.views import Coalition
from tests.statistics.watch import Story, pairs, tell_apart, told, twins, watch

RUNS = 10_000  # of each ballot vector, in the smallest case
FEWER = 150  # in all others, which is enough for what always leaks; the long form has 10,000 there as well
ALICE, BOB = ("alice",), ("bob",)
TWO, THREE = ("alice", "bob"), ("alice", "bob", "carlos")
TWO_COMPUTE = among("2", TWO, ("carlos",))
THREE_COMPUTE = among("2", THREE)
AND_A_VOTER = among("2", THREE, ("david",))
ALL_SAY_YES: Story = ((1, 1, 1),)
JUST_ENOUGH: Story = ((1, 1, 0),)
AGAIN: Story = (*ALL_SAY_YES, *ALL_SAY_YES)
CHANGED: Story = (*ALL_SAY_YES, *JUST_ENOUGH)


def nobody_can_tell(case: Case, one: Story, other: Story, runs: int, coalitions: list[Coalition]) -> None:
    verdicts = tell_apart(case, one, other, runs)
    assert list(verdicts) == coalitions, "those who must not tell"
    assert not told(verdicts), {coalition: str(verdict) for coalition, verdict in verdicts.items()}


# -- the product -------------------------------------------------------------------------------------


@pytest.mark.timeout(600)  # half a minute on an idle machine, which is not promised
def test_a_unanimous_vote_looks_like_one_that_just_passes_to_each_of_two() -> None:
    nobody_can_tell(TWO_COMPUTE, ALL_SAY_YES, JUST_ENOUGH, RUNS, [ALICE, BOB])


@pytest.mark.parametrize("other", [(1, 1, 0), (1, 0, 1), (0, 1, 1)])
def test_two_of_three_who_vote_yes_do_not_learn_how_the_third_voted(other: tuple[int, ...]) -> None:
    yes = [name for name, ballot in zip(THREE, other, strict=True) if ballot]
    nobody_can_tell(THREE_COMPUTE, ALL_SAY_YES, (other,), FEWER, [tuple(yes)])


def test_two_of_three_who_vote_no_do_not_learn_how_the_third_voted() -> None:
    nobody_can_tell(THREE_COMPUTE, ((0, 0, 0),), ((0, 0, 1),), FEWER, [("alice", "bob")])


def test_no_two_of_three_learn_how_a_voter_voted_who_does_not_compute() -> None:
    nobody_can_tell(AND_A_VOTER, ((1, 0, 1, 0),), ((1, 0, 1, 1),), FEWER, AND_A_VOTER.coalitions)


def test_two_of_three_do_not_learn_who_of_two_others_said_yes() -> None:
    nobody_can_tell(AND_A_VOTER, ((1, 0, 1, 0),), ((1, 0, 0, 1),), FEWER, [("alice", "bob")])


def test_the_next_session_with_the_setups_that_are_left_does_not_tell_who_changed_his_mind() -> None:
    nobody_can_tell(TWO_COMPUTE, AGAIN, CHANGED, FEWER, [ALICE, BOB])


def test_a_setup_that_served_twice_would_tell_nothing_as_long_as_the_context_is_new() -> None:
    assert not told(tell_apart(TWO_COMPUTE, AGAIN, CHANGED, FEWER, leaky.SameSetup()))


def test_those_who_compute_and_are_not_told_the_answer_do_not_learn_it() -> None:
    elsewhere = Case("3", TWO_COMPUTE.inputs, TWO, ("david",))
    nobody_can_tell(elsewhere, ALL_SAY_YES, JUST_ENOUGH, FEWER, [ALICE, BOB])
    here = among("3", TWO, ("carlos",))
    yes, no = (watch(here, story, 100) for story in (ALL_SAY_YES, JUST_ENOUGH))
    assert not any(compare(yes[each], no[each]).alike for each in here.coalitions), "those who are told do"


@pytest.mark.parametrize("case", [TWO_COMPUTE, THREE_COMPUTE, AND_A_VOTER])
def test_the_long_form_compares_whatever_a_coalition_must_not_tell_apart(case: Case) -> None:
    """Directly, or each with a third."""
    compared = set(pairs(case))
    ways = compared | {(other, one) for one, other in compared}
    stories: list[Story] = [(ballots,) for ballots in product((0, 1), repeat=len(case.inputs))]
    for coalition, one, other in product(case.coalitions, stories, stories):
        if one != other and twins(case, coalition, one, other):
            alike = [each for each in stories if twins(case, coalition, one, each)]
            by_way = any({(one, third), (third, other)} <= ways for third in alike)
            assert (one, other) in ways or by_way


# -- what leaks --------------------------------------------------------------------------------------


class Leak(NamedTuple):
    """A variant, two stories that nobody should tell apart, and those who can."""

    variant: Product
    case: Case
    one: Story
    other: Story
    by: list[Coalition]


AND = among("3", TWO, ("carlos",))  # two rounds of gates
LEAKS = {
    "opens the count": Leak(leaky.OpensTheCount(), TWO_COMPUTE, ALL_SAY_YES, JUST_ENOUGH, [ALICE, BOB]),
    "adds up shares": Leak(leaky.AddsUpShares(), TWO_COMPUTE, ALL_SAY_YES, JUST_ENOUGH, [ALICE, BOB]),
    "does not mask": Leak(leaky.NoMasks(), TWO_COMPUTE, ALL_SAY_YES, JUST_ENOUGH, [ALICE, BOB]),
    "takes triples twice, bob varies": Leak(leaky.SameTriples(), AND, ((0, 0, 1),), ((0, 1, 0),), [ALICE]),
    "takes triples twice, alice varies": Leak(leaky.SameTriples(), AND, ((0, 0, 0),), ((1, 0, 0),), [BOB]),
    "takes triples again": Leak(leaky.SameTriplesAgain(), TWO_COMPUTE, AGAIN, CHANGED, [ALICE, BOB]),
    "forgets the context": Leak(leaky.SameSetupAndContext(), TWO_COMPUTE, AGAIN, CHANGED, [ALICE, BOB]),
    # Of alice and bob it is alice who gets the correction bits; of three, each gets those of another.
    "hashes the index": Leak(leaky.HashOfTheIndex(), TWO_COMPUTE, ALL_SAY_YES, JUST_ENOUGH, [ALICE]),
    "hashes the index, among three": Leak(
        leaky.HashOfTheIndex(), AND_A_VOTER, ((1, 0, 1, 0),), ((1, 0, 1, 1),), AND_A_VOTER.coalitions
    ),
}


def opens_more(variant: Product) -> bool:
    return type(variant).output is not Product.output


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_a_variant_that_leaks_is_noticed_where_the_product_is_not(leak: Leak) -> None:
    leaking, honest = (
        tell_apart(leak.case, leak.one, leak.other, FEWER, *variant) for variant in ((leak.variant,), ())
    )
    assert set(leak.by) <= set(honest), "they should not be able to"
    assert told(leaking) == set(leak.by)
    assert not told(honest)


@pytest.mark.parametrize("leak", [each for each in LEAKS.values() if not opens_more(each.variant)])
def test_a_variant_that_opens_nothing_more_has_the_right_answer_all_the_same(leak: Leak) -> None:
    for ballots in product((0, 1), repeat=len(leak.case.inputs)):
        keys = leak.variant.keys(leak.case, f"right with {ballots}", 1, None)
        assert Play(leak.case, ballots, keys, leak.variant).answer == leak.case.answer(ballots)
