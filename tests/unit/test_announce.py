"""A question becomes a spec, or an error that names the option, before anybody hears of it."""

from dataclasses import replace
from decimal import Decimal
from hashlib import sha256

import pytest
from pydantic import ValidationError

from coordinator.announce import Question, build, flaw, nano
from party_node.roster import Roster
from protocol.dp.noise import Noise, Relation
from protocol.errors import SpecError
from protocol.functionalities.average import Average
from protocol.functionalities.histogram import Histogram
from protocol.functionalities.poll import Poll
from protocol.functionalities.sum import Sum
from protocol.spec import SessionSpec
from tests.support.sessions import NOW, PARTIES

KEYS = {name: sha256(name.encode()).digest() for name in (*PARTIES, "coordinator")}
ROSTER = Roster({name: KEYS[name] for name in PARTIES}, {"coordinator": KEYS["coordinator"]})
QUESTION = Question(Average(), "raise")


def built(**changes: object) -> SessionSpec:
    question = replace(QUESTION, **changes)  # type: ignore[arg-type]  # one field of several types at a time
    return build(question, "coordinator", ROSTER, NOW, bytes(16))


def test_by_default_everybody_in_the_roster_has_every_role_and_the_coordinator_learns_the_answer() -> None:
    spec = built()
    assert (spec.inputs, spec.compute, spec.results) == (PARTIES, PARTIES, (*PARTIES, "coordinator"))
    assert dict(spec.members) == KEYS
    assert (spec.min_inputs, spec.public, spec.coordinator) == (4, False, "coordinator")
    assert (spec.function, spec.input, spec.nonce) == (Average(), "raise", bytes(16))


def test_time_is_divided_between_joining_sharing_and_the_rest() -> None:
    spec = built(within=8.0)
    times = (spec.created, spec.join_by, spec.share_by, spec.close_by)
    assert [time - NOW for time in times] == [0, 4000, 6000, 8000]


def test_the_shortest_time_that_can_be_divided_is_four_milliseconds() -> None:
    assert built(within=0.004).close_by == NOW + 4
    for within in (0.003, 0.0, -1.0):
        with pytest.raises(SpecError, match=f"--within {within:g}: no time at all"):
            built(within=within)


def test_roles_are_as_asked_for() -> None:
    spec = built(
        parties=("alice", "bob"), compute=("carlos", "bob"), result_to=("david",), min_inputs=1, public=True
    )
    assert (spec.inputs, spec.compute, spec.results) == (("alice", "bob"), ("carlos", "bob"), ("david",))
    assert set(spec.members) == set(PARTIES)
    assert (spec.min_inputs, spec.public) == (1, True)


def test_the_parties_that_bring_inputs_compute_unless_others_are_named() -> None:
    assert built(parties=("carlos", "alice")).compute == ("carlos", "alice")


