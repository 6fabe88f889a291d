"""A session ends in the right answer or in a named abort, whatever becomes of the processes meanwhile.

How a test stops a session in its middle: alice, who leads, starts last, and one of the others is gone by
then.  So everybody has joined, everybody else has sent its shares, and nothing goes on without the one.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from coordinator.cluster import BROKER, COORDINATOR
from party_node.post import Publication
from party_node.transport import OFFLINE
from protocol.messages import Step
from protocol.states import Ending, State
from tests.support.brokers import KINDS
from tests.support.clients import Client, running
from tests.support.programs import Cluster, finish, made_cluster, run, until

PARTIES = ("alice", "bob", "carlos")
INPUTS = "party,raise,bonus\nalice,3800,10.25\nbob,2514,-3\ncarlos,2983,0.25\n"
ANSWERS = {
    "sum --input raise": "9297.00",
    "average --input raise": "3099.00",
    "sum --input bonus": "7.50",
    "average --input bonus": "2.50",
    "sum --input raise --compute bob,carlos": "9297.00",
}
SUM = "sum --input raise --within 50"


@pytest.fixture(params=KINDS)
def network(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes, a coordinator and each kind of broker, which a test may tap; nothing runs yet."""
    with made_cluster(request.param, tmp_path, PARTIES, INPUTS, "pattern read #") as made:
        yield made


on_mosquitto = pytest.mark.parametrize("network", ["mosquitto"], indirect=True)


def completed(launch: subprocess.Popen[str]) -> dict[str, Any]:
    ran = finish(launch)
    assert ran.code == 0, ran.out + ran.err
    found: dict[str, Any] = ran.data
    assert (found["state"], found["abort"]) == ("completed", None)
    return found


def joined(network: Cluster, *names: str) -> str:
    """Wait until these have joined the one session that there is; its id."""
    for name in names:
        until(partial(network.sessions, name), f"{name} joins")
    (row,) = network.sessions(names[0])
    return row.id


def sent(network: Cluster, name: str, session: str, step: Step) -> list[Publication]:
    return [each for each in network.sent(name, session) if f"/{step}/" in each.topic]


def without(network: Cluster, gone: str) -> tuple[subprocess.Popen[str], str]:
    """Start everything and a session, of which only what `gone` would send now is missing."""
    others = [name for name in PARTIES if name != "alice"]
    network.start(BROKER, *others)
    launch = network.launch(SUM)
    session = joined(network, *others)
    assert network.terminate(gone) == 0
    network.start("alice")
    for name in PARTIES:
        if name != gone:
            until(partial(sent, network, name, session, Step.SHARE), f"{name} shares")
    return launch, session


# -- the broker ------------------------------------------------------------------------------------------


def test_nodes_that_start_before_their_broker_wait_for_it(network: Cluster) -> None:
    network.start(*PARTIES)
    until(lambda: all("nothing listens at" in network.log(name) for name in PARTIES), "they find no broker")
    network.start(BROKER)
    assert completed(network.launch(SUM))["result"] == "9297.00"


def test_a_broker_killed_while_one_party_has_not_joined_costs_nothing(network: Cluster) -> None:
    network.start(BROKER, "alice", "bob")
    launch = network.launch(SUM)
    joined(network, "alice", "bob")
    network.kill(BROKER)
    network.start(BROKER, "carlos")
    assert completed(launch)["result"] == "9297.00"


def test_a_broker_killed_between_two_partys_shares_costs_nothing(network: Cluster) -> None:
    launch, session = without(network, "bob")
    network.kill(BROKER)
    network.start(BROKER, "bob")
    found = completed(launch)
    assert (found["session"], found["result"]) == (session, "9297.00")


def test_a_broker_that_forgot_everything_costs_nothing(network: Cluster) -> None:
    launch, _ = without(network, "carlos")
    network.kill(BROKER)
    for path in (network.directory / BROKER / "data").iterdir():
        path.unlink()
    network.start(BROKER, "carlos")
    assert completed(launch)["result"] == "9297.00"


def _ending(network: Cluster, name: str) -> Ending | None:
    outcome = network.sessions(name)[0].outcome
    return None if outcome is None else outcome.ending


def test_a_cancelled_session_ends_everywhere_and_nobody_shares(network: Cluster) -> None:
    network.start(BROKER, "alice", "bob")
    launch = network.launch(SUM)
    joined(network, "alice", "bob")
    (row,) = network.sessions(COORDINATOR)
    cancelled = network.coordinator(f"cancel {row.id[:12]}")
    assert (cancelled.code, cancelled.data["state"]) == (0, "aborted"), cancelled.err
    assert cancelled.data["abort"]["reason"] == "cancelled"
    ended = finish(launch)
    assert (ended.code, ended.data["abort"]["reason"]) == (3, "cancelled")
    for name in ("alice", "bob"):
        heard = partial(_ending, network, name)
        ending = until(heard, f"{name} hears of it")
        assert ending is not None
        assert (ending.reason, ending.reported_by) == ("cancelled", COORDINATOR)
        assert not [sent for sent in network.sent(name, row.id) if "/share/" in sent.topic]


