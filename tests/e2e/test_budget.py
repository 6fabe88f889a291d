"""Real nodes spend once whatever becomes of them, refuse what no budget is left for, and say so."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from coordinator import broker
from coordinator.cluster import BROKER
from protocol.messages import Step
from tests.support.programs import Cluster, Ran, finish, made_cluster, run, until

PARTIES = ("alice", "bob", "carlos")
INPUTS = "party,raise\nalice,3800\nbob,2514\ncarlos,2983\n"
EXACT = "average --input raise --within 50"
PRIVATE = f"{EXACT} --lower 0 --upper 10000 --epsilon 0.5"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes, a coordinator and a broker; nothing runs yet."""
    with made_cluster(broker.available_kind(), tmp_path, PARTIES, INPUTS) as made:
        yield made


def data_dir(network: Cluster, name: str) -> Path:
    return network.directory / "parties" / name / "data"


def configured(network: Cluster, name: str, table: str, line: str) -> None:
    """One more line in a table of a node's configuration."""
    path = network.config(name)
    text = path.read_text()
    path.write_text(
        text.replace(f"[{table}]", f"[{table}]\n{line}")
        if f"[{table}]" in text
        else f"{text}\n[{table}]\n{line}\n"
    )


def node(network: Cluster, command: str, name: str, *options: str) -> Ran:
    return run("party-node", command, "--config", network.config(name), *options)


def account(network: Cluster, name: str) -> dict[str, Any]:
    ran = node(network, "ledger", name, "--json")
    assert (ran.code, ran.err) == (0, "")
    found: dict[str, Any] = ran.data["inputs"]["raise"]
    return found


def costs(network: Cluster, name: str) -> list[tuple[str, str, str]]:
    found = account(network, name)["sessions"]
    return [(each["session"], each["epsilon"], each["state"]) for each in found]


def shared(network: Cluster, name: str, session: str) -> bool:
    return any(f"/{Step.SHARE}/" in each.topic for each in network.sent(name, session))


def launched(network: Cluster, question: str) -> Ran:
    return finish(network.launch(question))


def refused(network: Cluster, question: str, who: str) -> str:
    """A launch that one node refuses; the session's id."""
    ran = launched(network, question)
    assert ran.code == 3, ran.out + ran.err
    found = ran.data
    assert (found["state"], found["result"]) == ("aborted", None)
    assert (found["abort"]["reason"], found["abort"]["detail"]) == ("refused", f"{who} refused (policy)")
    session: str = found["session"]
    return session


def test_a_node_killed_in_the_middle_of_a_session_spends_once(network: Cluster) -> None:
    """alice, who leads, starts last, and bob is gone by then: so carlos has shared, and nothing goes on."""
    network.start(BROKER, "bob", "carlos")
    launch = network.launch(PRIVATE)
    for name in ("bob", "carlos"):
        until(lambda name=name: network.sessions(name), f"{name} joins")  # type: ignore[misc] # its own name
    (row,) = network.sessions("carlos")
    assert costs(network, "carlos") == [(row.id, "0.5", "reserved")]
    assert network.terminate("bob") == 0
    network.start("alice")
    until(lambda: shared(network, "carlos", row.id), "carlos shares")
    before = network.sent("carlos", row.id)
    assert costs(network, "carlos") == [(row.id, "0.5", "spent")]
    network.kill("carlos")
    assert costs(network, "carlos") == [(row.id, "0.5", "spent")], "whether or not the node runs"
    network.start("bob", "carlos")
    ran = finish(launch)
    assert (ran.code, ran.data["state"]) == (0, "completed"), ran.out + ran.err
    assert network.sent("carlos", row.id)[: len(before)] == before
    for name in PARTIES:
        assert costs(network, name) == [(row.id, "0.5", "spent")]
        assert account(network, name)["spent"] == "0.5"


def test_an_exhausted_budget_is_refused_and_everybody_hears_by_whom(network: Cluster) -> None:
    configured(network, "bob", 'inputs."raise"', 'epsilon = "1.2"')
    network.start(BROKER, *PARTIES)
    for _ in range(2):
        assert launched(network, PRIVATE).code == 0
    session = refused(network, PRIVATE, "bob")
    for name in PARTIES:
        assert not shared(network, name, session)
    problem = "0.5 on top of 1 spent on raise is 1.5, the budget is 1.2"
    told = run("party-node", "result", session, "--config", network.config("bob"))
    assert told.code == 3
    assert problem in told.out
    assert problem in network.log("bob")
    found = account(network, "bob")
    assert (found["budget"], found["spent"], found["reserved"], found["left"]) == ("1.2", "1", "0", "0.2")
    assert [state for _, _, state in costs(network, "alice")] == ["spent", "spent", "released"]
    people = node(network, "ledger", "bob")
    assert people.out.splitlines()[0] == "raise: 1 spent, 0 reserved, 0.2 left of 1.2"
    refused(network, EXACT, "bob")  # which would tell what the budget is there to hide


