"""A session ends in the right answer or in a named abort, whatever arrives in whatever order."""

from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.functionalities import FixedPoint
from protocol.functionalities.average import Average
from protocol.functionalities.sum import Sum
from protocol.letters import Part
from protocol.messages import (
    Abort,
    AbortReason,
    Begin,
    Commit,
    Confirm,
    PublicResult,
    Received,
    RefusalCode,
    Refuse,
    Statement,
    Step,
)
from protocol.sealed import Outgoing
from protocol.spec import SessionSpec
from protocol.states import DISPROOFS, Ending, State
from tests.support.sessions import (
    PARTIES,
    RAISES,
    Table,
    Value,
    Wire,
    changing,
    elements,
    flipped,
    losing,
    make_spec,
    reboxed,
    repeatable,
    rewritten,
    said,
    sealing_key,
)

S = TypeVar("S", bound=Statement)

# The roles apart: two input parties, two compute parties, one result party.
APART = make_spec(inputs=("ivy", "ian"), compute=("carl", "cora"), results=("rosa",))
APART_VALUES: dict[str, Value] = {"ivy": 1050, "ian": -50}


def ending(table: Table, name: str) -> Ending:
    """How the session failed at one party."""
    outcome = table.outcome(name)
    assert outcome.state in (State.ABORTED, State.REFUSED)
    assert outcome.ending is not None
    return outcome.ending


def failed(table: Table, reason: AbortReason, *, culprit: str | None = None) -> None:
    """Nobody has an answer, and everybody knows the reason and who is to blame."""
    assert table.texts() == {}
    for name in table.sessions:
        assert (ending(table, name).reason, ending(table, name).culprit) == (reason, culprit), name


def statement(table: Table, kind: type[S], step: Step, sender: str) -> S:
    (part,) = [each for each in table.parts if (each.header.step, each.header.sender) == (step, sender)]
    return kind.decode(part.body)


def retold(kind: type[S], body: bytes, lie: dict[str, object]) -> bytes:
    """A statement with something else in some of its fields."""
    return kind.decode(body).model_copy(update=lie).encode()


def bytes_of(letters: list[Outgoing]) -> list[tuple[object, ...]]:
    """Letters as bytes, with the seeds in the open."""
    return [
        (
            *(each.stage, each.view, each.to, each.body, each.recipients),
            *(each.seed and each.seed.expose(), each.opened),
        )
        for each in letters
    ]


def everything(table: Table) -> dict[str, list[tuple[object, ...]]]:
    """What each party has sent."""
    names = table.sessions
    return {name: bytes_of([each for sender, each in table.letters if sender == name]) for name in names}


# -- answers -----------------------------------------------------------------------------------------

VECTORS: dict[str, Value] = {name: [value, -value, 0] for name, value in RAISES.items()}


@pytest.mark.parametrize(
    ("spec", "values", "text"),
    [
        (make_spec(Average()), RAISES, "3171.50"),
        (make_spec(Sum()), RAISES, "12686.00"),
        (make_spec(Sum()), VECTORS, ["12686.00", "-12686.00", "0.00"]),
        (make_spec(Average(), public=True), VECTORS, ["3171.50", "-3171.50", "0.00"]),
        (APART, APART_VALUES, "10.00"),
        (make_spec(Sum(), compute=("david", "alice"), results=("bob",)), RAISES, "12686.00"),
        (make_spec(Sum(), compute=("carl", "cora"), results=(*PARTIES, "rosa")), VECTORS, None),
        (make_spec(Sum(), results=("coordinator",)), RAISES, "12686.00"),
        (make_spec(Sum(), inputs=("alice",), compute=("alice", "cora")), RAISES, "3800.00"),
    ],
)
def test_exactly_the_result_parties_learn_the_right_answer(
    spec: SessionSpec, values: dict[str, Value], text: str | list[str] | None
) -> None:
    table = Table(spec, values).start().deliver()
    expected = ["12686.00", "-12686.00", "0.00"] if text is None else text
    assert table.texts() == dict.fromkeys(spec.results, expected) | {
        name: found for name, found in table.texts().items() if name in spec.results
    }
    for name in spec.members:
        outcome = table.outcome(name)
        assert (outcome.state, outcome.inputs, outcome.unconfirmed) == (State.COMPLETED, spec.inputs, ())
        assert outcome.ending is None


