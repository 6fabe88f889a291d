"""What cannot be believed is not answered; what this node does not want is refused with a coarse code."""

from collections.abc import Callable
from decimal import Decimal
from hashlib import sha256

import pytest

from party_node import policy
from party_node.ledger import Account
from party_node.policy import CLOCK_SKEW, Declared, Limits
from party_node.roster import Roster
from protocol.dp.epsilon import NANO, parse, text
from protocol.dp.noise import Noise, Relation
from protocol.errors import SpecError
from protocol.functionalities import Functionality
from protocol.functionalities.average import Average
from protocol.functionalities.histogram import Histogram
from protocol.functionalities.poll import Poll
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.letters import ALL, Part
from protocol.messages import RefusalCode, Step
from protocol.spec import SessionSpec, session_id
from tests.support.sessions import NOW, PARTIES, flipped, make_part, make_spec

KEYS = {name: sha256(name.encode()).digest() for name in (*PARTIES, "coordinator", "rival")}
ROSTER = Roster(
    {name: KEYS[name] for name in PARTIES},
    {"coordinator": KEYS["coordinator"], "rival": KEYS["rival"]},
)


def announcement(
    spec: SessionSpec, sender: str | None = None, change: Callable[[bytes], bytes] = lambda body: body
) -> Part:
    """A spec as a coordinator sends it, under the id of what it sends."""
    body = change(spec.encode())
    return make_part(session_id(body), Step.ANNOUNCE, sender or spec.coordinator, ALL, body)


def ignored(part: Part, now: int = NOW) -> SpecError:
    with pytest.raises(SpecError) as caught:
        policy.believe(part, "alice", ROSTER, now)
    return caught.value


# -- what is believed --------------------------------------------------------------------------------


def test_an_announcement_of_a_coordinator_in_time_is_believed() -> None:
    spec = make_spec()
    assert policy.believe(announcement(spec), "alice", ROSTER, NOW) == spec


@pytest.mark.parametrize("at", [0, 20, -3])
def test_altered_bytes_under_the_id_of_the_original_are_ignored(at: int) -> None:
    body = make_spec().encode()
    part = make_part(session_id(body), Step.ANNOUNCE, "coordinator", ALL, flipped(body, at))
    assert ignored(part).message == "an announcement from coordinator whose id is not the hash of its spec"


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.replace(b'"version":1', b'"version":2'),
        lambda body: body[:-1] + b',"surplus":1}',
        lambda body: body + b" ",
        lambda body: body.replace(b'"sum"', b'"exec"'),
        lambda body: body[:-1],
        lambda _: b"",
    ],
    ids=["version", "unknown field", "white space", "unknown function", "cut", "empty"],
)
def test_a_spec_that_does_not_decode_is_ignored_even_under_its_own_id(
    change: Callable[[bytes], bytes],
) -> None:
    error = ignored(announcement(make_spec(), change=change))
    assert error.message.startswith("sessionspec: ")
    assert error.hint == "does the coordinator run the same version?"


@pytest.mark.parametrize(
    ("coordinator", "sender"),
    [("coordinator", "rival"), ("alice", "alice"), ("alice", "coordinator"), ("eve", "eve")],
)
def test_only_coordinators_announce_and_only_their_own_sessions(coordinator: str, sender: str) -> None:
    error = ignored(announcement(make_spec(coordinator=coordinator), sender))
    assert error.message == f"{sender} announces a session of {coordinator}"
    assert "[coordinators]" in error.hint


def test_a_session_is_believed_until_the_time_to_join_is_over() -> None:
    part = announcement(make_spec())
    policy.believe(part, "alice", ROSTER, NOW + 999)
    assert ignored(part, NOW + 1000).message == "the time to join is over"


def test_a_session_of_others_is_no_matter_however_late_it_comes() -> None:
    assert policy.believe(announcement(make_spec()), "mallory", ROSTER, NOW + 5_000) is None


