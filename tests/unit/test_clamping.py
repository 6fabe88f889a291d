"""Where noise is added, whatever a party brings is moved into the bounds: neighbours differ by Δ at most."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import encoding, ring
from protocol.dp.noise import Relation
from protocol.encoding import Exact
from protocol.errors import InputError
from protocol.functionalities.histogram import Histogram
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from tests.support.sessions import repeatable

units = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-2000, 2000))
scales = st.integers(0, 18)


def exact(whole: int | list[int], scale: int = 0) -> Exact:
    return Exact(np.array(whole, dtype=np.int64), scale, "raise")


@repeatable
@given(units, scales, st.integers(0, 6), st.integers(-(10**6), 10**6), st.integers(0, 10**6))
def test_a_value_is_rounded_half_up_and_moved_to_the_nearer_bound(
    whole: int, scale: int, decimals: int, lowest: int, width: int
) -> None:
    found = encoding.clamped(exact(whole, scale), decimals=decimals, lowest=lowest, highest=lowest + width)
    rounded = floor(Fraction(whole, 10**scale) * 10**decimals + Fraction(1, 2))
    assert int(ring.to_signed(found)) == min(max(rounded, lowest), lowest + width)
    assert found.dtype == np.uint64


@repeatable
@given(st.lists(units, min_size=3, max_size=3), st.lists(units, min_size=3, max_size=3), scales)
def test_two_inputs_are_never_further_apart_than_the_sensitivity(
    one: list[int], other: list[int], scale: int
) -> None:
    function = Sum(lower=Decimal("-1.5"), upper=Decimal("2.5"), decimals=3, length=3)
    encoded = [ring.to_signed(function.encode(exact(each, scale), 5, clamp=True)) for each in (one, other)]
    assert int(np.abs(encoded[0] - encoded[1]).sum()) <= function.sensitivity(Relation.REPLACE_ONE)


def test_what_does_not_fit_the_ring_goes_to_the_bound_on_its_side() -> None:
    function = Sum(lower=Decimal("-9.2"), upper=Decimal("9.2"), decimals=18)
    for whole, bound in [(10, 92 * 10**17), (-10, -92 * 10**17), (2**63 - 1, 92 * 10**17), (9, 9 * 10**18)]:
        assert int(ring.to_signed(function.encode(exact(whole), 1, clamp=True))) == bound
        assert ring.to_signed(function.encode(exact([whole, 0]), 1, clamp=True)).tolist() == [bound, 0]


def test_the_sensitivity_is_reached_and_so_not_larger_than_it_must_be() -> None:
    function = Sum(lower=Decimal("-1.5"), upper=Decimal("2.5"), decimals=3, length=3)
    ends = [function.encode(exact([each] * 3), 5, clamp=True) for each in (-(2**63), 2**63 - 1)]
    assert int((ring.to_signed(ends[1]) - ring.to_signed(ends[0])).sum()) == function.sensitivity(
        Relation.REPLACE_ONE
    )


@repeatable
@given(units, units, scales)
def test_who_is_replaced_moves_a_histogram_by_two_and_never_more(one: int, other: int, scale: int) -> None:
    function = Histogram(bins=4)
    encoded = [ring.to_signed(function.encode(exact(each, scale), 5, clamp=True)) for each in (one, other)]
    assert [int(each.sum()) for each in encoded] == [1, 1]  # and who is added or removed, by one
    assert int(np.abs(encoded[0] - encoded[1]).sum()) in (0, function.sensitivity(Relation.REPLACE_ONE))


@pytest.mark.parametrize(("value", "bin_"), [(1, 1), (4, 4), (0, 1), (-7, 1), (5, 4), (2**62, 4)])
def test_a_number_beyond_the_bins_counts_in_the_nearest_one(value: int, bin_: int) -> None:
    found = Histogram(bins=4).encode(exact(value), 3, clamp=True)
    assert found.tolist() == [int(place == bin_) for place in range(1, 5)]


def test_without_noise_what_does_not_fit_is_refused_as_ever() -> None:
    for value, scale in [(5, 0), (0, 0), (15, 1)]:
        with pytest.raises(InputError, match="raise"):
            Histogram(bins=4).encode(exact(value, scale), 3)
    with pytest.raises(InputError, match="a list, a histogram takes one number"):
        Histogram(bins=4).encode(exact([1, 2]), 3, clamp=True)


@pytest.mark.parametrize(("value", "scale", "vote"), [(2, 0, 1), (-2, 0, 0), (5, 1, 1), (4, 1, 0)])
def test_any_number_is_a_ballot_where_a_refusal_would_tell(value: int, scale: int, vote: int) -> None:
    function = Referendum(threshold="1/2")
    assert int(function.encode(exact(value, scale), 3, clamp=True)) == vote
    with pytest.raises(InputError):
        function.encode(exact(value, scale), 3)


def test_words_are_never_added_up_with_noise_either() -> None:
    ballot = Exact(np.array(1), 0, "vote", ballot=True)
    with pytest.raises(InputError, match="a yes/no answer"):
        Sum(lower=Decimal(0), upper=Decimal(1)).encode(ballot, 3, clamp=True)