@pytest.mark.parametrize("spec", [make_spec(), APART, make_spec(compute=("david", "bob"))])
def test_everybody_sends_what_their_roles_ask_for_and_no_more(spec: SessionSpec) -> None:
    table = Table(spec, RAISES | APART_VALUES).start().deliver()
    for name in spec.members:
        due = [Step.JOIN]
        due += [Step.BEGIN] * (name == spec.leader)
        due += [Step.SHARE] * sum(name in spec.inputs and other != name for other in spec.compute)
        due += [Step.RECEIVED] * (name in spec.compute)
        due += [Step.CONFIRM] * (name in spec.results)
        assert [step for step in table.steps(name) if step is not Step.REVEAL] == due
    sealed = [letter for _, letter in table.letters if letter.recipients]
    assert {letter.step for letter in sealed} == {Step.SHARE, Step.REVEAL}
    for letter in sealed:
        assert set(letter.recipients) <= set(spec.compute if letter.step is Step.SHARE else spec.results)


def test_an_input_party_that_computes_sends_nothing_but_seeds() -> None:
    table = Table(values=VECTORS).start().deliver()
    shares = [letter for _, letter in table.letters if letter.step is Step.SHARE]
    assert len(shares) == 12
    assert all(letter.seed is not None and letter.body == b"" for letter in shares)


def test_long_shares_are_spread_over_the_compute_parties() -> None:
    table = Table(APART, {"ivy": [1, 2], "ian": [3, 4]}).start().deliver()
    explicit = [
        (name, letter.to) for name, letter in table.letters if letter.step is Step.SHARE and letter.body
    ]
    assert explicit == [("ivy", "carl"), ("ian", "cora")]


def test_a_public_answer_is_published_by_every_result_party() -> None:
    table = Table(make_spec(public=True, results=("alice", "bob"))).start().deliver()
    for name in ("alice", "bob"):
        result = statement(table, PublicResult, Step.RESULT, name)
        assert result.inputs == PARTIES
        assert int.from_bytes(result.elements, "little") == sum(RAISES.values())


def test_an_answer_that_is_not_public_is_not_published() -> None:
    assert not [letter for _, letter in Table().start().deliver().letters if letter.step is Step.RESULT]


def test_another_view_splits_anew_and_the_same_view_splits_the_same() -> None:
    """Else the shares of two views could be put together, and their difference be taken."""
    spec = make_spec(compute=("alice", "bob"), results=("alice",), min_inputs=3)
    table = Table(spec).start().deliver()
    everybody = statement(table, Begin, Step.BEGIN, "alice")
    joins = {name: each for name, each in everybody.joins.items() if name != "david"}
    fewer = Begin(joins=joins, shape=everybody.shape)
    seeds = []
    for begin in (everybody, fewer, everybody):
        session = table.fresh("bob")
        session.join(sealing_key("bob"), spec.created)
        sent = []
        for part in [each for each in table.parts if each.header.step is Step.JOIN]:
            if part.header.sender != "bob":
                sent += session.receive(part, spec.created)
        sent += session.receive(said(table.id, "alice", begin), spec.created)
        seeds += [letter.seed.expose() for letter in sent if letter.seed is not None]
    assert seeds[0] == seeds[2]
    assert len(set(seeds)) == 2


# -- dropouts ----------------------------------------------------------------------------------------

SPARING = make_spec(Sum(), compute=("alice", "bob"), results=("alice", "bob"), min_inputs=3)


def after(table: Table, *, left_out: str, text: str) -> None:
    inputs = tuple(name for name in PARTIES if name != left_out)
    assert table.texts() == {"alice": text, "bob": text}
    for name in table.sessions:
        assert table.outcome(name).state is State.COMPLETED
        assert table.outcome(name).inputs == inputs


def test_an_input_party_that_never_joins_is_left_out() -> None:
    table = Table(SPARING, absent=["david"]).start().run()
    assert table.now == SPARING.join_by
    after(table, left_out="david", text="9296.00")


def test_an_input_party_that_refuses_is_left_out_at_once() -> None:
    table = Table(SPARING, absent=["david"]).start()
    table.refuse("david")
    table.deliver()
    assert table.now == SPARING.created
    after(table, left_out="david", text="9296.00")


