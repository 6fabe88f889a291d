"""Referenda on real nodes: crashes at any moment, lost disks, very many voters, and nothing used twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from party_node.journal import Journal
from party_node.remains import SETUP_LIFE
from party_node.setups import SETUPS_KEPT, SetupStore
from protocol.correlation.base_ot import KEY_BYTES
from protocol.correlation.preparation import Setup
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.messages import AbortReason
from protocol.ring import Ring
from protocol.secret import Seed
from protocol.states import State
from tests.simulation.judge import check_letters, simulate
from tests.simulation.schedule import Crash, Late, Schedule, everybody_computes
from tests.simulation.voters import Electorate
from tests.support.ledger import Ledger, audited
from tests.support.network import Faults, Network

TRIO = ("alice", "bob", "carlos")
PARTIES = tuple(f"p{number}" for number in range(30))


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """Fails the test as soon as a correlation is used for a second purpose."""
    with audited() as ledger:
        yield ledger


def colleagues(**given: object) -> Network:
    """Three colleagues who vote on the merge; two of them say yes."""
    ballots = {name: {"merge": ballot} for name, ballot in zip(TRIO, "110", strict=True)}
    return Network(ballots, **given)  # type: ignore[arg-type] # the network's own arguments


def announced(network: Network, within: int = 60_000) -> str:
    """A referendum among all of them."""
    return network.announce(network.spec(Referendum(threshold="2/3"), "merge", within))


def voted(network: Network) -> str:
    """One that has ended in the right answer at everybody."""
    session = announced(network)
    network.run(until=network.now + 59_000)
    answered(network, session)
    network.run()
    return session


def answered(network: Network, session: str) -> None:
    """Everybody has completed, with the right answer."""
    outcomes = network.outcomes(session)
    assert set(outcomes) == set(network.names)
    for name, outcome in outcomes.items():
        assert outcome.state is State.COMPLETED, f"{name}: {outcome}"
        assert outcome.answer is not None
        assert (outcome.answer.text(), outcome.unconfirmed) == ("YES", ())


def published(network: Network, session: str) -> Counter[str]:
    """How many letters of each stage were published in a session."""
    levels = (sent.topic.split("/") for sent in network.tap if sent.payload)
    return Counter(each[4] for each in levels if each[3] == session)


def strangers_met(network: Network, session: str) -> int:
    """How many pairs made base transfers."""
    topics = {sent.topic for sent in network.tap if sent.payload}
    levels = [topic.split("/") for topic in topics]
    return sum(each[3] == session and each[4] == "correlate-1" and each[-1] == "0" for each in levels)


def kept(network: Network, name: str) -> int:
    """How many setups a node keeps for later sessions."""
    unused = "SELECT count(keys) FROM setup WHERE lent IS NULL"
    return int(network.journals[name]._db.execute(unused).fetchone()[0])


# -- crashes -----------------------------------------------------------------------------------------


def crashed(network: Network, action: int, *, committed: bool) -> str:
    """A referendum in which one node is killed at one action; what was sent again must be what was sent."""
    network.tap.clear()
    network.actions, network.crash_at = 0, {action: committed}
    session = voted(network)
    check_letters(network.tap)
    return session


def repeated(network: Network) -> set[str]:
    """The stages of letters that left more than once."""
    counts = Counter(sent.topic for sent in network.tap)
    return {topic.split("/")[4] for topic, count in counts.items() if count > 1}


def estrange(network: Network) -> None:
    """Everybody forgets whom they know."""
    for journal in network.journals.values():
        journal._db.execute("DELETE FROM setup")


@pytest.mark.parametrize("acquainted", [True, False], ids=["acquainted", "strangers"])
def test_a_crash_at_any_action_of_a_referendum_changes_nothing_and_uses_nothing_twice(
    acquainted: bool, ledger: Ledger
) -> None:
    network = colleagues()
    crashed(network, 0, committed=False)
    sessions, sent_twice = 1, set[str]()
    for action in range(1, network.actions, 3 if acquainted else 7):
        if not acquainted:
            estrange(network)
        session = crashed(network, action, committed=sessions % 2 == 0)
        sessions, sent_twice = sessions + 1, sent_twice | repeated(network)
        assert strangers_met(network, session) == (0 if acquainted else 3)
    assert {name for _, name in network.crashes} == set(TRIO)
    # Letters did leave twice, so that comparing them byte by byte meant something.
    rounds = {"correlate-2", "correlate-3", "masked-1", "opened-1", "commit", "reveal"}
    assert sent_twice >= (rounds if acquainted else rounds | {"correlate-1"})
    assert len(ledger.triples) == 3 * sessions
    assert ledger.repeated > 0, "and no triple was taken twice but for the same bits"


def test_a_crash_with_the_journal_in_a_file_changes_nothing_either(tmp_path: Path, ledger: Ledger) -> None:
    network = colleagues(directory=tmp_path)
    for action in range(2, 60, 8):
        crashed(network, action, committed=action % 16 == 2)
    network.close()
    assert len(network.crashes) > 5
    assert ledger.repeated > 0


# -- acquaintances -----------------------------------------------------------------------------------


def test_nodes_that_have_met_make_no_base_transfers_again_and_keep_no_more_and_no_less() -> None:
    network = colleagues()
    counts = []
    for _ in range(4):
        session = voted(network)
        counts.append((strangers_met(network, session), kept(network, "alice")))
    assert [met for met, _ in counts] == [3, 0, 0, 0]
    assert len({held for _, held in counts}) == 1


def test_what_is_kept_is_found_by_new_processes(tmp_path: Path) -> None:
    network = colleagues(directory=tmp_path)
    assert strangers_met(network, voted(network)) == 3
    for name in TRIO:
        network.stop(name)
    for name in TRIO:
        network.start(name)
    assert strangers_met(network, voted(network)) == 0
    network.close()


@pytest.mark.parametrize("losers", [("alice",), ("bob",), ("bob", "carlos"), TRIO])
def test_a_node_that_has_lost_its_journal_makes_new_base_transfers_and_the_others_do_not_mind(
    losers: tuple[str, ...], ledger: Ledger
) -> None:
    network = colleagues()
    voted(network)
    for name in losers:
        network.lose_journal(name)
    assert strangers_met(network, voted(network)) == (2 if len(losers) == 1 else 3)
    assert strangers_met(network, voted(network)) == 0
    assert len(ledger.triples) == 9


def test_a_peer_with_a_new_identity_key_is_a_stranger() -> None:
    network = colleagues()
    voted(network)
    key = network.keys["bob"] = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    network.roster.parties["bob"] = key.public_key().public_bytes_raw()  # type: ignore[index] # a dict here
    network.nodes = {name: network.make(name) for name in network.nodes}
    assert strangers_met(network, voted(network)) == 2
    assert strangers_met(network, voted(network)) == 0


def test_what_is_too_old_is_made_anew_and_deleted() -> None:
    network = colleagues()
    voted(network)
    network.now += SETUP_LIFE + 120_000
    assert strangers_met(network, voted(network)) == 3
    assert strangers_met(network, voted(network)) == 0


def test_two_or_three_sessions_at_once_between_the_same_nodes_all_complete_and_later_ones_too(
    ledger: Ledger,
) -> None:
    network = colleagues()
    voted(network)
    for at_once in (2, 3, 2):
        sessions = [announced(network) for _ in range(at_once)]
        network.run(until=network.now + 59_000)
        for session in sessions:
            answered(network, session)
        network.run()
        assert all(2 <= kept(network, name) <= 2 * SETUPS_KEPT for name in TRIO)
    assert strangers_met(network, voted(network)) == 0
    assert len(ledger.triples) == 3 * 9


def test_sessions_that_overlap_and_nodes_that_crash_in_them_share_nothing(ledger: Ledger) -> None:
    network = colleagues(seed=3)
    network.faults = Faults(lose=0.1, double=0.1, delay=40, crash=0.01)
    sessions = [announced(network, within=600_000) for _ in range(3)]
    network.at(network.now + 30, lambda: sessions.append(announced(network, within=600_000)))
    network.run(until=network.now + 500_000)
    assert network.crashes
    for session in sessions:
        answered(network, session)
    check_letters(network.tap)
    assert len(ledger.triples) == 3 * 4


def test_a_session_that_was_aborted_is_followed_by_one_that_completes(ledger: Ledger) -> None:
    network = colleagues()
    voted(network)
    network.leaves = lambda sender, sent: "/masked-1/" not in sent.topic or sender != "carlos"
    session = announced(network, within=10_000)
    network.run()
    endings = {outcome.ending for outcome in network.outcomes(session).values()}
    assert {ending.reason for ending in endings if ending} == {AbortReason.TIMEOUT}
    network.leaves = lambda _sender, _sent: True
    voted(network)
    assert len(ledger.triples) == 9


def test_a_linear_session_between_them_touches_nothing_that_is_kept() -> None:
    network = colleagues()
    voted(network)
    before = kept(network, "alice")
    network.announce(network.spec(Sum(decimals=0), "merge"))
    network.run()
    assert kept(network, "alice") == before
    assert strangers_met(network, voted(network)) == 0


def test_a_referendum_that_is_refused_costs_nothing_that_is_kept() -> None:
    """Else anybody who may announce could make every later session slow."""
    network = colleagues()
    voted(network)
    before = kept(network, "alice")
    network.announce(network.spec(Referendum(threshold="2/3"), "unknown"))
    network.run()
    assert kept(network, "alice") == before


def test_one_setup_for_two_sessions_would_be_noticed(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def lend(self: SetupStore, session: str, _peers: object) -> None:
        self._db.write("UPDATE setup SET lent = ?", session)

    network = colleagues()
    voted(network)
    monkeypatch.setattr(SetupStore, "lend", lend)
    announced(network)
    announced(network)
    with pytest.raises(AssertionError, match="setup serves twice"):
        network.run()
    assert ledger.triples


def test_no_log_tells_of_a_key_or_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets: set[bytes] = set()

    def keep(self: SetupStore, maker: str, peer: bytes, name: bytes, setup: Setup, made: int) -> None:
        raw = setup.to_bytes()
        secrets.update(raw[at : at + KEY_BYTES] for at in range(0, len(raw), KEY_BYTES))
        honest_keep(self, maker, peer, name, setup, made)

    def begin(self: Journal, session: str, announce: bytes, now: int, seed: Seed, value: Ring) -> None:
        secrets.add(seed.expose())
        honest_open(self, session, announce, now, seed, value)

    honest_keep, honest_open = SetupStore.keep, Journal.open
    monkeypatch.setattr(SetupStore, "keep", keep)
    monkeypatch.setattr(Journal, "open", begin)
    structlog.reset_defaults()
    with structlog.testing.capture_logs() as logs:
        network = colleagues(seed=4)
        voted(network)
        network.faults = Faults(lose=0.1, delay=30, crash=0.01)
        voted(network)
        network.leaves = lambda sender, sent: "/masked-1/" not in sent.topic or sender != "carlos"
        announced(network, within=10_000)
        network.run()
    assert {"session joined", "session resumed", "session completed"} <= {each["event"] for each in logs}
    assert len(secrets) > 1000
    told = str(logs)
    assert not [each for each in secrets if each.hex() in told or repr(each)[2:-1] in told]


# -- many --------------------------------------------------------------------------------------------


def test_a_thousand_voters_of_whom_many_go_are_counted_by_a_committee_of_three() -> None:
    Electorate(1000, seed=1).hold()


def test_a_committee_counts_through_loss_and_crashes() -> None:
    schedule = Schedule(
        seed=1,
        inputs=PARTIES[3:],
        compute=PARTIES[:3],
        results=PARTIES[2:5],
        min_inputs=20,
        function="referendum",
        threshold="2/3",
        before="acquainted",
        lose=0.05,
        double=0.05,
        delay=50,
        operations=(Late("p7", 20_000), Crash(200, committed=True), Crash(300, committed=False)),
    )
    assert simulate(schedule) == "completed"


def test_twelve_who_all_vote_and_compute_end_in_the_right_answer() -> None:
    """The long form, `python -m tests.simulation`, has twenty."""
    assert simulate(everybody_computes(12)) == "completed"
