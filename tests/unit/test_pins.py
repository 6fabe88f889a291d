"""A key is noted at first sight; another key under a known name is shouted about and not believed."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from coordinator import cluster, pki
from party_node import pins
from party_node.config import NodeConfig, load_node
from party_node.daemon import checked_roster
from party_node.pins import FILE, changed_key_warning, compared, load, trust
from party_node.roster import Roster, fingerprint
from protocol.errors import ConfigError

ALICE, BOB, OTHER, CAROL = (bytes([number]) * 32 for number in (1, 2, 3, 4))
ROSTER = Roster({"alice": ALICE, "bob": BOB}, {"carol": CAROL})
CHANGED = Roster({"alice": ALICE, "bob": OTHER}, {"carol": CAROL})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory of a node that has seen ROSTER."""
    compared(ROSTER, tmp_path / "data", remember=True)
    return tmp_path / "data"


def complaint(data: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(data)
    assert "copy" in caught.value.hint
    return caught.value.message.removeprefix(f"{data / FILE}: ")


# -- first sight -------------------------------------------------------------------------------------


def test_every_name_is_noted_at_first_sight_in_a_file_that_a_person_can_read(data: Path) -> None:
    lines = (data / FILE).read_text().splitlines()
    entries = {"alice": ALICE, "bob": BOB, "carol": CAROL}
    assert lines[1:] == [f"{name} {fingerprint(key)}" for name, key in entries.items()]
    assert lines[0].startswith("# ")
    assert stat.S_IMODE((data / FILE).stat().st_mode) == 0o600
    assert not [path for path in data.iterdir() if "known_parties" not in path.name[:13]]


def test_who_only_looks_notes_nothing(tmp_path: Path) -> None:
    assert compared(ROSTER, tmp_path / "data", remember=False) == ROSTER
    assert not (tmp_path / "data").exists()


def test_a_name_that_comes_later_is_noted_beside_the_others(data: Path) -> None:
    more = Roster({**ROSTER.parties, "dave": OTHER}, {})
    assert compared(more, data, remember=True).identity("dave") == OTHER
    assert list(load(data)) == ["alice", "bob", "carol", "dave"]


def test_a_name_that_leaves_the_roster_and_comes_back_is_still_known(data: Path) -> None:
    compared(Roster({"alice": ALICE}, {}), data, remember=True)
    assert compared(CHANGED, data, remember=True).identity("bob") is None


def test_a_key_that_nobody_believes_is_not_noted(tmp_path: Path) -> None:
    revoked = Roster(ROSTER.parties, ROSTER.coordinators, {"bob": "lost laptop, 2026-11-22"})
    compared(revoked, tmp_path, remember=True)
    assert "bob" not in load(tmp_path)
    assert compared(CHANGED, tmp_path, remember=True).identity("bob") == OTHER


def _note(data: Path, number: int) -> None:
    compared(Roster({f"party-{number}": bytes([number]) * 32}, {}), data, remember=True)


def test_commands_that_note_at_once_lose_nothing_of_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for _ in range(5):
        writers = [context.Process(target=_note, args=(tmp_path, number)) for number in range(16)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(20)
        assert len(load(tmp_path)) == 16
        (tmp_path / FILE).unlink()


# -- another key -------------------------------------------------------------------------------------


@pytest.mark.parametrize("remember", [True, False])
def test_another_key_under_a_known_name_is_a_strangers(data: Path, *, remember: bool) -> None:
    before = (data / FILE).read_bytes()
    found = compared(CHANGED, data, remember=remember)
    assert found.identity("bob") is None
    assert found.objection("bob") == (
        f"has another key: {fingerprint(OTHER)} in the roster, known here is {fingerprint(BOB)}"
    )
    assert found.identity("alice") == ALICE
    assert (data / FILE).read_bytes() == before


def test_a_new_name_in_the_same_roster_does_not_make_another_key_known(data: Path) -> None:
    both = Roster({**CHANGED.parties, "dave": bytes([9]) * 32}, CHANGED.coordinators)
    for _ in range(2):
        found = compared(both, data, remember=True)
        assert found.identity("bob") is None
        assert found.identity("dave") is not None
    assert load(data)["bob"] == fingerprint(BOB)


def test_a_coordinator_with_another_key_may_announce_nothing(data: Path) -> None:
    found = compared(Roster(ROSTER.parties, {"carol": OTHER}), data, remember=True)
    assert not found.is_coordinator("carol")
    assert found.identity("carol") is None


def test_a_party_that_becomes_coordinator_with_another_key_is_noticed(data: Path) -> None:
    assert not compared(Roster({"alice": ALICE}, {"bob": OTHER}), data, remember=True).is_coordinator("bob")


def test_the_warning_shows_both_fingerprints_and_is_short_enough_for_a_terminal() -> None:
    text = changed_key_warning("bob", fingerprint(BOB), fingerprint(OTHER))
    assert fingerprint(BOB) in text
    assert fingerprint(OTHER) in text
    assert "bob" in text.splitlines()[1]
    assert len(text.splitlines()) > 5
    assert max(map(len, text.splitlines())) <= 80
    assert text.isascii()


def test_a_changed_key_is_shouted_about_as_an_error_with_both_fingerprints(data: Path) -> None:
    with capture_logs() as logs:
        pins.shout_all(compared(CHANGED, data, remember=True), "party-node")
    (entry,) = logs
    assert entry["log_level"] == "error"
    assert (entry["known"], entry["offered"]) == (fingerprint(BOB), fingerprint(OTHER))
    assert f"party-node trust bob {fingerprint(OTHER)}" in entry["hint"]


def test_a_person_at_a_terminal_sees_the_banner(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    pins.shout_all(compared(CHANGED, data, remember=True), "party-node")
    assert changed_key_warning("bob", fingerprint(BOB), fingerprint(OTHER)) in capsys.readouterr().err


def test_another_key_in_an_announcement_is_shouted_about_and_a_stranger_is_not() -> None:
    with capture_logs() as logs:
        pins.shout_offered(ROSTER, {"alice": ALICE, "bob": OTHER, "mallory": OTHER})
    (entry,) = logs
    assert (entry["log_level"], entry["party"]) == ("error", "bob")
    assert (entry["known"], entry["offered"]) == (fingerprint(BOB), fingerprint(OTHER))
    assert "telephone" in entry["hint"]


# -- trust -------------------------------------------------------------------------------------------


def test_the_fingerprint_that_was_read_out_makes_the_new_key_known(data: Path) -> None:
    told = trust(data, CHANGED, "bob", fingerprint(OTHER))
    assert fingerprint(BOB) in told
    assert compared(CHANGED, data, remember=True).identity("bob") == OTHER
    assert compared(ROSTER, data, remember=True).identity("bob") is None


@pytest.mark.parametrize("typed", [fingerprint(BOB), fingerprint(ALICE), fingerprint(OTHER)[:-1], "yes", ""])
def test_another_fingerprint_than_the_rosters_is_refused_with_both(data: Path, typed: str) -> None:
    before = (data / FILE).read_bytes()
    with pytest.raises(ConfigError) as caught:
        trust(data, CHANGED, "bob", typed)
    assert fingerprint(OTHER) in caught.value.message
    assert typed in caught.value.message
    assert (data / FILE).read_bytes() == before


def test_nobody_can_be_trusted_who_is_revoked_or_not_there(data: Path) -> None:
    revoked = Roster(CHANGED.parties, {}, {"bob": "lost laptop"})
    with pytest.raises(ConfigError, match="bob is revoked: lost laptop"):
        trust(data, revoked, "bob", fingerprint(OTHER))
    with pytest.raises(ConfigError, match="mallory is not in the roster"):
        trust(data, CHANGED, "mallory", fingerprint(OTHER))


# -- damage ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: "", "line 1: cut or overwritten"),
        (lambda text: text[3:], "line 1: cut or overwritten"),
        (lambda text: text[:-7], "line 4: cut or overwritten"),
        (lambda text: text.replace("bob ", "bob"), "line 3: expected a name and its fingerprint, SHA256:…"),
        (lambda text: text.replace("bob", "all"), "line 3: expected a name and its fingerprint, SHA256:…"),
        (lambda text: text.replace("bob", "b\0b"), "line 3: expected a name and its fingerprint, SHA256:…"),
        (lambda text: text.replace("bob", "alice"), "line 3: alice a second time"),
        (lambda text: text.replace("\n", "\n\n"), "line 2: expected a name and its fingerprint, SHA256:…"),
    ],
    ids=["empty", "beginning", "end", "one word", "reserved", "zero", "twice", "blank lines"],
)
def test_a_damaged_file_is_an_error_with_its_line_and_is_not_mended(
    data: Path, change: object, problem: str
) -> None:
    assert callable(change)
    (data / FILE).write_text(damaged := change((data / FILE).read_text()))
    assert complaint(data) == problem
    with pytest.raises(ConfigError):
        compared(Roster({"dave": OTHER}, {}), data, remember=True)
    with pytest.raises(ConfigError):
        trust(data, CHANGED, "bob", fingerprint(OTHER))
    assert (data / FILE).read_text() == damaged


def test_bytes_that_are_no_text_are_an_error(data: Path) -> None:
    (data / FILE).write_bytes(b"\xff" * 64)
    assert complaint(data) == "line 1: cut or overwritten"


def test_a_full_disk_is_an_error_and_leaves_the_file_as_it_was(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = {path.name: path.read_bytes() for path in data.iterdir()}
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="no space left on device") as caught:
        compared(Roster({"dave": OTHER}, {}), data, remember=True)
    assert "make room" in caught.value.hint
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before


def test_a_line_that_a_person_took_out_is_noted_anew(data: Path) -> None:
    lines = (data / FILE).read_text().splitlines(keepends=True)
    (data / FILE).write_text("".join(line for line in lines if not line.startswith("bob ")))
    assert compared(CHANGED, data, remember=True).identity("bob") == OTHER


# -- a node ------------------------------------------------------------------------------------------


@pytest.fixture
def alice(tmp_path: Path) -> NodeConfig:
    """A node of a new network that has started once."""
    cluster.create(tmp_path / "net", ["alice", "bob"])
    config = load_node(tmp_path / "net" / "parties" / "alice" / "config.toml")
    checked_roster(config, remember=True)
    return config


def _replace_key(config: NodeConfig, name: str) -> str:
    """A new identity for a party; the roster says so."""
    path = config.directory.parent / name / "identity.key"
    before = pki.identity(pki.load_key(path))
    path.unlink()
    after = pki.identity(pki.create_key(path))
    config.roster.write_text(config.roster.read_text().replace(before, after))
    return after


def test_a_node_starts_with_a_peer_that_has_another_key_and_does_not_believe_it(alice: NodeConfig) -> None:
    _replace_key(alice, "bob")
    roster = checked_roster(alice, remember=True)
    assert roster.identity("bob") is None
    assert roster.identity("alice") is not None


def test_a_node_whose_own_key_is_not_the_known_one_does_not_start(alice: NodeConfig) -> None:
    _replace_key(alice, "alice")
    with pytest.raises(ConfigError, match="alice, who we are, has another key: ") as caught:
        checked_roster(alice, remember=True)
    assert "party-node trust alice" in caught.value.hint


def test_a_node_that_is_revoked_does_not_start(alice: NodeConfig) -> None:
    text = alice.roster.read_text().replace("[parties.alice]", '[parties.alice]\nrevoked = "lost laptop"')
    alice.roster.write_text(text)
    with pytest.raises(ConfigError, match="alice, who we are, is revoked: lost laptop") as caught:
        checked_roster(alice)
    assert "make new ones" in caught.value.hint


def test_a_roster_that_has_another_key_for_us_than_we_sign_with_notes_nothing(tmp_path: Path) -> None:
    cluster.create(tmp_path / "net", ["alice", "bob"])
    config = load_node(tmp_path / "net" / "parties" / "alice" / "config.toml")
    config.identity_key.unlink()
    pki.create_key(config.identity_key)
    with pytest.raises(ConfigError, match="has another key for alice"):
        checked_roster(config, remember=True)
    assert not (config.data_dir / FILE).exists()