def test_a_node_keeps_to_its_rules_for_one_session(network: Cluster) -> None:
    configured(network, "bob", "policy", 'max_epsilon = "0.4"')
    configured(network, "carlos", "policy", "min_colluders = 2")
    network.start(BROKER, *PARTIES)
    session = refused(network, PRIVATE, "bob")
    until(lambda: "epsilon 0.5, expected at most 0.4" in network.log("bob"), "bob says why")
    assert costs(network, "bob") == []
    less = PRIVATE.replace("0.5", "0.4")
    refused(network, f"{less} --colluders 1", "carlos")
    until(lambda: "against 1 colluders, expected at least 2" in network.log("carlos"), "carlos says why")
    assert launched(network, less).code == 0
    assert [state for _, _, state in costs(network, "bob")][-1] == "spent"
    assert not shared(network, "alice", session)


def test_a_ledger_without_its_anchor_spends_nothing_and_a_person_can_repair_it(network: Cluster) -> None:
    network.start(BROKER, *PARTIES)
    assert launched(network, PRIVATE).code == 0
    assert network.terminate("bob") == 0
    anchor = data_dir(network, "bob") / "ledger.anchor"
    anchor.unlink()
    problem = f"{anchor}: missing, while the ledger has 2 entries"
    for command in ("ledger", "check"):
        ran = node(network, command, "bob")
        assert ran.code == 1
        error, hint = ran.err.splitlines()
        assert error == f"party-node: error: {problem}"
    network.start("bob")
    assert problem in network.log("bob")
    refused(network, PRIVATE, "bob")
    assert launched(network, EXACT).code == 0
    assert network.terminate("bob") == 0
    anchor.write_text(hint.split("'")[1] + "\n")
    network.start("bob")
    assert launched(network, PRIVATE).code == 0
    assert [state for _, _, state in costs(network, "bob")] == ["spent", "spent"]


# -- a full disk -------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(network: Cluster) -> Iterator[Path]:
    """carlos' data directory, on a file system of two megabytes, where that can be had."""
    path = data_dir(network, "carlos")
    path.mkdir(mode=0o700, exist_ok=True)
    options = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)]
    if subprocess.run(options, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield path
    network.down()
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.mark.parametrize(("pages", "resumed"), [(2, 0), (22, 1)], ids=["before its join", "after its join"])
def test_a_node_whose_disk_is_full_ends_with_an_error_and_goes_on_when_there_is_room(
    network: Cluster, small_disk: Path, pages: int, resumed: int
) -> None:
    network.start(BROKER, *PARTIES)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    os.truncate(filler, filler.stat().st_size - 4096 * pages)
    launch = network.launch(PRIVATE)
    until(lambda: network._services.process("carlos") is None, "carlos' node ends")
    told = network.log("carlos")
    assert f"party-node: error: {small_disk / 'journal.sqlite'}: " in told
    assert "party-node: hint: nothing has left that is not stored; make room" in told
    assert "Traceback" not in told
    filler.unlink()
    network.start("carlos")
    ran = finish(launch)
    assert (ran.code, ran.data["state"]) == (0, "completed"), ran.out + ran.err
    assert costs(network, "carlos") == [(ran.data["session"], "0.5", "spent")]
    assert network.log("carlos").count("session resumed") == resumed


def test_a_node_in_the_middle_of_a_long_noise_stops_when_it_is_told_to(network: Cluster) -> None:
    """Half a minute of drawing, for a session that waits for carlos."""
    network.start(BROKER, "alice", "bob")
    roles = "--parties carlos --compute alice,bob --result-to alice --min-inputs 1"
    network.launch(f"sum --input raise {roles} --lower 0 --upper 1 --epsilon 1 --length 16777216 --within 50")
    until(lambda: network.sessions("alice"), "alice joins, and begins to draw")
    assert network.terminate("alice") == 0
