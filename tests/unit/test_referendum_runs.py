"""Every referendum of up to six ballots, played on shares by the parties' own machines, has the answer that
counting gives, and the same letters whatever the ballots are."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from protocol.bits import Bits
from protocol.functionalities.referendum import Referendum
from protocol.gates import evaluate
from tests.statistics.cases import Case, fresh_keys
from tests.statistics.play import Play, Product

VOTERS = ("alice", "bob", "carlos", "david", "erin", "frank")
FRACTIONS = ("1/2", "2/3", "3/4", "1/1")
PRODUCT = Product()


def thresholds(ballots: int) -> list[str]:
    return [*map(str, range(1, ballots + 1)), *FRACTIONS]


def counted(ballots: tuple[int, ...], threshold: str) -> str:
    """The oracle: at least so many yes, or at least such a part of all."""
    part, _, whole = threshold.partition("/")
    enough = sum(ballots) * int(whole) >= int(part) * len(ballots) if whole else sum(ballots) >= int(part)
    return "YES" if enough else "NO"


def traffic(play: Play) -> list[tuple[object, ...]]:
    """What the letters look like from outside."""
    return [(*each[:-1], len(each.body)) for each in play.letters]


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("count", range(1, 7))
def test_every_ballot_vector_and_threshold_on_shares(count: int, parties: int) -> None:
    for threshold in thresholds(count):
        case = Case(threshold, VOTERS[:count], VOTERS[:parties], VOTERS[:1])
        letters = []
        for ballots in product((0, 1), repeat=count):
            play = Play(case, ballots, fresh_keys(case, f"{ballots} of {threshold}", parties), PRODUCT)
            assert play.answer == counted(ballots, threshold), (ballots, threshold)
            letters.append(traffic(play))
        assert all(each == letters[0] for each in letters), "the ballots show in the letters' number or size"


@pytest.mark.parametrize("count", [7, 8])
def test_every_larger_ballot_vector_and_threshold_in_plain(count: int) -> None:
    one = Bits.from_bools(np.array([True]))
    for threshold in thresholds(count):
        function = Referendum(threshold=threshold)
        for ballots in product((0, 1), repeat=count):
            bits = Bits.from_bools(np.array(ballots, dtype=np.bool_))
            [answer] = evaluate(function.circuit(bits, one)).to_bools().tolist()
            assert ("YES" if answer else "NO") == counted(ballots, threshold), (ballots, threshold)
