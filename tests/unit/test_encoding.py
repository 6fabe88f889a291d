"""Decimals enter the ring exactly or not at all, and a refusal names the place but never the value."""

import dataclasses
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocol import encoding, ring
from protocol.encoding import MOST_DECIMALS, Exact
from protocol.errors import InputError
from tests.support.sessions import repeatable

LARGEST = 2**63 - 1
BOUNDS = {"decimals": 2, "lowest": -500, "highest": 1_000_00}
scales = st.integers(0, MOST_DECIMALS)
# Both whole ranges and numbers that are likely to survive a change of scale.
units = st.one_of(
    st.integers(-(2**63), LARGEST),
    st.integers(-1000, 1000),
    st.builds(lambda digit, zeros: digit * 10**zeros, st.integers(-9, 9), st.integers(0, 17)),
)


def given_as(value: int | list[int], scale: int = 0) -> Exact:
    return Exact(np.array(value, dtype=np.int64), scale, "salaries.csv", "row", 2)


def decoded(elements: ring.Ring, decimals: int) -> Decimal:
    return exactly(int(ring.to_signed(elements)), decimals)


def exactly(whole: int, decimals: int) -> Decimal:
    with localcontext(prec=100):
        return Decimal(whole) / Decimal(10**decimals)


def refusal(value: Exact, **how: int) -> InputError:
    with pytest.raises(InputError) as caught:
        encoding.encode(value, **how)
    assert caught.value.hint
    return caught.value


# -- exactness against decimals ----------------------------------------------------------------------


@repeatable
@given(units, scales, scales, st.integers(1, 50))
def test_a_value_is_encoded_exactly_or_refused_for_a_true_reason(
    whole: int, scale: int, decimals: int, inputs: int
) -> None:
    limit = encoding.limit(inputs)
    value = given_as(whole, scale)
    with localcontext(prec=100):
        wanted = exactly(whole, scale) * 10**decimals
        fits, integer = abs(wanted) <= limit, wanted == wanted.to_integral_value()
    bounds = {"decimals": decimals, "lowest": -limit, "highest": limit}
    if fits and integer:
        assert decoded(encoding.encode(value, **bounds), decimals) == exactly(whole, scale)
    else:
        message = refusal(value, **bounds).message
        assert ("outside the bounds" in message and not fits) or ("decimals" in message and not integer)


@repeatable
@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=20), st.integers(0, 4), st.integers(4, 9))
def test_a_vector_is_encoded_element_by_element(whole: list[int], scale: int, decimals: int) -> None:
    found = encoding.encode(given_as(whole, scale), decimals=decimals, lowest=-LARGEST, highest=LARGEST)
    assert found.shape == (len(whole),)
    assert ring.to_signed(found).tolist() == [each * 10 ** (decimals - scale) for each in whole]


@repeatable
@given(st.lists(st.integers(-1, 1), min_size=1, max_size=50))
def test_no_sum_of_inputs_at_the_limit_wraps(signs: list[int]) -> None:
    limit = encoding.limit(len(signs))
    values = [sign * limit for sign in signs]
    encoded = [encoding.encode(given_as([each]), decimals=0, lowest=-limit, highest=limit) for each in values]
    assert int(ring.to_signed(np.sum(encoded, axis=0, dtype=np.uint64))[0]) == sum(values)


@pytest.mark.parametrize("inputs", [1, 2, 3, 1000])
def test_the_limit_is_the_largest_that_cannot_overflow(inputs: int) -> None:
    assert inputs * encoding.limit(inputs) <= LARGEST < inputs * (encoding.limit(inputs) + 1)


@pytest.mark.parametrize("scale", [0, 2, 3])
def test_one_number_becomes_an_array_without_length_and_not_a_numpy_scalar(scale: int) -> None:
    found = encoding.encode(given_as(5000, scale), **{**BOUNDS, "highest": 5_000_00})
    assert isinstance(found, np.ndarray)
    assert found.shape == ()


# -- bounds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [-500, -499, 0, 1, 1_000_00])
def test_the_bounds_are_inclusive(whole: int) -> None:
    found = encoding.encode(given_as(whole, 2), **BOUNDS)
    assert int(ring.to_signed(found)) == whole


@pytest.mark.parametrize(
    ("whole", "scale"),
    [(-501, 2), (1_000_01, 2), (-6, 0), (1001, 0), (-(2**63), 2), (LARGEST, 2), (-(2**63), 0), (LARGEST, 0)],
)
def test_one_unit_outside_the_bounds_is_refused_and_the_bounds_are_named(whole: int, scale: int) -> None:
    error = refusal(given_as(whole, scale), **BOUNDS)
    assert error.message == "salaries.csv: outside the bounds [-5.00, 1000.00]"


@pytest.mark.parametrize("scale", [0, 2])
def test_the_first_row_outside_the_bounds_is_named(scale: int) -> None:
    factor = 10**scale
    rows = given_as([1 * factor, 2 * factor, 700_000 * factor, 800_000 * factor], scale)
    assert refusal(rows, **BOUNDS).message.startswith("salaries.csv, row 4: outside the bounds ")


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (given_as(31505, 3), "salaries.csv"),
        (given_as([31500, 31505, 31507], 3), "salaries.csv, row 3"),
        (given_as([-31505], 3), "salaries.csv, row 2"),
        (given_as([1], 18), "salaries.csv, row 2"),
        (given_as([LARGEST], 18), "salaries.csv, row 2"),
    ],
)
def test_more_decimals_than_allowed_are_refused_with_the_place(value: Exact, place: str) -> None:
    wide = {"decimals": 2, "lowest": -LARGEST, "highest": LARGEST}
    message = refusal(value, **wide).message
    assert message == f"{place}: more than the 2 decimals that the session allows"


