"""`party-node doctor` says of everything that a session needs what it found, and disturbs nobody."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator import pki
from coordinator.cluster import BROKER, COORDINATOR
from party_node.config import load_node
from party_node.daemon import open_journal
from party_node.journal import Journal
from party_node.operations import beside, clock, doctor, reach
from party_node.operations.beside import UnreadableError
from party_node.operations.findings import Finding, Verdict
from protocol.functionalities.sum import Sum
from protocol.messages import Step
from tests.support.brokers import KINDS
from tests.support.clients import Client, running
from tests.support.network import Network
from tests.support.programs import Cluster, made_cluster

PARTIES = ("alice", "bob", "carlos")
SECRET = "3817.25"
INPUTS = f"party,raise\nalice,{SECRET}\nbob,2514\ncarlos,2982\n"
NOW = 1_800_000_000_000
MINUTE = 60_000


@pytest.fixture(scope="module", params=KINDS)
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A network of which only the broker runs."""
    with made_cluster(request.param, tmp_path_factory.mktemp("doctor"), PARTIES, INPUTS) as made:
        made.start(BROKER)
        yield made


on_one_broker = pytest.mark.parametrize("network", ["mosquitto"], indirect=True)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of the test's own, in place of alice's."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("SOTTO_DATA_DIR", str(folder))
    return folder


def examined(network: Cluster) -> dict[str, Finding]:
    return {finding.check: finding for finding in doctor.run(network.config("alice"))}


def wrongs(found: dict[str, Finding]) -> list[str]:
    return [check for check, finding in found.items() if finding.verdict is Verdict.WRONG]


async def test_a_healthy_network_has_nothing_wrong_and_its_nodes_do_not_notice(
    network: Cluster, data: Path
) -> None:
    open_journal(data).close()
    alice = Client(load_node(network.config("alice")).broker, "alice", ["sotto/1/party/+/status"])
    bob = Client(load_node(network.config("bob")).broker, "bob", ["sotto/1/party/+/status"])
    async with running(alice), running(bob):
        await bob.receives("sotto/1/party/alice/status", b"online")
        found = await asyncio.to_thread(examined, network)
        assert (alice.connections, bob.connections) == (1, 1)
        assert set(bob.payloads("sotto/1/party/alice/status")) == {b"online"}
    assert wrongs(found) == []
    assert found["broker name"].found.startswith("localhost is ")
    assert found["broker TLS"].found.startswith("TLSv1.3, a certificate for localhost by CN=sotto authority")
    assert found["letters"].verdict == found["broker login"].verdict == Verdict.OK
    assert found["journal"].found.startswith("intact, 0 sessions")
    assert found["ledger"].found == "0 entries, as anchored"
    assert found["input raise"].found == "one number"
    assert found["this node"].found == "online"
    assert found["party bob"].found.startswith("online, ")
    assert (found["party carlos"].verdict, found["party carlos"].hint) == (
        Verdict.WARNING,
        "sessions wait for it; ask who runs it",
    )
    assert SECRET.partition(".")[0] not in json.dumps([each.view() for each in found.values()])


async def test_who_has_said_goodbye_is_offline(network: Cluster, data: Path) -> None:
    async with running(Client(load_node(network.config("carlos")).broker, "carlos", [])):
        pass
    found = await asyncio.to_thread(examined, network)
    assert found["party carlos"].found.startswith("offline, ")


@on_one_broker
def test_a_config_that_cannot_be_read_is_all_there_is_to_say(tmp_path: Path, network: Cluster) -> None:
    path = tmp_path / "config.toml"
    path.write_text("name = 5\n")
    (found,) = doctor.run(path)
    assert (found.check, found.verdict) == ("config", Verdict.WRONG)
    assert str(path) in found.found


# -- the way to the broker -------------------------------------------------------------------------------


