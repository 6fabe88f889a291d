"""Each function answers what a trusted party would, to the last place."""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from protocol import encoding, ring, sharing
from protocol.encoding import Exact
from protocol.errors import InputError
from protocol.functionalities import CATALOGUE, Answer, Boolean, FixedPoint, Function, Functionality, Linear
from protocol.functionalities.average import Average
from protocol.functionalities.sum import Sum
from tests.support.sessions import elements, repeatable, seed_of

LARGEST = 2**63 - 1
LINEAR: dict[str, type[FixedPoint]] = {"sum": Sum, "average": Average}
WITHOUT_DEFAULT: dict[str, dict[str, str | int]] = {
    "referendum": {"threshold": "2/3"},
    "histogram": {"bins": 3},
}
costly = settings(repeatable, max_examples=25)


def exact(whole: int | list[int], scale: int) -> Exact:
    return Exact(np.array(whole, dtype=np.int64), scale, "test input")


def evaluate(function: FixedPoint, inputs: list[int | list[int]]) -> Answer:
    """Encode, split, add, reconstruct, decode, as a session does, among three compute parties."""
    holders = ("x", "y", "z")
    encoded = [function.encode(exact(each, function.decimals), len(inputs)) for each in inputs]
    splits = [
        sharing.split(each, holders, "y", seed_of(f"input {number}")) for number, each in enumerate(encoded)
    ]
    shape = encoded[0].shape
    outputs = [
        sharing.add((shares[holder] for shares in splits), shape, function.group) for holder in holders
    ]
    return function.decode(sharing.reconstruct(outputs, shape), len(inputs))


@st.composite
def scalars(draw: st.DrawFn) -> list[int]:
    """1 to 50 inputs, small ones and ones at the very limit."""
    count = draw(st.integers(1, 50))
    limit = encoding.limit(count)
    small = st.integers(-20, 20)
    each = st.one_of(small, st.integers(-limit, limit), small.map(lambda near: limit - abs(near)))
    signed = st.builds(lambda value, sign: value * sign, each, st.sampled_from([1, -1]))
    return draw(st.lists(signed, min_size=count, max_size=count))


@pytest.mark.parametrize("kind", LINEAR.values(), ids=LINEAR)
@costly
@given(scalars(), st.integers(0, 18))
def test_the_answer_over_shares_is_the_ideal_one(
    kind: type[FixedPoint], inputs: list[int], decimals: int
) -> None:
    function = kind(decimals=decimals)
    ideal = function.ideal([encoding.from_units(each, decimals) for each in inputs])
    found = evaluate(function, list(inputs))
    assert encoding.from_units(int(found.units), decimals) == ideal


@pytest.mark.parametrize("kind", LINEAR.values(), ids=LINEAR)
@costly
@given(st.integers(1, 8), st.integers(1, 6), st.data())
def test_a_vector_is_answered_element_by_element(
    kind: type[FixedPoint], count: int, length: int, data: st.DataObject
) -> None:
    row = st.lists(st.integers(-(10**6), 10**6), min_size=length, max_size=length)
    inputs = data.draw(st.lists(row, min_size=count, max_size=count))
    function = kind(decimals=2)
    ideal = [
        function.ideal([encoding.from_units(each, 2) for each in column])
        for column in zip(*inputs, strict=True)
    ]
    assert evaluate(function, list(inputs)).text() == [str(each) for each in ideal]


@repeatable
@given(scalars(), st.integers(0, 18))
def test_the_ideal_average_is_the_exact_fraction_rounded_half_to_even(inputs: list[int], places: int) -> None:
    ideal = Average(decimals=places).ideal([encoding.from_units(each, places) for each in inputs])
    assert ideal == encoding.from_units(round(Fraction(sum(inputs), len(inputs))), places)


@pytest.mark.parametrize(
    ("inputs", "average"),
    [
        ([1, 2], 2),
        ([0, 1], 0),
        ([2, 3], 2),
        ([-1, 0], 0),
        ([-1, -2], -2),
        ([-2, -3], -2),
        ([0, 0, 0, 2], 0),
        ([0, 0, 0, 6], 2),
        ([1, 1, 0], 1),
        ([-1, -1, 0], -1),
        ([5], 5),
    ],
)
def test_a_half_goes_to_the_even_neighbour(inputs: list[int], average: int) -> None:
    assert int(evaluate(Average(decimals=0), list(inputs)).units) == average


@pytest.mark.parametrize("inputs", [1, 2, 3, 7, 50, 2**31, 2**40 + 1])
@pytest.mark.parametrize("total", [LARGEST, LARGEST - 1, -LARGEST, -LARGEST + 1, -(2**63)])
def test_rounding_does_not_overflow_at_the_ends_of_the_ring(inputs: int, total: int) -> None:
    found = Average(decimals=0).decode(elements(total), inputs)
    assert int(found.units) == round(Fraction(total, inputs))


def test_the_four_engineers_get_the_textbooks_answers() -> None:
    inputs: list[int | list[int]] = [380000, 251400, 298200, 339000]
    assert evaluate(Average(), inputs).text() == "3171.50"
    assert evaluate(Sum(), inputs).text() == "12686.00"