def test_an_input_party_whose_shares_never_come_is_left_out_without_a_second_round() -> None:
    table = Table(SPARING, wire=losing(Step.SHARE, "carlos")).start().run()
    assert table.now == SPARING.share_by
    # Lists that are the same but shorter than the begin carry no commitment, so everybody commits now.
    assert table.steps("alice").count(Step.COMMIT) == 1
    after(table, left_out="carlos", text="9704.00")


def test_lists_that_differ_bring_everybody_to_commit_again_to_what_all_have() -> None:
    table = Table(SPARING, wire=losing(Step.SHARE, "carlos", "bob")).start().run()
    assert statement(table, Received, Step.RECEIVED, "alice").inputs == PARTIES
    assert statement(table, Received, Step.RECEIVED, "bob").inputs == ("alice", "bob", "david")
    first = statement(table, Received, Step.RECEIVED, "alice").commitment
    second = statement(table, Commit, Step.COMMIT, "alice")
    assert second.inputs == ("alice", "bob", "david")
    assert second.commitment != first
    after(table, left_out="carlos", text="9704.00")


def test_a_share_that_does_not_open_counts_as_none() -> None:
    def wire(reader: str, part: Part) -> list[Part]:
        return [reboxed(part, bytes(48))] if spoilt(reader, part) else [part]

    def spoilt(reader: str, part: Part) -> bool:
        return (part.header.step, part.header.sender, reader) == (Step.SHARE, "carlos", "bob")

    table = Table(SPARING, wire=wire).start().deliver()
    assert table.now == SPARING.created, "it has come, so nobody waits for it"
    after(table, left_out="carlos", text="9704.00")


@pytest.mark.parametrize("body", [b"", bytes(7), bytes(16), bytes(4096)])
def test_a_share_of_another_shape_counts_as_none(body: bytes) -> None:
    spec = make_spec(compute=("cora", "carl"), results=("cora",), min_inputs=3)
    view_and = changing(Step.SHARE, "alice", lambda raw: raw[:32] + body if raw else raw)
    table = Table(spec, wire=view_and).start().run()
    assert table.outcome("cora").inputs in (PARTIES[1:], PARTIES)
    assert table.texts() == {"cora": "8886.00"}


def test_too_few_complete_inputs_name_who_was_silent() -> None:
    table = Table(make_spec(compute=("alice", "bob")), wire=losing(Step.SHARE, "carlos", "bob")).start().run()
    failed(table, AbortReason.TOO_FEW_INPUTS)
    assert ending(table, "bob").silent == ("carlos",)
    assert "complete shares of 3 inputs, expected at least 4" in ending(table, "bob").detail
    assert Step.REVEAL not in [letter.step for _, letter in table.letters]


# -- beginnings that fail ----------------------------------------------------------------------------


def test_inputs_of_different_shapes_abort_and_both_are_named() -> None:
    table = Table(values=RAISES | {"carlos": [1, 2, 3]}).start().deliver()
    failed(table, AbortReason.SHAPES_DIFFER)
    for name in PARTIES:
        assert "carlos: 3 elements" in ending(table, name).detail
        assert "bob: one number" in ending(table, name).detail


