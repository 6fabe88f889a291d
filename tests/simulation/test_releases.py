"""An input goes into no two exact answers whose difference, or whose thresholds, would give it away."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from decimal import Decimal
from itertools import combinations
from pathlib import Path

import pytest

from party_node.journal import Decider, Made
from party_node.policy import Declared
from party_node.releases import Family
from party_node.roster import Roster
from protocol.dp.noise import Noise, Relation
from protocol.functionalities import Functionality
from protocol.functionalities.average import Average
from protocol.functionalities.histogram import Histogram
from protocol.functionalities.poll import Poll
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.messages import RefusalCode, Step
from protocol.states import Outcome, State
from tests.support.network import Faults, Network, exact

FOUR = ("alice", "bob", "carlos", "david")


def colleagues(
    names: tuple[str, ...] = FOUR,
    *,
    difference: int | None = None,
    value: str = "1",
    directory: Path | None = None,
) -> Network:
    """Nodes with the strict rule: never another exact answer, unless `difference` says otherwise."""
    network = Network({name: {"raise": value} for name in names}, directory=directory)
    network.limits = replace(network.limits, min_difference=difference)
    for name in names:
        network.nodes[name] = network.make(name)
    return network


def ran(
    network: Network, parties: tuple[str, ...], function: Functionality | None = None, **fields: object
) -> dict[str, Outcome]:
    """A session among these input parties, who are everything else as well if nothing is said."""
    roles = {"inputs": parties, "compute": parties, "results": parties} | fields
    session = network.announce(network.spec(function or Sum(), **roles))  # type: ignore[arg-type] # spec's own
    network.run()
    return network.outcomes(session)


def completed(outcomes: dict[str, Outcome]) -> bool:
    return all(outcome.state is State.COMPLETED for outcome in outcomes.values())


def refused(outcomes: dict[str, Outcome], name: str = "alice") -> str:
    """Why a party has refused; empty if not for that reason."""
    ending = outcomes[name].ending
    assert ending is not None
    return ending.detail if ending.reason is RefusalCode.DIFFERENCING else ""


# -- sets of people ----------------------------------------------------------------------------------


def test_an_answer_without_one_of_them_is_refused_and_nothing_but_the_refusal_leaves() -> None:
    network = colleagues()
    assert completed(ran(network, FOUR))
    before = len(network.tap)
    outcomes = ran(network, FOUR[:3])
    assert "this one may be 1 party apart, expected never with other parties" in refused(outcomes)
    steps = {sent.topic.split("/")[4] for sent in network.tap[before:] if sent.topic.split("/")[5] in FOUR}
    assert steps == {"refuse"}, "all three refuse"
    network.close()


def test_the_same_question_and_another_one_among_the_same_people_are_answered() -> None:
    network = colleagues()
    assert completed(ran(network, FOUR))
    assert completed(ran(network, FOUR))
    assert completed(ran(network, FOUR, Average()))
    assert completed(ran(network, tuple(reversed(FOUR)), Histogram(bins=2)))
    assert refused(ran(network, FOUR[:3], Average()))
    assert refused(ran(network, FOUR[:3], Histogram(bins=2)))
    network.close()


def test_a_changed_input_is_another_one_and_the_same_number_written_otherwise_is_not() -> None:
    network = colleagues(value="1.5")
    assert completed(ran(network, FOUR))
    for name in FOUR:
        network.inputs[name]["raise"] = "1.50"
    assert refused(ran(network, FOUR[:3]))
    for name in FOUR:
        network.inputs[name]["raise"] = "1.51"
    assert completed(ran(network, FOUR[:3]))
    network.close()


def test_two_inputs_with_the_same_value_are_two_inputs() -> None:
    """Two votes with the same ballot have nothing to do with each other."""
    network = Network({name: {"merge": "1", "move": "1"} for name in FOUR})
    network.limits = replace(network.limits, min_difference=None)
    network.nodes = {name: network.make(name) for name in network.nodes}
    assert completed(ran(network, FOUR, name="merge"))
    assert completed(ran(network, FOUR[:3], name="move"))
    network.close()


@pytest.mark.parametrize(("difference", "allowed"), [(1, {1, 2, 3}), (2, {2, 3}), (3, {3}), (4, set())])
def test_sets_that_differ_by_what_the_policy_names_are_answered(difference: int, allowed: set[int]) -> None:
    names = tuple("abcdef")
    for apart in (1, 2, 3):
        network = colleagues(names, difference=difference)
        assert completed(ran(network, names))
        assert completed(ran(network, names[: 6 - apart])) == (apart in allowed)
        network.close()


def test_a_set_that_may_shrink_to_the_refused_one_is_refused() -> None:
    network = colleagues()
    assert completed(ran(network, FOUR))
    assert "may be 1 party apart" in refused(ran(network, FOUR, min_inputs=3))
    network.close()


def test_whose_inputs_were_really_counted_is_what_counts() -> None:
    """David never came; alice, who computes, knows that the answer was among three."""
    network = colleagues()
    network.stop("david")
    outcomes = ran(network, FOUR, compute=FOUR[:3], results=FOUR[:3], min_inputs=3)
    assert outcomes["alice"].inputs == FOUR[:3]
    assert completed(ran(network, FOUR[:3]))
    network.start("david")
    assert "among 3 parties" in refused(ran(network, FOUR))
    network.close()


def test_who_does_not_compute_reckons_with_every_set_that_others_may_have_counted() -> None:
    network = colleagues()

    def tolerant() -> dict[str, Outcome]:
        return ran(network, FOUR, compute=("alice", "bob"), results=("alice",), min_inputs=3)

    assert completed(tolerant())
    release = network.journals["david"].releases.entries()[0]
    assert (release.parties, release.least) == (FOUR, 3)
    assert network.journals["alice"].releases.entries()[0].least == 4
    outcomes = tolerant()
    assert "among some of 4 parties" in refused(outcomes, "david")
    network.close()


def test_what_others_say_was_counted_binds_only_those_who_compute() -> None:
    network = colleagues()
    network.tamper = lambda to, sent: [] if "/share/carlos/" in sent.topic else [sent]
    outcomes = ran(network, FOUR, compute=("alice", "bob"), results=("alice",), min_inputs=3)
    assert outcomes["david"].inputs == ("alice", "bob", "david")
    releases = {name: network.journals[name].releases.entries()[0].parties for name in ("alice", "david")}
    assert releases == {"alice": ("alice", "bob", "david"), "david": FOUR}
    network.close()


def test_a_session_that_never_began_forbids_nothing_to_those_who_only_put_in() -> None:
    network = colleagues()
    network.stop("bob")
    assert not completed(ran(network, FOUR, compute=("alice", "bob"), results=("alice",)))
    assert network.journals["david"].releases.entries() == []
    network.close()


def test_a_session_that_opened_nothing_forbids_nothing() -> None:
    network = colleagues()
    network.tamper = lambda _to, sent: [] if "/share/david/" in sent.topic else [sent]
    assert not any(outcome.answer for outcome in ran(network, FOUR).values())
    network.tamper = lambda _to, sent: [sent]
    assert network.journals["alice"].releases.entries() == []
    assert completed(ran(network, FOUR[:3]))
    network.close()


def test_a_session_whose_reveals_may_be_out_forbids_as_one_that_was_answered() -> None:
    network = colleagues()
    network.tamper = lambda to, sent: [] if "/reveal/carlos/" in sent.topic and to == "alice" else [sent]
    ran(network, FOUR, results=("alice", "bob"))
    network.tamper = lambda _to, sent: [sent]
    assert [release.parties for release in network.journals["alice"].releases.entries()] == [FOUR]
    assert refused(ran(network, FOUR[:3]))
    network.close()


def test_two_sessions_at_once_do_not_both_find_the_ledger_empty() -> None:
    network = colleagues()
    network.faults = Faults(delay=0)  # everybody hears of them in the same order
    specs = [
        network.spec(Sum(), inputs=parties, compute=parties, results=parties) for parties in (FOUR, FOUR[:3])
    ]
    first, second = (network.announce(spec) for spec in specs)
    network.run()
    answered = [name for name in (first, second) if completed(network.outcomes(name, FOUR[:3]))]
    assert len(answered) == 1
    network.close()


def test_an_epsilon_without_limit_hides_nothing_and_is_treated_so() -> None:
    network = colleagues()
    function = Sum(lower=Decimal(0), upper=Decimal(10))
    noise = Noise(epsilon=2**53 - 1, sensitivity=1000, relation=Relation.REPLACE_ONE, colluders=1)
    assert completed(ran(network, FOUR, function, noise=noise))
    assert refused(ran(network, FOUR[:3], function, noise=noise))
    assert refused(ran(network, FOUR[:3]))
    assert completed(ran(network, FOUR))
    network.close()


def test_a_poll_without_a_budget_is_no_way_round_either() -> None:
    """The coins are new each time: asked often enough, they say what the truth is."""
    network = colleagues()
    assert completed(ran(network, FOUR, Poll()))
    assert refused(ran(network, FOUR[:3], Poll()))
    network.close()


def test_answers_that_cost_epsilon_go_by_their_budget() -> None:
    network = colleagues()
    for name in FOUR:
        network.declared[name] = {"raise": Declared(budget=10**10)}
        network.nodes[name] = network.make(name)
    function = Sum(lower=Decimal(0), upper=Decimal(10))
    noise = Noise(epsilon=10**9, sensitivity=1000, relation=Relation.REPLACE_ONE, colluders=1)
    assert completed(ran(network, FOUR))
    assert completed(ran(network, FOUR[:3], function, noise=noise))
    assert completed(ran(network, FOUR, function, noise=noise))
    assert len(network.journals["alice"].releases.entries()) == 1
    network.close()


# -- thresholds --------------------------------------------------------------------------------------


def test_a_sweep_of_thresholds_ends_after_the_first_one() -> None:
    network = colleagues()
    assert completed(ran(network, FOUR, Referendum(threshold="1")))
    for threshold in ("2", "3", "1/2", "4"):
        assert "thresholds one after the other" in refused(
            ran(network, FOUR, Referendum(threshold=threshold))
        )
    assert completed(ran(network, FOUR, Referendum(threshold="1")))
    assert completed(ran(network, FOUR, Referendum(threshold="1/4"))), "the same in other words"
    network.close()


@pytest.mark.parametrize("least", [4, 3])
def test_a_sweep_is_refused_however_far_apart_sets_may_be(least: int) -> None:
    """Also where sets may shrink, and so be the same ones: with two out of three or one out of two."""
    network = colleagues(difference=1)
    assert completed(ran(network, FOUR, Referendum(threshold="1"), min_inputs=least))
    for threshold in ("2", "1/2", "3/4"):
        assert refused(ran(network, FOUR, Referendum(threshold=threshold), min_inputs=least))
    network.close()


def test_a_session_that_is_given_up_after_its_reveal_forbids_as_before(tmp_path: Path) -> None:
    """Alice's machine is not replayed once bob is a stranger to her; what she has revealed is out."""
    network = colleagues(directory=tmp_path)
    network.tamper = lambda to, sent: [] if "/reveal/" in sent.topic and to == "alice" else [sent]
    session = network.announce(network.spec(Sum()))
    network.run(until=network.now + 3_000)
    assert network.outcomes(session)["bob"].answer is not None
    stranger = Roster({**network.roster.parties, "carlos": bytes(32)}, network.roster.coordinators)
    network.roster = stranger
    network.restart("alice")
    assert network.outcomes(session)["alice"].state is State.ABORTED
    (release,) = network.journals["alice"].releases.entries()
    assert (release.parties, release.least) == (FOUR, 4)
    network.close()


