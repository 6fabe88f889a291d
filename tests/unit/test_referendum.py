"""A referendum's threshold means what it says, and one bit is all that it ever answers."""

from collections.abc import Callable
from decimal import Decimal
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from protocol.bits import Bits
from protocol.encoding import Exact
from protocol.errors import InputError
from protocol.functionalities import CATALOGUE, Answer
from protocol.functionalities.referendum import Referendum
from protocol.gates import cost, evaluate
from protocol.messages import MalformedError
from protocol.sharing import BITS
from protocol.spec import SessionSpec
from tests.support.sessions import make_spec, repeatable

ONE = Bits.from_bools(np.array([True]))
YES = Answer(np.array(1), words=("NO", "YES"))
FRACTIONS = [f"{part}/{whole}" for whole in range(1, 8) for part in range(1, whole + 1)]
THRESHOLDS = [*FRACTIONS, *map(str, range(1, 9))]


def least_yes(threshold: str, ballots: int) -> int:
    """The oracle for T: try 0, 1, 2 … yeses until that share of the ballots is reached."""
    part, slash, whole = threshold.partition("/")
    yes = 0
    while yes * int(whole) < int(part) * ballots if slash else yes < int(part):
        yes += 1
    return yes


def answered(threshold: str, ballots: tuple[int, ...]) -> str:
    """The answer of the circuit on plaintexts, as a person reads it."""
    function = Referendum(threshold=threshold)
    bit = evaluate(function.circuit(Bits.from_bools(np.array(ballots, dtype=np.bool_)), ONE)).to_bools()
    text = function.decode(np.array(int(bit[0]), dtype=np.uint64), len(ballots)).text()
    assert isinstance(text, str)
    return text


# -- thresholds --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("threshold", "ballots", "least"),
    [
        ("2/3", 3, 2),
        ("2/3", 4, 3),
        ("2/3", 1000, 667),
        ("1/2", 4, 2),
        ("1/2", 5, 3),
        ("1/1", 7, 7),
        ("3/3", 7, 7),
        ("1/999999999", 1000, 1),
        ("999999998/999999999", 1000, 1000),
        ("5", 5, 5),
        ("5", 1000, 5),
        ("1", 1, 1),
        ("999999999", 3, 999999999),
    ],
)
def test_a_fraction_is_of_the_ballots_that_were_counted_and_a_whole_number_stands(
    threshold: str, ballots: int, least: int
) -> None:
    assert Referendum(threshold=threshold).least(ballots) == least
    assert Referendum(threshold=threshold).facts(YES, ballots) == {"n": ballots, "T": least}


@pytest.mark.parametrize("ballots", range(1, 40))
def test_t_is_the_least_number_that_reaches_the_fraction(ballots: int) -> None:
    for threshold in THRESHOLDS:
        assert Referendum(threshold=threshold).least(ballots) == least_yes(threshold, ballots)


@repeatable
@given(st.integers(1, 10**9 - 1), st.integers(1, 10**9 - 1), st.integers(1, 10**6))
def test_no_fraction_is_rounded_on_the_way(part: int, whole: int, ballots: int) -> None:
    part, whole = sorted((part, whole))
    least = Referendum(threshold=f"{part}/{whole}").least(ballots)
    assert (least - 1) * whole < part * ballots <= least * whole