def rebegun(change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> Callable[[bytes], bytes]:
    """A begin over other joins."""

    def rewrite(body: bytes) -> bytes:
        begin = Begin.decode(body)
        return Begin(joins=change(dict(begin.joins)), shape=begin.shape).encode()

    return rewrite


def test_a_begin_without_us_leaves_us_out_and_we_say_nothing() -> None:
    spec = make_spec(compute=("alice", "bob"), results=("alice",), min_inputs=3)
    without = rebegun(lambda joins: {name: each for name, each in joins.items() if name != "david"})
    table = Table(spec, wire=changing(Step.BEGIN, "alice", without, "david")).start().deliver()
    assert ending(table, "david").reason is AbortReason.LEFT_OUT
    assert table.steps("david") == [Step.JOIN]


@pytest.mark.parametrize("spec", [make_spec(), make_spec(compute=("alice", "bob"))])
def test_a_begin_with_another_join_is_a_split_view_that_names_both_sides(spec: SessionSpec) -> None:
    other = rebegun(lambda joins: joins | {"carlos": flipped(joins["carlos"])})
    table = Table(spec, wire=changing(Step.BEGIN, "alice", other, "bob")).start().run()
    failed(table, AbortReason.SPLIT_VIEW)
    assert ending(table, "bob").detail == "alice and carlos disagree about how carlos joined"
    assert ending(table, "carlos").reported_by == "bob"


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda joins: dict(reversed(joins.items())), "begin in another order than the spec"),
        (lambda joins: joins | {"eve": bytes(32)}, "begin with eve, who are not in the spec"),
        (lambda joins: {"bob": joins["bob"]}, "begin without alice and carlos and david"),
    ],
)
def test_a_begin_that_breaks_the_spec_is_the_leaders_fault(
    change: Callable[[dict[str, bytes]], dict[str, bytes]], detail: str
) -> None:
    table = Table(wire=changing(Step.BEGIN, "alice", rebegun(change), "bob")).start().run()
    assert ending(table, "bob").culprit == "alice"
    assert ending(table, "bob").detail.split(" ")[:2] == detail.split(" ")[:2]
    failed(table, AbortReason.INVALID_MESSAGE, culprit="alice")


def test_parties_that_saw_different_begins_open_nothing_to_each_other() -> None:
    """A leader that shows two valid memberships splits the view: shares of one do not open in the other."""
    spec = make_spec(compute=("alice", "bob"), results=("alice", "bob"), min_inputs=3)
    without = rebegun(lambda joins: {name: each for name, each in joins.items() if name != "david"})
    table = Table(spec, wire=changing(Step.BEGIN, "alice", without, "bob", "david")).start().run()
    assert table.texts() == {}
    assert Step.REVEAL not in [letter.step for _, letter in table.letters]


# -- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bob", "carlos"])
def test_a_refusal_that_cannot_be_made_good_ends_the_session_at_once(name: str) -> None:
    table = Table(make_spec(compute=("alice", "bob")), absent=[name]).start()
    table.refuse(name)
    table.deliver()
    failed(table, AbortReason.REFUSED)
    assert table.now == table.spec.created
    assert ending(table, "david").detail == f"{name} refused (policy)"


def test_a_leader_that_refuses_ends_the_session() -> None:
    table = Table(absent=["alice"]).start()
    table.refuse("alice")
    table.deliver()
    failed(table, AbortReason.REFUSED)
    assert ending(table, "bob").detail == "alice refused (policy)"


def test_a_refusal_sends_its_code_and_nothing_of_its_detail() -> None:
    session = Table().fresh("bob")
    (letter,) = session.refuse(RefusalCode.INPUT, "salaries.csv, row 7: outside the bounds")
    assert letter == Outgoing(Step.REFUSE, "all", Refuse(code=RefusalCode.INPUT).encode())
    assert session.state is State.REFUSED
    assert session.outcome.ending == Ending(RefusalCode.INPUT, "salaries.csv, row 7: outside the bounds")


# -- cheats ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [make_spec(), make_spec(results=("bob", "carlos"))])
@pytest.mark.parametrize("at", [64, 96, -1], ids=["nonce", "share", "last byte"])
def test_an_altered_opening_names_the_culprit_and_gives_no_answer(spec: SessionSpec, at: int) -> None:
    wire = changing(Step.REVEAL, "alice", lambda body: flipped(body, at))
    table = Table(spec, wire=wire).start().run()
    for name in set(spec.results) - {"alice"}:
        assert table.outcome(name).answer is None
        assert (ending(table, name).reason, ending(table, name).culprit) == (AbortReason.BAD_OPENING, "alice")
    assert all(table.outcome(name).state is State.ABORTED for name in spec.members)


def test_a_reveal_over_other_commitments_accuses_nobody() -> None:
    """Its sender may have been told another list of inputs than the reader: that is not its fault."""
    wire = changing(Step.REVEAL, "alice", lambda body: flipped(body, 32))
    table = Table(make_spec(results=("bob", "carlos")), wire=wire).start().run()
    assert (ending(table, "bob").reason, ending(table, "bob").culprit) == (AbortReason.SPLIT_VIEW, None)
    assert ending(table, "bob").detail == "alice and bob were told different commitments"
    assert table.texts() == {}


