"""A node in the hands of its operator: watched, stopped in the middle of its work, and asked what is wrong.

The processes are real ones, and a service manager's part is played by a socket.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from coordinator.cluster import BROKER, COORDINATOR
from coordinator.processes import free_port
from party_node.config import load_node
from party_node.operations import doctor
from party_node.operations.findings import Verdict
from party_node.transport import OFFLINE, ONLINE
from protocol.letters import parse
from protocol.messages import Step
from protocol.states import State
from tests.support.clients import Client, running
from tests.support.programs import Cluster, finish, made_cluster, run, until

PARTIES = ("alice", "bob", "carlos")
INPUTS = "party,raise\nalice,3817.25\nbob,2514\ncarlos,2982\n"
LENGTH = 100_000
PATIENCE = 1  # seconds without a link until /healthz fails
NEVER_ENDS = "SELECT max(a.range * b.range) FROM range(10000000) a, range(10000000) b"
DRAINED = 5.0  # seconds that a node may take to stop


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes with a scalar and a long vector each; alice's has a port, one input of carlos' is slow."""
    with made_cluster("mosquitto", tmp_path_factory.mktemp("operations"), PARTIES, INPUTS) as network:
        for name in PARTIES:
            config = network.config(name)
            (config.parent / "hours.csv").write_text("hours\n" + f"{len(name)}\n" * LENGTH)
            more = '\n[inputs.hours]\ncsv = "hours.csv"\ncolumn = "hours"\n'
            if name == "carlos":
                more += f'\n[inputs.slow]\nquery = "{NEVER_ENDS}"\n'
            if name == "alice":
                more += f'\n[metrics]\nlisten = "127.0.0.1:{free_port()}"\npatience = {PATIENCE}\n'
            level = "info" if name == "bob" else "debug"
            config.write_text(f'log_level = "{level}"\n{config.read_text()}{more}')
        yield network


@pytest.fixture
def network(made: Cluster) -> Cluster:
    """All of it runs."""
    for service in (BROKER, *PARTIES):
        if made._services.process(service) is None:
            made.start(service)
    for name in PARTIES:
        until(partial(_connected, made, name), f"{name} is connected")
    return made


def _connected(network: Cluster, name: str) -> bool:
    """Whether the last that it has said of its link is that there is one."""
    events = [json.loads(line)["event"] for line in network.log(name).splitlines()]
    links = [event for event in events if event == "connected" or event.startswith(("connection", "nothing"))]
    return links[-1:] == ["connected"]


