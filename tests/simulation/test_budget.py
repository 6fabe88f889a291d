"""What a session costs is set aside as a node joins, spent with the first share, and never overspent."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest

from party_node.database import StorageError
from party_node.ledger import Account
from party_node.policy import Declared
from party_node.post import Publication
from protocol.dp.noise import Noise, Relation
from protocol.functionalities import Functionality
from protocol.functionalities.average import Average
from protocol.functionalities.poll import Poll
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.messages import AbortReason, RefusalCode, Step
from protocol.spec import SessionSpec
from protocol.states import Ending, Outcome, State
from tests.simulation.judge import check_letters
from tests.support.network import COORDINATOR, Faults, Network

NANO = 10**9
HALF = NANO // 2
LN_3 = 1_098_612_289
TRIO: dict[str, str | list[str]] = {"alice": "3800", "bob": "2514", "carlos": "2982"}
SUM = Sum(lower=Decimal(0), upper=Decimal(10_000))


def colleagues(
    budgets: dict[str, int] | None = None, values: dict[str, str | list[str]] = TRIO, **given: object
) -> Network:
    """Parties with a raise each, of which some have a budget, in nano-ε."""
    network = Network({name: {"raise": value} for name, value in values.items()}, **given)  # type: ignore[arg-type] # the network's own
    for name, budget in (budgets or {}).items():
        network.declared[name] = {"raise": Declared(budget=budget)}
        network.nodes[name] = network.make(name)
    return network


def private(
    network: Network, nano: int = HALF, function: Functionality = SUM, **fields: object
) -> SessionSpec:
    """A session with noise, that each input pays `nano` for."""
    relation = Relation.REPLACE_ONE
    noise = Noise(epsilon=nano, sensitivity=function.sensitivity(relation), relation=relation, colluders=1)
    return network.spec(function, noise=noise, **fields)  # type: ignore[arg-type] # the network's own


def ran(network: Network, spec: SessionSpec) -> dict[str, Outcome]:
    session = network.announce(spec)
    network.run()
    return network.outcomes(session)


def states(outcomes: dict[str, Outcome]) -> dict[str, State]:
    return {name: outcome.state for name, outcome in outcomes.items()}


def ending(outcome: Outcome) -> Ending:
    assert outcome.ending is not None
    return outcome.ending


def account(network: Network, name: str) -> Account:
    return network.journals[name].ledger.account("raise")


def events(network: Network, name: str) -> list[str]:
    return [str(entry.event) for entry in network.journals[name].ledger.entries()]


def sent_by(network: Network, name: str, step: Step) -> list[Publication]:
    return [sent for sent in network.tap if sent.topic.split("/")[4:6] == [step, name]]


def assert_completed(outcomes: dict[str, Outcome]) -> None:
    assert set(states(outcomes).values()) == {State.COMPLETED}


# -- what a session costs ----------------------------------------------------------------------------


def test_two_sessions_cost_the_sum_of_both() -> None:
    network = colleagues()
    assert_completed(ran(network, private(network, 100_000_000)))
    assert_completed(ran(network, private(network, 200_000_001)))
    for name in TRIO:
        assert account(network, name) == Account(spent=300_000_001, reserved=0)
        assert events(network, name) == ["reserved", "spent"] * 2


def test_a_poll_costs_each_respondent_the_logarithm_of_three() -> None:
    network = colleagues(values=dict.fromkeys(TRIO, "1"))
    assert_completed(ran(network, network.spec(Poll())))
    assert {account(network, name) for name in TRIO} == {Account(LN_3, 0)}


def test_a_referendum_with_noise_costs_what_it_says() -> None:
    network = colleagues(values=dict.fromkeys(TRIO, "1"))
    assert_completed(ran(network, private(network, HALF, Referendum(threshold="1/2"))))
    assert {account(network, name) for name in TRIO} == {Account(HALF, 0)}


def test_an_exact_session_is_not_entered() -> None:
    network = colleagues({"alice": 1})
    assert_completed(ran(network, network.spec(Average())))
    assert [events(network, name) for name in TRIO] == [[], [], []]


def test_who_only_computes_or_only_learns_the_answer_spends_nothing() -> None:
    network = colleagues({"carlos": 1}, others=("vera",))
    spec = private(network, inputs=("alice", "bob"), compute=("alice", "carlos"), results=("vera",))
    assert_completed(ran(network, spec))
    assert {name: events(network, name) for name in (*TRIO, "vera", COORDINATOR)} == {
        "alice": ["reserved", "spent"],
        "bob": ["reserved", "spent"],
        "carlos": [],
        "vera": [],
        COORDINATOR: [],
    }


def test_a_session_that_is_announced_a_hundred_times_is_one_spend_and_the_same_bytes() -> None:
    network = colleagues(dict.fromkeys(TRIO, HALF))
    session = network.announce(private(network))
    (announcement,) = network.tap
    for time in range(100):
        network.publish(COORDINATOR, announcement)
        if time % 10 == 0:
            network.restart(network.names[time // 10 % 3])
        network.run(until=network.now + 3)
    network.run()
    check_letters(network.tap)
    assert_completed(network.outcomes(session))
    assert [events(network, name) for name in TRIO] == [["reserved", "spent"]] * 3


# -- budgets -----------------------------------------------------------------------------------------


def test_an_exhausted_budget_is_refused_with_the_sum_and_nothing_is_sent() -> None:
    network = colleagues({"bob": 1_200_000_000})
    for _ in range(2):
        assert_completed(ran(network, private(network)))
    before = len(network.tap)
    outcomes = ran(network, private(network))
    refused = ending(outcomes["bob"])
    assert (outcomes["bob"].state, refused.reason) == (State.REFUSED, RefusalCode.POLICY)
    assert refused.detail.startswith("0.5 on top of 1 spent on raise is 1.5, the budget is 1.2 (")
    assert ending(outcomes["alice"]).detail == "bob refused (policy)"
    assert not [sent for sent in network.tap[before:] if "/share/" in sent.topic]
    assert account(network, "bob") == Account(2 * HALF, 0)
    assert account(network, "alice") == Account(2 * HALF, 0), "what was set aside for it is free again"
    assert events(network, "alice")[-2:] == ["reserved", "released"]


def test_an_input_is_not_read_for_a_session_that_the_budget_has_no_room_for() -> None:
    network = colleagues({"bob": HALF - 1})
    network.inputs["bob"] = {}
    assert ran(network, private(network))["bob"].state is State.REFUSED


def test_what_became_too_much_while_the_input_was_read_is_refused_then() -> None:
    """Two sessions are announced before either has its input: there is room for one."""
    network = colleagues({"bob": HALF})
    load = network._load
    network._load = lambda name: None  # type: ignore[method-assign] # a slow query
    sessions = [network.announce(private(network)) for _ in range(2)]
    network.run(until=network.now + 10)
    assert len(network.nodes["bob"].wanted) == 2
    network._load = load  # type: ignore[method-assign] # and its end
    for name in TRIO:
        network.flush(name)
    network.run()
    found = Counter(network.outcomes(session)["bob"].state for session in sessions)
    assert found == {State.COMPLETED: 1, State.REFUSED: 1}
    assert account(network, "bob") == Account(HALF, 0)


def test_the_last_nano_can_be_spent_and_not_one_more() -> None:
    network = colleagues({"alice": HALF + 1})
    assert_completed(ran(network, private(network)))
    assert ran(network, private(network, 2))["alice"].state is State.REFUSED
    assert_completed(ran(network, private(network, 1)))


def test_as_many_of_fifty_sessions_at_once_complete_as_fit_into_the_last_epsilon() -> None:
    pair = {name: TRIO[name] for name in ("alice", "bob")}
    network = colleagues({"alice": NANO}, pair, faults=Faults(delay=40))
    sessions = [network.announce(private(network, NANO // 10)) for _ in range(50)]
    network.run()
    found = Counter(network.outcomes(session)["alice"].state for session in sessions)
    assert found == {State.COMPLETED: 10, State.REFUSED: 40}
    assert account(network, "alice") == account(network, "bob") == Account(NANO, 0)
    shared = {sent.topic.split("/")[3] for name in pair for sent in sent_by(network, name, Step.SHARE)}
    assert len(shared) == 10


@pytest.mark.parametrize("seed", range(3))
def test_whoever_comes_first_where_nobodys_budget_pays_for_all_nobody_overspends(seed: int) -> None:
    budgets = {"alice": NANO, "bob": NANO, "carlos": NANO // 2}
    network = colleagues(budgets, faults=Faults(delay=60, double=0.2, crash=0.02), seed=seed)
    sessions = [network.announce(private(network, NANO // 10)) for _ in range(20)]
    network.run()
    completed = [
        session
        for session in sessions
        if set(states(network.outcomes(session)).values()) == {State.COMPLETED}
    ]
    for name, budget in budgets.items():
        found = account(network, name)
        assert (found.reserved, found.spent <= budget) == (0, True), f"{name}: {found}"
        assert found.spent >= len(completed) * NANO // 10
    check_letters(network.tap)


# -- what is given back ------------------------------------------------------------------------------


def test_what_is_set_aside_while_others_are_awaited_counts() -> None:
    network = colleagues({"alice": HALF})
    network.stop("carlos")
    network.announce(private(network))
    network.run(until=network.now + 100)
    assert account(network, "alice") == Account(0, HALF)
    session = network.announce(private(network, 1, compute=("alice", "bob"), results=("bob",), min_inputs=2))
    network.run(until=network.now + 100)
    refused = ending(network.outcomes(session)["alice"])
    assert "0.000000001 on top of 0 spent and 0.5 reserved on raise is 0.500000001" in refused.detail


def test_a_session_that_never_begins_gives_back_what_was_set_aside() -> None:
    network = colleagues({"alice": HALF})
    network.stop("carlos")
    outcomes = ran(network, private(network))
    assert ending(outcomes["alice"]).reason is AbortReason.NEVER_JOINED
    assert events(network, "alice") == events(network, "bob") == ["reserved", "released"]
    network.start("carlos")
    assert_completed(ran(network, private(network)))


def test_who_is_left_out_spends_nothing() -> None:
    network = colleagues()
    network.tamper = lambda to, sent: [] if "/join/alice/" in sent.topic else [sent]
    pair = ("bob", "carlos")
    outcomes = ran(network, private(network, compute=pair, results=pair, min_inputs=2))
    assert ending(outcomes["alice"]).reason is AbortReason.LEFT_OUT
    assert events(network, "alice") == ["reserved", "released"]
    assert events(network, "bob") == ["reserved", "spent"]


def test_a_node_that_is_down_when_its_session_ends_gives_back_what_was_set_aside_when_it_is_back(
    tmp_path: Path,
) -> None:
    network = colleagues({"alice": HALF}, directory=tmp_path)
    network.stop("carlos")
    network.announce(private(network))
    network.run(until=network.now + 100)
    network.stop("alice")
    network.now += 3_600_000
    network.start("alice")
    network.run()
    assert events(network, "alice") == ["reserved", "released"]
    network.close()


def test_a_session_aborted_after_the_shares_were_sent_stays_spent() -> None:
    network = colleagues({"alice": HALF})
    network.leaves = lambda sender, sent: sender != "carlos" or "/share/" not in sent.topic
    outcomes = ran(network, private(network))
    assert {outcome.state for outcome in outcomes.values()} == {State.ABORTED}
    assert sent_by(network, "alice", Step.SHARE)
    assert account(network, "alice") == Account(HALF, 0)
    assert ran(network, private(network, 1))["alice"].state is State.REFUSED


def test_what_was_stored_and_never_sent_stays_spent_too() -> None:
    """Whether a letter has left after the commit nobody can know."""
    network = colleagues({"alice": HALF})
    network.leaves = lambda sender, sent: sender != "alice" or "/share/" not in sent.topic
    outcomes = ran(network, private(network))
    assert {outcome.state for outcome in outcomes.values()} == {State.ABORTED}
    assert not sent_by(network, "alice", Step.SHARE)
    assert events(network, "alice") == ["reserved", "spent"]


def test_a_session_that_has_lost_its_input_before_it_shared_it_gives_back(tmp_path: Path) -> None:
    """No letter with a part of it was ever stored, so none can have left."""
    function = Sum(lower=Decimal(0), upper=Decimal(10), length=9000)
    lists: dict[str, str | list[str]] = dict.fromkeys(TRIO, ["1"] * 9000)
    network = colleagues({"alice": HALF}, lists, directory=tmp_path)
    network.stop("carlos")
    session = network.announce(private(network, function=function))
    network.run(until=network.now + 100)
    network.stop("alice")
    (tmp_path / "alice" / "spool" / session / "input").unlink()
    network.start("alice")
    network.run()
    (outcome,) = network.outcomes(session, ("alice",)).values()
    assert ending(outcome).reason is AbortReason.LOST_STATE
    assert events(network, "alice") == ["reserved", "released"]
    network.close()


# -- a damaged ledger --------------------------------------------------------------------------------


def anchor_of(directory: Path, name: str) -> Path:
    return directory / name / "ledger.anchor"


def test_an_old_ledger_put_back_refuses_whatever_costs_epsilon_and_nothing_else(tmp_path: Path) -> None:
    network = colleagues({"alice": 3 * HALF}, directory=tmp_path)
    file = tmp_path / "alice" / "journal.sqlite"
    assert_completed(ran(network, private(network)))
    network.stop("alice")
    copy = file.read_bytes()
    network.start("alice")
    assert_completed(ran(network, private(network)))
    network.stop("alice")
    file.write_bytes(copy)
    network.start("alice")
    before = len(network.tap)
    outcomes = ran(network, private(network))
    refused = ending(outcomes["alice"])
    assert (outcomes["alice"].state, refused.reason) == (State.REFUSED, RefusalCode.POLICY)
    assert f"{file}: a ledger of 2 entries, {anchor_of(tmp_path, 'alice')} has seen 4" in refused.detail
    assert not [sent for sent in network.tap[before:] if "/share/" in sent.topic]
    assert (
        ran(network, private(network, compute=("alice", "bob"), inputs=("bob", "carlos")))["alice"].state
        is State.REFUSED
    )
    assert_completed(ran(network, network.spec(Average())))
    assert not any("ledger" in str(sent.payload) for sent in network.tap), "the detail is our own"
    network.close()


def held_back(network: Network, step: Step) -> SessionSpec:
    """A session that alice, who does not lead, gets no letter of this step of."""
    network.tamper = lambda to, sent: [] if to == "alice" and f"/{step}/" in sent.topic else [sent]
    return private(network, compute=("bob", "alice", "carlos"))


def restarted_with_damage(network: Network, directory: Path) -> None:
    """alice's node stops, its anchor is lost, and it starts again."""
    network.run(until=network.now + 200)
    network.stop("alice")
    anchor_of(directory, "alice").unlink()
    network.tamper = lambda _to, sent: [sent]
    network.start("alice")
    network.run()