def test_a_reveal_of_a_seed_is_a_bad_opening() -> None:
    table = Table(wire=changing(Step.REVEAL, "alice", lambda _: b"")).start().run()
    assert ending(table, "bob").culprit == "alice"


PLAIN_STEPS = [
    (Step.JOIN, "carlos"),
    (Step.BEGIN, "alice"),
    (Step.RECEIVED, "carlos"),
    (Step.CONFIRM, "alice"),
]


def stopped_before(step: Step, sender: str) -> tuple[Table, Part]:
    """A table at which all but this one letter to bob has come, and that letter."""
    withheld: list[Part] = []

    def wire(reader: str, part: Part) -> list[Part]:
        if reader == "bob" and (part.header.step, part.header.sender) == (step, sender):
            withheld.append(part)
            return []
        return [part]

    table = Table(wire=wire).start().deliver()
    return table, withheld[0]


@pytest.mark.parametrize(("step", "sender"), [*PLAIN_STEPS, (Step.SHARE, "carlos"), (Step.REVEAL, "carlos")])
def test_a_differing_duplicate_is_a_contradiction_and_names_its_sender(step: Step, sender: str) -> None:
    def wire(reader: str, part: Part) -> list[Part]:
        hit = (part.header.step, part.header.sender, reader) == (step, sender, "bob")
        return [part, rewritten(part, part.body + b" ")] if hit else [part]

    table = Table(wire=wire).start().deliver()
    assert ending(table, "bob").reason is AbortReason.CONTRADICTION
    assert ending(table, "bob").culprit == sender
    assert ending(table, "bob").detail == f"two different {step} letters from {sender}"
    if step is not Step.CONFIRM:  # by then the others have all confirmations, and are done
        failed(table, AbortReason.CONTRADICTION, culprit=sender)


@pytest.mark.parametrize(("step", "sender"), PLAIN_STEPS)
def test_an_identical_duplicate_is_harmless(step: Step, sender: str) -> None:
    def wire(_reader: str, part: Part) -> list[Part]:
        return [part] * 3 if (part.header.step, part.header.sender) == (step, sender) else [part]

    table = Table(wire=wire).start().deliver()
    assert set(table.texts()) == set(PARTIES)
    assert everything(table) == everything(Table().start().deliver())


def test_everything_doubled_is_harmless() -> None:
    table = Table(wire=lambda _reader, part: [part, part]).start().deliver()
    assert everything(table) == everything(Table().start().deliver())


def test_another_transcript_is_a_split_view_and_takes_the_answer_back() -> None:
    lie = Confirm(transcript=bytes(32)).encode()
    table = Table(wire=changing(Step.CONFIRM, "carlos", lambda _: lie, "bob")).start().run()
    assert ending(table, "bob").reason is AbortReason.SPLIT_VIEW
    assert ending(table, "bob").detail == "carlos saw another transcript than bob"


def test_an_aborted_session_shows_no_answer() -> None:
    """The answer that a disproof has taken back must not be found by whoever looks at the outcome."""
    lie = Confirm(transcript=bytes(32)).encode()
    table = Table(wire=changing(Step.CONFIRM, "carlos", lambda _: lie, "bob")).start().run()
    assert table.outcome("bob").state is State.ABORTED
    assert table.outcome("bob").answer is None


@pytest.mark.parametrize(
    "lie",
    [
        {"inputs": (*PARTIES, "eve"), "commitment": None},
        {"inputs": ("bob", "alice"), "commitment": None},
        {"inputs": ("alice", "alice"), "commitment": None},
        {"inputs": PARTIES[:3], "commitment": bytes(32)},
    ],
)
def test_a_list_of_inputs_that_does_not_fit_is_its_senders_fault(lie: dict[str, object]) -> None:
    table = (
        Table(wire=changing(Step.RECEIVED, "carlos", lambda body: retold(Received, body, lie))).start().run()
    )
    assert ending(table, "bob").reason is AbortReason.INVALID_MESSAGE
    assert ending(table, "bob").culprit == "carlos"
    assert table.texts() == {}