def test_a_clock_may_be_ahead_by_so_much_and_no_more() -> None:
    part = announcement(make_spec())
    policy.believe(part, "alice", ROSTER, NOW - CLOCK_SKEW)
    error = ignored(part, NOW - CLOCK_SKEW - 1)
    assert error.message == "announced 120 s in the future"
    assert "NTP" in error.hint


def having(*inputs: str, min_inputs: int = 1) -> Limits:
    """A node with these inputs, of which it says nothing beforehand."""
    return Limits({name: Declared() for name in inputs}, min_inputs)


# -- what is refused ---------------------------------------------------------------------------------


def refusal(spec: SessionSpec, me: str = "alice", limits: Limits | None = None) -> tuple[object, ...]:
    found = policy.refuse(spec, me, ROSTER, limits or having("raise"))
    assert found is not None
    assert found.hint
    return found.code, found.detail


def test_a_spec_among_known_parties_over_a_known_input_is_taken_part_in() -> None:
    assert policy.refuse(make_spec(), "alice", ROSTER, having("bonus", "raise")) is None


def test_an_unknown_input_is_refused_and_the_known_ones_are_for_our_own_log() -> None:
    found = policy.refuse(make_spec(), "alice", ROSTER, having("wage", "bonus"))
    assert found is not None
    assert (found.code, found.detail) == (RefusalCode.INPUT, "no input is named raise")
    assert found.hint == "inputs in this node's config: bonus, wage"
    nothing = policy.refuse(make_spec(), "alice", ROSTER, having())
    assert nothing is not None
    assert nothing.hint.endswith(": none")


def test_whoever_brings_no_input_needs_none() -> None:
    spec = make_spec(inputs=("bob", "carlos"), compute=("alice", "bob"), results=("david",))
    for name in ("alice", "david"):
        assert policy.refuse(spec, name, ROSTER, having()) is None
    assert policy.refuse(spec, "bob", ROSTER, having()) is not None


def test_a_member_that_is_not_in_the_roster_is_refused() -> None:
    spec = make_spec(results=(*PARTIES, "eve"))
    assert refusal(spec) == (RefusalCode.SPEC, "eve is not in the roster")


@pytest.mark.parametrize("name", ["bob", "alice"])
def test_another_key_than_the_pinned_one_is_refused_be_it_anothers_or_ours(name: str) -> None:
    keys = {each: KEYS[each] for each in PARTIES} | {name: bytes(32)}
    problem = f"{name} {ROSTER.objection(name, bytes(32))}"
    assert refusal(make_spec(members=keys)) == (RefusalCode.SPEC, problem)


def test_a_coordinator_can_be_a_member_under_its_pinned_key() -> None:
    spec = make_spec(results=(*PARTIES, "coordinator"))
    assert policy.refuse(spec, "alice", ROSTER, having("raise")) is None


@pytest.mark.parametrize(("least", "asked"), [(3, 2), (2, 1), (5, 4)])
def test_an_answer_over_fewer_inputs_than_this_node_wants_is_refused(least: int, asked: int) -> None:
    spec = make_spec(min_inputs=asked, compute=("alice", "bob"), results=("bob",))
    expected = (RefusalCode.POLICY, f"an answer over {asked} inputs, expected at least {least}")
    assert refusal(spec, limits=having("raise", min_inputs=least)) == expected
    assert policy.refuse(spec, "alice", ROSTER, having("raise", min_inputs=asked)) is None


