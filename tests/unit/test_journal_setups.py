"""Setups are kept by the peer's key, lent to one session each, pruned to the newest, and leave no trace."""

import random
from pathlib import Path

import pytest

from party_node.database import LostError
from party_node.journal import Journal
from party_node.setups import SETUPS_KEPT
from protocol.correlation import ChoiceKeys, PairKeys
from protocol.messages import MOST_SETUPS
from protocol.secret import Seed

BOB, CARLOS, STRANGER = (bytes([number]) * 32 for number in (2, 3, 9))
MEMBERS = {"bob": BOB, "carlos": CARLOS}
DAY = 24 * 3600 * 1000


def setup_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def pairs(number: int) -> PairKeys:
    return PairKeys(random.Random(number).randbytes(4096))


def chosen(number: int) -> ChoiceKeys:
    raw = random.Random(number).randbytes(16 + 2048)
    return ChoiceKeys(raw[:16], raw[16:])


def filled(journal: Journal, numbers: range, peer: bytes = BOB) -> None:
    """One setup a day, the later ones with the higher numbers."""
    for number in numbers:
        journal.setups.keep("maker", peer, setup_id(number), pairs(number), number * DAY)


def lent(journal: Journal, session: str, *peers: bytes) -> dict[str, list[int]]:
    """A session opens; what it may use of which peer, the first choice first."""
    journal.open(session, b"", 0, Seed(bytes(32)), None)
    journal.setups.lend(session, peers or (BOB, CARLOS))
    return held(journal, session)


def held(journal: Journal, session: str) -> dict[str, list[int]]:
    found = journal.setups.of(session, MEMBERS)
    return {peer: [int.from_bytes(name, "big") for name in ids] for peer, ids in found.items()}


def stored(journal: Journal) -> list[int]:
    """Every setup whose keys are in the table, by number."""
    rows = journal._db.execute("SELECT id FROM setup WHERE keys IS NOT NULL")
    return sorted(int.from_bytes(row[0], "big") for row in rows)


def again(journal: Journal, path: Path) -> Journal:
    """After `kill -9`: nothing is committed on the way out."""
    journal.close()
    return Journal(path)


# -- keeping and lending -----------------------------------------------------------------------------


def test_both_halves_survive_a_restart_byte_by_byte(journal: Journal, path: Path) -> None:
    journal.setups.keep("maker", BOB, setup_id(1), pairs(1), 1)
    journal.setups.keep("maker", CARLOS, setup_id(2), chosen(2), 2)
    journal.commit()
    journal = again(journal, path)
    lent(journal, "s")
    assert journal.setups.of("s", MEMBERS) == {
        "bob": {setup_id(1): pairs(1)},
        "carlos": {setup_id(2): chosen(2)},
    }
    journal.close()


def test_what_a_session_was_lent_survives_with_the_session(journal: Journal, path: Path) -> None:
    filled(journal, range(3))
    assert lent(journal, "s") == {"bob": [2, 1]}
    journal.commit()
    journal = again(journal, path)
    assert held(journal, "s") == {"bob": [2, 1]}
    assert held(journal, "another") == {}
    journal.close()


def test_a_setup_and_a_loan_that_were_not_committed_never_were(journal: Journal, path: Path) -> None:
    filled(journal, range(1))
    journal.commit()
    filled(journal, range(1, 2))
    assert lent(journal, "s") == {"bob": [1, 0]}
    journal = again(journal, path)
    assert (stored(journal), held(journal, "s")) == ([0], {})
    journal.close()


def test_the_newest_are_lent_first_and_no_more_than_a_join_may_name(journal: Journal) -> None:
    filled(journal, range(5))
    journal.setups.keep("maker", CARLOS, setup_id(7), chosen(7), 0)
    assert lent(journal, "s") == {"bob": [4, 3], "carlos": [7]}
    assert SETUPS_KEPT <= MOST_SETUPS


def test_of_two_that_are_equally_old_both_sides_prefer_the_same(journal: Journal) -> None:
    for number in (6, 5, 7):
        journal.setups.keep("maker", BOB, setup_id(number), pairs(number), DAY)
    assert lent(journal, "s") == {"bob": [5, 6]}


def test_only_the_peers_of_the_session_are_lent_for(journal: Journal) -> None:
    filled(journal, range(2))
    filled(journal, range(10, 12), CARLOS)
    assert lent(journal, "s", CARLOS) == {"carlos": [11, 10]}


def test_what_a_session_makes_itself_is_not_lent_to_it(journal: Journal) -> None:
    """What its join named is what it may use: a replay must offer the same."""
    filled(journal, range(1))
    assert lent(journal, "s") == {"bob": [0]}
    filled(journal, range(1, 2))
    assert held(journal, "s") == {"bob": [0]}


def test_a_replay_that_makes_the_same_setup_again_changes_nothing(journal: Journal) -> None:
    filled(journal, range(2))
    filled(journal, range(2))
    assert stored(journal) == [0, 1]
    journal.setups.keep("maker", BOB, setup_id(1), pairs(99), 99 * DAY)
    lent(journal, "s")
    assert journal.setups.of("s", MEMBERS)["bob"] == {setup_id(1): pairs(1), setup_id(0): pairs(0)}


# -- peers are keys ----------------------------------------------------------------------------------