# -- what survives -----------------------------------------------------------------------------------


def test_the_ledger_survives_restarts(tmp_path: Path) -> None:
    network = colleagues(directory=tmp_path)
    assert completed(ran(network, FOUR))
    for name in FOUR:
        network.restart(name)
    assert refused(ran(network, FOUR[:3]))
    network.close()


def test_whenever_a_node_is_killed_what_may_have_been_opened_is_noted() -> None:
    """At every seventh action of all nodes, before its commit and after."""
    network = colleagues(FOUR[:3])
    ran(network, FOUR[:3])
    actions = network.actions
    network.close()
    for action, committed in ((a, c) for a in range(1, actions + 1, 7) for c in (False, True)):
        network = colleagues(FOUR[:3])
        network.crash_at[action] = committed
        if completed(ran(network, FOUR[:3])):
            assert refused(ran(network, FOUR[:2]))
        network.close()


def test_an_altered_entry_lets_nothing_exact_out(tmp_path: Path) -> None:
    network = colleagues(directory=tmp_path)
    assert completed(ran(network, FOUR))
    network.stop("alice")
    with sqlite3.connect(tmp_path / "alice" / "journal.sqlite") as database:
        database.execute("""UPDATE release SET parties = '["alice","bob","carlos"]', least = 3""")
    database.close()
    network.start("alice")
    outcomes = ran(network, FOUR[:3])
    ending = outcomes["alice"].ending
    assert ending is not None
    assert ending.reason is RefusalCode.POLICY
    assert "is not what was written" in ending.detail
    network.close()