def test_a_list_from_another_view_is_a_split_view_in_which_nobody_is_accused() -> None:
    elsewhere = changing(Step.RECEIVED, "carlos", lambda body: retold(Received, body, {"view": bytes(32)}))
    table = Table(wire=elsewhere).start().run()
    assert (ending(table, "bob").reason, ending(table, "bob").culprit) == (AbortReason.SPLIT_VIEW, None)
    assert ending(table, "bob").detail == "carlos and bob were told different begins"
    assert table.texts() == {}


def test_a_second_commitment_to_other_inputs_is_a_split_view() -> None:
    def wire(reader: str, part: Part) -> list[Part]:
        lost = losing(Step.SHARE, "carlos", "bob")(reader, part)
        return [changed for each in lost for changed in lie(reader, each)]

    lie = changing(
        Step.COMMIT, "alice", lambda body: retold(Commit, body, {"inputs": ("alice", "bob")}), "bob"
    )
    table = Table(SPARING, wire=wire).start().run()
    assert ending(table, "bob").reason is AbortReason.SPLIT_VIEW
    assert ending(table, "bob").detail == "alice and bob were told different lists of complete inputs"
    assert table.texts() == {}


def test_nonsense_from_a_needed_party_ends_the_session_and_names_it() -> None:
    table = Table(wire=changing(Step.RECEIVED, "carlos", lambda _: b"{}")).start().run()
    assert (ending(table, "bob").reason, ending(table, "bob").culprit) == (
        AbortReason.INVALID_MESSAGE,
        "carlos",
    )


# -- silence -----------------------------------------------------------------------------------------

KEEP_ALL = make_spec(compute=("alice", "bob", "carlos"), results=("bob", "carlos", "david"))


@pytest.mark.parametrize(
    ("wire", "at", "reason", "silent"),
    [
        (losing(Step.JOIN, "carlos"), "alice", AbortReason.NEVER_JOINED, ("carlos",)),
        (losing(Step.BEGIN, "alice"), "bob", AbortReason.TIMEOUT, ("alice",)),
        (losing(Step.SHARE, "david"), "bob", AbortReason.TOO_FEW_INPUTS, ("david",)),
        (losing(Step.RECEIVED, "carlos"), "bob", AbortReason.TIMEOUT, ("carlos",)),
        (losing(Step.REVEAL, "carlos"), "bob", AbortReason.TIMEOUT, ("carlos",)),
        (losing(Step.CONFIRM, "david"), "alice", AbortReason.TIMEOUT, ("david",)),
    ],
    ids=["join", "begin", "share", "received", "reveal", "confirm"],
)
def test_whoever_was_waited_for_is_named_and_not_accused(
    wire: Wire, at: str, reason: AbortReason, silent: tuple[str, ...]
) -> None:
    table = Table(KEEP_ALL, wire=wire).start().run()
    found = ending(table, at)
    assert (found.reason, found.silent, found.culprit) == (reason, silent, None)
    assert silent[0] in found.detail or reason is AbortReason.TOO_FEW_INPUTS


def test_a_second_commitment_that_never_comes_names_who_was_silent() -> None:
    def wire(reader: str, part: Part) -> list[Part]:
        lost = losing(Step.SHARE, "david", "bob")(reader, part)
        return [part for each in lost for part in losing(Step.COMMIT, "carlos")(reader, each)]

    spec = make_spec(compute=("alice", "bob", "carlos"), min_inputs=3)
    table = Table(spec, wire=wire).start().run()
    for name in ("alice", "bob"):
        assert ending(table, name).reason is AbortReason.TIMEOUT
        assert ending(table, name).silent == ("carlos",)
        assert Step.REVEAL not in table.steps(name)


def test_a_leader_that_never_begins_is_named_at_the_time_for_shares() -> None:
    table = Table(absent=["alice"]).start().run()
    failed(table, AbortReason.TIMEOUT)
    assert table.now == table.spec.share_by
    assert all(ending(table, name).silent == ("alice",) for name in table.sessions)
    assert all(table.steps(name) == [Step.JOIN, Step.ABORT] for name in table.sessions)


def test_an_answer_stands_when_time_is_up_and_those_who_did_not_confirm_are_named() -> None:
    table = Table(wire=losing(Step.CONFIRM, "carlos")).start().run()
    assert table.now == table.spec.close_by
    for name in ("alice", "bob", "david"):
        outcome = table.outcome(name)
        assert (outcome.state, outcome.unconfirmed) == (State.COMPLETED, ("carlos",))
        assert outcome.answer is not None