def test_a_peer_with_a_new_key_gets_none_of_the_old_ones(journal: Journal) -> None:
    filled(journal, range(2))
    assert lent(journal, "s", STRANGER, CARLOS) == {}


def test_a_peer_is_known_by_its_key_whatever_its_name_is_in_a_session(journal: Journal) -> None:
    filled(journal, range(1))
    lent(journal, "s")
    assert list(journal.setups.of("s", {"robert": BOB})) == ["robert"]


# -- forgetting --------------------------------------------------------------------------------------


def test_all_but_the_newest_two_of_each_peer_go_when_a_session_ends(journal: Journal) -> None:
    filled(journal, range(5))
    filled(journal, range(10, 13), CARLOS)
    filled(journal, range(20, 21), STRANGER)
    journal.forget_secrets("any")
    assert stored(journal) == [3, 4, 11, 12, 20]
    assert SETUPS_KEPT == 2


def test_a_setup_serves_one_session_and_no_other(journal: Journal) -> None:
    filled(journal, range(1))
    assert lent(journal, "first") == {"bob": [0]}
    assert lent(journal, "second") == {}
    journal.forget_secrets("first")
    assert (stored(journal), lent(journal, "third")) == ([], {})


def test_a_replay_after_the_setup_was_used_does_not_bring_it_back(journal: Journal) -> None:
    filled(journal, range(1))
    lent(journal, "s")
    journal.forget_secrets("s")
    filled(journal, range(1))  # the session that made it, unfinished, is replayed
    assert (stored(journal), lent(journal, "next")) == ([], {})


def test_what_an_unfinished_session_was_lent_stays_until_that_one_ends(journal: Journal) -> None:
    filled(journal, range(2))
    assert lent(journal, "slow") == {"bob": [1, 0]}
    filled(journal, range(2, 6))
    assert lent(journal, "quick") == {"bob": [5, 4]}
    journal.forget_secrets("quick")
    assert stored(journal) == [0, 1, 2, 3]
    assert (held(journal, "slow"), held(journal, "quick")) == ({"bob": [1, 0]}, {})
    journal.forget_secrets("slow")
    assert stored(journal) == [2, 3]


def test_what_has_expired_is_deleted_unless_a_session_still_uses_it(journal: Journal) -> None:
    filled(journal, range(4))
    filled(journal, range(10, 12), CARLOS)
    assert lent(journal, "slow", CARLOS) == {"carlos": [11, 10]}
    journal.setups.drop(3 * DAY)
    assert stored(journal) == [3, 10, 11]
    journal.setups.drop(20 * DAY)
    assert stored(journal) == [10, 11], "as long as a session may be replayed with it"
    journal.forget_secrets("slow")
    journal.setups.drop(20 * DAY)
    assert not journal._db.execute("SELECT * FROM setup").fetchall()


def test_what_was_made_with_a_culprit_is_never_used_nor_brought_back(journal: Journal) -> None:
    filled(journal, range(2))
    filled(journal, range(10, 11), CARLOS)
    journal.setups.distrust(BOB)
    filled(journal, range(2))
    assert stored(journal) == [10]
    assert lent(journal, "s") == {"carlos": [10]}


def test_a_damaged_setup_is_not_lent(journal: Journal) -> None:
    filled(journal, range(2))
    journal._write("UPDATE setup SET keys = ? WHERE id = ?", pairs(9).to_bytes(), setup_id(1))
    assert lent(journal, "s") == {"bob": [0]}


def test_a_setup_damaged_after_it_was_lent_is_lost_to_its_session(journal: Journal) -> None:
    filled(journal, range(1))
    lent(journal, "s")
    journal._write("UPDATE setup SET keys = ?", pairs(9).to_bytes())
    with pytest.raises(LostError, match="what was kept with bob for session s is damaged"):
        held(journal, "s")


def found_in(path: Path, setup: PairKeys | ChoiceKeys) -> bool:
    """Whether any 16 bytes of a setup, which are a key, lie anywhere in the journal's directory."""
    raw = b"".join(file.read_bytes() for file in sorted(path.parent.rglob("*")) if file.is_file())
    secret = setup.to_bytes()
    return any(secret[at : at + 16] in raw for at in range(0, len(secret) - 15, 16))


@pytest.mark.parametrize("running", [True, False])
def test_a_setup_that_is_deleted_leaves_no_trace_in_the_files(path: Path, running: bool) -> None:
    journal = Journal(path)
    filled(journal, range(3))
    journal.setups.keep("maker", CARLOS, setup_id(10), chosen(10), 0)
    journal.commit()
    assert all(found_in(path, each) for each in (pairs(0), pairs(2), chosen(10)))
    lent(journal, "s", CARLOS)
    journal.forget_secrets("s")
    journal.setups.drop(DAY)
    journal.commit()
    if running:
        journal.scrub()
    else:
        journal.close()
    assert [found_in(path, each) for each in (pairs(0), chosen(10))] == [False, False]
    assert found_in(path, pairs(2)), "and the others are still there"
    if running:
        journal.close()


def test_a_setup_shows_nothing_of_its_keys(journal: Journal) -> None:
    filled(journal, range(1))
    journal.setups.keep("maker", CARLOS, setup_id(1), chosen(1), 0)
    lent(journal, "s")
    shown = repr(journal.setups.of("s", MEMBERS))
    assert "PairKeys(<redacted>)" in shown
    assert "ChoiceKeys(<redacted>)" in shown