def test_the_refusal_is_on_record() -> None:
    network = colleagues()
    assert completed(ran(network, FOUR))
    session = network.announce(network.spec(Sum(), inputs=FOUR[:3], compute=FOUR[:3], results=FOUR[:3]))
    network.run()
    decision = network.journals["alice"].decision(session)
    assert decision is not None
    assert (decision.made, decision.by, decision.code) == (Made.REFUSED, Decider.POLICY, "differencing")
    assert not network.journals["alice"].outbox(session) or {
        sent.step for sent in network.journals["alice"].outbox(session)
    } == {Step.REFUSE}
    network.close()


# -- how far families are apart ----------------------------------------------------------------------


def members(family: Family) -> list[frozenset[str]]:
    return [
        frozenset(chosen)
        for size in range(family.least, len(family.parties) + 1)
        for chosen in combinations(sorted(family.parties), size)
    ]


def test_the_distance_of_families_is_that_of_their_nearest_different_sets() -> None:
    """Against all pairs of all families of up to four of five."""
    everybody = "abcde"
    families = [
        Family(frozenset(parties), least)
        for size in range(1, 5)
        for parties in combinations(everybody, size)
        for least in range(1, size + 1)
    ]
    for one, other in combinations(families, 2):
        apart = min((len(a ^ b) for a in members(one) for b in members(other) if a != b), default=0)
        assert one.distance(other) == other.distance(one)
        assert one.distance(other) <= apart, "never said to be farther apart than they can be"
        if not set(members(one)) & set(members(other)):
            assert one.distance(other) == apart
    assert all(family.distance(family) == (0 if family.single else 1) for family in families)


def test_an_input_has_one_hash_under_one_key_alone() -> None:
    value, journals = exact("3800"), [colleagues(("a", "b", "c")).journals["a"] for _ in range(2)]
    network = colleagues()
    spec = network.spec(Sum())
    for journal in journals:
        assert journal.releases.reserve("0" * 64, spec, value, None, 1) is None
    tags = [journal._db.execute("SELECT content FROM release").fetchone()[0] for journal in journals]
    assert tags[0] != tags[1]
