"""With `approve = "ask"` nothing leaves before a person has said so, and a no is signed, with a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.observe import SessionView
from party_node.journal import Decider, Decision, Made
from party_node.policy import Declared
from protocol.functionalities.poll import Poll
from protocol.functionalities.sum import Sum
from protocol.letters import parse
from protocol.messages import AbortReason, RefusalCode
from protocol.spec import SessionSpec
from protocol.states import State
from tests.support.network import START, Network

TRIO = ("alice", "bob", "carlos")


def colleagues(directory: Path | None = None, **limits: object) -> Network:
    """Three nodes, of which bob's asks a person."""
    network = Network({name: {"raise": "1"} for name in TRIO}, directory=directory)
    asking = replace(network.limits, ask=True, **limits)  # type: ignore[arg-type] # the rules' own fields
    make = network.make

    def remade(name: str) -> object:
        usual, network.limits = network.limits, asking if name == "bob" else network.limits
        node = make(name)
        network.limits = usual
        return node

    network.make = remade  # type: ignore[method-assign, assignment] # bob's rules, also after a restart
    network.nodes["bob"] = network.make("bob")
    return network


def asked(network: Network, spec: SessionSpec | None = None) -> str:
    """A session that has come as far as it can without bob."""
    session = network.announce(spec or network.spec(Sum()))
    network.run(until=network.now + 1_000)
    assert network.nodes["bob"].asks
    return session


def says(network: Network, session: str, *, yes: bool, words: str = "") -> None:
    node = network.nodes["bob"]
    node.decide(session, approve=yes, words=words, now=network.now)
    network.flush("bob")


def of_bob(network: Network, session: str) -> list[str]:
    """The steps of all that bob has sent in a session, requests apart."""
    steps = [sent.topic.split("/")[4] for sent in network.tap if f"{session}/" in sent.topic]
    senders = [sent.topic.split("/")[5] for sent in network.tap if f"{session}/" in sent.topic]
    return [
        step for step, sender in zip(steps, senders, strict=True) if sender == "bob" and step != "request"
    ]


def decision(network: Network, session: str) -> Decision:
    found = network.journals["bob"].decision(session)
    assert found is not None
    return found


def viewed(network: Network, session: str, spec: SessionSpec) -> SessionView:
    """What the coordinator sees."""
    view = SessionView(spec, session)
    for sent in network.tap:
        if sent.payload and f"/{session}/" in sent.topic:
            view.add(parse(sent.payload))
    return view


def test_nothing_leaves_before_a_person_has_said_yes_and_then_it_is_answered() -> None:
    network = colleagues()
    session = asked(network)
    assert of_bob(network, session) == []
    assert network.outcomes(session)["alice"].state is State.JOINED
    assert decision(network, session)[:2] == (Made.PENDING, Decider.POLICY)
    says(network, session, yes=True)
    network.run()
    assert {outcome.state for outcome in network.outcomes(session).values()} == {State.COMPLETED}
    assert decision(network, session)[:2] == (Made.JOINED, Decider.PERSON)
    network.close()


def test_a_no_is_signed_and_everybody_reads_the_words() -> None:
    network = colleagues()
    spec = network.spec(Sum())
    session = asked(network, spec)
    says(network, session, yes=False, words="the council has not agreed\x1b[31m")
    network.run()
    assert of_bob(network, session) == ["refuse"]
    ending = network.outcomes(session)["alice"].ending
    assert ending is not None
    assert ending.reason is AbortReason.REFUSED
    assert ending.detail == "bob refused (declined: the council has not agreed?[31m)"
    assert viewed(network, session, spec).refused == {"bob": "declined: the council has not agreed?[31m"}
    assert decision(network, session)[:3] == (Made.REFUSED, Decider.PERSON, RefusalCode.DECLINED)
    network.close()


def test_who_does_not_answer_in_time_has_said_no() -> None:
    network = colleagues()
    session = asked(network)
    network.run()
    assert of_bob(network, session) == ["refuse"]
    outcome = network.outcomes(session)["bob"]
    assert outcome.ending is not None
    assert outcome.ending.reason is RefusalCode.UNANSWERED
    assert not network.nodes["bob"].asks
    says(network, session, yes=True)
    network.run()
    assert of_bob(network, session) == ["refuse"], "too late"
    network.close()


def test_the_question_survives_a_restart_and_is_not_asked_twice(tmp_path: Path) -> None:
    network = colleagues(tmp_path)
    session = asked(network)
    network.restart("bob")
    assert network.nodes["bob"].asks
    assert of_bob(network, session) == []
    says(network, session, yes=True)
    network.run()
    assert {outcome.state for outcome in network.outcomes(session).values()} == {State.COMPLETED}
    network.restart("bob")
    assert not network.nodes["bob"].asks
    network.close()


