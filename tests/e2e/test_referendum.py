"""Referenda as people run them: real processes on each kind of broker."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from coordinator import cluster
from coordinator.cluster import BROKER
from party_node.post import Publication
from protocol.messages import Step, stage
from tests.support.brokers import KINDS, require
from tests.support.programs import Cluster, Ran, finish, made_cluster, run, until

PARTIES = ("alice", "bob", "carlos", "david")
# The same ballots under several names: no node answers two thresholds over one input.
INPUTS = """party,merge,merge2,move,move2,move3,number,odd
alice,yes,yes,yes,yes,yes,1,1
bob,Yes,Yes,no,no,no,0,0
carlos,true,true,TRUE,TRUE,TRUE,1,maybe
david,YES,YES,no,no,no,0,2
"""
LIFETIME = 600.0  # seconds; should the test run die, the processes end by themselves


@pytest.fixture(scope="module", params=KINDS)
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running cluster of four, on each kind of broker."""
    require(request.param)
    scratch = tmp_path_factory.mktemp("cluster")
    (scratch / "inputs.csv").write_text(INPUTS)
    cluster.create(scratch / "D", PARTIES, scratch / "inputs.csv", kind=request.param)
    try:
        cluster.up(scratch / "D", lifetime=LIFETIME)
        yield scratch / "D"
    finally:
        cluster.down(scratch / "D")


def launch(directory: Path, arguments: str) -> Ran:
    command = ["launch", *arguments.split(), "--dir", str(directory), "--within", "30"]
    return run("coordinator", *command)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("merge --threshold 1/1", "referendum = YES (at least 4 of 4 ballots)\n"),
        ("move --threshold 1/2", "referendum = YES (at least 2 of 4 ballots)\n"),
        ("move2 --threshold 2/3", "referendum = NO (at least 3 of 4 ballots)\n"),
        ("move3 --threshold 3", "referendum = NO (at least 3 of 4 ballots)\n"),
        ("number --threshold 2", "referendum = YES (at least 2 of 4 ballots)\n"),
    ],
)
def test_a_referendum_says_yes_or_no(directory: Path, question: str, said: str) -> None:
    ran = launch(directory, f"referendum --input {question}")
    assert (ran.code, ran.out) == (0, said), ran.err


def test_json_adds_n_and_t_and_nothing_that_depends_on_the_count(directory: Path) -> None:
    runs = [
        launch(directory, f"referendum --input {name} --threshold 1/2 --json") for name in ("merge2", "move")
    ]
    unanimous, close = (ran.data for ran in runs)
    for found in (unanimous, close):
        assert (found["result"], found["n"], found["T"]) == ("YES", 4, 2)
        for changing in ("session", "elapsed_s"):
            del found[changing]
    assert unanimous == close


def test_nothing_that_a_party_shows_tells_the_count(directory: Path) -> None:
    session = launch(directory, "referendum --input move --threshold 1/2 --json").data["session"]
    for name in PARTIES:
        config = directory / "parties" / name / "config.toml"
        found = run("party-node", "result", session, "--config", config, "--json").data
        assert found["result"] == "YES"
        assert set(found) == {
            *("session", "function", "state", "result", "inputs", "parties", "elapsed_s", "abort", "n", "T")
        }


def test_two_compute_parties_decide_for_four_and_only_carlos_learns_it(directory: Path) -> None:
    roles = "--compute alice,bob --result-to carlos"
    found = launch(directory, f"referendum --input move --threshold 2 {roles} --json").data
    assert (found["state"], found["result"], "n" in found) == ("completed", None, False)
    config = directory / "parties" / "carlos" / "config.toml"
    ran = run("party-node", "result", found["session"], "--config", config)
    assert (ran.code, ran.out) == (0, "referendum = YES (at least 2 of 4 ballots)\n")


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("--threshold 0", "--threshold: at least one ballot must have to say yes"),
        ("--threshold 5", "a threshold of 5 is more than the 4 input parties"),
        ("--threshold 5/4", "--threshold: 5/4 is more than all ballots"),
        ("--threshold 0.5", "--threshold: write it like 2/3"),
        ("--threshold 1/2 --compute alice", "--compute"),
    ],
)
def test_a_referendum_that_cannot_be_is_told_and_not_announced(
    directory: Path, question: str, message: str
) -> None:
    before = run("coordinator", "list", "--dir", directory, "--json").data
    ran = launch(directory, f"referendum --input merge {question}")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"coordinator: error: {message}"), ran.err
    assert run("coordinator", "list", "--dir", directory, "--json").data == before


def test_what_is_no_ballot_is_refused_with_its_place_and_without_its_value(directory: Path) -> None:
    ran = launch(directory, "referendum --input odd --threshold 1/2 --json")
    assert (ran.code, ran.data["abort"]["reason"]) == (3, "refused")
    for name, value in (("carlos", "maybe"), ("david", "2")):
        log = (directory / "log" / f"{name}.log").read_text()
        problems = [json.loads(line) for line in log.splitlines() if "session refused" in line]
        told = [each["problem"] for each in problems if "input odd: " in each["problem"]]
        assert told, log
        assert not any(re.search(rf"\b{value}\b", each) for each in told)


