"""Every check of a bundle has a bundle that it alone refuses, made by hands that hold all keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from party_node.audit.bundle import Booked, Content
from party_node.audit.finding import Check, Finding, Mark
from party_node.audit.screen import lines
from party_node.audit.verdict import Standing, Verdict
from protocol.letters import COMPUTE
from protocol.messages import (
    Abort,
    AbortReason,
    Begin,
    Commit,
    Confirm,
    Join,
    PublicResult,
    Received,
    RefusalCode,
    Refuse,
    Request,
    Step,
)
from protocol.spec import session_id
from protocol.states import State
from tests.support.bundles import MADE, PARTIES, Scene, added, changed, put, said, without
from tests.support.network import COORDINATOR, START

OTHER = bytes(32)  # a digest of nothing


@pytest.fixture(scope="module")
def scenes() -> Iterator[dict[str, Scene]]:
    made = {name: make() for name, make in MADE.items()}
    yield made
    for scene in made.values():
        scene.network.close()


def marked(found: Verdict, mark: Mark) -> list[Finding]:
    return [each for each in found.findings if each.mark is mark]


def one_line(found: Verdict) -> str:
    """The screen without its line breaks."""
    return " ".join(line.strip() for line in lines(found))


# -- what is in order --------------------------------------------------------------------------------


IDLE = {  # checks for which a session gives no occasion
    "sum": {Check.NOISE, Check.LEDGER},
    "noised": {Check.RESULT},
    "referendum": {Check.NOISE, Check.RESULT, Check.LEDGER},
    "dropped": {Check.NOISE, Check.RESULT, Check.LEDGER},
    "refused": {*Check}
    - {Check.FORMAT, Check.EXPORTER, Check.ANNOUNCEMENT, Check.ROSTER, Check.LETTERS, Check.ONE_WORD}
    - {Check.STATEMENTS, Check.ENDING, Check.DECISION},
}


def idle(found: Verdict) -> set[Check]:
    return {each.check for each in marked(found, Mark.NOTHING)}


@pytest.mark.parametrize("scene", ["sum", "noised", "referendum", "dropped"])
def test_the_bundle_of_each_node_of_a_completed_session_is_valid(
    scenes: dict[str, Scene], scene: str
) -> None:
    here = scenes[scene]
    for name in PARTIES[: 2 if scene == "dropped" else 3]:
        found = here.judge(here.content(name))
        assert (found.standing, found.reason) == (Standing.VALID, "")
        assert not marked(found, Mark.MISSING)
        assert idle(found) == IDLE[scene]
        assert found.case is not None
        assert found.case.counted == (("alice", "bob") if scene == "dropped" else PARTIES)


def test_the_screen_says_who_asked_computed_put_in_and_learned(scenes: dict[str, Scene]) -> None:
    here = scenes["sum"]
    shown = lines(here.judge(here.content("bob")))
    assert shown[0] == "VALID"
    told = {line[:14].strip(): line[14:] for line in shown if line}
    assert told["session"] == here.session
    assert told["question"] == "sum of raise (decimals 0)"
    assert told["asked by"].startswith("coordinator, 2023-11-14T22:13:20Z")
    assert told["computed by"] == "alice and bob (alice leads)"
    assert told["inputs of"] == "alice, bob and carlos: 3 of 3"
    assert told["learned by"] == "alice and carlos, and everybody, as agreed; all have confirmed"
    assert told["answer"] == "3"
    assert told["at bob"].startswith("joined by policy; completed 2023-11-14T22:13:20Z; exported ")


def test_the_screen_says_what_it_cost_and_who_was_left_out(scenes: dict[str, Scene]) -> None:
    shown = "\n".join(lines(scenes["noised"].judge(scenes["noised"].content("bob"))))
    assert "ε 0.5 (replace-one)" in shown
    assert "ε 0.5 of raise spent" in shown
    assert "answer  " not in shown
    shown = "\n".join(lines(scenes["dropped"].judge(scenes["dropped"].content("bob"))))
    assert "alice and bob: 2 of 3; without carlos" in shown


def test_a_refusal_is_valid_at_who_refused_and_at_who_heard_of_it(scenes: dict[str, Scene]) -> None:
    here = scenes["refused"]
    found = here.judge(here.content("carlos"))
    assert (found.standing, found.reason) == (Standing.VALID, "")
    assert idle(found) == IDLE["refused"]
    assert "refused by policy (policy: an answer over 2 inputs, expected at least 3" in "\n".join(
        lines(found)
    )
    found = here.judge(here.content("alice"))
    assert (found.standing, found.reason) == (Standing.VALID, "")
    assert "refused by carlos" in one_line(found)


def test_bundles_of_several_nodes_are_valid_together(scenes: dict[str, Scene]) -> None:
    for here in scenes.values():
        found = here.judge(*(here.content(name) for name in PARTIES))
        assert (found.standing, found.reason) == (Standing.VALID, "")


# -- what is not: one flaw in each, and it is found by the check that is there for it --------------------

Flaw = Callable[[Scene, Content], Content]
FLAWS: dict[str, tuple[str, str, Flaw, Check, str]] = {}


def flaw(scene: str, exporter: str, check: Check, phrase: str) -> Callable[[Flaw], Flaw]:
    """A way to spoil the bundle of `exporter`; the verdict names `check`, in words with `phrase`."""

    def entered(change: Flaw) -> Flaw:
        FLAWS[change.__name__] = (scene, exporter, change, check, phrase)
        return change

    return entered


def announced(scene: Scene, found: Content, signer: str = COORDINATOR, **fields: object) -> Content:
    """Another spec, announced by whomever."""
    spec = scene.spec.model_copy(update=fields)
    payload = scene.network.letter(session_id(spec.encode()), Step.ANNOUNCE, signer, spec)
    return changed(found, announce=payload)


@flaw("sum", "bob", Check.EXPORTER, "dora's, who is not in the roster")
def by_a_stranger(scene: Scene, found: Content) -> Content:
    scene.network.keys.setdefault("dora", scene.network.keys["bob"])
    return changed(found, exporter="dora")


@flaw("sum", "bob", Check.EXPORTER, "coordinator has made the bundle, and is no member")
def by_no_member(scene: Scene, found: Content) -> Content:
    return changed(found, exporter=COORDINATOR)


@flaw("sum", "bob", Check.ANNOUNCEMENT, "alice announces a session of coordinator")
def announced_by_a_member(scene: Scene, found: Content) -> Content:
    return announced(scene, found, "alice")


@flaw("sum", "bob", Check.ANNOUNCEMENT, "alice announces a session of alice")
def announced_by_no_coordinator(scene: Scene, found: Content) -> Content:
    return announced(scene, found, "alice", coordinator="alice")


@flaw("sum", "bob", Check.ANNOUNCEMENT, "the signature on announce is not coordinator's")
def announced_with_another_signature(scene: Scene, found: Content) -> Content:
    return changed(found, announce=found.announce[64:128] + found.announce[64:])


@flaw("sum", "bob", Check.ANNOUNCEMENT, "no announcement whose id is the hash of its spec")
def announced_under_another_id(scene: Scene, found: Content) -> Content:
    spec = scene.spec.model_copy(update={"min_inputs": 1})
    return changed(found, announce=scene.network.letter(scene.session, Step.ANNOUNCE, COORDINATOR, spec))


@flaw("sum", "bob", Check.LETTERS, "letter 1 of bob's bundle: is of session ")
def another_spec_that_is_signed(scene: Scene, found: Content) -> Content:
    return announced(scene, found, nonce=bytes(16))


@flaw("sum", "bob", Check.LETTERS, "is not alice's")
def a_letter_with_another_signature(scene: Scene, found: Content) -> Content:
    forged = bytearray(scene.letter(Step.ABORT, "alice", Abort.of(AbortReason.TIMEOUT, "")))
    forged[0] ^= 1
    return added(found, bytes(forged))


@flaw("sum", "bob", Check.LETTERS, "expected at least 68")
def a_letter_that_is_none(scene: Scene, found: Content) -> Content:
    return added(found, b"")


@flaw("sum", "bob", Check.LETTERS, "of dora, who is no member")
def a_letter_of_a_stranger(scene: Scene, found: Content) -> Content:
    scene.network.keys.setdefault("dora", scene.network.keys["bob"])
    return added(found, scene.letter(Step.ABORT, "dora", Abort.of(AbortReason.TIMEOUT, "")))


@flaw("sum", "bob", Check.LETTERS, "a request has no place in a bundle")
def a_request(scene: Scene, found: Content) -> Content:
    return added(found, scene.letter(Step.REQUEST, "alice", Request(steps=("join",)), "bob"))


@flaw("sum", "bob", Check.LETTERS, "a share has no place in a bundle")
def a_sealed_letter(scene: Scene, found: Content) -> Content:
    shares = [sent.payload for sent in scene.network.tap if f"/{Step.SHARE}/alice/bob/" in sent.topic]
    return added(found, shares[0])


@flaw("referendum", "bob", Check.LETTERS, "a opened has no place in a bundle")
def a_round_of_gates(scene: Scene, found: Content) -> Content:
    rounds = [sent.payload for sent in scene.network.tap if f"/{Step.OPENED}-1/" in sent.topic]
    return added(found, rounds[0])


@flaw("sum", "bob", Check.LETTERS, "a begin of bob, who may send none")
def a_begin_of_somebody_else(scene: Scene, found: Content) -> Content:
    return added(found, scene.letter(Step.BEGIN, "bob", said(found, Step.BEGIN, "alice")))


@flaw("sum", "bob", Check.LETTERS, "a join of alice to compute, expected to all")
def a_letter_to_another_audience(scene: Scene, found: Content) -> Content:
    return put(found, scene.letter(Step.JOIN, "alice", said(found, Step.JOIN, "alice"), COMPUTE))


@flaw("sum", "bob", Check.ONE_WORD, "alice has signed two different confirm letters, both at bob")
def two_different_letters(scene: Scene, found: Content) -> Content:
    return added(found, scene.letter(Step.CONFIRM, "alice", Confirm(transcript=OTHER)))


@flaw("sum", "bob", Check.STATEMENTS, "alice has signed a confirm that is none")
def a_letter_that_is_no_statement(scene: Scene, found: Content) -> Content:
    return put(found, scene.letter(Step.CONFIRM, "alice", b"{}"))


@flaw("sum", "bob", Check.STATEMENTS, "a confirm that is none (20000 bytes in part 0 of 1)")
def a_letter_that_is_too_large(scene: Scene, found: Content) -> Content:
    return put(found, scene.letter(Step.CONFIRM, "alice", b" " * 20_000))


@flaw("sum", "bob", Check.BEGIN, "begin without bob")
def a_begin_without_a_needed_party(scene: Scene, found: Content) -> Content:
    begin = Begin.decode(said(found, Step.BEGIN, "alice"))
    joins = {name: each for name, each in begin.joins.items() if name != "bob"}
    return put(found, scene.letter(Step.BEGIN, "alice", begin.model_copy(update={"joins": joins})))


@flaw("sum", "bob", Check.BEGIN, "begin in another order than the spec")
def a_begin_in_another_order(scene: Scene, found: Content) -> Content:
    begin = Begin.decode(said(found, Step.BEGIN, "alice"))
    joins = dict(reversed(begin.joins.items()))
    return put(found, scene.letter(Step.BEGIN, "alice", begin.model_copy(update={"joins": joins})))


@flaw("sum", "bob", Check.BEGIN, "begin for inputs of 7 elements, alice brings one number")
def a_begin_for_another_shape(scene: Scene, found: Content) -> Content:
    begin = Begin.decode(said(found, Step.BEGIN, "alice"))
    return put(found, scene.letter(Step.BEGIN, "alice", begin.model_copy(update={"shape": (7,)})))


@flaw("sum", "bob", Check.JOINS, "alice's begin has another join of bob than bob has signed")
def another_join(scene: Scene, found: Content) -> Content:
    join = Join.decode(said(found, Step.JOIN, "bob"))
    return put(found, scene.letter(Step.JOIN, "bob", join.model_copy(update={"sealing_key": bytes(1216)})))


@flaw("sum", "bob", Check.VIEW, "alice's list of inputs names another view")
def another_view(scene: Scene, found: Content) -> Content:
    received = Received.decode(said(found, Step.RECEIVED, "alice"))
    return put(found, scene.letter(Step.RECEIVED, "alice", received.model_copy(update={"view": OTHER})))


@flaw("dropped", "bob", Check.VIEW, "alice's commit names another view")
def another_view_in_a_commit(scene: Scene, found: Content) -> Content:
    commit = Commit.decode(said(found, Step.COMMIT, "alice"))
    return put(found, scene.letter(Step.COMMIT, "alice", commit.model_copy(update={"view": OTHER})))


@flaw("sum", "bob", Check.INPUTS, "alice's list of inputs does not fit the begin")
def a_list_in_another_order(scene: Scene, found: Content) -> Content:
    received = Received.decode(said(found, Step.RECEIVED, "alice"))
    inputs = tuple(reversed(received.inputs))
    return put(found, scene.letter(Step.RECEIVED, "alice", received.model_copy(update={"inputs": inputs})))


@flaw("dropped", "bob", Check.INPUTS, "1 inputs are complete everywhere, expected at least 2")
def too_few_inputs(scene: Scene, found: Content) -> Content:
    received = Received.decode(said(found, Step.RECEIVED, "alice"))
    fewer = received.model_copy(update={"inputs": ("alice",)})
    return put(found, scene.letter(Step.RECEIVED, "alice", fewer))


@flaw("dropped", "bob", Check.INPUTS, "alice commits over alice, the lists have alice and bob")
def a_commit_over_other_inputs(scene: Scene, found: Content) -> Content:
    commit = Commit.decode(said(found, Step.COMMIT, "alice"))
    return put(found, scene.letter(Step.COMMIT, "alice", commit.model_copy(update={"inputs": ("alice",)})))


@flaw("referendum", "bob", Check.COMMITMENTS, "the compute parties were told different openings")
def other_openings_of_the_gates(scene: Scene, found: Content) -> Content:
    commit = Commit.decode(said(found, Step.COMMIT, "alice"))
    return put(found, scene.letter(Step.COMMIT, "alice", commit.model_copy(update={"opened": OTHER})))


@flaw("sum", "bob", Check.TRANSCRIPT, "carlos confirms another transcript than the letters have")
def another_transcript(scene: Scene, found: Content) -> Content:
    return put(found, scene.letter(Step.CONFIRM, "carlos", Confirm(transcript=OTHER)))


@flaw("sum", "bob", Check.TRANSCRIPT, "alice confirms another transcript than the letters have")
def another_commitment(scene: Scene, found: Content) -> Content:
    received = Received.decode(said(found, Step.RECEIVED, "alice"))
    return put(found, scene.letter(Step.RECEIVED, "alice", received.model_copy(update={"commitment": OTHER})))


@flaw("referendum", "bob", Check.TRANSCRIPT, "carlos confirms another transcript than the letters have")
def another_commitment_after_the_rounds(scene: Scene, found: Content) -> Content:
    commit = Commit.decode(said(found, Step.COMMIT, "alice"))
    return put(found, scene.letter(Step.COMMIT, "alice", commit.model_copy(update={"commitment": OTHER})))


@flaw("sum", "bob", Check.RECIPIENTS, "a confirm of bob, who may send none")
def somebody_else_learns(scene: Scene, found: Content) -> Content:
    return added(found, scene.letter(Step.CONFIRM, "bob", said(found, Step.CONFIRM, "alice")))


@flaw("noised", "bob", Check.RECIPIENTS, "alice has published an answer that is not public")
def everybody_learns(scene: Scene, found: Content) -> Content:
    answer = PublicResult(inputs=PARTIES, elements=bytes(8))
    return added(found, scene.letter(Step.RESULT, "alice", answer))


@flaw("sum", "bob", Check.RESULT, "alice and carlos have published different answers")
def another_answer(scene: Scene, found: Content) -> Content:
    answer = PublicResult(inputs=PARTIES, elements=bytes(8))
    return put(found, scene.letter(Step.RESULT, "alice", answer))


@flaw("sum", "bob", Check.RESULT, "carlos's answer is over other inputs than were counted")
def an_answer_over_other_inputs(scene: Scene, found: Content) -> Content:
    answers = [
        scene.letter(Step.RESULT, name, PublicResult(inputs=("alice",), elements=bytes(8)))
        for name in ("alice", "carlos")
    ]
    return put(found, *answers)


@flaw("sum", "bob", Check.RESULT, "carlos's answer is none of this function")
def an_answer_of_another_shape(scene: Scene, found: Content) -> Content:
    answers = [
        scene.letter(Step.RESULT, name, PublicResult(inputs=PARTIES, elements=bytes(7)))
        for name in ("alice", "carlos")
    ]
    return put(found, *answers)


@flaw("sum", "bob", Check.ENDING, "alice disputes the answer: bad-opening, a reason of mine")
def a_disproof(scene: Scene, found: Content) -> Content:
    return added(
        found, scene.letter(Step.ABORT, "alice", Abort.of(AbortReason.BAD_OPENING, "a reason of mine"))
    )


def ended(found: Content, **fields: object) -> Content:
    assert found.ended is not None
    return changed(found, ended=found.ended.model_copy(update=fields))


@flaw("sum", "bob", Check.ENDING, "inputs of alice and bob at bob, the letters say alice, bob and carlos")
def other_inputs_than_were_counted(scene: Scene, found: Content) -> Content:
    return ended(found, inputs=("alice", "bob"))


@flaw("sum", "bob", Check.ENDING, "dora did not confirm at bob, and is no result party")
def unconfirmed_by_a_stranger(scene: Scene, found: Content) -> Content:
    return ended(found, unconfirmed=("dora",))


@flaw("sum", "bob", Check.ENDING, "aborted at bob (timeout), and bob has not signed that")
def an_abort_that_nobody_signed(scene: Scene, found: Content) -> Content:
    return ended(found, state=State.ABORTED, reason=AbortReason.TIMEOUT)


@flaw("sum", "bob", Check.ENDING, "aborted at bob (timeout), and alice has not signed that")
def an_abort_reported_by_nobody(scene: Scene, found: Content) -> Content:
    return ended(found, state=State.ABORTED, reason=AbortReason.TIMEOUT, reported_by="alice")


@flaw("sum", "bob", Check.ENDING, "aborted at bob (timeout), alice has signed cancelled")
def an_abort_for_another_reason(scene: Scene, found: Content) -> Content:
    told = scene.letter(Step.ABORT, "alice", Abort.of(AbortReason.CANCELLED, ""))
    return added(ended(found, state=State.ABORTED, reason=AbortReason.TIMEOUT, reported_by="alice"), told)


@flaw("dropped", "bob", Check.ENDING, "carlos cannot end a session of others")
def an_abort_of_an_input_party(scene: Scene, found: Content) -> Content:
    told = scene.letter(Step.ABORT, "carlos", Abort.of(AbortReason.TIMEOUT, ""))
    return added(ended(found, state=State.ABORTED, reason=AbortReason.TIMEOUT, reported_by="carlos"), told)


@flaw("sum", "bob", Check.ENDING, "bob was not left out by the begin")
def left_out_of_nothing(scene: Scene, found: Content) -> Content:
    return ended(found, state=State.ABORTED, reason=AbortReason.LEFT_OUT)


@flaw("sum", "bob", Check.ENDING, "refused at bob, and alice has not signed that")
def refused_by_nobody(scene: Scene, found: Content) -> Content:
    return ended(found, state=State.ABORTED, reason=AbortReason.REFUSED)


@flaw("refused", "carlos", Check.ENDING, "carlos has refused (spec), and has not signed that")
def refused_for_another_reason(scene: Scene, found: Content) -> Content:
    return ended(found, reason=RefusalCode.SPEC)


@flaw("sum", "bob", Check.ENDING, "computing is no end")
def ended_in_the_middle(scene: Scene, found: Content) -> Content:
    return ended(found, state=State.COMPUTING)


@flaw("dropped", "bob", Check.ENDING, "bob calls it completed, and is not in the begin")
def completed_without_taking_part(scene: Scene, found: Content) -> Content:
    begin = Begin.decode(said(found, Step.BEGIN, "alice"))
    joins = {name: each for name, each in begin.joins.items() if name != "bob"}
    return put(found, scene.letter(Step.BEGIN, "alice", begin.model_copy(update={"joins": joins})))


def decided(found: Content, **fields: object) -> Content:
    assert found.decision is not None
    return changed(found, decision=found.decision.model_copy(update=fields))


@flaw("sum", "bob", Check.DECISION, "bob decided to refuse (policy), and has not signed that alone")
def decided_to_refuse(scene: Scene, found: Content) -> Content:
    return decided(found, made="refused", code=RefusalCode.POLICY)


@flaw("sum", "bob", Check.DECISION, "bob had not decided, and has answered")
def had_not_decided(scene: Scene, found: Content) -> Content:
    return decided(found, made="pending")


@flaw("refused", "carlos", Check.DECISION, "carlos decided to join, and has not signed that alone")
def decided_to_join(scene: Scene, found: Content) -> Content:
    return decided(found, made="joined", code=None, detail="")


@flaw("sum", "bob", Check.DECISION, "bob decided to join, and has not signed that alone")
def joined_and_refused(scene: Scene, found: Content) -> Content:
    return added(found, scene.letter(Step.REFUSE, "bob", Refuse(code=RefusalCode.POLICY)))


def booked(found: Content, number: int, **fields: object) -> Content:
    entries = list(found.ledger)
    entries[number] = entries[number].model_copy(update=fields)
    return changed(found, ledger=tuple(entries))


@flaw("noised", "bob", Check.LEDGER, "entry 1 of bob's ledger is not in the chain")
def an_entry_off_the_chain(scene: Scene, found: Content) -> Content:
    return booked(found, 0, at=START)


@flaw("noised", "bob", Check.LEDGER, "entry 2 of bob's ledger is not what the session costs")
def another_amount(scene: Scene, found: Content) -> Content:
    return booked(found, 1, nano=1)


@flaw("noised", "bob", Check.LEDGER, "entry 2 of bob's ledger does not follow")
def an_entry_from_elsewhere(scene: Scene, found: Content) -> Content:
    return booked(found, 1, before=OTHER)


@flaw("noised", "bob", Check.LEDGER, "bob's input was counted, and bob's ledger has not spent it")
def nothing_spent(scene: Scene, found: Content) -> Content:
    return changed(found, ledger=found.ledger[:1])


@flaw("noised", "bob", Check.LEDGER, "nothing in bob's ledger")
def nothing_reserved(scene: Scene, found: Content) -> Content:
    return changed(found, ledger=())


@flaw("sum", "bob", Check.LEDGER, "is not what the session costs")
def an_exact_answer_that_costs(scene: Scene, found: Content) -> Content:
    entry = Booked(before=OTHER, number=1, input="raise", event="reserved", nano=1, at=START, head=OTHER)
    return changed(found, ledger=(entry,))


@flaw("sum", "bob", Check.RELEASE, "bob has noted an answer over alice, not over these")
def a_release_over_others(scene: Scene, found: Content) -> Content:
    assert found.release is not None
    return changed(found, release=found.release.model_copy(update={"parties": ("alice",), "least": 1}))


@pytest.mark.parametrize("name", FLAWS)
def test_one_flaw_is_found_by_the_check_that_is_there_for_it(scenes: dict[str, Scene], name: str) -> None:
    scene, exporter, change, check, phrase = FLAWS[name]
    here = scenes[scene]
    found = here.judge(change(here, here.content(exporter)))
    assert found.standing is Standing.INVALID
    told = [each.text for each in marked(found, Mark.FAILED) if each.check is check]
    assert found.reason.startswith(f"{check}: ") or change is completed_without_taking_part
    assert any(phrase in each for each in told), [(each.check, each.text) for each in found.findings]


Gap = Callable[[Content], Content]
GAPS: dict[str, tuple[str, Gap, str]] = {
    "join": ("sum", partial(without, step=Step.JOIN, sender="alice"), "joins: no join of alice"),
    "begin": ("sum", partial(without, step=Step.BEGIN, sender="alice"), "begin: no begin of alice"),
    "list": (
        "sum",
        partial(without, step=Step.RECEIVED, sender="alice"),
        "inputs: no list of inputs of alice",
    ),
    "commit": (
        "dropped",
        partial(without, step=Step.COMMIT, sender="alice"),
        "commitments: no commitment of",
    ),
    "commit of a round": ("referendum", partial(without, step=Step.COMMIT, sender="bob"), "commitments: no"),
    "confirm": (
        "sum",
        partial(without, step=Step.CONFIRM, sender="carlos"),
        "recipients: no confirm of carlos",
    ),
    "end": ("sum", partial(changed, ended=None), "ending: still running at bob"),
}


@pytest.mark.parametrize("name", GAPS)
def test_a_bundle_that_lacks_what_must_have_been_there_is_incomplete(
    scenes: dict[str, Scene], name: str
) -> None:
    scene, gap, phrase = GAPS[name]
    here = scenes[scene]
    found = here.judge(gap(here.content("bob")))
    assert found.standing is Standing.INCOMPLETE
    assert found.reason.startswith(phrase)


def test_a_public_answer_that_has_not_come_is_no_gap(scenes: dict[str, Scene]) -> None:
    """A node goes by the confirms alone: the answer's own letters may be late, or in many parts."""
    here = scenes["sum"]
    found = here.content("bob")
    for name in ("alice", "carlos"):
        found = without(found, Step.RESULT, name)
    judged = here.judge(found)
    assert judged.standing is Standing.VALID
    assert [each.text for each in marked(judged, Mark.UNSEEN)] == ["the public answer"]


