"""What bundles tell of sessions that went wrong, and what several show together that none does alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from party_node.audit.bundle import Content
from party_node.audit.finding import Check, Finding, Mark
from party_node.audit.screen import COLUMNS, MOST_LINES, lines
from party_node.audit.verdict import Standing, Verdict, verify
from party_node.post import Publication
from protocol.dp.noise import Noise, Relation
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.letters import ALL, parse
from protocol.messages import Abort, AbortReason, Begin, PublicResult, Received, Step
from protocol.states import State
from tests.support.bundles import AVERAGE, PARTIES, EvidentNetwork, Scene, added, noise, without
from tests.support.network import COORDINATOR, Faults

SUM = Sum(decimals=0)
FOUR = (*PARTIES, "dora")
Made = Callable[..., EvidentNetwork]


@pytest.fixture
def made() -> Iterator[Made]:
    networks: list[EvidentNetwork] = []

    def make(names: tuple[str, ...] = PARTIES) -> EvidentNetwork:
        networks.append(EvidentNetwork({name: {"raise": "1"} for name in names}, faults=Faults(delay=0)))
        return networks[-1]

    yield make
    for each in networks:
        each.close()


def over(network: EvidentNetwork, **fields: object) -> Scene:
    return Scene(network, network.ran(network.spec(SUM, **fields)))  # type: ignore[arg-type] # a spec's own


def told(found: Verdict, mark: Mark) -> list[tuple[Check, str, str | None]]:
    return [(each.check, each.text, each.culprit) for each in found.findings if each.mark is mark]


def valid(found: Verdict) -> str:
    """What the screen says of a session that is told right, in one line."""
    assert (found.standing, found.reason) == (Standing.VALID, "")
    return one_line(found)


def one_line(found: Verdict) -> str:
    return " ".join(" ".join(lines(found)).split())


def state(content: Content) -> tuple[State, object]:
    assert content.ended is not None
    return content.ended.state, content.ended.reason


# -- sessions that ended without an answer ---------------------------------------------------------------


def test_two_different_letters_are_proven_against_who_signed_them(made: Made) -> None:
    network = made()

    def twice(reader: str, sent: Publication) -> list[Publication]:
        if reader != "alice" or f"/{Step.RECEIVED}/bob/" not in sent.topic:
            return [sent]
        part = parse(sent.payload)
        other = Received.decode(part.body).model_copy(update={"commitment": None})
        again = network.letter(part.header.session, Step.RECEIVED, "bob", other)
        return [sent, Publication(sent.topic, again)]

    network.tamper = twice
    here = over(network)
    content = here.content("alice")
    assert state(content) == (State.ABORTED, AbortReason.CONTRADICTION)
    found = here.judge(content)
    assert "culprit bob" in valid(found)
    proof = "bob has signed two different received letters, both at alice"
    assert told(found, Mark.PROVEN) == [(Check.ONE_WORD, proof, "bob")]
    assert f"proven one word: {proof} (proven against bob)" in one_line(found)
    unproven = "alice blames bob (contradiction): no letter here proves it"
    for less in (without(content, Step.RECEIVED, "bob"), here.content("carlos")):
        found = here.judge(less)
        valid(found)
        assert (Check.ENDING, unproven, None) in told(found, Mark.UNSEEN)


def test_who_tells_two_nodes_different_things_is_proven_by_two_bundles(made: Made) -> None:
    """The leader tells carlos that dora has no part."""
    network = made(FOUR)
    network.tamper = network.resigns(Step.BEGIN, "alice", "carlos", without_dora)
    here = over(network, compute=PARTIES, results=PARTIES, min_inputs=3)
    for name in PARTIES:
        assert state(here.content(name))[0] is State.ABORTED
        valid(here.judge(here.content(name)))
    found = here.judge(here.content("bob"), here.content("carlos"))
    valid(found)
    proof = "alice has signed two different begin letters, one at bob and one at carlos"
    assert (Check.ONE_WORD, proof, "alice") in told(found, Mark.PROVEN)


def without_dora(body: bytes) -> Begin:
    begin = Begin.decode(body)
    joins = {name: each for name, each in begin.joins.items() if name != "dora"}
    return begin.model_copy(update={"joins": joins})


def test_a_silent_party_is_named_and_not_blamed(made: Made) -> None:
    network = made()
    network.leaves = lambda sender, sent: sender != "bob" or f"/{Step.RECEIVED}/" not in sent.topic
    here = over(network)
    found = here.judge(here.content("alice"))
    assert "aborted by alice" in valid(found)
    assert "silent bob" in valid(found)
    assert not told(found, Mark.PROVEN)


def test_a_cancelled_session_is_ended_by_the_coordinators_word(made: Made) -> None:
    network = made()
    network.down.add("carlos")
    session = network.announce(network.spec(SUM))
    network.run(network.now + 1_000)
    abort = Abort.of(AbortReason.CANCELLED, "not now")
    network.nodes[COORDINATOR].say(session, Step.ABORT, ALL, abort.encode())
    network.flush(COORDINATOR)
    network.run(network.now + 1_000)
    here = Scene(network, session)
    shown = valid(here.judge(here.content("alice"), here.content("bob")))
    assert "aborted by coordinator" in shown
    assert "cancelled, not now" in shown


def test_who_was_left_out_can_show_it(made: Made) -> None:
    network = made(FOUR)
    network.leaves = lambda sender, sent: sender != "dora"
    here = over(network, compute=PARTIES, results=PARTIES, min_inputs=3)
    content = here.content("dora")
    assert state(content) == (State.ABORTED, AbortReason.LEFT_OUT)
    valid(here.judge(content))


def test_a_leaders_refusal_ends_it_for_all(made: Made) -> None:
    network = made()
    network.limits = replace(network.limits, min_inputs=3)
    network.nodes["alice"] = network.make("alice")
    here = over(network, min_inputs=2)
    for name in PARTIES:
        shown = valid(here.judge(here.content(name)))
        assert "refused" in shown
        assert "min_inputs" not in shown or name == "alice"


def test_a_coordinator_that_lies_about_the_noise_is_shown_by_who_refused(made: Made) -> None:
    network = made()
    bounded = Sum(lower=Decimal(0), upper=Decimal(100))
    noise = Noise(epsilon=10**9, sensitivity=1, relation=Relation.REPLACE_ONE, colluders=1)
    here = Scene(network, network.ran(network.spec(bounded, noise=noise)))
    found = here.judge(here.content("bob"))
    valid(found)
    ((check, text, culprit),) = told(found, Mark.PROVEN)
    assert (check, culprit) == (Check.NOISE, COORDINATOR)
    assert text == "sensitivity 1, by the function and its bounds it is 10000"


def test_a_spec_with_a_strange_key_is_shown_by_who_refused(made: Made) -> None:
    network = made()
    members = {name: network.roster.parties[name] for name in PARTIES}
    here = over(network, members={**members, "carlos": members["bob"]})
    found = here.judge(here.content("alice"))
    valid(found)
    ((check, text, _),) = told(found, Mark.PROVEN)
    assert check is Check.ROSTER
    assert text.startswith("carlos has another key in the roster")


# -- sessions that are not over, or not by all -----------------------------------------------------------


def test_a_session_that_runs_is_incomplete(made: Made) -> None:
    network = made()
    network.down.add("carlos")
    session = network.announce(network.spec(SUM))
    network.run(network.now + 1_000)
    here = Scene(network, session)
    content = here.content("alice")
    assert content.ended is None
    assert {parse(each).header.sender for each in content.letters} == {"alice", "bob"}
    found = here.judge(content)
    assert (found.standing, found.reason) == (Standing.INCOMPLETE, "ending: still running at alice")


def test_a_session_that_a_person_is_asked_about_is_incomplete(made: Made) -> None:
    network = made()
    network.limits = replace(network.limits, ask=True)
    network.nodes["alice"] = network.make("alice")
    session = network.announce(network.spec(SUM))
    network.run(network.now + 1_000)
    here = Scene(network, session)
    found = here.judge(here.content("alice"))
    assert (found.standing, found.reason) == (Standing.INCOMPLETE, "ending: still running at alice")
    assert any(line.startswith("at alice      pending by ") for line in lines(found))


@pytest.mark.parametrize("approve", [True, False])
def test_what_a_person_decided_is_told_with_their_words(made: Made, approve: bool) -> None:
    network = made()
    network.limits = replace(network.limits, ask=True)
    network.nodes["alice"] = network.make("alice")
    session = network.announce(network.spec(SUM))
    network.run(network.now + 1_000)
    network.nodes["alice"].decide(session, approve=approve, words="not on a Sunday", now=network.now)
    network.flush("alice")
    network.run()
    here = Scene(network, session)
    shown = valid(here.judge(here.content("alice")))
    decided = (
        "joined by person"
        if approve
        else "refused by person (declined: declined by a person: not on a Sunday)"
    )
    assert f"at alice {decided}; " in shown


def test_an_answer_that_not_all_have_confirmed_is_incomplete(made: Made) -> None:
    network = made()
    network.leaves = lambda sender, sent: sender != "carlos" or f"/{Step.CONFIRM}/" not in sent.topic
    here = over(network)
    found = here.judge(here.content("alice"))
    assert (found.standing, found.reason) == (Standing.INCOMPLETE, "recipients: no confirm of carlos")
    assert "unconfirmed by carlos" in one_line(found)
    found = here.judge(here.content("alice"), here.content("carlos"))
    assert found.standing is Standing.VALID, "carlos has what alice lacks"


# -- several bundles ---------------------------------------------------------------------------------


def test_what_one_node_has_not_seen_another_shows(made: Made) -> None:
    """Joins of those who do not compute go to those who do."""
    network = made((*FOUR, "emil"))
    network.only_voting = frozenset({"dora", "emil"})
    here = over(network, compute=PARTIES[:2], results=PARTIES[:2])
    alone = here.judge(here.content("dora"))
    valid(alone)
    joins = "joins of carlos and emil, which go to compute parties"
    assert told(alone, Mark.UNSEEN) == [(Check.JOINS, joins, None)]
    both = here.judge(here.content("dora"), here.content("bob"))
    valid(both)
    assert told(both, Mark.UNSEEN) == []


def test_two_different_answers_of_one_party_show_only_in_two_bundles(made: Made) -> None:
    """Nobody checks the others' published answers against anything: an observer would see either."""
    network = made()
    other = PublicResult(inputs=PARTIES, elements=(4).to_bytes(8, "little"))
    network.tamper = network.resigns(Step.RESULT, "bob", "carlos", lambda _: other)
    here = over(network, results=("bob",), public=True)
    alice, carlos = here.content("alice"), here.content("carlos")
    assert "answer 3" in valid(here.judge(alice))
    assert "answer 4" in valid(here.judge(carlos))
    found = here.judge(alice, carlos)
    proof = "bob has signed two different result letters, one at alice and one at carlos"
    assert (found.standing, found.reason) == (Standing.INVALID, f"one word: {proof}")
    assert (Check.ONE_WORD, proof, "bob") in told(found, Mark.FAILED)


