"""Whoever looks on sees from the public letters where a session stands, and never more."""

import pytest

from coordinator.observe import PUBLIC_STEPS, SessionView
from protocol.functionalities.average import Average
from protocol.letters import Part
from protocol.messages import IN_ROUNDS, SEALED, Abort, AbortReason, PublicResult, Received, Step
from protocol.spec import SessionSpec
from protocol.states import State
from tests.support.ballots import VOTERS, vote, vote_spec
from tests.support.sessions import (
    PARTIES,
    RAISES,
    Table,
    Wire,
    changing,
    flipped,
    losing,
    make_part,
    make_spec,
    rewritten,
    said,
)

APART = make_spec(Average(), compute=("carl", "cora"), results=("rosa", "rick"), min_inputs=3, public=True)


def run(spec: SessionSpec | None = None, wire: Wire = lambda _reader, part: [part]) -> Table:
    return Table(spec or make_spec(), RAISES, wire=wire).start().run()


def viewed(table: Table, *more: Part, without: tuple[Step, ...] = ()) -> SessionView:
    view = SessionView(table.spec, table.id)
    for part in (*table.parts, *more):
        if part.header.step not in without:
            view.add(part)
    return view


def test_a_finished_session_is_seen_with_its_inputs_but_without_its_answer() -> None:
    view = viewed(run())
    outcome = view.outcome()
    assert (outcome.state, outcome.inputs, outcome.answer) == (State.COMPLETED, PARTIES, None)
    assert view.joined == view.received == view.confirmed == PARTIES
    assert view.refused == {}


def test_a_public_answer_is_seen() -> None:
    outcome = viewed(run(APART)).outcome()
    assert outcome.answer is not None
    assert outcome.answer.text() == "3171.50"


@pytest.mark.parametrize(
    ("last", "state"),
    [
        (None, State.ANNOUNCED),
        (Step.JOIN, State.JOINED),
        (Step.BEGIN, State.SHARING),
        (Step.SHARE, State.SHARING),
        (Step.RECEIVED, State.OPENING),
        (Step.REVEAL, State.OPENING),
        (Step.CONFIRM, State.COMPLETED),
    ],
)
def test_the_view_follows_the_session_step_by_step(last: Step | None, state: State) -> None:
    order = list(Step)
    after = tuple(order) if last is None else tuple(order[order.index(last) + 1 :])
    assert viewed(run(), without=after).outcome().state is state


def test_some_of_the_lists_are_computing_and_some_of_the_confirmations_are_confirming() -> None:
    table = run(APART)
    view = SessionView(table.spec, table.id)
    seen = []
    for part in table.parts:
        view.add(part)
        seen.append(view.outcome().state)
    assert list(dict.fromkeys(seen)) == [
        State.JOINED,
        State.SHARING,
        State.COMPUTING,
        State.OPENING,
        State.CONFIRMING,
        State.COMPLETED,
    ]


def test_inputs_that_are_not_complete_everywhere_are_not_counted() -> None:
    spec = make_spec(compute=("alice", "bob"), results=("alice",), min_inputs=3)
    table = run(spec, losing(Step.SHARE, "carlos", "bob"))
    assert viewed(table).counted == ("alice", "bob", "david")
    assert viewed(table, without=(Step.RECEIVED,)).counted == ()


def test_refusals_are_seen_with_their_code() -> None:
    table = Table(absent=["david"]).start()
    table.refuse("david")
    view = viewed(table.deliver())
    assert view.refused == {"david": "policy"}
    ending = view.outcome().ending
    assert ending is not None
    assert (ending.reason, ending.reported_by) == (AbortReason.REFUSED, "alice")


def test_an_abort_is_seen_with_reason_culprit_and_who_said_so() -> None:
    table = run(wire=changing(Step.REVEAL, "alice", flipped))
    outcome = viewed(table).outcome()
    assert outcome.ending is not None
    assert (outcome.state, outcome.answer) == (State.ABORTED, None)
    assert (outcome.ending.reason, outcome.ending.culprit) == (AbortReason.BAD_OPENING, "alice")
    assert outcome.ending.reported_by in PARTIES


def test_silence_is_seen_as_silence() -> None:
    ending = viewed(run(wire=losing(Step.RECEIVED, "carlos")), without=(Step.RECEIVED,)).outcome().ending
    assert ending is not None
    assert (ending.silent, ending.culprit) == (("carlos",), None)


def test_an_input_partys_abort_is_not_believed() -> None:
    spec = make_spec(compute=("alice", "bob"), results=("alice",))
    table = run(spec)
    abort = said(table.id, "david", Abort(reason=AbortReason.CANCELLED, detail=""))
    assert viewed(table, abort).outcome().state is State.COMPLETED


def test_different_transcripts_are_a_split_view() -> None:
    table = run()
    first = next(part for part in table.parts if part.header.step is Step.CONFIRM)
    view = SessionView(table.spec, table.id)
    for part in table.parts:
        view.add(rewritten(part, b'{"transcript":"' + b"A" * 43 + b'="}') if part is first else part)
    ending = view.outcome().ending
    assert ending is not None
    assert ending.reason is AbortReason.SPLIT_VIEW


def test_two_different_letters_of_one_party_are_a_contradiction_that_names_it() -> None:
    table = run()
    other = said(table.id, "bob", Received(view=bytes(32), inputs=("alice",), commitment=None))
    ending = viewed(table, other).outcome().ending
    assert ending is not None
    assert (ending.reason, ending.culprit) == (AbortReason.CONTRADICTION, "bob")