def test_waiting_for_names_exactly_the_letters_that_are_lacking() -> None:
    table, _ = stopped_before(Step.JOIN, "carlos")
    assert table.sessions["bob"].waiting_for() == [(Step.JOIN, "carlos")]
    table, _ = stopped_before(Step.RECEIVED, "carlos")
    assert table.sessions["bob"].waiting_for() == [(Step.RECEIVED, "carlos")]
    table, part = stopped_before(Step.REVEAL, "carlos")
    assert table.sessions["bob"].waiting_for() == [(Step.REVEAL, "carlos")]
    assert not table.sessions["bob"].knows(part)
    table.put("bob", part)
    assert table.sessions["bob"].waiting_for() == []
    assert table.sessions["bob"].knows(part)


# -- aborts of others --------------------------------------------------------------------------------


def abort(reason: AbortReason) -> Abort:
    return Abort(reason=reason, detail="so they say")


@pytest.mark.parametrize("reason", AbortReason)
def test_an_abort_after_the_answer_is_known_is_ignored_unless_it_disproves_it(reason: AbortReason) -> None:
    table, confirm = stopped_before(Step.CONFIRM, "carlos")
    table.put("bob", said(table.id, "carlos", abort(reason)))
    if reason in DISPROOFS:
        assert ending(table, "bob").reported_by == "carlos"
    else:
        table.put("bob", confirm)
        assert table.outcome("bob").state is State.COMPLETED


def test_what_disproves_an_answer_is_proof_of_two_views() -> None:
    assert {AbortReason.SPLIT_VIEW, AbortReason.CONTRADICTION, AbortReason.BAD_OPENING} == DISPROOFS


@pytest.mark.parametrize("sender", ["carl", "cora", "rosa", "coordinator"])
def test_whoever_is_needed_and_the_coordinator_can_end_a_session(sender: str) -> None:
    table = Table(APART, APART_VALUES).start()
    table.put("ivy", said(table.id, sender, abort(AbortReason.CANCELLED)))
    assert ending(table, "ivy") == Ending(AbortReason.CANCELLED, "so they say", reported_by=sender)


def test_an_input_party_cannot_end_a_session() -> None:
    table = Table(APART, APART_VALUES).start()
    for reader in ("carl", "cora", "rosa", "ivy"):
        table.put(reader, said(table.id, "ian", abort(AbortReason.CANCELLED)))
    assert table.deliver().texts() == {"rosa": "10.00"}


# -- purity ------------------------------------------------------------------------------------------

RUNS: dict[str, Callable[[], Table]] = {
    "answer": lambda: Table().start().run(),
    "roles apart": lambda: Table(APART, APART_VALUES).start().run(),
    "dropout": lambda: Table(SPARING, wire=losing(Step.SHARE, "carlos", "bob")).start().run(),
    "bad opening": lambda: Table(wire=changing(Step.REVEAL, "alice", flipped)).start().run(),
    "silence": lambda: Table(wire=losing(Step.RECEIVED, "carlos")).start().run(),
    "nobody began": lambda: Table(absent=["alice"]).start().run(),
}


def replayed(table: Table, name: str) -> list[Outgoing]:
    """What a fresh session sends when the same arrives."""
    session = table.fresh(name)
    sent = session.join(sealing_key(name), table.spec.created)
    for at, part in table.arrivals[name]:
        sent += session.tick(at) if part is None else session.receive(part, at)
    assert (session.state, session.outcome.ending) == (table.outcome(name).state, table.outcome(name).ending)
    return sent


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_the_same_arrivals_give_the_same_letters_byte_by_byte(run: Callable[[], Table]) -> None:
    table = run()
    for name in table.sessions:
        sent = [letter for sender, letter in table.letters if sender == name]
        assert bytes_of(replayed(table, name)) == bytes_of(sent)


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_nothing_is_sent_after_the_end(run: Callable[[], Table]) -> None:
    table = run()
    for name, session in table.sessions.items():
        before = session.outcome
        assert session.over
        assert session.deadline is None
        assert session.waiting_for() == []
        assert [letter for part in table.parts for letter in session.receive(part, table.now)] == []
        assert session.tick(table.spec.close_by + 10**9) == []
        assert session.outcome == before, name