def test_who_was_told_another_reason_to_end_has_ended_well(made: Made) -> None:
    """Alice tells bob another reason than dora: that is her doing, and none of theirs."""
    network = made(FOUR)
    other = Abort.of(AbortReason.LOST_STATE, "")
    network.tamper = network.resigns(Step.ABORT, "alice", "bob", lambda _: other)
    network.down.add("carlos")
    here = over(network)
    bundles = [here.content(name) for name in ("bob", "dora")]
    assert [state(each)[1] for each in bundles] == [AbortReason.LOST_STATE, AbortReason.NEVER_JOINED]
    for each in bundles:
        valid(here.judge(each))
    found = here.judge(*bundles)
    valid(found)
    ((check, _, culprit),) = told(found, Mark.PROVEN)
    assert (check, culprit) == (Check.ONE_WORD, "alice")


def test_an_answer_that_another_node_disproves_is_invalid(made: Made) -> None:
    network = made()
    here = over(network)
    abort = here.letter(Step.ABORT, "bob", Abort.of(AbortReason.BAD_OPENING, "", culprit="carlos"))
    content = here.content("bob")
    assert content.ended is not None
    aborted = {"state": State.ABORTED, "inputs": (), "reason": AbortReason.BAD_OPENING, "culprit": "carlos"}
    content = added(content, abort).model_copy(update={"ended": content.ended.model_copy(update=aborted)})
    valid(here.judge(content))
    found = here.judge(content, here.content("alice"))
    assert (found.standing, found.reason) == (
        Standing.INVALID,
        "ending: bob disputes the answer: bad-opening, ",
    )


