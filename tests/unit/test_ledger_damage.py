"""A ledger that is not the one that was written last is noticed, and nothing is reserved or spent on it."""

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from party_node.anchor import START, Anchor, Tip
from party_node.database import StorageError
from party_node.journal import Journal
from party_node.ledger import LedgerError, missing

SESSIONS = [f"{number:064x}" for number in range(9)]
NANO = 500_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "journal.sqlite"


def anchor_of(path: Path) -> Path:
    return path.parent / "ledger.anchor"


def session(journal: Journal, number: int) -> None:
    """One session, from its reservation to its end, as a node commits it."""
    assert journal.ledger.reserve(SESSIONS[number], "raise", NANO, None, number)
    journal.commit()
    if number % 3:
        journal.ledger.spend(SESSIONS[number], number)
    else:
        journal.ledger.release(SESSIONS[number], number)
    journal.commit()


def used(path: Path, sessions: int = 3) -> None:
    """A journal whose ledger has two entries a session."""
    journal = Journal(path)
    for number in range(sessions):
        session(journal, number)
    journal.close()


def found(path: Path) -> LedgerError | None:
    """What a node that starts finds, and that it does not touch a ledger with a flaw."""
    journal = Journal(path)
    journal.tidy()
    flaw = journal.ledger.flaw()
    assert journal.ledger.reserve("f" * 64, "raise", 1, None, 99) == (flaw is None)
    if flaw is not None:
        journal.ledger.release(SESSIONS[-1], 99)
        with pytest.raises(LedgerError):
            journal.ledger.spend(SESSIONS[-1], 99)
    journal.close()
    return flaw


def complaint(path: Path, *words: str) -> None:
    """There is a flaw; its message names the files, and the hint what to do."""
    before = anchor_of(path).read_bytes() if anchor_of(path).exists() else None
    flaw = found(path)
    assert flaw is not None
    for word in words:
        assert word in flaw.message
    assert "stop the node, and put back the journal and the anchor that belong together" in flaw.hint
    assert (anchor_of(path).read_bytes() if anchor_of(path).exists() else None) == before