@pytest.mark.parametrize(
    ("spec", "name"),
    [(make_spec(), "alice"), (make_spec(), "bob"), (APART, "ivy"), (APART, "cora"), (APART, "rosa")],
)
@settings(repeatable, max_examples=40)
@given(st.data())
def test_the_order_of_arrival_changes_nothing_and_nothing_leaves_too_early(
    spec: SessionSpec, name: str, data: st.DataObject
) -> None:
    table = Table(spec, RAISES | APART_VALUES).start().deliver()
    arrived = [part for _, part in table.arrivals[name] if part is not None]
    session, here = table.fresh(name), set[tuple[Step, str]]()
    sent = session.join(sealing_key(name), spec.created)
    for part in data.draw(st.permutations(arrived)):
        here.add((part.header.step, part.header.sender))
        for letter in session.receive(part, spec.created):
            assert needed_before(spec, name, letter.step) <= here
            sent.append(letter)
    assert session.outcome.state is State.COMPLETED
    expected = [letter for sender, letter in table.letters if sender == name]
    assert sorted(bytes_of(sent), key=repr) == sorted(bytes_of(expected), key=repr)


def needed_before(spec: SessionSpec, name: str, step: Step) -> set[tuple[Step, str]]:
    """The letters of others without which a step must not leave."""
    others = {
        Step.BEGIN: [(Step.JOIN, each) for each in spec.members],
        Step.SHARE: [(Step.BEGIN, spec.leader), *((Step.JOIN, each) for each in spec.compute)],
        Step.RECEIVED: [(Step.BEGIN, spec.leader), *((Step.SHARE, each) for each in spec.inputs)],
        Step.REVEAL: [(Step.RECEIVED, each) for each in spec.compute],
        Step.CONFIRM: [(Step.REVEAL, each) for each in spec.compute],
    }
    return {(kind, sender) for kind, sender in others[step] if sender != name}


def test_no_reveal_leaves_before_every_second_commitment_is_there() -> None:
    table = Table(SPARING, wire=losing(Step.SHARE, "carlos", "bob"))
    held: list[Part] = []

    def wire(reader: str, part: Part) -> list[Part]:
        if (part.header.step, part.header.sender, reader) == (Step.COMMIT, "bob", "alice"):
            held.append(part)
            return []
        return losing(Step.SHARE, "carlos", "bob")(reader, part)

    table.wire = wire
    table.start().deliver()
    table.now = SPARING.share_by
    for name in ("alice", "bob"):
        table._post(name, table.sessions[name].tick(table.now))
    table.deliver()
    assert Step.COMMIT in table.steps("alice")
    assert Step.REVEAL not in table.steps("alice")
    assert table.sessions["alice"].waiting_for() == [(Step.COMMIT, "bob")]
    table.put("alice", held[0])
    assert Step.REVEAL in table.steps("alice")


# -- what a session shows ----------------------------------------------------------------------------


def test_the_deadline_is_always_ahead_until_the_end() -> None:
    spec = make_spec()
    session = Table(spec).fresh("bob")
    session.join(sealing_key("bob"), spec.created)
    for now, due in [
        (spec.created, spec.join_by),
        (spec.join_by, spec.share_by),
    ]:
        session.tick(now)
        assert session.deadline == due
    session.tick(spec.share_by)
    assert session.over


@pytest.mark.parametrize("kind", [Sum, Average])
def test_letters_and_outcomes_show_nothing_secret(kind: type[FixedPoint]) -> None:
    table = Table(make_spec(kind())).start().deliver()
    shown = repr([letter for _, letter in table.letters]) + repr([table.outcome(name) for name in PARTIES])
    secrets = [str(value) for value in RAISES.values()]
    secrets += [repr(elements(value).tobytes())[2:-1] for value in RAISES.values()]
    secrets += [letter.seed.expose().hex() for _, letter in table.letters if letter.seed]
    secrets += [repr(letter.body)[2:-1] for _, letter in table.letters if letter.recipients and letter.body]
    assert not [secret for secret in secrets if secret in shown]
    assert "3171" not in shown
