"""inputs.csv and the files that a cluster is made of."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from coordinator import cluster
from coordinator.broker import read_settings, render, template, write_configuration
from coordinator.inputs_csv import read_inputs
from party_node import checks, inputs
from party_node.config import load_coordinator, load_node
from party_node.roster import load_roster
from protocol.encoding import ballot
from protocol.errors import ConfigError, InputError, LocalProtocolError

PARTIES = ["alice", "bob"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "inputs.csv"


def test_each_column_is_a_named_input_of_each_party(table: Path) -> None:
    table.write_text("\ufeffparty,raise,age\nbob, 2514.50 ,31\n\nalice,3800,44\n")
    assert read_inputs(table, PARTIES) == {
        "alice": {"raise": "3800", "age": "44"},
        "bob": {"raise": "2514.50", "age": "31"},
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "row 1: no column `party`"),
        ("name,raise\n", "row 1: no column `party`"),
        ("party\nalice\nbob\n", "row 1: no input beside `party`"),
        ("party,\nalice,7\n", "row 1: column 2 has no name"),
        ("party,raise,raise\n", "row 1: the column raise is there twice"),
        ("party,my raise\n", "row 1: 'my raise' cannot name an input"),
        ("party,raise\nalice,7777\n", "no row for bob"),
        ("party,raise\nalice,7777\nbob,7777\nalice,7777\n", "row 4: a second row for alice"),
        ("party,raise\nalice,7777\nmallory,7777\n", "row 3: mallory is none of alice, bob"),
        ("party,raise\n7777,alice\n", "row 2: the party's cell is none of alice, bob"),
        ("party,raise\nalice,7777\nbob,\n", "row 3: column raise is blank"),
        ("party,raise\nalice,7777\nbob,7777,7777\n", "row 3: 3 cells, expected 2"),
        ("party,raise\nalice\n", "row 2: 1 cells, expected 2"),
        ('party,raise\nalice,"7777\n', "not a CSV file"),
    ],
)
def test_a_flawed_table_is_refused_with_its_place(table: Path, text: str, complaint: str) -> None:
    table.write_text(text)
    with pytest.raises(InputError) as caught:
        read_inputs(table, PARTIES)
    assert str(caught.value).startswith(str(table))
    assert complaint in str(caught.value)
    assert "7777" not in caught.value.message + caught.value.hint  # an input is a secret
    assert caught.value.hint


def test_a_missing_table_is_named(table: Path) -> None:
    with pytest.raises(InputError, match=r"inputs\.csv: no such file"):
        read_inputs(table, PARTIES)


def test_a_new_cluster_has_configs_that_load(table: Path, tmp_path: Path) -> None:
    table.write_text("party,raise\nalice,3800\nbob,2514\n")
    home = tmp_path / "net"
    cluster.create(home, PARTIES, table, port=18883, kind="embedded")
    alice = load_node(home / "parties" / "alice" / "config.toml")
    assert alice.inputs["raise"].value == "3800"
    assert set(load_node(home / "parties" / "bob" / "config.toml").inputs) == {"raise"}
    assert (alice.broker.port, alice.broker.protocol) == (18883, "3.1.1")
    coordinator = load_coordinator(home / "coordinator" / "config.toml")
    assert list(load_roster(coordinator.roster).parties) == PARTIES
    for path in (alice.broker.ca, alice.broker.certificate, alice.broker.key, alice.identity_key):
        assert path.is_file()


def test_the_ballots_of_a_cluster_are_yes_or_no_in_its_table(table: Path, tmp_path: Path) -> None:
    table.write_text("party,merge,raise\nalice,Yes,1\nbob, NO ,2514\n")
    home = tmp_path / "net"
    cluster.create(home, PARTIES, table)
    for name, meant in (("alice", 1), ("bob", 0)):
        config = load_node(home / "parties" / name / "config.toml")
        value = inputs.load("merge", config.inputs["merge"], config.directory)
        assert (int(ballot(value)), value.ballot) == (meant, True)
        assert not inputs.load("raise", config.inputs["raise"], config.directory).ballot
    cluster._check_same(home, PARTIES, table)


def test_the_check_of_a_node_tells_a_ballot_from_a_number_and_shows_neither(
    table: Path, tmp_path: Path
) -> None:
    table.write_text("party,merge,raise\nalice,yes,3800\nbob,no,2514\n")
    cluster.create(tmp_path / "net", PARTIES, table)
    path = tmp_path / "net" / "parties" / "alice" / "config.toml"
    path.write_text(path.read_text() + "lower = 0\nupper = 5000\n")
    lines = list(itertools.islice(checks.run(load_node(path)), 6))  # the broker's line is the seventh
    assert lines[4:] == ["input merge: one ballot", "input raise: one number"]


def test_the_check_of_a_node_refuses_what_is_no_ballot_without_its_value(table: Path, tmp_path: Path) -> None:
    table.write_text("party,merge\nalice,maybe\nbob,no\n")
    cluster.create(tmp_path / "net", PARTIES, table)
    config = load_node(tmp_path / "net" / "parties" / "alice" / "config.toml")
    with pytest.raises(InputError, match=r"^input merge: not a number$") as caught:
        list(checks.run(config))
    assert "maybe" not in caught.value.message + caught.value.hint


def test_a_cluster_that_cannot_be_made_leaves_nothing(table: Path, tmp_path: Path) -> None:
    table.write_text("party,raise\nalice,3800\n")
    with pytest.raises(InputError):
        cluster.create(tmp_path / "net", PARTIES, table)
    assert list(tmp_path.iterdir()) == [table]


def test_a_directory_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ConfigError, match="is not empty"):
        cluster.create(tmp_path, PARTIES)


@pytest.mark.parametrize(
    "parties",
    [["alice"], ["alice", "alice"], ["alice", "coordinator"], ["alice", "all"], ["alice", "Bob"]],
)
def test_names_that_cannot_be_are_refused(tmp_path: Path, parties: list[str]) -> None:
    with pytest.raises(ConfigError):
        cluster.create(tmp_path / "net", parties)


def test_what_differs_from_the_cluster_that_exists_is_told(table: Path, tmp_path: Path) -> None:
    table.write_text("party,raise\nalice,3800\nbob,2514\n")
    home = tmp_path / "net"
    cluster.create(home, PARTIES, table)
    cluster._check_same(home, ["bob", "alice"], table)
    with pytest.raises(ConfigError, match="is a cluster of alice, bob"):
        cluster._check_same(home, ["alice", "carlos"], None)
    table.write_text("party,raise\nalice,3801\nbob,2514\n")
    with pytest.raises(ConfigError, match="differs from the inputs"):
        cluster._check_same(home, None, table)


def test_a_clusters_broker_keeps_every_setting_of_the_example(tmp_path: Path) -> None:
    write_configuration(tmp_path / "broker", tmp_path / "ca.crt", 18883, "127.0.0.1")
    written = read_settings(tmp_path / "broker" / "mosquitto.conf")
    example = dict(
        line.split(" ", 1) for line in template("mosquitto.conf").splitlines() if line[:1].isalpha()
    )
    paths = {"listener", "cafile", "certfile", "keyfile", "crlfile", "acl_file", "persistence_location"}
    assert {key for key in example if written[key] != example[key]} == paths
    assert (tmp_path / "broker" / "acl").read_text() == template("acl")


def test_a_setting_that_the_example_lacks_is_our_bug() -> None:
    with pytest.raises(LocalProtocolError, match="keyfile"):
        render("listener 8883\n", {"keyfile": "x"})