DECLARED = Declared(Decimal(0), Decimal(5000), 2)


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (Sum(lower=Decimal("0.01")), "lower bound 0.01, the input is declared from 0"),
        (Sum(upper=Decimal(4999)), "upper bound 4999, the input is declared up to 5000"),
        (Sum(decimals=1), "1 decimals, the input is declared with 2"),
        (Sum(lower=Decimal(0), upper=Decimal(5000)), ""),
        (Sum(lower=Decimal(-1), upper=Decimal(5001), decimals=3), ""),
        (Sum(), ""),
    ],
)
def test_bounds_that_could_make_a_refusal_tell_of_the_value_are_refused(function: Sum, problem: str) -> None:
    """The decision must depend on what was declared, and never on the value."""
    found = policy.refuse(make_spec(function), "alice", ROSTER, Limits({"raise": DECLARED}, 1))
    assert (found.detail if found else "") == problem
    assert found is None or found.code is RefusalCode.POLICY


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        (Declared(Decimal(0), Decimal(1), 0), ""),
        (Declared(), ""),
        (Declared(Decimal(0), Decimal(5000), 2), "upper bound 1, the input is declared up to 5000"),
        (Declared(Decimal(-1), Decimal(1), 0), "lower bound 0, the input is declared from -1"),
        (Declared(Decimal(0), Decimal(1), 2), "0 decimals, the input is declared with 2"),
    ],
)
def test_a_referendum_over_an_input_that_is_declared_to_be_no_ballot_is_refused_whatever_it_is(
    declared: Declared, problem: str
) -> None:
    spec = make_spec(Referendum(threshold="1/2"))
    found = policy.refuse(spec, "alice", ROSTER, Limits({"raise": declared}, 1))
    assert (found.detail if found else "") == problem


# -- answers with noise ------------------------------------------------------------------------------

LN_3 = 1_098_612_289  # rounded up
SUM = Sum(lower=Decimal(0), upper=Decimal(10_000))


def noisy(
    function: Functionality = SUM,
    wrong: int = 0,
    relation: Relation = Relation.REPLACE_ONE,
    nano: int = NANO // 2,
    colluders: int = 3,
    **roles: tuple[str, ...],
) -> SessionSpec:
    """A session with noise for a sensitivity that is `wrong` by so much."""
    noise = Noise(
        epsilon=nano,
        sensitivity=function.sensitivity(relation) + wrong,
        relation=relation,
        colluders=colluders,
    )
    return make_spec(function, noise=noise, **roles)


@pytest.mark.parametrize("wrong", [-999_999, -1, 1])
@pytest.mark.parametrize("me", ["alice", "bob", "david"])
def test_noise_for_another_sensitivity_than_the_functions_is_refused_by_every_member(
    wrong: int, me: str
) -> None:
    """alice computes, bob brings an input, david learns the answer."""
    spec = noisy(wrong=wrong, inputs=("bob",), compute=("alice", "carlos"), results=("david",), colluders=1)
    expected = (
        f"sensitivity {1_000_000 + wrong} under replace-one, by the function and its bounds it is 1000000"
    )
    assert refusal(spec, me) == (RefusalCode.SPEC, expected)
    right = noisy(inputs=("bob",), compute=("alice", "carlos"), results=("david",), colluders=1)
    assert policy.refuse(right, me, ROSTER, having("raise")) is None


@pytest.mark.parametrize(
    ("function", "relation", "sensitivity"),
    [
        (SUM, Relation.ADD_REMOVE, 1_000_000),
        (Average(lower=Decimal(-5), upper=Decimal(5), decimals=0, length=3), Relation.REPLACE_ONE, 30),
        (Referendum(threshold="1/2"), Relation.REPLACE_ONE, 1),
    ],
)
def test_the_sensitivity_is_worked_out_here_for_every_function(
    function: Functionality, relation: Relation, sensitivity: int
) -> None:
    spec = noisy(function, relation=relation)
    assert spec.noise is not None
    assert spec.noise.sensitivity == sensitivity
    assert policy.refuse(spec, "alice", ROSTER, having("raise")) is None
    assert refusal(noisy(function, 1, relation))[0] is RefusalCode.SPEC


def test_a_histogram_that_says_a_moved_vote_moves_one_is_refused() -> None:
    function = Histogram(bins=3)
    assert refusal(noisy(function, wrong=-1)) == (
        RefusalCode.SPEC,
        "sensitivity 1 under replace-one, by the function and its bounds it is 2",
    )


def ruled(**rules: object) -> Limits:
    """A node with these rules about its one input."""
    return Limits({"raise": Declared(**rules)}, 1)  # type: ignore[arg-type] # one rule at a time