def altered(path: Path, *statements: str) -> None:
    """Somebody has been at the database."""
    with sqlite3.connect(path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def test_a_ledger_that_nobody_has_touched_is_trusted(path: Path) -> None:
    assert found(path) is None
    used(path)
    assert found(path) is None
    assert anchor_of(path).read_text().split()[0] == "6"


# -- the chain ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 3, 6])
@pytest.mark.parametrize(
    "change",
    [
        "session = 'e' || substr(session, 2)",
        "input = 'bonus'",
        "event = 'released'",
        "nano = nano - 1",
        "at = at + 1",
        "head = zeroblob(32)",
        "number = number + 10",
    ],
)
def test_an_entry_that_was_altered_is_noticed(path: Path, number: int, change: str) -> None:
    used(path)
    if change.startswith("event") and number == 1:
        altered(path, "DELETE FROM ledger WHERE number = 2")  # of the same session
    altered(path, f"UPDATE ledger SET {change} WHERE number = {number}")
    complaint(path, f"{path}: entry ", " of the ledger is not what was written")


def test_any_flipped_byte_of_the_table_is_noticed(path: Path) -> None:
    """Flipped in the file itself: whatever SQLite makes of it, a node does not go on as if nothing were."""
    used(path)
    raw = path.read_bytes()
    journal = Journal(path)
    heads = [raw.index(entry.head) for entry in journal.ledger.entries()]
    journal.close()
    end = max(heads) + 32  # the first row is the last of its page
    noticed = 0
    for at in range(min(heads) - 88, end, 3):
        damaged = bytearray(raw)
        damaged[at] ^= 0x21
        path.write_bytes(damaged)
        journal = Journal(path)
        noticed += journal.ledger.flaw() is not None
        journal.close()
    assert noticed == len(range(min(heads) - 88, end, 3)) > 200


@pytest.mark.parametrize("number", [1, 3, 5])
def test_an_entry_that_is_gone_from_the_middle_is_noticed(path: Path, number: int) -> None:
    used(path)
    altered(path, f"DELETE FROM ledger WHERE number = {number}")
    complaint(path, f"entry {number} of the ledger is not what was written")


def test_two_entries_in_each_others_place_are_noticed(path: Path) -> None:
    used(path)
    altered(
        path,
        "UPDATE ledger SET number = 20 WHERE number = 2",
        "UPDATE ledger SET number = 2 WHERE number = 4",
        "UPDATE ledger SET number = 4 WHERE number = 20",
    )
    complaint(path, "entry 2 of the ledger is not what was written")


def test_a_table_that_is_gone_is_noticed(path: Path) -> None:
    used(path)
    altered(path, "DROP TABLE ledger")
    journal = Journal(path)
    journal.tidy()
    flaw = journal.ledger.flaw()
    assert flaw is not None
    assert flaw.message == f"{path}: the ledger cannot be read: no such table: ledger"
    journal.close()


# -- the anchor --------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", range(6))
def test_a_ledger_that_was_cut_is_noticed(path: Path, left: int) -> None:
    used(path)
    altered(path, f"DELETE FROM ledger WHERE number > {left}")
    complaint(path, f"{path}: a ledger of {left} entries, {anchor_of(path)} has seen 6")


def test_a_ledger_put_back_from_a_copy_is_noticed(path: Path) -> None:
    used(path, 1)
    shutil.copy(path, path.parent.parent)
    journal = Journal(path)
    session(journal, 4)
    journal.close()
    shutil.copy(path.parent.parent / path.name, path)
    complaint(path, f"{path}: a ledger of 2 entries, {anchor_of(path)} has seen 4")


def test_a_copy_that_was_spent_from_in_another_way_is_noticed(path: Path) -> None:
    """It is as long as the other, and its chain is whole."""
    used(path, 1)
    shutil.copytree(path.parent, path.parent.parent / "copy")
    for folder, number in ((path.parent, 4), (path.parent.parent / "copy", 5)):
        journal = Journal(folder / path.name)
        session(journal, number)
        journal.close()
    shutil.copy(path.parent.parent / "copy" / path.name, path)
    complaint(path, f"{path}: entry 4 of the ledger is not what {anchor_of(path)} has seen")


def test_a_log_that_was_lost_is_noticed(path: Path) -> None:
    """What a node that was killed has committed lies in SQLite's log, and not in the file yet."""
    used(path, 1)
    journal = Journal(path)
    session(journal, 4)
    for name in (path.name, "ledger.anchor"):
        shutil.copy(path.parent / name, path.parent.parent)
    journal.close()
    complaint(path.parent.parent / path.name, "a ledger of 2 entries", "has seen 4")


def test_a_journal_that_is_gone_is_noticed(path: Path) -> None:
    used(path)
    for file in path.parent.glob("journal.sqlite*"):
        file.unlink()
    expected = f"{path}: missing, {anchor_of(path)} has seen 6 entries"
    flaw = missing(path, Anchor(anchor_of(path)))
    assert flaw is not None
    assert flaw.message == expected
    complaint(path, f"{path}: a ledger of 0 entries, {anchor_of(path)} has seen 6")


def test_an_anchor_that_is_gone_is_noticed(path: Path) -> None:
    used(path)
    anchor_of(path).unlink()
    complaint(path, f"{anchor_of(path)}: missing, while the ledger has 6 entries")


@pytest.mark.parametrize("left", [0, 1, 2, 20, 65])
def test_an_anchor_that_was_cut_is_noticed(path: Path, left: int) -> None:
    used(path)
    anchor_of(path).write_bytes(anchor_of(path).read_bytes()[:left])
    complaint(path, f"{anchor_of(path)}: not an anchor, expected the number of entries and a hash")


@pytest.mark.parametrize("at", [0, 1, 2, 33, 65])
def test_an_anchor_with_a_flipped_byte_is_noticed(path: Path, at: int) -> None:
    used(path)
    raw = bytearray(anchor_of(path).read_bytes())
    raw[at] ^= 1
    anchor_of(path).write_bytes(raw)
    complaint(path)


def test_a_directory_in_the_anchors_place_is_noticed(path: Path) -> None:
    used(path)
    anchor_of(path).unlink()
    anchor_of(path).mkdir()
    journal = Journal(path)
    assert journal.ledger.flaw() is not None
    journal.close()


def test_an_anchor_of_nothing_asks_for_no_journal(path: Path) -> None:
    assert missing(path, Anchor(anchor_of(path))) is None
    Anchor(anchor_of(path)).write(START)
    assert missing(path, Anchor(anchor_of(path))) is None
    anchor_of(path).write_bytes(b"?")
    assert missing(path, Anchor(anchor_of(path))) is not None


def test_a_ledger_that_is_altered_beside_the_running_node_is_noticed(path: Path) -> None:
    used(path)
    journal = Journal(path)
    assert journal.ledger.flaw() is None
    altered(path, "DELETE FROM ledger")
    assert not journal.ledger.reserve(SESSIONS[8], "raise", 1, None, 9)
    assert journal.ledger.flaw() is not None
    journal.close()
    complaint(path, "a ledger of 0 entries")


# -- crashes -----------------------------------------------------------------------------------------


class KilledError(BaseException):
    """Nothing of what comes after it happens."""


def killed(*_given: object) -> None:
    """In the place of a system call."""
    raise KilledError


@pytest.mark.parametrize("sessions", [0, 2])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_crash_between_the_commit_and_its_anchor_is_no_flaw(
    path: Path, call: str, sessions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    used(path, sessions)
    journal = Journal(path)
    journal.tidy()
    assert journal.ledger.reserve(SESSIONS[8], "raise", NANO, None, 8)
    before = anchor_of(path).read_text()
    with monkeypatch.context() as patch:
        patch.setattr(os if call == "fsync" else Path, call, killed)
        with pytest.raises(KilledError):
            journal.commit()
    journal.close()
    assert anchor_of(path).read_text() == before
    journal = Journal(path)
    assert journal.ledger.flaw() is None
    assert anchor_of(path).read_text() == before, "who only reads does not write it"
    journal.tidy()
    assert anchor_of(path).read_text() == f"{journal.ledger.tip()}\n"
    assert journal.ledger.tip().length == 2 * sessions + 1
    journal.close()


def test_a_crash_as_the_very_first_entry_is_committed_is_no_flaw_and_its_loss_is_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `tidy` before, which a coordinator's journal never sees."""
    journal = Journal(path)
    assert not anchor_of(path).exists()
    assert journal.ledger.reserve(SESSIONS[8], "raise", NANO, None, 8)
    assert anchor_of(path).read_text() == f"{START}\n", "it is there before anything is committed"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(KilledError):
            journal.commit()
    journal.close()
    assert found(path) is None
    anchor_of(path).unlink()
    complaint(path, "missing, while the ledger has")


def test_the_anchor_is_forced_to_the_disk_after_the_commit_and_before_it_returns(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def recorded(descriptor: int) -> None:
        done.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        done.append("rename")
        return replace(self, target)

    journal = Journal(path)
    journal.tidy()
    monkeypatch.setattr(os, "fsync", recorded)
    monkeypatch.setattr(Path, "replace", renamed)
    journal._db.set_trace_callback(lambda statement: done.append(statement.split()[0]))
    journal.ledger.reserve(SESSIONS[0], "raise", NANO, None, 8)
    done.clear()
    journal.commit()
    assert [each for each in done if each != "SELECT"] == ["COMMIT", "file", "rename", "directory"]
    done.clear()
    journal.announced(SESSIONS[1], b"", 1)
    journal.commit()
    assert done == ["BEGIN", "INSERT", "COMMIT"], "what brings no entries costs nothing more"
    journal.close()


def test_an_anchor_that_cannot_be_written_ends_everything(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used(path)
    journal = Journal(path)
    assert journal.ledger.reserve(SESSIONS[8], "raise", NANO, None, 8)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError) as caught:
            journal.commit()
    assert caught.value.message == f"{path}: no space left on device"
    assert "make room" in caught.value.hint
    for late in (journal.commit, journal.scrub, lambda: journal.retain(SESSIONS[0])):
        with pytest.raises(StorageError):
            late()
    journal.close()
    assert found(path) is None


# -- repair ------------------------------------------------------------------------------------------


def lost_anchor(path: Path) -> None:
    anchor_of(path).unlink()


def cut_anchor(path: Path) -> None:
    anchor_of(path).write_bytes(b"6 ")


def cut_ledger(path: Path) -> None:
    altered(path, "DELETE FROM ledger WHERE number > 3")


def lost_ledger(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [lost_anchor, cut_anchor, cut_ledger, lost_ledger])
def test_a_person_repairs_it_by_writing_what_the_hint_says(
    path: Path, damage: Callable[[Path], None]
) -> None:
    used(path)
    damage(path)
    flaw = found(path)
    assert flaw is not None
    _, line, rest = flaw.hint.split("'")
    assert rest == " into the anchor and take what is not in it off epsilon under [inputs] in the config"
    anchor_of(path).write_text(line + "\n")
    assert found(path) is None


def test_a_broken_chain_is_repaired_by_moving_both_away(path: Path) -> None:
    used(path)
    altered(path, "UPDATE ledger SET nano = 1 WHERE number = 2")
    flaw = found(path)
    assert flaw is not None
    assert "or move both away and take what is not in it off epsilon" in flaw.hint
    for file in (path, anchor_of(path)):
        file.unlink()
    assert found(path) is None


def test_a_directory_put_back_as_a_whole_is_not_noticed(path: Path) -> None:
    """What the ledger cannot know, and says so."""
    used(path, 1)
    shutil.copytree(path.parent, path.parent.parent / "copy")
    journal = Journal(path)
    session(journal, 4)
    journal.close()
    shutil.rmtree(path.parent)
    (path.parent.parent / "copy").rename(path.parent)
    assert found(path) is None


# -- the file ----------------------------------------------------------------------------------------


def test_an_anchor_is_a_line_that_a_person_can_write(tmp_path: Path) -> None:
    anchor = Anchor(tmp_path / "ledger.anchor")
    assert anchor.read() is None
    anchor.write(Tip(12, bytes(range(32))))
    assert anchor.path.read_text() == "12 " + bytes(range(32)).hex() + "\n"
    assert anchor.read() == Tip(12, bytes(range(32)))
    anchor.path.write_text("0 " + "00" * 32)
    assert anchor.read() == START
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.anchor"]


@pytest.mark.parametrize(
    "text", ["", "12", "12 ab", f"-1 {'0' * 64}", f"01 {'0' * 64}", f"1 {'0' * 64}\n\n", "ü"]
)
def test_any_other_line_is_none(tmp_path: Path, text: str) -> None:
    anchor = Anchor(tmp_path / "ledger.anchor")
    anchor.path.write_text(text)
    with pytest.raises(ValueError, match="not an anchor"):
        anchor.read()