def test_zeros_behind_the_allowed_decimals_are_no_decimals() -> None:
    assert int(encoding.encode(given_as(31500, 3), **BOUNDS)) == 3150


@pytest.mark.parametrize("whole", [2**62, LARGEST, -(2**63), -(2**63) + 1, 10**18])
@pytest.mark.parametrize("decimals", [1, 2, 18])
def test_a_product_past_the_ring_is_refused_and_never_wraps(whole: int, decimals: int) -> None:
    error = refusal(given_as([0, whole]), decimals=decimals, lowest=-LARGEST, highest=LARGEST)
    assert error.message.startswith("salaries.csv, row 3: outside the bounds ")


def test_all_eighteen_decimals_are_kept() -> None:
    whole = 1_234_567_890_123_456_789  # 1.234567890123456789
    found = encoding.encode(given_as(whole, 18), decimals=18, lowest=-LARGEST, highest=LARGEST)
    assert decoded(found, 18) == Decimal("1.234567890123456789")


@repeatable
@given(st.integers(10**6, LARGEST), st.booleans(), st.integers(0, 8), st.integers(0, 8))
def test_no_refusal_and_no_repr_shows_the_value(
    magnitude: int, negative: bool, scale: int, decimals: int
) -> None:
    whole = -magnitude if negative else magnitude
    value = given_as([1, whole], scale)
    digits = str(magnitude).rstrip("0")
    assume(len(digits) > 5)
    error = refusal(value, decimals=decimals, lowest=-9, highest=9)
    assert digits not in f"{error.message} {error.hint} {error!r} {value!r} {value}"
    assert error.__cause__ is None


# -- ballots -----------------------------------------------------------------------------------------


def no_ballot(value: Exact) -> tuple[str, str]:
    with pytest.raises(InputError) as caught:
        encoding.ballot(value)
    assert caught.value.__cause__ is None
    return caught.value.message, caught.value.hint


@repeatable
@given(st.integers(-(2**63), LARGEST), scales)
def test_a_number_is_a_ballot_only_if_it_is_exactly_one_or_zero(whole: int, scale: int) -> None:
    if exactly(whole, scale) in (0, 1):
        assert int(encoding.ballot(given_as(whole, scale))) == exactly(whole, scale)
    else:
        message, hint = no_ballot(given_as(whole, scale))
        assert message == "salaries.csv: a number other than 1 and 0, a vote takes a ballot"
        assert hint == "write yes or no, true or false, 1 or 0"


@pytest.mark.parametrize("scale", range(MOST_DECIMALS + 1))
def test_one_is_a_yes_and_zero_is_a_no_with_any_number_of_decimals(scale: int) -> None:
    for answer in (0, 1):
        found = encoding.ballot(given_as(answer * 10**scale, scale))
        assert isinstance(found, np.ndarray)
        assert found.shape == ()
        assert found.dtype == np.uint64
        assert int(found) == answer


@pytest.mark.parametrize(("whole", "scale"), [(2, 0), (-1, 0), (1, 1), (5, 1), (10, 0), (101, 2), (99, 2)])
def test_a_number_beside_one_or_zero_is_no_ballot(whole: int, scale: int) -> None:
    no_ballot(given_as(whole, scale))


@pytest.mark.parametrize(("rows", "counted"), [([1], "1 row"), ([1, 0], "2 rows"), ([7] * 300, "300 rows")])
def test_a_vector_is_no_ballot_and_its_length_is_named(rows: list[int], counted: str) -> None:
    message, hint = no_ballot(given_as(rows))
    assert message == f"salaries.csv: {counted}, a vote takes one ballot"
    assert "one row" in hint


@pytest.mark.parametrize("answer", [0, 1])
def test_a_yes_or_no_is_never_added_up(answer: int) -> None:
    given = dataclasses.replace(given_as(answer), ballot=True)
    assert int(encoding.ballot(given)) == answer
    error = refusal(given, **BOUNDS)
    assert error.message == "salaries.csv: a yes/no answer, where numbers are taken"
    assert "count" in error.hint


# -- bounds as decimals ------------------------------------------------------------------------------


@repeatable
@given(st.integers(-(10**27), 10**27), st.integers(0, 30), scales)
def test_units_of_a_decimal_are_exact(whole: int, places: int, decimals: int) -> None:
    sign, digits, _ = Decimal(whole).as_tuple()
    value = Decimal((sign, digits, -places))
    product = whole * 10**decimals
    if product % 10**places:
        with pytest.raises(ValueError, match="decimals"):
            encoding.to_units(value, decimals)
    else:
        assert encoding.to_units(value, decimals) == product // 10**places


@pytest.mark.parametrize(
    ("text", "units_found"),
    [("-0", 0), ("-0.000", 0), ("0E+999999", 0), ("0E-999999", 0), ("-5.10", -510), ("1.5E+3", 150_000)],
)
def test_spellings_of_a_number_are_one_number(text: str, units_found: int) -> None:
    assert encoding.to_units(Decimal(text), 2) == units_found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1E+999999", "too large"),
        ("-1E+37", "too large"),
        ("1E-999999", "more than 2 decimals"),
        ("0.001", "more than 2 decimals"),
        ("NaN", "not a finite number"),
        ("sNaN", "not a finite number"),
        ("-Infinity", "not a finite number"),
    ],
)
def test_what_is_no_number_of_units_is_a_value_error_at_once(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        encoding.to_units(Decimal(text), 2)


@repeatable
@given(st.integers(-(2**63), LARGEST), scales)
def test_units_become_the_same_decimal_again(whole: int, decimals: int) -> None:
    value = encoding.from_units(whole, decimals)
    assert value == exactly(whole, decimals)
    assert encoding.to_units(value, decimals) == whole
    assert value.as_tuple().exponent == -decimals