@pytest.mark.parametrize(
    ("threshold", "problem"),
    [
        *((each, "at least one ballot must have to say yes") for each in ("0", "000", "0/3", "0/1", "0/0")),
        *(
            (each, f"{each} is more than all ballots")
            for each in ("5/3", "1/0", "4/3", "999999999/999999998")
        ),
        *(
            (each, "write it like 2/3, or as a whole number of ballots")
            for each in (
                *("", "0.5", ".5", "-1", "+1", "1e3", "67%", "1/", "/3", "1//3", "1/2/3", "-1/2", "1/-2"),
                *(
                    "1 /2",
                    " 1/2",
                    "1/2 ",
                    "1/2\n",
                    "\n1/2",
                    "half",
                    "0x2",
                    "1_000",
                    "½",
                    "²",
                    "\uff11/\uff12",
                ),
                *("1234567890", "1/1234567890", "9" * 5000, "0.5/1", "1\x00"),
            )
        ),
        *((each, "string") for each in (2, 0.5, None, Decimal("0.5"), b"1/2", ["1/2"], True)),
    ],
)
def test_what_is_no_threshold_is_refused_and_the_field_is_named(threshold: object, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Referendum.model_validate({"threshold": threshold})
    (found,) = caught.value.errors()
    assert found["loc"] == ("threshold",)
    assert problem in found["msg"]


def test_a_referendum_without_a_threshold_is_none() -> None:
    with pytest.raises(ValidationError, match="threshold\n  Field required"):
        Referendum.model_validate({})


def test_a_threshold_is_kept_as_it_was_written() -> None:
    """Two spellings of one number are two questions: the spec's bytes say what everybody agreed to."""
    for threshold in ("2/3", "4/6", "02/03", "7", "007"):
        assert Referendum(threshold=threshold).model_dump() == {"name": "referendum", "threshold": threshold}


# -- specs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", ["1", "4", "1/2", "1/1", "1/999999999"])
def test_a_spec_with_a_threshold_that_can_be_reached_stands(threshold: str) -> None:
    spec = make_spec(Referendum(threshold=threshold))
    assert SessionSpec.decode(spec.encode()) == spec


@pytest.mark.parametrize("threshold", ["5", "6", "999999999"])
def test_a_spec_with_more_votes_than_input_parties_is_refused(threshold: str) -> None:
    with pytest.raises(ValidationError, match=f"a threshold of {threshold} is more than the 4 input parties"):
        make_spec(Referendum(threshold=threshold))


@pytest.mark.parametrize("threshold", ["0", "0/3", "5/3", "0.5"])
def test_a_spec_that_arrives_is_held_to_the_same_rules(threshold: str) -> None:
    raw = make_spec(Referendum(threshold="2/3")).encode()
    with pytest.raises(MalformedError, match=r"sessionspec: function\.referendum\.threshold: "):
        SessionSpec.decode(raw.replace(b'"threshold":"2/3"', f'"threshold":"{threshold}"'.encode()))
    with pytest.raises(MalformedError, match="a threshold of 5 is more than the 4 input parties"):
        SessionSpec.decode(raw.replace(b'"2/3"', b'"5"'))


@pytest.mark.parametrize("compute", [("alice",), ()])
def test_fewer_than_two_compute_parties_are_refused(compute: tuple[str, ...]) -> None:
    fields = make_spec(Referendum(threshold="1/2")).model_dump() | {"compute": compute}
    with pytest.raises(ValidationError, match="compute\n  Tuple should have at least 2 items"):
        SessionSpec.model_validate(fields)


def test_a_referendum_takes_no_bounds_and_no_decimals() -> None:
    for surplus in ({"lower": "0"}, {"upper": "1"}, {"decimals": 0}):
        with pytest.raises(ValidationError, match="Extra inputs"):
            Referendum.model_validate({"threshold": "1/2"} | surplus)


# -- what goes in ------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", [1, 4, 10_000])
def test_every_party_may_say_no_or_yes_and_nothing_else(inputs: int) -> None:
    assert Referendum(threshold="1/2").domain(inputs) == (Decimal(0), Decimal(1), 0)


@pytest.mark.parametrize(("units", "scale", "bit"), [(0, 0, 0), (1, 0, 1), (100, 2, 1), (0, 2, 0)])
def test_a_ballot_is_encoded_as_one_bit(units: int, scale: int, bit: int) -> None:
    found = Referendum(threshold="1/2").encode(Exact(np.array(units), scale, "ballot.csv"), 4)
    assert (found.shape, found.dtype, int(found)) == ((), np.dtype(np.uint64), bit)


@pytest.mark.parametrize("units", [2, -1, 10, 2**62, [1], [0, 1]])
def test_what_is_no_ballot_is_refused_with_its_place(units: int | list[int]) -> None:
    with pytest.raises(InputError, match=r"ballot\.csv") as caught:
        Referendum(threshold="1/2").encode(Exact(np.array(units), 0, "ballot.csv"), 4)
    assert "yes or no" in caught.value.hint


def test_ballots_are_shared_as_bits_and_computed_by_gates() -> None:
    assert CATALOGUE["referendum"] is Referendum
    assert (Referendum.group, Referendum.interactive) == (BITS, True)


# -- what comes out ----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(1, 7))
def test_every_ballot_vector_under_every_threshold_is_answered_as_counting_would(count: int) -> None:
    for threshold in THRESHOLDS:
        least = least_yes(threshold, count)
        for ballots in product((0, 1), repeat=count):
            expected = "YES" if ballots.count(1) >= least else "NO"
            assert answered(threshold, ballots) == expected
            ideal = Referendum(threshold=threshold).ideal([Decimal(each) for each in ballots])
            assert ideal == Decimal(expected == "YES")


def test_no_one_is_enough_where_fewer_ballots_are_counted_than_must_say_yes() -> None:
    """A whole number is absolute: parties that stay away can make it unreachable, and the answer is NO."""
    assert answered("3", (1, 1)) == "NO"
    assert Referendum(threshold="3").ideal([Decimal(1), Decimal(1)]) == 0
    assert Referendum(threshold="3").facts(YES, 2) == {"n": 2, "T": 3}


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 65, 1000])
def test_the_bound_on_ands_holds_for_fewer_ballots_under_every_threshold(count: int) -> None:
    for threshold in ("1", "1/2", "2/3", "1/1", str(count)):
        function = Referendum(threshold=threshold)
        for counted in {1, count // 2 or 1, count}:
            taken = cost(function.circuit(Bits.zeros(counted), ONE)).ands
            assert taken <= function.most_ands(counted) <= function.most_ands(count)


@pytest.mark.parametrize(("bit", "word"), [(0, "NO"), (1, "YES")])
def test_an_answer_is_a_word(bit: int, word: str) -> None:
    answer = Referendum(threshold="1/2").decode(np.array(bit, dtype=np.uint64), 4)
    assert answer.text() == word
    assert (answer.units.shape, answer.decimals) == ((), 0)


@pytest.mark.parametrize("show", [repr, str, "{}".format, lambda answer: f"{answer!r}"])
def test_neither_answer_can_be_told_from_the_other_by_its_repr(show: Callable[[Answer], str]) -> None:
    both = [Referendum(threshold="1/2").decode(np.array(bit, dtype=np.uint64), 4) for bit in (0, 1)]
    assert show(both[0]) == show(both[1])


def test_the_facts_depend_on_how_many_voted_and_never_on_how() -> None:
    for opened in (0, 1):
        answer = Referendum(threshold="2/3").decode(np.array(opened, dtype=np.uint64), 10)
        assert Referendum(threshold="2/3").facts(answer, 10) == {"n": 10, "T": 7}