def test_without_a_broker_a_launch_fails_and_says_where_it_looked(tmp_path: Path) -> None:
    with made_cluster("embedded", tmp_path, PARTIES, INPUTS) as network:
        ran = finish(network.launch(SUM))
        assert (ran.code, ran.out) == (1, "")
        error, hint = ran.err.splitlines()[-2:]
        assert error.startswith("coordinator: error: nothing listens at localhost:")
        assert hint == "coordinator: hint: is the broker running, on that port?"
        assert network.sessions(COORDINATOR) == []


# -- a node ----------------------------------------------------------------------------------------------


@on_mosquitto
@pytest.mark.parametrize("victim", ["alice", "carlos"])
async def test_a_node_killed_after_it_sent_its_shares_sends_the_same_bytes_again(
    network: Cluster, victim: str
) -> None:
    launch, session = without(network, "bob")
    before = network.sent(victim, session)
    assert any(f"/{Step.SHARE}/" in each.topic for each in before)
    network.kill(victim)
    reader = Client(network.client("reader"), "reader", [f"sotto/1/session/+/+/{victim}/#"], presence=False)
    async with running(reader):
        network.start(victim)
        for each in before:
            await reader.receives(each.topic, each.payload)
            assert set(reader.payloads(each.topic)) == {each.payload}
    network.start("bob")
    assert completed(launch)["result"] == "9297.00"
    assert network.sent(victim, session)[: len(before)] == before


@on_mosquitto
def test_all_nodes_and_the_broker_killed_at_once_go_on_with_the_session(network: Cluster) -> None:
    launch, _ = without(network, "bob")
    for service in ("alice", "carlos", BROKER):
        network.kill(service)
    network.start(BROKER, *PARTIES)
    assert completed(launch)["result"] == "9297.00"


async def test_a_terminated_node_leaves_its_letters_and_goes_on_when_it_is_back(network: Cluster) -> None:
    launch, session = without(network, "bob")  # which asserts that it ended well, within five seconds
    (join,) = sent(network, "bob", session, Step.JOIN)
    reader = Client(
        network.client("reader"), "reader", ["sotto/1/party/bob/status", join.topic], presence=False
    )
    async with running(reader):  # bob is gone, so this is what the broker has kept
        await reader.receives("sotto/1/party/bob/status", OFFLINE)
        await reader.receives(join.topic, join.payload)
    network.start("bob")
    assert completed(launch)["result"] == "9297.00"


@on_mosquitto
def test_a_party_that_never_joins_is_named_and_nobody_has_sent_a_share(network: Cluster) -> None:
    network.start(BROKER, "alice", "bob")
    ran = finish(network.launch("sum --input raise --within 4"))
    assert ran.code == 3, ran.err
    found = ran.data
    assert (found["state"], found["result"]) == ("aborted", None)
    assert (found["abort"]["reason"], found["abort"]["silent"]) == ("never-joined", ["carlos"])
    assert found["abort"]["culprit"] is None
    for name in ("alice", "bob", COORDINATOR):
        assert sent(network, name, found["session"], Step.JOIN)
        assert not sent(network, name, found["session"], Step.SHARE)


# -- the coordinator -------------------------------------------------------------------------------------


@on_mosquitto
def test_a_coordinator_killed_after_announcing_is_not_missed(network: Cluster) -> None:
    network.start(BROKER, "alice", "bob")
    launch = network.launch(f"{SUM} --result-to alice,bob,carlos")
    session = joined(network, "alice", "bob")
    launch.kill()
    network.start("carlos")
    joined(network, "carlos")
    until(
        lambda: {network.sessions(name)[0].state for name in PARTIES} == {State.COMPLETED},
        "all have completed",
    )
    for name in PARTIES:
        ran = run("party-node", "result", session, "--config", network.config(name))
        assert (ran.code, ran.out) == (0, "sum = 9297.00\n")
    found = network.coordinator(f"result {session}").data
    assert (found["state"], found["result"]) == ("completed", None)


@on_mosquitto
def test_five_launches_and_a_list_at_the_same_time_all_succeed(network: Cluster) -> None:
    network.start(BROKER, *PARTIES)
    launches = {question: network.launch(f"{question} --within 50") for question in ANSWERS}
    until(lambda: network.sessions(COORDINATOR), "one of them is announced")
    listed = network.coordinator("list")
    found = {question: completed(launch) for question, launch in launches.items()}
    assert {question: each["result"] for question, each in found.items()} == ANSWERS
    assert listed.code == 0, listed.err
    ids = {each["session"] for each in found.values()}
    assert len(ids) == len(ANSWERS)
    assert set() < {each["session"] for each in listed.data["sessions"]} <= ids
    after = network.coordinator("list").data["sessions"]
    assert {each["session"]: each["state"] for each in after} == dict.fromkeys(ids, "completed")