def test_a_session_that_has_not_shared_yet_ends_if_the_ledger_is_damaged(tmp_path: Path) -> None:
    network = colleagues(directory=tmp_path)
    session = network.announce(held_back(network, Step.BEGIN))
    restarted_with_damage(network, tmp_path)
    outcomes = network.outcomes(session)
    assert ending(outcomes["alice"]).reason is AbortReason.LOST_STATE
    assert (
        ending(outcomes["bob"]).detail
        == "the ledger of alice is damaged, and none of its shares has been sent"
    )
    assert not sent_by(network, "alice", Step.SHARE)
    assert not sent_by(network, "alice", Step.REVEAL)
    assert events(network, "alice") == ["reserved"], "a damaged ledger is left as it is"
    network.close()


def test_a_session_that_has_shared_goes_on_with_the_same_bytes_if_the_ledger_is_damaged(
    tmp_path: Path,
) -> None:
    """Nothing more is spent by it, and what has left has left."""
    network = colleagues(directory=tmp_path)
    session = network.announce(held_back(network, Step.RECEIVED))
    restarted_with_damage(network, tmp_path)
    assert_completed(network.outcomes(session))
    check_letters(network.tap)
    assert events(network, "alice") == ["reserved", "spent"]
    network.close()


def test_what_was_reserved_comes_back_once_a_damaged_ledger_is_repaired(tmp_path: Path) -> None:
    network = colleagues(directory=tmp_path)
    network.announce(held_back(network, Step.BEGIN))
    network.run(until=network.now + 200)
    network.stop("alice")
    anchor = anchor_of(tmp_path, "alice")
    right = anchor.read_bytes()
    anchor.unlink()
    network.tamper = lambda _to, sent: [sent]
    network.start("alice")
    network.run()
    network.stop("alice")
    anchor.write_bytes(right)
    network.start("alice")
    assert events(network, "alice") == ["reserved", "released"]
    network.close()