def test_bundles_of_two_sessions_do_not_go_together(made: Made) -> None:
    network = made()
    one, two = over(network), over(network)
    found = one.judge(one.content("alice"), two.content("bob"))
    assert found.reason == "announcement: the bundles are of different sessions"


def test_two_bundles_of_one_node_do_not_go_together(made: Made) -> None:
    here = over(made())
    found = here.judge(here.content("alice"), here.content("alice"))
    assert found.reason == "exporter: two bundles of alice"


def test_a_bundle_that_is_none_is_counted(made: Made) -> None:
    here = over(made())
    raw = here.network.bundle(here.content("alice"))
    found = verify([raw, raw[:-1]], here.roster)
    assert found.standing is Standing.INVALID
    assert found.reason.startswith("format: bundle 2: bundle: ")
    assert lines(found)[0].startswith("INVALID: format: bundle 2: ")


FAULTY = Faults(lose=0.1, double=0.1, delay=2_000, crash=0.02)
SEEDS = 4


@pytest.mark.parametrize("seed", range(SEEDS))
def test_honest_nodes_have_nothing_to_fear_of_their_bundles(seed: int) -> None:
    """Whatever the network loses, doubles and delays, and whoever crashes: nobody is guilty."""
    luck = random.Random(seed)
    function = luck.choice([SUM, AVERAGE, Referendum(threshold="1/2")])
    network = EvidentNetwork({name: {"raise": "1"} for name in FOUR}, faults=FAULTY, seed=seed)
    compute, results = FOUR[: luck.choice([2, 3])], tuple(luck.sample(FOUR, luck.choice([1, 4])))
    noised = noise(function) if luck.random() < 0.5 and function is not SUM else None
    within = luck.choice([6_000, 60_000])
    roles = {"compute": compute, "results": results, "noise": noised, "min_inputs": 2}
    spec = network.spec(function, within=within, **roles)  # type: ignore[arg-type] # a spec's own
    here = Scene(network, network.ran(spec))
    known = [name for name in FOUR if network.journals[name].session(here.session) is not None]
    contents = [here.content(name) for name in known]
    for each in (*([content] for content in contents), contents):
        found = here.judge(*each)
        assert (found.standing, told(found, Mark.FAILED)) in (
            (Standing.VALID, []),
            (Standing.INCOMPLETE, []),
        ), found.reason
        assert {finding.culprit for finding in found.findings} == {None}
    network.close()