@pytest.mark.parametrize(("most", "asked"), [("0.5", 500_000_001), ("1", LN_3), ("0.000000001", 2)])
def test_more_epsilon_than_one_session_may_spend_is_refused(most: str, asked: int) -> None:
    limits = ruled(max_epsilon=parse(Decimal(most)))
    assert refusal(noisy(nano=asked), limits=limits) == (
        RefusalCode.POLICY,
        f"epsilon {text(asked)}, expected at most {most}",
    )
    enough = ruled(max_epsilon=asked)
    assert policy.refuse(noisy(nano=asked), "alice", ROSTER, enough) is None


def test_a_poll_spends_the_logarithm_of_three_and_is_held_to_it_too() -> None:
    found = refusal(make_spec(Poll()), limits=ruled(max_epsilon=NANO))
    assert found == (RefusalCode.POLICY, "epsilon 1.098612289, expected at most 1")
    assert policy.refuse(make_spec(Poll()), "alice", ROSTER, ruled(max_epsilon=LN_3)) is None


@pytest.mark.parametrize(("least", "stated"), [(2, 1), (1, 0), (3, 2)])
def test_noise_against_fewer_colluders_than_this_node_assumes_is_refused(least: int, stated: int) -> None:
    limits = ruled(min_colluders=least)
    assert refusal(noisy(colluders=stated), limits=limits) == (
        RefusalCode.POLICY,
        f"noise against {stated} colluders, expected at least {least}",
    )
    assert policy.refuse(noisy(colluders=least), "alice", ROSTER, limits) is None


def test_an_exact_session_does_not_get_round_a_limit_on_epsilon() -> None:
    found = refusal(make_spec(), limits=ruled(exact=False, budget=NANO))
    assert found == (RefusalCode.POLICY, "an exact answer over raise, expected one with epsilon")
    for spec in (noisy(), make_spec(Poll())):
        assert policy.refuse(spec, "alice", ROSTER, ruled(exact=False)) is None
    assert policy.refuse(make_spec(), "alice", ROSTER, ruled(exact=True, budget=NANO)) is None


def test_exact_answers_and_randomised_ones_have_no_colluders_to_count() -> None:
    for spec in (make_spec(), make_spec(Poll())):
        assert policy.refuse(spec, "alice", ROSTER, ruled(min_colluders=2)) is None


def test_what_others_spend_is_not_for_those_to_judge_who_bring_no_input() -> None:
    spec = noisy(inputs=("bob",), compute=("alice", "carlos"), results=("alice",), colluders=0)
    limits = ruled(max_epsilon=1, min_colluders=2)
    assert policy.refuse(spec, "alice", ROSTER, limits) is None
    assert policy.refuse(spec, "bob", ROSTER, limits) is not None


@pytest.mark.parametrize(
    ("spent", "reserved", "asked", "budget", "detail"),
    [
        ("2.8", "0", "0.5", "3", "0.5 on top of 2.8 spent on raise is 3.3, the budget is 3"),
        ("0", "0", "1", "0.5", "1 on top of 0 spent on raise is 1, the budget is 0.5"),
        (
            "2",
            "0.900000001",
            "0.1",
            "3",
            "0.1 on top of 2 spent and 0.900000001 reserved on raise is 3.000000001, the budget is 3",
        ),
    ],
)
def test_a_budget_that_is_exhausted_is_refused_with_the_sum_that_does_not_fit(
    spent: str, reserved: str, asked: str, budget: str, detail: str
) -> None:
    account = Account(nano(spent), nano(reserved))
    found = policy.refuse_cost("raise", nano(asked), account, nano(budget))
    assert found is not None
    assert (found.code, found.detail) == (RefusalCode.POLICY, detail)
    assert found.hint == (
        "`party-node ledger` shows what was spent; epsilon under [inputs.raise] in this node's config"
    )


def test_what_fits_to_the_last_nano_is_not_refused() -> None:
    account = Account(nano("0.1"), nano("0.1"))
    assert policy.refuse_cost("raise", nano("0.1"), account, nano("0.3")) is None
    assert policy.refuse_cost("raise", nano("0.1") + 1, account, nano("0.3")) is not None
    assert policy.refuse_cost("raise", 2**62, account, None) is None