def test_the_end_that_was_said_before_there_was_a_link_is_told_to_whoever_asks(tmp_path: Path) -> None:
    """Or the others would wait, share and pay for a session that is over."""
    network = colleagues(directory=tmp_path)
    session = network.announce(held_back(network, Step.BEGIN))
    network.run(until=network.now + 200)
    network.stop("alice")
    anchor_of(tmp_path, "alice").unlink()
    network.tamper = lambda _to, sent: [sent]
    network.start("alice")
    assert not sent_by(network, "alice", Step.ABORT)
    network.run(until=network.now + 2_000)
    assert ending(network.outcomes(session)["bob"]).reason is AbortReason.LOST_STATE
    network.close()


def test_an_exact_session_goes_on_beside_a_damaged_ledger(tmp_path: Path) -> None:
    network = colleagues(directory=tmp_path)
    assert_completed(ran(network, private(network)))
    network.tamper = lambda to, sent: [] if to == "alice" and "/begin/" in sent.topic else [sent]
    session = network.announce(network.spec(Average(), compute=("bob", "alice", "carlos")))
    restarted_with_damage(network, tmp_path)
    assert_completed(network.outcomes(session))
    network.close()


# -- a full disk -------------------------------------------------------------------------------------


def failure(network: Network) -> StorageError | None:
    """What ends alice's node before the network comes to rest."""
    try:
        network.run(until=network.now + 50_000)
    except StorageError as error:
        return error
    return None


