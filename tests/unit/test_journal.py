"""What was committed survives, what was not never was, and secrets leave no trace in the files."""

import random
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from party_node.database import LostError
from party_node.journal import SCHEMA_VERSION, Journal
from party_node.post import Sent
from party_node.spool import LARGE
from protocol.errors import ConfigError
from protocol.functionalities import Answer
from protocol.messages import AbortReason, RefusalCode
from protocol.ring import Ring
from protocol.secret import Seed
from protocol.states import Ending, Outcome, State
from tests.support.sessions import elements

SESSION, OTHER = "5e" * 32, "ab" * 32
RAW = random.Random(1).randbytes(32)  # the seed
VALUE = np.frombuffer(random.Random(2).randbytes(800), dtype=np.uint64)  # lies in a row
LONG = np.frombuffer(random.Random(3).randbytes(LARGE + 8), dtype=np.uint64)  # lies in a file
ARRIVED = random.Random(4).randbytes(9000)  # more than a page of the database


def opened(journal: Journal, value: Ring | None = VALUE, session: str = SESSION) -> None:
    journal.open(session, b"announcement", 7, Seed(RAW), value)


def again(journal: Journal, path: Path) -> Journal:
    """After `kill -9`: nothing is committed on the way out."""
    journal.close()
    return Journal(path)


def outcome_of(answer: Answer | None = None, ending: Ending | None = None) -> Outcome:
    state = State.COMPLETED if ending is None else State.ABORTED
    return Outcome(state, answer, ("alice", "bob"), ("carlos",), ending)


# -- surviving ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, elements(-5), VALUE, LONG], ids=["none", "scalar", "row", "file"])
def test_a_session_survives_with_its_seed_and_its_input(
    journal: Journal, path: Path, value: Ring | None
) -> None:
    opened(journal, value)
    journal.commit()
    journal = again(journal, path)
    row = journal.session(SESSION)
    assert row is not None
    assert (row.id, row.announce, row.joined, row.state) == (SESSION, b"announcement", 7, State.JOINED)
    assert row.seed is not None
    assert row.seed.expose() == RAW
    assert (row.outcome, row.ended, row.retained) == (None, None, False)
    found = journal.value(SESSION)
    assert (found is None) == (value is None)
    if found is not None and value is not None:
        assert (found.shape, found.dtype) == (value.shape, np.dtype(np.uint64))
        assert np.array_equal(found, value)
    journal.close()


def test_arrivals_and_letters_survive_in_order_and_byte_by_byte(journal: Journal, path: Path) -> None:
    opened(journal)
    letters = [Sent("share", "bob", 0, b"1"), Sent("join", "all", 0, b"2"), Sent("share", "bob", 1, ARRIVED)]
    letters.append(Sent("reveal", "all", 0, bytes(LARGE)))
    for number, payload in enumerate([b"first", None, ARRIVED]):
        journal.arrived(SESSION, number, 100 + number, payload)
    for letter in letters:
        journal.sent(SESSION, letter)
    journal.commit()
    journal = again(journal, path)
    assert list(journal.arrivals(SESSION)) == [(100, b"first"), (101, None), (102, ARRIVED)]
    assert journal.outbox(SESSION) == letters
    assert (list(journal.arrivals(OTHER)), journal.outbox(OTHER)) == ([], [])
    journal.close()


def test_what_was_not_committed_never_was(journal: Journal, path: Path) -> None:
    opened(journal)
    journal.commit()
    journal.arrived(SESSION, 0, 8, b"arrival")
    journal.sent(SESSION, Sent("join", "all", 0, b"payload"))
    journal.state(SESSION, State.SHARING)
    opened(journal, session=OTHER)
    journal = again(journal, path)
    assert [(row.id, row.state) for row in journal.sessions()] == [(SESSION, State.JOINED)]
    assert (list(journal.arrivals(SESSION)), journal.outbox(SESSION)) == ([], [])
    journal.close()


@pytest.mark.parametrize(
    "outcome",
    [
        outcome_of(Answer(np.array(-317150, dtype=np.int64), 2)),
        outcome_of(Answer(np.array([1, -2, 2**63 - 1], dtype=np.int64), 18)),
        outcome_of(Answer(LONG.view(np.int64), 0)),
        outcome_of(None),
        outcome_of(None, Ending(AbortReason.TIMEOUT, "time is up", ("bob",), None, "carlos")),
        outcome_of(None, Ending(AbortReason.BAD_OPENING, "not the one", (), "bob")),
        outcome_of(None, Ending(RefusalCode.POLICY, "not today")),
    ],
)
def test_how_a_session_ended_survives(journal: Journal, path: Path, outcome: Outcome) -> None:
    opened(journal)
    journal.end(SESSION, outcome, 99)
    journal.commit()
    journal = again(journal, path)
    row = journal.session(SESSION)
    assert row is not None
    assert row.outcome is not None
    found = row.outcome
    assert (row.state, row.ended) == (outcome.state, 99)
    assert (found.inputs, found.unconfirmed, found.ending) == (
        outcome.inputs,
        outcome.unconfirmed,
        outcome.ending,
    )
    texts = [None if each.answer is None else each.answer.text() for each in (found, outcome)]
    assert texts[0] == texts[1]
    journal.close()


def test_an_announced_session_of_others_has_no_secrets_and_can_end(journal: Journal, path: Path) -> None:
    journal.announced(SESSION, b"announcement", 7)
    journal.end(SESSION, outcome_of(), 8)
    journal.retain(SESSION)
    journal.commit()
    journal = again(journal, path)
    row = journal.session(SESSION)
    assert row is not None
    assert (row.seed, row.retained, row.ended) == (None, True, 8)
    journal.close()