def test_ballots_given_as_words_are_not_added_up(directory: Path) -> None:
    ran = launch(directory, "sum --input merge --json")
    assert (ran.code, ran.data["abort"]["reason"]) == (3, "refused")


def test_a_dry_run_shows_rounds_and_triples(directory: Path) -> None:
    ran = launch(directory, "referendum --input merge --threshold 2/3 --dry-run")
    assert "2 of gates for 3 ANDs" in ran.out
    assert "3 triples from oblivious transfer between 6 pairs" in ran.out


# -- while people are away, and after kills ----------------------------------------------------------


@pytest.fixture(params=KINDS)
def network(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes that vote and compute; nothing runs yet."""
    inputs = "party,merge\nalice,yes\nbob,no\ncarlos,yes\n"
    with made_cluster(request.param, tmp_path, ("alice", "bob", "carlos"), inputs) as made:
        yield made


def correlated(network: Cluster, session: str, *names: str) -> list[Publication]:
    """The letters of the oblivious transfers between two of them, once both have sent all of theirs."""
    stages = {stage(Step.CORRELATE, number) for number in (1, 2, 3)}
    found = [each for name in names for each in network.sent(name, session)]
    letters = [each for each in found if each.topic.split("/")[4] in stages]
    return letters if {each.topic.split("/")[4] for each in letters} == stages else []


def waiting(network: Cluster) -> tuple[object, str, list[Publication]]:
    """A session in which bob and carlos have done all they can while alice, who leads, is away."""
    network.start(BROKER, "bob", "carlos")
    asked = network.launch("referendum --input merge --threshold 2/3 --within 50")
    for name in ("bob", "carlos"):
        until(partial(network.sessions, name), f"{name} joins")
    session = network.sessions("bob")[0].id
    letters = partial(correlated, network, session, "bob", "carlos")
    until(letters, "bob and carlos make triples")
    return asked, session, letters()


def test_triples_are_made_while_the_session_waits_for_people(network: Cluster) -> None:
    asked, session, made = waiting(network)
    steps = {each.topic.split("/")[4] for name in ("bob", "carlos") for each in network.sent(name, session)}
    assert not steps & {Step.BEGIN, Step.SHARE, Step.RECEIVED}
    network.start("alice")
    ran = finish(asked)  # type: ignore[arg-type]
    assert (ran.code, ran.data["result"]) == (0, "YES"), ran.err
    assert correlated(network, session, "bob", "carlos")[: len(made)] != []
    assert all(each in correlated(network, session, "bob", "carlos") for each in made)


def test_compute_parties_killed_before_the_begin_use_the_same_correlations_again(network: Cluster) -> None:
    asked, session, _ = waiting(network)
    before = {name: network.sent(name, session) for name in ("bob", "carlos")}
    network.kill("bob")
    network.kill("carlos")
    network.start("bob", "carlos", "alice")
    ran = finish(asked)  # type: ignore[arg-type]
    assert (ran.code, ran.data["result"]) == (0, "YES"), ran.err
    for name, letters in before.items():
        assert network.sent(name, session)[: len(letters)] == letters


def test_a_compute_party_that_is_away_stops_the_gates_until_it_is_back(network: Cluster) -> None:
    asked, session, _ = waiting(network)
    assert network.terminate("carlos") == 0
    network.start("alice")
    until(
        lambda: [each for each in network.sent("alice", session) if f"/{Step.SHARE}/" in each.topic],
        "alice shares",
    )
    network.kill("alice")
    network.kill("bob")
    network.start("alice", "bob", "carlos")
    ran = finish(asked)  # type: ignore[arg-type]
    assert (ran.code, ran.data["result"]) == (0, "YES"), ran.err


# -- the demonstration -------------------------------------------------------------------------------


def test_the_demonstration_shows_two_referenda_that_nobody_can_tell_apart() -> None:
    ran = run("coordinator", "demo", "--function", "referendum")
    assert ran.code == 0, ran.err
    assert ran.out.count("referendum = YES (at least 3 of 4 ballots)") == 2
    tables = ran.out.split("What ")[1:]
    assert [table.split(" ", 1)[0] for table in tables] == list(PARTIES)
    for table in tables:
        rows = [re.split(r"\s*[│┃]\s*", line)[1:4] for line in table.splitlines() if "│" in line]
        # Every row holds as many bits, or the same word, in both columns.
        assert all(len(unanimous) == len(close) for _, unanimous, close in rows)
        assert ["answer", "YES", "YES"] in rows


def test_the_demonstration_of_another_function_is_refused() -> None:
    ran = run("coordinator", "demo", "--function", "auction")
    assert (ran.code, ran.out) == (1, "")
    assert "auction" in ran.err
