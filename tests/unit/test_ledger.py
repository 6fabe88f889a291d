"""What sessions cost is summed exactly, counts from the join on, and is spent once."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from party_node.database import opened
from party_node.journal import MEMORY, Journal
from party_node.ledger import SCHEMA, Account, Event, Ledger
from protocol.dp.epsilon import LARGEST, NANO
from protocol.errors import LocalProtocolError

TENTH = NANO // 10
SESSIONS = [f"{number:064x}" for number in range(100)]
FIRST = SESSIONS[0]


@pytest.fixture
def ledger(journal: Journal) -> Ledger:
    return journal.ledger


def reserve(ledger: Ledger, session: str = FIRST, nano: int = TENTH, budget: int | None = 3 * TENTH) -> bool:
    return ledger.reserve(session, "raise", nano, budget, 7)


def events(ledger: Ledger) -> list[tuple[str, str]]:
    return [(entry.session, entry.event) for entry in ledger.entries()]


# -- sums --------------------------------------------------------------------------------------------


def test_a_tenth_fits_three_times_into_three_tenths_and_not_four_times(ledger: Ledger) -> None:
    assert [reserve(ledger, session) for session in SESSIONS[:4]] == [True, True, True, False]
    assert ledger.account("raise") == Account(spent=0, reserved=3 * TENTH)
    assert events(ledger) == [(session, "reserved") for session in SESSIONS[:3]]


def test_a_single_nano_too_much_does_not_fit(ledger: Ledger) -> None:
    assert not reserve(ledger, nano=3 * TENTH + 1)
    assert reserve(ledger, nano=3 * TENTH)
    assert not reserve(ledger, SESSIONS[1], nano=1)


def test_what_is_spent_counts_like_what_is_reserved_and_what_is_released_does_not(ledger: Ledger) -> None:
    for session in SESSIONS[:3]:
        reserve(ledger, session)
    ledger.spend(FIRST, 8)
    ledger.release(SESSIONS[1], 9)
    assert ledger.account("raise") == Account(spent=TENTH, reserved=TENTH)
    assert reserve(ledger, SESSIONS[4])
    assert not reserve(ledger, SESSIONS[5])


def test_each_input_has_a_budget_of_its_own(ledger: Ledger) -> None:
    assert ledger.reserve(FIRST, "raise", TENTH, TENTH, 1)
    assert ledger.reserve(SESSIONS[1], "bonus", TENTH, TENTH, 1)
    assert not ledger.reserve(SESSIONS[2], "bonus", TENTH, TENTH, 1)
    assert ledger.account("never") == Account(0, 0)


def test_without_a_budget_everything_fits_and_is_recorded_beyond_what_sqlite_can_add_up(
    ledger: Ledger,
) -> None:
    many = [f"{number:064x}" for number in range(1100)]
    for session in many:
        assert reserve(ledger, session, LARGEST, None)
    assert 1100 * LARGEST > 2**63
    assert ledger.account("raise") == Account(0, 1100 * LARGEST)
    assert not reserve(ledger, "f" * 64, 1, 1100 * LARGEST)


def test_a_lower_budget_than_what_was_spent_takes_nothing_back(ledger: Ledger) -> None:
    reserve(ledger)
    ledger.spend(FIRST, 8)
    assert not reserve(ledger, SESSIONS[1], 1, budget=1)
    assert ledger.account("raise").spent == TENTH


# -- what becomes of a session -----------------------------------------------------------------------


def test_a_session_spends_once_however_often_it_is_said(ledger: Ledger) -> None:
    reserve(ledger)
    for _ in range(100):
        ledger.spend(FIRST, 8)
    assert events(ledger) == [(FIRST, "reserved"), (FIRST, "spent")]


def test_what_is_spent_is_never_released(ledger: Ledger) -> None:
    reserve(ledger)
    ledger.spend(FIRST, 8)
    ledger.release(FIRST, 9)
    assert events(ledger)[-1] == (FIRST, "spent")


def test_what_is_released_is_so_once_and_what_was_never_reserved_is_not(ledger: Ledger) -> None:
    ledger.release(SESSIONS[1], 9)
    reserve(ledger)
    for _ in range(2):
        ledger.release(FIRST, 9)
    assert events(ledger) == [(FIRST, "reserved"), (FIRST, "released")]


def test_shares_of_a_session_that_has_nothing_reserved_are_our_bug(ledger: Ledger) -> None:
    with pytest.raises(LocalProtocolError, match="spent that was never reserved"):
        ledger.spend(FIRST, 8)
    reserve(ledger)
    ledger.release(FIRST, 8)
    with pytest.raises(LocalProtocolError, match="spent that was reserved and released"):
        ledger.spend(FIRST, 8)


def test_a_session_is_reserved_once(ledger: Ledger) -> None:
    reserve(ledger)
    with pytest.raises(sqlite3.IntegrityError):
        reserve(ledger)


# -- what is kept ------------------------------------------------------------------------------------


def test_an_entry_carries_its_amount_its_time_and_a_hash_over_all_before_it(ledger: Ledger) -> None:
    reserve(ledger)
    ledger.spend(FIRST, 8)
    head = bytes(32)
    for number, (event, at) in enumerate([(Event.RESERVED, 7), (Event.SPENT, 8)], 1):
        parts = [head, *(str(each).encode() for each in (number, FIRST, "raise", event, TENTH, at))]
        framed = [each for part in (b"sotto/1", b"ledger", *parts) for each in (len(part).to_bytes(8), part)]
        head = sha256(b"".join(framed)).digest()
        assert ledger.entries()[number - 1] == (number, FIRST, "raise", event, TENTH, at, head)
    assert ledger.tip() == (2, head)


def test_what_was_not_committed_never_was(journal: Journal, path: Path) -> None:
    reserve(journal.ledger)
    journal.commit()
    journal.ledger.spend(FIRST, 8)
    reserve(journal.ledger, SESSIONS[1])
    journal.close()
    journal = Journal(path)
    assert journal.ledger.flaw() is None
    assert events(journal.ledger) == [(FIRST, "reserved")]
    journal.close()


def test_a_session_that_ends_is_forgotten_but_not_what_it_has_cost(journal: Journal, path: Path) -> None:
    reserve(journal.ledger)
    journal.ledger.spend(FIRST, 8)
    journal.forget_secrets(FIRST)
    journal.forget_outbox(FIRST)
    journal.scrub()
    journal.close()
    journal = Journal(path)
    assert journal.ledger.account("raise") == Account(TENTH, 0)
    journal.close()


def test_two_who_take_the_sum_at_the_same_time_do_not_both_find_room(path: Path) -> None:
    """Two connections, as no node has them: the second one's sum waits for the first one's entry."""
    together = threading.Barrier(2, timeout=10)

    def take(sessions: list[str]) -> int:
        database = opened(path, SCHEMA, 1)
        ledger, taken = Ledger(database, None), 0
        together.wait()
        for session in sessions:
            taken += reserve(ledger, session, budget=30 * TENTH)
            database.commit()
        database.close()
        return taken

    with ThreadPoolExecutor(2) as threads:
        assert sum(threads.map(take, (SESSIONS[::2], SESSIONS[1::2]))) == 30
    ledger = Ledger(opened(path, SCHEMA, 1), None)
    assert ledger.account("raise") == Account(0, 30 * TENTH)
    assert ledger.flaw() is None
    ledger._db.close()


def test_a_journal_in_memory_has_a_ledger_without_an_anchor(tmp_path: Path) -> None:
    journal = Journal(MEMORY)
    assert reserve(journal.ledger)
    journal.commit()
    assert journal.ledger.flaw() is None
    journal.close()
    assert not list(tmp_path.iterdir())