def test_sessions_are_listed_oldest_first_and_the_unknown_one_is_none(journal: Journal) -> None:
    journal.announced("b" * 64, b"", 2)
    journal.announced("c" * 64, b"", 1)
    journal.announced("a" * 64, b"", 2)
    assert [row.id[0] for row in journal.sessions()] == ["c", "a", "b"]
    assert journal.session(OTHER) is None


def test_an_ended_session_is_unswept_while_something_is_kept_for_others(journal: Journal) -> None:
    opened(journal)
    journal.sent(SESSION, Sent("join", "all", 0, b"payload"))
    assert journal.unswept() == []
    journal.end(SESSION, outcome_of(), 9)
    journal.forget_secrets(SESSION)
    assert [row.id for row in journal.unswept()] == [SESSION]
    journal.forget_outbox(SESSION)
    assert journal.unswept() == []
    assert journal.outbox(SESSION) == []


@pytest.mark.parametrize("kept", [True, False])
def test_a_lost_or_altered_input_file_is_noticed(journal: Journal, path: Path, kept: bool) -> None:
    opened(journal, LONG)
    journal.commit()
    (file,) = (path.parent / "spool" / SESSION).iterdir()
    if kept:
        file.write_bytes(bytes(LONG.nbytes))
    else:
        file.unlink()
    with pytest.raises(LostError, match=f"the snapshot of our input for session {SESSION[:12]} is lost"):
        journal.value(SESSION)


def test_one_lost_answer_does_not_hide_the_other_sessions(journal: Journal, path: Path) -> None:
    opened(journal, session=OTHER)
    opened(journal)
    journal.end(SESSION, outcome_of(Answer(LONG.view(np.int64), 0)), 9)
    journal.commit()
    (file,) = (path.parent / "answers" / SESSION).iterdir()
    file.unlink()
    assert OTHER in [row.id for row in journal.sessions()]


# -- files that are no journals ----------------------------------------------------------------------


def damaged_header(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[:16] = bytes(16)
    path.write_bytes(raw)


def damaged_schema(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[100:4096] = b"\xff" * 3996
    path.write_bytes(raw)


def not_a_database(path: Path) -> None:
    path.write_bytes(b"name = 'alice'\n" * 100)


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def another_database(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE session (id INTEGER)")
    db.close()


DAMAGES = [damaged_header, damaged_schema, not_a_database, a_directory, another_database]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_file_that_is_no_journal_is_a_config_error_with_a_hint(path: Path, damage: object) -> None:
    assert callable(damage)
    journal = Journal(path)
    opened(journal)
    journal.commit()
    journal.close()
    damage(path)
    with pytest.raises(ConfigError) as caught:
        Journal(path).close()
    assert caught.value.message.startswith(f"{path}: ")
    assert "moved away by hand" in caught.value.hint


@pytest.mark.parametrize("version", [1, 7, -1])
def test_a_journal_of_another_version_is_left_as_it_is(path: Path, version: int) -> None:
    Journal(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    with pytest.raises(ConfigError) as caught:
        Journal(path)
    expected = f"{path}: journal of version {version}, this program writes version {SCHEMA_VERSION}"
    assert caught.value.message == expected
    assert caught.value.hint


# -- forgetting --------------------------------------------------------------------------------------


def found_in(path: Path) -> set[str]:
    """Which secrets can be found in the journal's directory: database, log and files."""
    raw = b"".join(file.read_bytes() for file in sorted(path.parent.rglob("*")) if file.is_file())
    pieces = {"seed": RAW, "value": VALUE.tobytes(), "long value": LONG.tobytes()[:64], "arrival": ARRIVED}
    # Any 24 bytes in a row count: a secret may lie across two pages.
    return {
        name
        for name, secret in pieces.items()
        if any(secret[at : at + 24] in raw for at in range(0, len(secret) - 23, 8))
    }


def filled(path: Path) -> Journal:
    journal = Journal(path)
    opened(journal)
    journal.open(OTHER, b"announcement", 8, Seed(bytes(32)), LONG)
    journal.arrived(SESSION, 0, 9, ARRIVED)
    journal.state(SESSION, State.SHARING)
    journal.commit()
    return journal


def forgotten(journal: Journal) -> None:
    for session in (SESSION, OTHER):
        journal.end(session, outcome_of(), 10)
        journal.forget_secrets(session)
    journal.commit()


def test_secrets_are_in_the_files_until_they_are_forgotten_and_then_they_are_not(path: Path) -> None:
    everything = {"seed", "value", "long value", "arrival"}
    journal = filled(path)
    assert found_in(path) == everything
    journal.close()
    assert found_in(path) == everything, "the search finds them in the database as well as in its log"
    journal = Journal(path)
    forgotten(journal)
    row = journal.session(SESSION)
    assert row is not None
    assert row.seed is None
    assert journal.value(SESSION) is None
    assert list(journal.arrivals(SESSION)) == []
    journal.close()
    assert found_in(path) == set()


def test_secrets_that_were_never_moved_from_the_log_are_forgotten_too(path: Path) -> None:
    journal = filled(path)
    forgotten(journal)
    journal.close()
    assert found_in(path) == set()


def test_secrets_are_gone_while_the_node_runs_on(path: Path) -> None:
    """A node runs for months: what it forgets must not lie in SQLite's log until it stops."""
    journal = filled(path)
    forgotten(journal)
    journal.scrub()
    try:
        assert found_in(path) == set()
    finally:
        journal.close()


def test_other_sessions_keep_their_secrets(path: Path) -> None:
    journal = filled(path)
    journal.forget_secrets(OTHER)
    journal.commit()
    row = journal.session(SESSION)
    assert row is not None
    assert row.seed is not None
    assert journal.value(SESSION) is not None
    assert len(list(journal.arrivals(SESSION))) == 1
    journal.close()
