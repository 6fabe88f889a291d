"""Samples: what each coalition sees in many sessions over the same ballots."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product

import numpy as np

from tests.statistics.cases import Ballots, Case
from tests.statistics.chi_square import Sample, Verdict, compare
from tests.statistics.play import Play, Product
from tests.statistics.views import Coalition, Field, view

PRODUCT = Product()
NOISES = (-2, 1)  # of a compute party, in the stories that are compared
Story = tuple[Ballots, ...]  # the ballots of each session that the coalition sees, one after the other


def twins(case: Case, coalition: Coalition, one: Story, other: Story) -> bool:
    """Whether the coalition must not tell these apart: what it brings itself is the same, and so are the
    answers, if it is told them."""
    mine = [place for place, name in enumerate(case.bringing) if name in coalition]
    told = bool(set(coalition) & set(case.results))
    return all(
        [a[place] for place in mine] == [b[place] for place in mine]
        and (not told or case.answer(a) == case.answer(b))
        for a, b in zip(one, other, strict=True)
    )


@lru_cache(maxsize=8)  # of up to 100 MB each
def watch(case: Case, story: Story, runs: int, variant: Product = PRODUCT) -> dict[Coalition, Sample]:
    """What each coalition sees of the sessions of `story`, held `runs` times with fresh seeds each time.

    The seeds are the same in every call, and others for every story.
    """
    seen: dict[Coalition, list[list[Field]]] = {coalition: [] for coalition in case.coalitions}
    for run in range(runs):
        plays = _played(case, story, f"{story} {run}", variant)
        for coalition, views in seen.items():
            views.append(_side_by_side([view(play, coalition) for play in plays]))
    return {coalition: Sample.of(views) for coalition, views in seen.items()}


@lru_cache(maxsize=64)
def tell_apart(
    case: Case, one: Story, other: Story, runs: int, variant: Product = PRODUCT
) -> dict[Coalition, Verdict]:
    """For every coalition that must not tell these apart: whether it does, out of `runs` of each."""
    here, there = (watch(case, story, runs, variant) for story in (one, other))
    return {
        each: compare(here[each], there[each]) for each in case.coalitions if twins(case, each, one, other)
    }


def told(verdicts: dict[Coalition, Verdict]) -> set[Coalition]:
    """Those who can tell."""
    return {coalition for coalition, verdict in verdicts.items() if not verdict.alike}


def pairs(case: Case, sessions: int = 1) -> Iterator[tuple[Story, Story]]:
    """Of the stories that a coalition must not tell apart, the first beside each of the others."""
    ballots = product(*((0, 1) for _ in case.inputs), *(NOISES for _ in case.bringing[len(case.inputs) :]))
    stories = list(product(ballots, repeat=sessions))
    found: dict[tuple[Story, Story], None] = {}
    for coalition in case.coalitions:
        left = stories
        while left:
            first, alike = left[0], [each for each in left[1:] if twins(case, coalition, left[0], each)]
            found.update(dict.fromkeys((first, each) for each in alike))
            left = [each for each in left[1:] if each not in alike]
    return iter(found)


def _played(case: Case, story: Story, label: str, variant: Product) -> list[Play]:
    plays: list[Play] = []
    for number, ballots in enumerate(story):
        left = plays[-1].left if plays else None
        play = Play(case, ballots, variant.keys(case, label, number, left), variant)
        if variant is PRODUCT and play.answer != case.answer(ballots):
            raise AssertionError(f"{play.answer} from {ballots} in {case}")
        plays.append(play)
    return plays


def _side_by_side(views: list[list[Field]]) -> list[Field]:
    """The first session, and of each later one its difference from it: what is used twice shows there."""
    first = {each.name: each.content for each in views[0]}
    later = [
        Field(f"session {number}: {name}", _xor(content, first.get(name, bytes(len(content)))), close)
        for number, fields in enumerate(views[1:], start=2)
        for name, content, close in fields
    ]
    return views[0] + later


def _xor(one: bytes, other: bytes) -> bytes:
    return (np.frombuffer(one, np.uint8) ^ np.frombuffer(other, np.uint8)).tobytes()
