"""The leader freezes who takes part, or says why nobody can; everybody else checks what was frozen."""

import pytest

from protocol import membership
from protocol.functionalities.referendum import Referendum
from protocol.messages import Abort, AbortReason, Begin, Join, Received, RefusalCode, Refuse
from protocol.spec import SessionSpec
from tests.support.sessions import PARTIES, make_spec, sealing_key

SPEC = make_spec(min_inputs=2, compute=("alice", "bob"), results=("alice",))
JOIN_BY = SPEC.join_by


def join(name: str, shape: tuple[int, ...] | None = ()) -> Join:
    return Join(sealing_key=sealing_key(name), shape=shape, offer=None, setups={})


def joins(*names: str, shape: tuple[int, ...] | None = ()) -> dict[str, Join]:
    return {name: join(name, shape) for name in names}


def refusals(*names: str) -> dict[str, Refuse]:
    return {name: Refuse(code=RefusalCode.POLICY) for name in names}


def frozen(
    there: dict[str, Join],
    refused: dict[str, Refuse] | None = None,
    now: int = JOIN_BY,
    spec: SessionSpec = SPEC,
) -> Begin | Abort | None:
    return membership.freeze(spec, there, refused or {}, now)


def abort(*args: object, **named: object) -> Abort:
    found = frozen(*args, **named)  # type: ignore[arg-type]  # handed on as they are
    assert isinstance(found, Abort)
    return found


# -- freezing ----------------------------------------------------------------------------------------


def test_the_session_begins_as_soon_as_all_have_joined() -> None:
    there = joins(*reversed(PARTIES))
    begin = frozen(there, now=SPEC.created)
    assert begin == Begin(
        joins={name: membership.join_digest(name, there[name]) for name in PARTIES}, shape=()
    )
    assert isinstance(begin, Begin)
    assert list(begin.joins) == list(PARTIES), "in the order of the spec, not of arrival"


def test_it_waits_for_those_who_have_not_answered_until_the_time_to_join_is_over() -> None:
    there = joins("alice", "bob", "carlos")
    assert frozen(there, now=JOIN_BY - 1) is None
    begin = frozen(there, now=JOIN_BY)
    assert isinstance(begin, Begin)
    assert list(begin.joins) == ["alice", "bob", "carlos"]


def test_it_does_not_wait_for_those_who_have_refused() -> None:
    begin = frozen(joins("alice", "bob", "carlos"), refusals("david"), now=SPEC.created)
    assert isinstance(begin, Begin)
    assert "david" not in begin.joins


@pytest.mark.parametrize(
    ("there", "refused", "silent", "detail"),
    [
        (("alice", "carlos", "david"), (), ("bob",), "bob never joined"),
        (("bob", "carlos"), (), ("alice",), "alice never joined"),
        (("carlos",), (), ("alice", "bob"), "alice and bob never joined"),
        (("alice", "carlos"), ("david",), ("bob",), "bob never joined"),
    ],
)
def test_a_needed_party_that_never_joins_is_named(
    there: tuple[str, ...], refused: tuple[str, ...], silent: tuple[str, ...], detail: str
) -> None:
    found = abort(joins(*there), refusals(*refused))
    assert (found.reason, found.silent, found.culprit) == (AbortReason.NEVER_JOINED, silent, None)
    assert found.detail == detail


def test_too_few_inputs_name_who_is_missing_and_who_refused() -> None:
    spec = make_spec(compute=("erin", "frank"), results=("erin",), min_inputs=3)
    found = abort(joins("alice", "bob", "erin", "frank"), refusals("carlos"), spec=spec)
    assert found.reason is AbortReason.NEVER_JOINED
    assert found.silent == ("david",)
    assert found.detail == "2 of at least 3 inputs; david never joined; carlos refused"


@pytest.mark.parametrize("refused", [("bob",), ("alice", "bob"), ("bob", "carlos", "david")])
def test_a_refusal_of_a_needed_party_ends_it_at_once(refused: tuple[str, ...]) -> None:
    found = abort(joins("alice"), refusals(*refused), now=SPEC.created)
    assert found.reason is AbortReason.REFUSED
    assert found.detail == ", ".join(f"{name} refused (policy)" for name in refused)


def test_refusals_that_leave_too_few_inputs_end_it_at_once() -> None:
    spec = make_spec(compute=("erin", "frank"), results=("erin",), min_inputs=3)
    assert frozen({}, refusals("alice"), SPEC.created, spec) is None
    assert abort({}, refusals("alice", "bob"), SPEC.created, spec).reason is AbortReason.REFUSED