def test_who_has_answered_shows_what_it_decided(scenes: dict[str, Scene]) -> None:
    here = scenes["sum"]
    found = here.judge(changed(here.content("bob"), decision=None))
    assert found.standing is Standing.INCOMPLETE


def test_who_was_counted_in_an_exact_answer_has_noted_it(scenes: dict[str, Scene]) -> None:
    here = scenes["sum"]
    found = here.judge(changed(here.content("bob"), release=None))
    assert found.standing is Standing.INVALID


def test_every_check_that_can_fail_is_seen_to_fail() -> None:
    seen = {check for _, _, _, check, _ in FLAWS.values()}
    elsewhere = {Check.FORMAT, Check.ROSTER, Check.NOISE}
    assert seen | elsewhere == set(Check)


@pytest.mark.parametrize(
    "told",
    [{"reason": AbortReason.BAD_OPENING, "culprit": "bob"}, {"silent": ("bob",)}, {"reported_by": "bob"}],
)
def test_what_was_completed_has_no_reason_why_it_was_not(
    scenes: dict[str, Scene], told: dict[str, object]
) -> None:
    """Or an exporter could frame somebody on a page that says VALID."""
    here = scenes["sum"]
    content = here.content("alice")
    assert content.ended is not None
    found = changed(content, ended=content.ended.model_copy(update=told))
    assert here.judge(found).standing is Standing.INVALID


@pytest.mark.parametrize(
    "noted", [{"parties": (*PARTIES, "mallory")}, {"least": 1}, {"threshold": "1/2"}], ids=str
)
def test_a_release_is_that_of_the_session(scenes: dict[str, Scene], noted: dict[str, object]) -> None:
    here = scenes["sum"]
    content = here.content("alice")
    assert content.release is not None
    found = changed(content, release=content.release.model_copy(update=noted))
    assert here.judge(found).standing is Standing.INVALID


def test_a_decision_to_join_has_no_words_about_anybody(scenes: dict[str, Scene]) -> None:
    here = scenes["sum"]
    found = decided(here.content("alice"), detail="bob is a liar")
    assert here.judge(found).standing is Standing.INVALID