def visit(network: Cluster, page: str) -> tuple[int, str]:
    """What alice's port answers; status 0 if it does not."""
    listen = load_node(network.config("alice")).metrics.listen
    try:
        with urllib.request.urlopen(f"http://{listen}{page}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""


def health(network: Cluster, status: int) -> dict[str, Any]:
    """Wait until alice's port says so."""
    found: dict[str, Any] = json.loads(until(partial(_page_if, network, status), f"/healthz says {status}"))
    return found


def _page_if(network: Cluster, status: int) -> str:
    found, page = visit(network, "/healthz")
    return page if found == status else ""


def completed(launch: subprocess.Popen[str]) -> Any:
    ran = finish(launch)
    assert ran.code == 0, ran.out + ran.err
    return ran.data["result"]


def sample(network: Cluster, name: str) -> float:
    """One number of /metrics."""
    _, page = visit(network, "/metrics")
    (line,) = [line for line in page.splitlines() if line.startswith(f"{name} ")]
    return float(line.rpartition(" ")[2])


# -- watched ---------------------------------------------------------------------------------------------


def test_a_node_is_well_until_its_broker_is_gone_for_too_long_and_again_when_it_is_back(
    network: Cluster,
) -> None:
    found = health(network, 200)
    assert (found["status"], found["broker_connected"], found["problems"]) == ("ok", True, [])
    before = sample(network, "sotto_broker_connections_total")
    network.kill(BROKER)
    found = health(network, 503)
    assert (found["status"], found["broker_connected"]) == ("failing", False)
    (problem,) = found["problems"]
    assert problem.startswith("no link to the broker for ")
    network.start(BROKER)
    assert health(network, 200)["broker_connected"]
    assert sample(network, "sotto_broker_connections_total") == before + 1


async def test_the_time_without_a_link_counts_from_when_it_was_lost(network: Cluster) -> None:
    clock = asyncio.get_running_loop().time
    async with running(Client(network.client("dora"), "dora", [], presence=False)) as client:
        connected = clock()
        down = [client.transport.down]
        network.kill(BROKER)
        async with asyncio.timeout(20):
            while down[-1] is None:  # nothing tells of a lost link
                await asyncio.sleep(0.01)
                down.append(client.transport.down)
        assert down[-1] <= clock() - connected
        network.start(BROKER)
        await client.until(lambda client: client.connections == 2)
        assert client.transport.down is None


def test_a_session_is_counted_and_logged_letter_by_letter_and_nothing_of_it_is_told(network: Cluster) -> None:
    health(network, 200)
    count = 'sotto_sessions_ended_total{function="sum",reason="",state="completed"}'
    assert completed(network.launch("sum --input raise --within 50")) == "9313.25"
    until(lambda: count in visit(network, "/metrics")[1], "the session is counted")
    assert sample(network, count) >= 1
    assert sample(network, "sotto_letters_received_total") > 0
    lines = [json.loads(line) for line in network.log("alice").splitlines()]
    for line in lines:
        assert {"timestamp", "level", "event"} <= line.keys()
    (session,) = {row.id[:8] for row in network.sessions("alice")[-1:]}
    told = [line for line in lines if line.get("session") == session]
    letters = {each["event"]: each for each in told if each["event"].startswith("letter ")}
    assert letters.keys() == {"letter in", "letter out"}
    for letter in letters.values():
        assert letter["level"] == "debug"
        assert {"step", "sender", "to", "part", "size"} <= letter.keys()
    assert letters["letter out"]["sender"] == "alice"
    pages = "".join(visit(network, page)[1] for page in ("/healthz", "/metrics"))
    for secret in ("3817", "381725", "9313"):
        assert secret not in network.log("alice") + pages


def test_a_node_whose_port_is_taken_says_so_and_does_not_start(network: Cluster, tmp_path: Path) -> None:
    env = {"SOTTO_DATA_DIR": str(tmp_path / "data")}
    ran = run("party-node", "run", "--config", network.config("alice"), env=env)
    assert ran.code == 1
    assert "party-node: error: metrics.listen: 127.0.0.1:" in ran.err
    assert "address already in use" in ran.err


# -- asked what is wrong ---------------------------------------------------------------------------------


def test_the_doctor_finds_nothing_wrong_beside_running_nodes_and_says_what_is_when_the_broker_is_gone(
    network: Cluster,
) -> None:
    health(network, 200)
    before = sample(network, "sotto_broker_connections_total")
    found = {each.check: each for each in doctor.run(network.config("alice"))}
    assert {each.verdict for each in found.values()} <= {Verdict.OK, Verdict.UNKNOWN}, found
    assert found["this node"].found == "online"
    assert found["journal"].found.startswith("intact, ")
    assert sample(network, "sotto_broker_connections_total") == before
    network.kill(BROKER)
    ran = run("party-node", "doctor", "--json", "--config", network.config("alice"))
    assert (ran.code, ran.data["ok"]) == (1, False)
    wrong = [each for each in ran.data["findings"] if each["verdict"] == "wrong"]
    assert [each["check"] for each in wrong] == ["broker port"]
    assert wrong[0]["found"].startswith("nothing listens at localhost:")
    assert wrong[0]["hint"]
    assert "3817" not in ran.out + ran.err


# -- stopped ---------------------------------------------------------------------------------------------


async def test_a_node_stopped_in_the_middle_of_a_long_vector_leaves_whole_steps_and_completes_them_later(
    network: Cluster,
) -> None:
    network.terminate("bob")
    launch = network.launch(f"sum --input hours --length {LENGTH} --within 50")
    session = until(lambda: _open_session(network, "alice", "carlos"), "alice and carlos join")
    carlos = network._process("carlos")
    carlos.suspend()  # nobody can go on without him, however fast the others are
    network.start("bob")
    until(lambda: _shares(network, session), "alice shares")
    reader = Client(network.client("dora"), "dora", ["sotto/1/party/alice/status"], presence=False)
    async with running(reader):
        await reader.receives("sotto/1/party/alice/status", ONLINE)
        assert network.terminate("alice") == 0  # within five seconds
        await reader.receives("sotto/1/party/alice/status", OFFLINE)
    _assert_whole(network, session)
    before = network.sent("alice", session)
    carlos.resume()
    network.start("alice")
    assert completed(launch) == [f"{sum(map(len, PARTIES))}.00"] * LENGTH
    assert network.sent("alice", session)[: len(before)] == before


def _open_session(network: Cluster, *names: str) -> str:
    found = [{row.id for row in network.sessions(name) if row.ended is None} for name in names]
    return next(iter(set.intersection(*found)), "")


def _shares(network: Cluster, session: str) -> bool:
    return any(f"/{Step.SHARE}/" in sent.topic for sent in network.sent("alice", session))


def _assert_whole(network: Cluster, session: str) -> None:
    """No letter is there in part, and no arrival is missing."""
    path = network.config("alice").parent / "data" / "journal.sqlite"
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        query = "SELECT number FROM arrival WHERE session = ? ORDER BY number"
        numbers = [number for (number,) in database.execute(query, (session,))]
    assert numbers == list(range(len(numbers)))
    (row,) = [row for row in network.sessions("alice") if row.id == session]
    assert row.state not in (State.ANNOUNCED, State.COMPLETED)
    assert row.retained  # the broker keeps its letters for the others
    headers = [parse(sent.payload).header for sent in network.sent("alice", session)]
    for header in headers:
        parts = {each.part for each in headers if (each.stage, each.to) == (header.stage, header.to)}
        assert parts == set(range(header.parts))


# -- run by a service manager ----------------------------------------------------------------------------


def test_a_service_manager_hears_that_a_node_is_ready_alive_and_stopping_and_nothing_while_it_hangs(
    network: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.terminate("bob")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(20)
        manager.bind(f"\0sotto-test-{os.getpid()}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@sotto-test-{os.getpid()}")
        monkeypatch.setenv("WATCHDOG_USEC", "100000")
        network.start("bob")
        heard = [manager.recv(100) for _ in range(5)]
        assert sorted(heard) == [b"READY=1", *[b"WATCHDOG=1"] * 4]
        process = network._process("bob")
        process.suspend()
        assert _falls_silent(manager)
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):  # as good as one
            process.send_signal(each)
        process.resume()
        until(lambda: manager.recv(100) == b"STOPPING=1", "it says that it stops")
        assert process.wait(DRAINED) == 0
    assert json.loads(network.log("bob").splitlines()[-1])["event"] == "node stopped"


def _falls_silent(manager: socket.socket) -> bool:
    """Whether nothing more comes for three periods, after what was on its way."""
    manager.settimeout(0.3)
    for _ in range(100):
        try:
            manager.recv(100)
        except TimeoutError:
            manager.settimeout(20)
            return True
    return False


def test_neither_a_query_that_never_ends_nor_a_broker_that_hangs_keeps_a_node_from_stopping(
    network: Cluster,
) -> None:
    network.launch("sum --input slow --within 50")
    heard = partial(_hears, network, "slow")
    until(heard, "carlos hears of it, and begins to read")
    broker = network._process(BROKER)
    broker.suspend()
    try:
        assert network.terminate("carlos") == 0  # within five seconds
    finally:
        broker.resume()


def _hears(network: Cluster, name: str) -> bool:
    """Whether carlos has had the announcement of the newest session, which is over this input."""
    rows = network.sessions(COORDINATOR)
    if not rows or rows[-1].spec.input != name:
        return False
    lines = [json.loads(line) for line in network.log("carlos").splitlines()]
    wanted = ("letter in", str(Step.ANNOUNCE), rows[-1].id[:8])
    return wanted in [(line["event"], line.get("step"), line.get("session")) for line in lines]