def nano(epsilon: str) -> int:
    """nano-ε from the text of a number that may be zero."""
    return int(Decimal(epsilon).scaleb(9))


# -- what is asked, for whom, by whom ----------------------------------------------------------------


THREE = ("alice", "bob", "carlos")
TRIO = make_spec(inputs=THREE, compute=THREE, results=THREE)


def under(**rules: object) -> Limits:
    return Limits({"raise": Declared()}, 1, **rules)  # type: ignore[arg-type] # one rule at a time


@pytest.mark.parametrize(
    ("rules", "code", "detail"),
    [
        ({"functions": ("average", "poll")}, RefusalCode.FUNCTION, "sum, expected average or poll"),
        ({"functions": ()}, RefusalCode.FUNCTION, "sum, expected none at all"),
        (
            {"recipients": ("alice",)},
            RefusalCode.RECIPIENTS,
            "bob and carlos would learn the answer, expected nobody but alice",
        ),
        (
            {"recognised": ("alice", "dora")},
            RefusalCode.COMPUTE,
            "1 recognised compute parties (alice), expected at least 2",
        ),
        (
            {"recognised": ("dora",), "min_recognised": 1},
            RefusalCode.COMPUTE,
            "0 recognised compute parties (none), expected at least 1",
        ),
        ({"min_recognised": 4}, RefusalCode.COMPUTE, "3 recognised compute parties (alice, bob, carlos)"),
        ({"longest": 2_999}, RefusalCode.DEADLINE, "a session of 3 s, expected at most 2.999"),
    ],
)
def test_a_question_that_the_rules_do_not_allow_is_refused_with_its_code(
    rules: dict[str, object], code: RefusalCode, detail: str
) -> None:
    found = refusal(TRIO, limits=under(**rules))
    assert found[0] is code
    assert str(found[1]).startswith(detail)


@pytest.mark.parametrize(
    "rules",
    [
        {"functions": ("sum",)},
        {"recipients": ("alice", "bob", "carlos", "all")},
        {"recognised": ("bob", "carlos")},
        {"recognised": ("bob",), "min_recognised": 1},
        {"recognised": (), "min_recognised": 0},
        {"longest": 3_000},
        {"over": ("bonus",)},  # of our own inputs the config's tables say which
    ],
)
def test_a_question_that_the_rules_allow_is_taken_part_in(rules: dict[str, object]) -> None:
    assert policy.refuse(TRIO, "alice", ROSTER, under(**rules)) is None


def test_a_public_answer_is_for_everybody() -> None:
    public = TRIO.model_copy(update={"public": True})
    code, detail = refusal(public, limits=under(recipients=THREE))
    assert (code, detail) == (
        RefusalCode.RECIPIENTS,
        "everybody would learn the answer, expected nobody but alice, bob, carlos",
    )
    assert policy.refuse(public, "alice", ROSTER, under(recipients=(*THREE, "all"))) is None


def test_who_computes_for_others_says_over_which_inputs() -> None:
    spec = make_spec(inputs=("bob", "carlos"), min_inputs=2)
    assert policy.refuse(spec, "alice", ROSTER, under(over=("raise",))) is None
    assert refusal(spec, limits=under(over=("bonus", "vote"))) == (
        RefusalCode.FUNCTION,
        "a session over raise, expected bonus or vote",
    )


def test_the_same_nonce_in_two_specs_is_one_question_told_in_two_ways() -> None:
    spec = make_spec()
    other = make_spec(results=("alice",), public=True)
    found = policy.refuse_twins(other, [spec])
    assert found is not None
    assert found.code is RefusalCode.SPEC
    assert found.detail == "coordinator has announced this session twice, with different results and public"
    assert policy.refuse_twins(make_spec(nonce=bytes([9] * 16)), [spec]) is None


def test_only_so_many_sessions_are_open_at_a_time() -> None:
    assert policy.refuse_more(4, under(most_open=5)) is None
    found = policy.refuse_more(5, under(most_open=5))
    assert found is not None
    assert found.code is RefusalCode.BUSY