# -- answers -----------------------------------------------------------------------------------------


@repeatable
@given(st.integers(-(2**63), LARGEST), st.integers(0, 18))
def test_an_answer_is_written_with_exactly_its_decimals(units: int, decimals: int) -> None:
    text = Answer(np.array(units, dtype=np.int64), decimals).text()
    assert isinstance(text, str)
    assert len(text.partition(".")[2]) == decimals
    assert "E" not in text
    assert Decimal(text) == encoding.from_units(units, decimals)


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [
        (0, 2, "0.00"),
        (-5, 2, "-0.05"),
        (0, 7, "0.0000000"),
        (1, 7, "0.0000001"),
        (-12, 18, "-0.000000000000000012"),
        (7, 0, "7"),
    ],
)
def test_small_answers_are_not_written_with_an_exponent(units: int, decimals: int, text: str) -> None:
    assert Answer(np.array(units, dtype=np.int64), decimals).text() == text
    assert Answer(np.array([units], dtype=np.int64), decimals).text() == [text]


def test_an_answer_has_no_repr() -> None:
    answer = Answer(np.array([123456789], dtype=np.int64), 2)
    assert repr(answer) == str(answer) == "Answer(<redacted>, shape=(1,))"


# -- parameters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"lower": Decimal(2), "upper": Decimal(1)}, "lower 2 is above upper 1"),
        ({"upper": Decimal("0.001")}, "more than 2 decimals"),
        ({"upper": Decimal("NaN")}, "finite"),
        ({"upper": Decimal("Infinity")}, "finite"),
        ({"lower": Decimal("-1E+40")}, "finite"),
        ({"lower": Decimal("1E-999999")}, "finite"),
        ({"decimals": 19}, "less than or equal to 18"),
        ({"decimals": -1}, "greater than or equal to 0"),
        ({"decimals": 2.0}, "integer"),
        ({"mask": 1}, "extra"),
        ({"name": "product"}, "sum"),
    ],
)
def test_parameters_that_cannot_be_are_refused(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=f"(?i){problem}"):
        Sum.model_validate(fields)


@pytest.mark.parametrize("bound", ["lower", "upper"])
def test_a_range_whose_sum_could_leave_the_ring_is_refused(bound: str) -> None:
    limit = encoding.limit(3)
    sign = -1 if bound == "lower" else 1
    at_limit = Sum.model_validate({bound: Decimal(sign * limit), "decimals": 0})
    assert at_limit.range(3) == (-limit, limit)
    past = Sum.model_validate({bound: Decimal(sign * (limit + 1)), "decimals": 0})
    with pytest.raises(ValueError, match=r"3 inputs within .* could pass 2\^63"):
        past.range(3)


def test_a_value_that_only_overflows_with_all_parties_is_refused() -> None:
    half = exact(LARGEST // 2 + 1, 0)
    assert int(Sum(decimals=0).encode(half, 1)) == LARGEST // 2 + 1
    with pytest.raises(InputError, match="test input: outside the bounds"):
        Sum(decimals=0).encode(half, 2)


def test_the_catalogue_is_closed_and_each_function_goes_by_its_name() -> None:
    fields = {name: WITHOUT_DEFAULT.get(name, {}) for name in CATALOGUE}
    assert {
        name: kind.model_validate(fields[name]).model_dump()["name"] for name, kind in CATALOGUE.items()
    } == {name: name for name in CATALOGUE}
    adapter: TypeAdapter[Functionality] = TypeAdapter(Function)
    for name, kind in CATALOGUE.items():
        assert isinstance(adapter.validate_python({"name": name} | fields[name]), kind)
    with pytest.raises(ValidationError):
        adapter.validate_python({"name": "eval", "code": "1"})


def test_every_function_of_the_catalogue_is_linear_or_computed_by_gates() -> None:
    """So that the loops over the linear ones, here and in their own files, leave none out."""
    gates = {name for name, kind in CATALOGUE.items() if issubclass(kind, Boolean)}
    linear = {name for name, kind in CATALOGUE.items() if issubclass(kind, Linear)}
    assert linear | gates == set(CATALOGUE)
    assert linear == {*LINEAR, "histogram", "poll"}
    assert gates == {name for name, kind in CATALOGUE.items() if kind.interactive} == {"referendum"}


def test_ideal_rounds_as_the_decimal_module_does() -> None:
    with localcontext(prec=60):
        wanted = (Decimal("1.005") + Decimal("1.02")) / 2
    found = Average().ideal([Decimal("1.005"), Decimal("1.02")])
    assert found == wanted.quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def test_ring_elements_of_the_whole_ring_are_sums_as_they_stand() -> None:
    ends = np.array([2**63 - 1, 2**63, 2**64 - 1], dtype=np.uint64)
    assert Sum(decimals=0).decode(ends, 5).text() == [str(LARGEST), str(-(2**63)), "-1"]
    assert ring.to_signed(ends).tolist() == [LARGEST, -(2**63), -1]