@on_one_broker
@pytest.mark.parametrize(
    ("variable", "value", "check", "words"),
    [
        ("SOTTO_BROKER__HOST", "broker.invalid", "broker name", "no address is known for broker.invalid"),
        ("SOTTO_BROKER__PORT", "1", "broker port", "nothing listens at localhost:1"),
        ("SOTTO_BROKER__CA", "STRANGER/ca.crt", "broker TLS", "is not signed by"),
        ("SOTTO_BROKER__KEY", "STRANGER/ca.key", "broker TLS", "not a certificate and its private key"),
        ("SOTTO_BROKER__CERTIFICATE", "STRANGER/alice.crt", "broker login", "refused our certificate"),
        ("SOTTO_BROKER__BASE_TOPIC", "elsewhere", "letters", "none to ourselves came back"),
    ],
)
def test_the_first_step_to_the_broker_that_fails_is_named_and_everything_else_is_tried_all_the_same(
    network: Cluster,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    check: str,
    words: str,
) -> None:
    stranger = pki.Authority.create(tmp_path / "stranger")
    key = pki.load_key(load_node(network.config("alice")).broker.key)
    (tmp_path / "stranger" / "alice.crt").write_bytes(stranger.issue_client(key.public_key(), "alice"))
    monkeypatch.setenv(variable, value.replace("STRANGER", str(tmp_path / "stranger")))
    monkeypatch.setattr(reach, "PATIENCE", 1.0)
    found = examined(network)
    assert wrongs(found) == [check]
    assert words in found[check].found
    assert found[check].hint
    steps = [step for step in found if step.startswith(("broker", "letters"))]
    assert steps[-1] == check
    assert {"disk", "journal", "input raise", "party bob"} < set(found)
    assert found["party bob"].verdict is Verdict.UNKNOWN