@pytest.mark.parametrize("committed", [True, False])
def test_an_answer_that_a_crash_has_swallowed_is_asked_for_again(tmp_path: Path, committed: bool) -> None:
    network = colleagues(tmp_path)
    session = asked(network)
    network.nodes["bob"].decide(session, approve=True, words="", now=network.now)
    network._load("bob")
    if committed:
        network.nodes["bob"].commit()
    network.restart("bob")
    assert network.nodes["bob"].asks is not committed
    if not committed:
        says(network, session, yes=True)
    network.run()
    assert {outcome.state for outcome in network.outcomes(session).values()} == {State.COMPLETED}
    network.close()


def test_what_policy_refuses_no_person_is_asked_about() -> None:
    network = colleagues(functions=("average",))
    session = network.announce(network.spec(Sum()))
    network.run()
    assert not network.nodes["bob"].asks
    ending = network.outcomes(session)["bob"].ending
    assert ending is not None
    assert ending.reason is RefusalCode.FUNCTION
    assert decision(network, session)[:2] == (Made.REFUSED, Decider.POLICY)
    network.close()


def test_a_yes_does_not_outrank_a_budget_that_is_used_up_meanwhile() -> None:
    network = colleagues()
    network.declared["bob"] = {"raise": Declared(budget=3 * 10**9 // 2)}
    network.nodes["bob"] = network.make("bob")
    first, second = (asked(network, network.spec(Poll())) for _ in range(2))
    for session in (first, second):
        says(network, session, yes=True)
    network.run()
    assert network.outcomes(first)["bob"].state is State.COMPLETED
    ending = network.outcomes(second)["bob"].ending
    assert ending is not None
    assert ending.reason is RefusalCode.POLICY
    assert decision(network, second)[:2] == (Made.REFUSED, Decider.PERSON)
    network.close()


def test_without_bob_the_others_go_on_where_the_spec_allows() -> None:
    network = colleagues()
    spec = network.spec(Sum(), min_inputs=2, compute=("alice", "carlos"), results=("alice",))
    session = asked(network, spec)
    network.run()
    assert network.outcomes(session)["alice"].inputs == ("alice", "carlos")
    network.close()


def test_an_answer_to_a_session_that_nobody_asks_about_changes_nothing() -> None:
    network = colleagues()
    says(network, "0" * 64, yes=True)
    assert network.tap == []
    network.close()


def test_announcing_one_question_in_two_ways_is_noticed_with_what_differs() -> None:
    network = colleagues()
    spec = network.spec(Sum())
    first = asked(network, spec)
    twin = spec.model_copy(update={"results": ("alice", "bob"), "close_by": START + 70_000})
    second = network.announce(SessionSpec.model_validate(twin.model_dump()))
    network.run(until=network.now + 1_000)
    for name in TRIO:
        ending = network.outcomes(second)[name].ending
        assert ending is not None
        assert ending.reason is RefusalCode.SPEC
        assert "announced this session twice, with different results and close_by" in ending.detail
    assert first != second
    network.close()


def test_so_many_sessions_at_a_time_and_no_more() -> None:
    network = colleagues(most_open=3)
    sessions = [network.announce(network.spec(Sum())) for _ in range(200)]
    network.run(until=network.now + 2_000)
    endings = [
        outcome.ending for each in sessions if (outcome := network.outcomes(each, ("bob",)).get("bob"))
    ]
    assert sum(ending is not None and ending.reason is RefusalCode.BUSY for ending in endings) == 197
    assert network.nodes["bob"].open["pending"] == 3
    network.close()


def test_a_change_of_mind_while_the_input_is_read_is_heard() -> None:
    network = colleagues()
    session = asked(network)
    node = network.nodes["bob"]
    node.decide(session, approve=True, words="", now=network.now)
    node.decide(session, approve=False, words="no, after all", now=network.now)
    network.flush("bob")  # only now the input is there
    network.run()
    assert of_bob(network, session) == ["refuse"]
    assert decision(network, session)[:3] == (Made.REFUSED, Decider.PERSON, RefusalCode.DECLINED)
    network.close()


def test_a_yes_is_not_asked_for_again_after_a_crash_while_the_input_is_read(tmp_path: Path) -> None:
    network = colleagues(tmp_path)
    session = asked(network)
    network.nodes["bob"].decide(session, approve=True, words="", now=network.now)
    network.nodes["bob"].commit()
    network.restart("bob")
    assert not network.nodes["bob"].asks
    network.run()
    assert {outcome.state for outcome in network.outcomes(session).values()} == {State.COMPLETED}
    network.close()


def test_a_yes_does_not_outrank_that_the_coordinator_was_revoked(tmp_path: Path) -> None:
    network = colleagues(tmp_path)
    session = asked(network)
    network.roster = replace(network.roster, revoked={"coordinator": "lost laptop"})
    network.restart("bob")
    says(network, session, yes=True)
    assert of_bob(network, session) == ["refuse"]
    assert decision(network, session).code == RefusalCode.SPEC
    network.close()