def test_nonsense_of_a_needed_party_is_an_invalid_message_as_the_parties_call_it() -> None:
    table = run()
    view = viewed(table, make_part(table.id, Step.COMMIT, "bob", body=b"nonsense"))
    ending = view.outcome().ending
    assert ending is not None
    assert (ending.reason, ending.culprit) == (AbortReason.INVALID_MESSAGE, "bob")


@pytest.mark.parametrize("reason", [AbortReason.TIMEOUT, AbortReason.CANCELLED])
def test_an_abort_after_everybody_has_confirmed_does_not_take_the_answer_back(reason: AbortReason) -> None:
    """The parties ignore it, so an onlooker must: else the same session both completed and aborted."""
    table = run(APART)
    late = said(table.id, "cora", Abort(reason=reason, detail="time is up", silent=("rosa",)))
    assert viewed(table, late).outcome().state is State.COMPLETED


@pytest.mark.parametrize("public", [True, False])
def test_an_answer_counts_when_it_is_public_and_every_result_party_has_published_it(public: bool) -> None:
    table = run(make_spec(public=True, results=("alice", "bob")))
    spec = table.spec.model_copy(update={"public": public})
    view = SessionView(spec, table.id)
    for part in table.parts:
        if (part.header.step, part.header.sender) != (Step.RESULT, "bob"):
            view.add(part)
    assert view.outcome().answer is None


@pytest.mark.parametrize(
    "lie",
    [
        PublicResult(inputs=PARTIES, elements=bytes(8)),
        PublicResult(inputs=PARTIES[:3], elements=sum(RAISES.values()).to_bytes(8, "little")),
    ],
)
def test_result_parties_that_publish_different_answers_show_none(lie: PublicResult) -> None:
    table = run(make_spec(public=True))
    view = SessionView(table.spec, table.id)
    for part in table.parts:
        mine = (part.header.step, part.header.sender) == (Step.RESULT, "bob")
        view.add(rewritten(part, lie.encode()) if mine else part)
    assert view.outcome().answer is None


@pytest.mark.parametrize(
    "lie",
    [
        PublicResult(inputs=PARTIES, elements=b""),
        PublicResult(inputs=PARTIES, elements=bytes(7)),
        PublicResult(inputs=PARTIES, elements=bytes(16)),
        PublicResult(inputs=(), elements=bytes(8)),
    ],
    ids=["nothing", "too short", "too long", "of nobody"],
)
def test_a_published_answer_that_cannot_be_one_is_none_and_nothing_worse(lie: PublicResult) -> None:
    """A lone result party can publish what it likes; the coordinator must not fall over it."""
    table = run(make_spec(Average(), public=True, results=("bob",)))
    view = SessionView(table.spec, table.id)
    for part in table.parts:
        view.add(rewritten(part, lie.encode()) if part.header.step is Step.RESULT else part)
    assert view.outcome().answer is None


# -- referenda ---------------------------------------------------------------------------------------

VOTE = vote_spec("1/2", public=True, results=("alice", "bob"))


def voted(yes: int = 4) -> Table:
    return vote({name: int(number < yes) for number, name in enumerate(VOTERS)}, VOTE).run()


@pytest.mark.parametrize(
    ("last", "state"),
    [
        (Step.CORRELATE, State.JOINED),
        (Step.RECEIVED, State.COMPUTING),
        (Step.OPENED, State.COMPUTING),
        (Step.COMMIT, State.OPENING),
        (Step.CONFIRM, State.COMPLETED),
    ],
)
def test_a_referendum_computes_until_all_have_committed(last: Step, state: State) -> None:
    order = list(Step)
    view = viewed(voted(), without=tuple(order[order.index(last) + 1 :]))
    assert view.outcome().state is state


@pytest.mark.parametrize(("yes", "word"), [(0, "NO"), (1, "NO"), (2, "YES"), (4, "YES")])
def test_of_a_public_referendum_one_word_is_seen(yes: int, word: str) -> None:
    outcome = viewed(voted(yes)).outcome()
    assert outcome.answer is not None
    assert (outcome.answer.text(), outcome.inputs) == (word, VOTERS)


@pytest.mark.parametrize("count", [2, 3, 2**40, 2**63, 2**64 - 1])
def test_a_published_count_is_no_answer_to_a_referendum(count: int) -> None:
    table = voted()
    view = SessionView(table.spec, table.id)
    lie = PublicResult(inputs=VOTERS, elements=count.to_bytes(8, "little")).encode()
    for part in table.parts:
        view.add(rewritten(part, lie) if part.header.step is Step.RESULT else part)
    assert view.outcome().answer is None


def test_the_rounds_of_a_referendum_are_not_for_onlookers() -> None:
    table = voted()
    view, silent = viewed(table), viewed(table, without=tuple(IN_ROUNDS))
    assert view.outcome().state is silent.outcome().state is State.COMPLETED


# -- what is not for onlookers -----------------------------------------------------------------------


def test_what_is_sealed_or_of_another_session_or_a_stranger_is_passed_over() -> None:
    table = run()
    view = SessionView(table.spec, "ab" * 32)
    for part in table.parts:
        view.add(part)
    assert view.outcome().state is State.ANNOUNCED
    stranger = said(table.id, "eve", Abort(reason=AbortReason.CANCELLED, detail=""))
    assert viewed(table, stranger).outcome().state is State.COMPLETED


def test_onlookers_ask_for_what_everybody_may_read_and_nothing_else() -> None:
    assert set(Step) - set(PUBLIC_STEPS) == {Step.ANNOUNCE, Step.REQUEST, *SEALED, *IN_ROUNDS}