@on_one_broker
def test_a_port_that_says_nothing_is_given_up(
    network: Cluster, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("SOTTO_BROKER__PORT", str(silent.getsockname()[1]))
        found = examined(network)
    assert wrongs(found) == ["broker TLS"]
    assert "no answer from localhost:" in found["broker TLS"].found


@on_one_broker
@pytest.mark.parametrize(("days", "verdict"), [(-1, Verdict.WRONG), (7, Verdict.WARNING)])
def test_a_certificate_that_has_expired_is_wrong_and_one_that_soon_will_is_warned_of(
    network: Cluster, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, verdict: Verdict
) -> None:
    authority = pki.Authority.load(network.directory / "ca")
    key = pki.load_key(load_node(network.config("alice")).broker.key)
    renewed = authority.issue_client(key.public_key(), "alice", dt.timedelta(days=days))
    (tmp_path / "tls.crt").write_bytes(renewed)
    monkeypatch.setenv("SOTTO_BROKER__CERTIFICATE", str(tmp_path / "tls.crt"))
    found = examined(network)
    assert found["certificate"].verdict is verdict
    assert "tls.csr" in found["certificate"].hint


# -- this machine ----------------------------------------------------------------------------------------


def _garbage(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(4096))


def _broken_page(path: Path) -> None:
    """Where nobody reads who only lists sessions."""
    with closing(sqlite3.connect(path)) as database:
        row = "INSERT INTO outbox VALUES ('5f', 'share', 'bob', ?, zeroblob(1000))"
        database.executemany(row, [(part,) for part in range(100)])
        database.commit()
        (page,) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'outbox'").fetchone()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)


def _other_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")


@on_one_broker
@pytest.mark.parametrize(
    ("damage", "words"),
    [(_garbage, "journal.sqlite: "), (_broken_page, "journal.sqlite: "), (_other_version, "version 99")],
)
def test_a_damaged_journal_is_wrong(network: Cluster, data: Path, damage: object, words: str) -> None:
    open_journal(data).close()
    assert callable(damage)
    damage(data / "journal.sqlite")
    found = examined(network)
    assert wrongs(found) == ["journal"]
    assert words in found["journal"].found
    assert found["journal"].hint


@on_one_broker
@pytest.mark.parametrize("lost", ["ledger.anchor", "journal.sqlite"])
def test_a_ledger_without_its_anchor_or_an_anchor_without_its_ledger_is_wrong(
    network: Cluster, data: Path, lost: str
) -> None:
    journal = open_journal(data)
    journal.ledger.reserve("5f", "raise", 1, None, 0)
    journal.commit()
    journal.close()
    (data / lost).unlink()
    found = examined(network)
    assert wrongs(found) == ["ledger"]
    assert "no epsilon is spent" in found["ledger"].hint


@on_one_broker
def test_a_full_disk_and_an_input_that_cannot_be_read_are_wrong(
    network: Cluster, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "LEAST_ROOM", 1 << 62)
    monkeypatch.setenv("SOTTO_INPUTS", '{"pay": {"csv": "nowhere.csv", "column": "pay"}}')
    found = examined(network)
    assert wrongs(found) == ["disk", "input pay"]
    assert "nowhere.csv: no such file" in found["input pay"].found


@on_one_broker
def test_a_key_that_the_roster_does_not_name_is_wrong(
    network: Cluster, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pki.create_key(tmp_path / "identity.key")
    monkeypatch.setenv("SOTTO_IDENTITY_KEY", str(tmp_path / "identity.key"))
    found = examined(network)
    assert wrongs(found) == ["identity"]
    assert "another key for alice" in found["identity"].found


# -- beside the running node -----------------------------------------------------------------------------


def test_a_reader_neither_waits_for_the_node_nor_keeps_it_waiting_nor_changes_anything(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    journal.ledger.reserve("5f", "raise", 1, None, 0)
    journal.commit()
    journal.ledger.reserve("60", "raise", 1, None, 0)  # the node is in the middle of a transaction
    before = path.read_bytes()
    with beside.reading(path) as database:
        assert len(beside.ledger(database).entries()) == 1
        journal.commit()
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            database.execute("DELETE FROM ledger")
    assert path.read_bytes() == before
    journal.close()


def test_a_path_with_the_marks_of_a_uri_is_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "a?mode=rw#b%20c"
    folder.mkdir()
    Journal(folder / "journal.sqlite").close()
    with beside.reading(folder / "journal.sqlite") as database:
        assert beside.sessions(database) == []
    with pytest.raises(UnreadableError), beside.reading(folder / "other.sqlite"):
        pass
    assert not (folder / "other.sqlite").exists()


def test_who_took_part_is_known_from_sessions_that_have_ended_and_from_letters_of_those_that_have_not(
    tmp_path: Path,
) -> None:
    inputs = {name: {"raise": "1"} for name in PARTIES}
    table = Network(inputs, directory=tmp_path, seed=7)
    table.announce(table.spec(Sum()))
    table.run()
    ended = table.now
    with beside.reading(tmp_path / "alice" / "journal.sqlite") as database:
        seen = beside.last_seen(database)
        (taken,) = beside.sessions(database)
    assert seen.keys() == set(PARTIES)
    assert seen["bob"] == taken.ended
    table.stop("carlos")
    table.now += MINUTE
    table.announce(table.spec(Sum()))
    table.run(until=table.now + 1000)
    with beside.reading(tmp_path / "alice" / "journal.sqlite") as database:
        seen = beside.last_seen(database)
    table.close()
    assert seen["bob"] >= ended + MINUTE
    assert seen["carlos"] <= ended


# -- the clock -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delays", "synchronised", "verdict", "words"),
    [
        ([], None, Verdict.UNKNOWN, "not measured"),
        ([], True, Verdict.OK, "synchronised by NTP"),
        ([], False, Verdict.WARNING, "not synchronised by NTP"),
        ([90_000, 400], None, Verdict.OK, "not seen to be behind, at most 0.4 s ahead"),
        ([90_000, -400], True, Verdict.OK, "synchronised by NTP, at most 0.0 s ahead"),
        ([60 * MINUTE], None, Verdict.UNKNOWN, "not measured"),
        ([90_000, -5_000], True, Verdict.WARNING, "at least 5 s behind"),
        ([90_000, -60 * MINUTE], True, Verdict.WRONG, "at least 3600 s behind"),
    ],
)
def test_the_clock_is_judged_by_what_announcements_prove_and_no_more(
    delays: list[int], synchronised: bool | None, verdict: Verdict, words: str
) -> None:
    found = clock.judge(delays, synchronised)
    assert found.verdict is verdict
    assert found.found.startswith(words)


def test_only_an_announcement_that_a_coordinator_has_signed_tells_the_time() -> None:
    table = Network({name: {"raise": "1"} for name in PARTIES})
    table.announce(table.spec(Sum()))
    (letter,) = [sent.payload for sent in table.tap if f"/{Step.ANNOUNCE}/" in sent.topic]
    heard = [(letter, table.now + 700), (letter[:-1] + bytes([letter[-1] ^ 1]), 0), (b"x", 0), (b"", 0)]
    assert clock.delays(heard, [], table.roster) == [700]
    stranger = {COORDINATOR: bytes(32)}
    assert clock.delays(heard, [], replace(table.roster, coordinators=stranger)) == []
    table.close()