@pytest.mark.parametrize("role", ["parties", "compute", "result_to"])
def test_a_party_that_is_not_in_the_roster_is_named_with_those_that_are(role: str) -> None:
    with pytest.raises(SpecError) as caught:
        built(**{role: ("alice", "bob", "eve")})
    assert caught.value.message == "eve is not in the roster"
    assert caught.value.hint == "the roster names alice, bob, carlos, david, coordinator"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "a b"}, "--input: string should match"),
        ({"compute": ("alice",)}, "--compute: tuple should have at least 2 items"),
        ({"parties": ("alice", "alice")}, "a party is named twice in one role"),
        ({"min_inputs": 5}, "min_inputs 5 is more than the 4 input parties"),
        ({"min_inputs": 0}, "--min-inputs: input should be greater than or equal to 1"),
        ({"function": Sum(upper=Decimal(10**17))}, "4 inputs within"),
        ({"within": 1e15}, "--"),
    ],
)
def test_what_cannot_be_is_an_error_that_names_the_option(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        built(**changes)
    assert caught.value.message.startswith(message)
    assert caught.value.hint == "nothing was announced"


def test_an_empty_list_of_parties_is_not_everybody() -> None:
    with pytest.raises(SpecError, match="at least"):
        built(parties=())


def test_a_flaw_in_a_functions_parameters_reads_like_one_of_the_spec() -> None:
    with pytest.raises(ValidationError) as caught:
        Sum.model_validate({"decimals": 19})
    error = flaw(caught.value)
    assert error.message == "--decimals: input should be less than or equal to 18"


def test_two_announcements_of_one_question_are_two_sessions() -> None:
    one, other = (build(QUESTION, "coordinator", ROSTER, NOW, bytes([nonce]) * 16) for nonce in (1, 2))
    assert one.encode() != other.encode()


# -- noise -------------------------------------------------------------------------------------------

BOUNDED = Average(lower=Decimal(2000), upper=Decimal(4000))


def test_without_epsilon_an_answer_is_exact() -> None:
    assert built().noise is None


def test_noise_has_the_functions_sensitivity_and_by_default_only_one_must_be_honest() -> None:
    spec = built(function=BOUNDED, epsilon=500_000_000, compute=("alice", "bob", "carlos"))
    assert spec.noise == Noise(
        epsilon=500_000_000, sensitivity=200_000, relation=Relation.REPLACE_ONE, colluders=2
    )


@pytest.mark.parametrize(("relation", "sensitivity"), [(Relation.REPLACE_ONE, 2), (Relation.ADD_REMOVE, 1)])
def test_the_sensitivity_is_that_of_the_relation_asked_for(relation: Relation, sensitivity: int) -> None:
    noise = built(function=Histogram(bins=3), epsilon=1, relation=relation, colluders=0).noise
    assert noise == Noise(epsilon=1, sensitivity=sensitivity, relation=relation, colluders=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"function": Average()}, "--epsilon needs --lower and --upper"),
        ({"function": Average(lower=Decimal(0))}, "--epsilon needs --lower and --upper"),
        ({"function": Average(lower=Decimal(1), upper=Decimal(1))}, "--lower and --upper are the same"),
        ({"function": Poll()}, "a poll takes no --epsilon"),
        ({"colluders": 4}, "--colluders 4: at least one of 4 compute parties must be honest"),
        ({"colluders": -1}, "--colluders: input should be greater than or equal to 0"),
        ({"compute": ("alice",)}, "--compute: tuple should have at least 2 items"),
        ({"function": Sum(lower=Decimal(0), upper=Decimal(10**17))}, "Δ could pass 2^63"),
        ({"epsilon": 1, "function": Sum(lower=Decimal(0), upper=Decimal(10**8))}, "the sum and its noise"),
        ({"epsilon": None, "colluders": 1}, "--colluders without --epsilon"),
        ({"epsilon": None, "relation": Relation.REPLACE_ONE}, "--relation without --epsilon"),
    ],
)
def test_noise_that_cannot_be_is_an_error_that_names_the_option(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        built(**{"function": BOUNDED, "epsilon": 10**9, **changes})
    assert caught.value.message.startswith(message)
    assert caught.value.hint


@pytest.mark.parametrize(("text", "parsed"), [("0.5", 500_000_000), ("3", 3 * 10**9), ("1e-9", 1)])
def test_epsilon_is_read_exactly(text: str, parsed: int) -> None:
    assert nano(Decimal(text)) == parsed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "--epsilon 0: should be a positive number"),
        ("-1", "--epsilon -1: should be a positive number"),
        ("nan", "--epsilon NaN: should be a positive number"),
        ("inf", "--epsilon Infinity: should be a positive number"),
        ("0.1234567891", "--epsilon 0.1234567891: should have at most nine decimals"),
        (f"0.5{40 * '0'}1", f"--epsilon 0.5{40 * '0'}1: should have at most nine decimals"),
        ("1e10", "--epsilon 1E+10: is so large that nothing would be protected"),
    ],
)
def test_what_is_no_epsilon_is_an_error_that_says_so(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        nano(Decimal(text))
    assert (caught.value.message, caught.value.hint) == (message, "nothing was announced")