def survives(network: Network, relieve: Callable[[], None]) -> bool:
    """Run a session until alice's disk is full, then make room; whether it was full at all.

    What alice has published by then is stored, and is what she publishes when she goes on.
    """
    session = network.announce(private(network))
    full = failure(network)
    if full is not None:
        assert full.message.startswith(f"{network._directory}/alice/journal.sqlite: ")
        assert full.hint.startswith("nothing has left that is not stored; make room")
        with suppress(StorageError):
            assert network.nodes["alice"].commit() == []
        relieve()
        network.restart("alice")
        kept = {(sent.step, sent.payload) for sent in network.journals["alice"].outbox(session)}
        for step in (Step.JOIN, Step.SHARE):
            assert {(str(step), sent.payload) for sent in sent_by(network, "alice", step)} <= kept
        network.run()
    assert_completed(network.outcomes(session))
    check_letters(network.tap)
    assert events(network, "alice") == ["reserved", "spent"]
    return full is not None


def test_a_full_database_loses_nothing_and_sends_nothing_that_is_not_stored(tmp_path: Path) -> None:
    """Full after so many pages more, from none to all that a session needs."""
    for room in range(100):
        (tmp_path / str(room)).mkdir()
        network = colleagues({"alice": HALF}, directory=tmp_path / str(room), seed=room)
        database = network.journals["alice"]._db
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {pages + room}")
        full = survives(network, lambda: None)  # another process has no such limit
        network.close()
        if not full:
            break
    assert 5 < room < 99


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory in which alice's is a file system of two megabytes, where that can be had."""
    (tmp_path / "alice").mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path / "alice")]
    if subprocess.run(options, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk; the full database has been tested")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path / "alice")], check=True)


@pytest.mark.parametrize("pages", range(0, 40, 3))
def test_a_full_disk_loses_nothing_and_sends_nothing_that_is_not_stored(small_disk: Path, pages: int) -> None:
    network = colleagues({"alice": HALF}, directory=small_disk)
    network.restart("alice")  # which makes the anchor, as a daemon does
    filler = small_disk / "alice" / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    os.truncate(filler, max(filler.stat().st_size - 4096 * pages, 0))
    assert survives(network, filler.unlink) or pages > 20
    network.close()