# -- what the verifier knows -----------------------------------------------------------------------------


def test_a_member_whom_the_verifier_does_not_know_is_named(made: Made) -> None:
    here = over(made())
    parties = dict(here.roster.parties)
    content = here.content("alice")

    def reason(**fields: object) -> str:
        found = here.judge(content, roster=replace(here.roster, **fields))  # type: ignore[arg-type] # a roster's own
        assert found.standing is Standing.INVALID
        return found.reason

    unknown = {name: key for name, key in parties.items() if name != "bob"}
    assert reason(parties=unknown) == "roster: bob is not in the roster"
    assert reason(parties={**parties, "bob": bytes(32)}).startswith(
        "roster: bob has another key in the roster"
    )
    assert reason(revoked={"bob": "lost"}) == "roster: bob is revoked: lost"
    assert reason(revoked={"alice": "lost"}) == "exporter: the bundle is alice's, who is revoked: lost"
    coordinator = "announcement: coordinator, who announces it, is revoked: lost"
    assert reason(revoked={COORDINATOR: "lost"}) == coordinator
    nobody = "announcement: coordinator announces a session of coordinator, expected one of the roster's"
    assert reason(coordinators={}).startswith(nobody)


# -- one screen --------------------------------------------------------------------------------------


def test_however_much_is_wrong_it_fits_on_one_screen(made: Made) -> None:
    names = tuple(f"a-party-with-a-long-name-{number:07}" for number in range(6))
    network = made(names)
    here = over(network, compute=names[:3])
    assert fits(here.judge(*(here.content(name) for name in names)))
    contents = [added(here.content(name), *[bytes(68)] * 20) for name in names]
    found = here.judge(*contents)
    assert found.standing is Standing.INVALID
    assert fits(found)
    assert sum(isinstance(each, Finding) for each in found.findings) > 120


def fits(found: Verdict) -> bool:
    shown = lines(found)
    return len(shown) <= MOST_LINES and max(map(len, shown)) <= COLUMNS
