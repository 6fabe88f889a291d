"""A person decides: real nodes that ask, what they show, what a no looks like, what is refused unasked."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from coordinator import broker
from coordinator.cluster import BROKER
from tests.support.programs import Cluster, Ran, finish, made_cluster, run, until

PARTIES = ("alice", "bob", "carlos")
INPUTS = "party,raise\nalice,3800\nbob,2514\ncarlos,2983\n"
AVERAGE = "average --input raise --within 40"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes, of which bob's asks and has rules, on one broker."""
    directory = tmp_path_factory.mktemp("approval")
    with made_cluster(broker.available_kind(), directory, PARTIES, INPUTS) as made:
        rules = {"bob": 'approve = "ask"\nfunctions = ["average", "sum"]\nlongest = 50\n'}
        for name in PARTIES:
            with made.config(name).open("a") as config:
                config.write(f"\n[policy]\nmin_inputs = 2\n{rules.get(name, '')}")
        made.start(BROKER, *PARTIES)
        yield made


def bob(network: Cluster, command: str, *arguments: str) -> Ran:
    return run("party-node", command, *arguments, "--config", network.config("bob"))


def pending(network: Cluster) -> dict[str, object]:
    """The one session that waits for bob."""
    (found,) = until(
        lambda: [each for each in bob(network, "sessions", "--json").data if "pending" in each],
        "bob is asked",
    )
    view: dict[str, object] = found["pending"]
    return view


def test_a_session_waits_in_plain_words_and_is_answered_once_bob_approves(network: Cluster) -> None:
    launched = network.launch(AVERAGE)
    view = pending(network)
    shown = bob(network, "sessions").out
    for words in (
        "PENDING: coordinator asks for the",
        "average of the input 'raise'",
        "input parties   alice, bob, carlos (at least 3)",
        "compute parties alice, bob, carlos: only all 3 together could see an input",
        "result parties  alice, bob, carlos, coordinator",
        "not protected   all input parties but one, with the answer, can work out the last raise",
        "our raise goes in, we compute, we learn the answer",
        "answer by 20",
        "closes 20",
    ):
        assert words in shown
    assert not re.search(r"\b2514\b", shown)
    assert network.sent("bob", str(view["session"])) == []
    approved = bob(network, "approve", str(view["session"])[:10])
    assert (approved.code, approved.out) == (0, "joined\n")
    ended = finish(launched)
    assert (ended.code, ended.data["result"]) == (0, "3099.00")


def test_a_no_is_shown_to_whoever_watches_with_its_words(network: Cluster) -> None:
    launched = network.launch(AVERAGE)
    session = str(pending(network)["session"])
    refused = bob(network, "refuse", session, "--why", "not before the council has met")
    assert refused.code == 0
    assert refused.out == "refused (declined): declined by a person: not before the council has met\n"
    ended = finish(launched)
    assert ended.code == 3
    assert ended.data["abort"]["reason"] == "refused"
    assert ended.data["abort"]["detail"] == "bob refused (declined: not before the council has met)"
    watched = run("coordinator", "watch", session, "--dir", network.directory)
    assert "bob refused (declined: not before the council has met)" in watched.out
    again = bob(network, "approve", session)
    assert (again.code, again.out) == (1, "")
    assert f"session {session[:12]} does not wait for an answer: it is refused" in again.err


def test_an_answer_that_is_given_while_the_node_is_down_is_heard_when_it_starts(network: Cluster) -> None:
    launched = network.launch(AVERAGE)
    session = str(pending(network)["session"])
    assert network.terminate("bob") == 0
    noted = bob(network, "approve", session)
    assert noted.out == "noted; the node does not run, and hears of it when it starts\n"
    network.start("bob")
    assert finish(launched).data["result"] == "3099.00"


def test_what_the_rules_do_not_allow_is_refused_without_asking(network: Cluster) -> None:
    for command, code in (
        ("histogram --input raise --bins 4000 --within 40", "function"),
        ("average --input raise --within 60", "deadline"),
    ):
        ended = finish(network.launch(command))
        assert (ended.code, ended.data["abort"]["detail"]) == (3, f"bob refused ({code})")


def test_an_answer_without_bob_is_refused_by_those_who_have_given_one_with_him(network: Cluster) -> None:
    ended = finish(network.launch("sum --input raise --parties alice,carlos --within 20"))
    assert ended.code == 3
    assert "alice refused (differencing)" in ended.data["abort"]["detail"]
    shown = run("party-node", "sessions", "--config", network.config("alice")).out
    assert "the same input went into an exact answer among 3 parties" in shown