def test_shapes_that_differ_are_named_with_their_owners() -> None:
    there = joins("alice", "bob", shape=(3,)) | joins("carlos") | joins("david", shape=None)
    found = abort(there)
    assert found.reason is AbortReason.SHAPES_DIFFER
    assert found.detail == "alice: 3 elements, bob: 3 elements, carlos: one number, david: no input"


def test_input_parties_that_all_bring_nothing_are_not_a_session() -> None:
    found = abort(joins(*PARTIES, shape=None))
    assert (found.reason, found.culprit) == (AbortReason.INVALID_MESSAGE, "alice")


def test_the_shape_is_that_of_the_inputs_and_not_of_those_who_only_compute() -> None:
    spec = make_spec(inputs=("alice", "bob"), compute=("carlos", "david"), results=("erin",))
    there = joins("carlos", "david", "erin", shape=None) | joins("alice", "bob", shape=(5,))
    begin = frozen(there, spec=spec)
    assert isinstance(begin, Begin)
    assert begin.shape == (5,)


# -- checking what was frozen ------------------------------------------------------------------------


def begin_of(*names: str, shape: tuple[int, ...] = ()) -> Begin:
    return Begin(joins=dict.fromkeys(names, bytes(32)), shape=shape)


@pytest.mark.parametrize(
    ("begin", "flaw"),
    [
        (begin_of(*PARTIES), ""),
        (begin_of("alice", "bob"), ""),
        (begin_of("alice", "carlos"), "begin without bob"),
        (begin_of("carlos"), "begin without alice and bob"),
        (begin_of(*PARTIES, "eve"), "begin with eve, who are not in the spec"),
        (begin_of("bob", "alice"), "begin in another order than the spec"),
        (begin_of("alice", "bob", shape=(2,)), "begin for inputs of 2 elements, ours is one number"),
    ],
)
def test_a_begin_that_breaks_the_spec_is_described(begin: Begin, flaw: str) -> None:
    assert membership.flaw(SPEC, begin, "alice", ()) == flaw


def test_a_begin_with_too_few_inputs_is_described() -> None:
    spec = make_spec(compute=("erin", "frank"), results=("erin",), min_inputs=3)
    begin = begin_of("alice", "bob", "erin", "frank")
    assert membership.flaw(spec, begin, "erin", None) == "begin with 2 inputs, expected at least 3"


def test_the_view_is_bound_to_session_and_begin_and_the_digest_to_party_and_join() -> None:
    views = {
        membership.view_digest(session, begin)
        for session in ("1", "2")
        for begin in (begin_of("alice"), begin_of("alice", shape=(1,)), begin_of("bob"))
    }
    assert len(views) == 6
    digests = {membership.join_digest(name, join(key)) for name in PARTIES for key in PARTIES}
    assert len(digests) == 16


# -- whose inputs count ------------------------------------------------------------------------------

VOTE = make_spec(Referendum(threshold="1/2"), min_inputs=2)
EARLY, NONE = bytes(32), None


def received(*names: str, commitment: bytes | None = NONE) -> Received:
    return Received(view=bytes(32), inputs=names, commitment=commitment)


@pytest.mark.parametrize(
    ("inputs", "commitment", "linear", "voted"),
    [
        (PARTIES, NONE, True, True),
        (PARTIES, EARLY, True, False),  # where there are rounds, nobody can know an output share so early
        (PARTIES[:3], NONE, True, True),
        (PARTIES[:3], EARLY, False, False),
        ((), NONE, True, True),
        (("bob", "alice"), NONE, False, False),
        (("alice", "alice"), NONE, False, False),
        (("alice", "eve"), NONE, False, False),
    ],
)
def test_a_list_fits_in_order_and_commits_early_only_if_it_is_full_and_needs_no_rounds(
    inputs: tuple[str, ...], commitment: bytes | None, linear: bool, voted: bool
) -> None:
    each = received(*inputs, commitment=commitment)
    assert membership.fits(make_spec(), PARTIES, each) is linear
    assert membership.fits(VOTE, PARTIES, each) is voted


def test_what_counts_is_what_all_hold_in_the_order_of_the_spec() -> None:
    lists = [received("alice", "bob", "carlos"), received("bob", "carlos", "david"), received(*PARTIES)]
    assert membership.counted(PARTIES, lists) == ("bob", "carlos")
    assert membership.counted(PARTIES, [*lists, received()]) == ()


def test_a_join_counts_with_its_offer_and_its_setups() -> None:
    """The pair's context is made of these digests: another join is another context."""
    plain = join("alice")
    others = [
        plain.model_copy(update={"offer": bytes(32)}),
        plain.model_copy(update={"setups": {"bob": (bytes(16),)}}),
        plain.model_copy(update={"setups": {"bob": (bytes(16), b"1" * 16)}}),
    ]
    assert len({membership.join_digest("alice", each) for each in (plain, *others)}) == 4
