"""What one session leaves for the next serves where both sides name it, and only there."""

from collections import Counter

import pytest

from protocol.bits import Bits
from protocol.correlation import ChoiceKeys, PairKeys
from protocol.messages import Join, Masked, Opened, Step
from protocol.rounds import Setups
from protocol.states import State
from tests.support.ballots import (
    MANY,
    TRIO,
    YES,
    kept,
    many,
    parts_of,
    stages,
    trio,
    vote,
    vote_spec,
    without,
)
from tests.support.sessions import Table, losing

PAIRS = {frozenset(pair) for pair in [("alice", "bob"), ("alice", "carlos"), ("bob", "carlos")]}


@pytest.fixture(scope="module")
def first() -> Table:
    """A session of strangers."""
    return trio("first").deliver()


def met_anew(table: Table) -> set[frozenset[str]]:
    """The pairs that made base transfers."""
    points = [part.header for part in parts_of(table, Step.CORRELATE) if part.header.round == 1]
    return {frozenset((header.sender, header.to)) for header in points}


def right(table: Table) -> None:
    """Everybody has the answer, so that the triples were right."""
    assert table.texts() == dict.fromkeys(table.spec.results, "YES")


def named(table: Table) -> dict[str, dict[str, tuple[bytes, ...]]]:
    """The setups that each party's join names."""
    return {part.header.sender: Join.decode(part.body).setups for part in parts_of(table, Step.JOIN)}


# -- making and keeping ------------------------------------------------------------------------------


def test_strangers_make_base_transfers_and_both_keep_their_half_under_one_id(first: Table) -> None:
    right(first)
    assert met_anew(first) == PAIRS
    found = kept(first)
    for one, other in map(sorted, PAIRS):
        (mine,), (theirs,) = found[one][other].items(), found[other][one].items()
        assert mine[0] == theirs[0]
        assert len(mine[0]) == 16
        assert {type(mine[1]), type(theirs[1])} == {PairKeys, ChoiceKeys}
    ids = Counter(name for peers in found.values() for each in peers.values() for name in each)
    assert set(ids.values()) == {2}, "no two pairs share an id"


def test_the_two_halves_of_a_setup_belong_together(first: Table) -> None:
    found = kept(first)
    for one, other in map(sorted, PAIRS):
        halves = [next(iter(found[name][peer].values())) for name, peer in ((one, other), (other, one))]
        (pairs,) = [each for each in halves if isinstance(each, PairKeys)]
        (chosen,) = [each for each in halves if isinstance(each, ChoiceKeys)]
        bits = Bits.from_bytes(chosen.choices, 128).to_bools()
        columns = pairs.column(0), pairs.column(1)
        assert chosen.keys() == [columns[int(bit)][at] for at, bit in enumerate(bits)]


def test_new_setups_are_handed_out_once(first: Table) -> None:
    assert {name: len(made) for name, made in first.made.items()} == dict.fromkeys(TRIO, 2)
    for each in first.sessions.values():
        assert each.new_setups() == []


def test_a_linear_session_and_one_without_rounds_make_no_setups() -> None:
    assert not any(Table().start().deliver().made.values())
    lone = vote({"ivy": 1}, vote_spec("1", ("ivy",), ("carl", "cora"), ("rosa",))).deliver()
    assert not any(lone.made.values())


def test_a_session_that_is_aborted_later_still_leaves_its_setups() -> None:
    table = trio("aborted", wire=losing(Step.MASKED, "bob")).run()
    assert {each.state for each in table.sessions.values()} == {State.ABORTED}
    again = trio("after", kept(table)).deliver()
    right(again)
    assert met_anew(again) == set()


# -- using again -------------------------------------------------------------------------------------


def test_each_session_leaves_the_next_its_setups_and_no_two_have_a_key_in_common(first: Table) -> None:
    tables = [first]
    for label in ("second", "third", "fourth"):
        tables.append(trio(label, kept(tables[-1])).deliver())
        right(tables[-1])
        assert met_anew(tables[-1]) == set()
        letters = stages(tables[-1])
        assert letters.count("correlate-2") == letters.count("correlate-3") == len(PAIRS)
    every = [kept(table) for table in tables]
    kinds = [type(next(iter(found["alice"]["bob"].values()))) for found in every]
    assert kinds[0] is not kinds[1], "who chose in one session offers in the next"
    assert kinds[2:] == kinds[:2]
    raw = [
        setup.to_bytes()
        for found in every
        for peers in found.values()
        for each in peers.values()
        for setup in each.values()
        if isinstance(setup, PairKeys)
    ]
    keys = [each[at : at + 16] for each in raw for at in range(0, len(each), 16)]
    assert len(set(keys)) == len(keys) == 4 * len(PAIRS) * 256


def test_a_session_with_setups_takes_fewer_bytes_than_one_among_strangers(first: Table) -> None:
    sizes = [
        sum(len(part.body) for part in parts_of(table, Step.CORRELATE))
        for table in (first, trio("later", kept(first)).deliver())
    ]
    assert sizes[1] < sizes[0] / 3


@pytest.mark.parametrize("compute", [("carlos", "bob", "alice"), ("bob", "alice"), ("carlos", "alice")])
def test_a_setup_serves_in_another_order_of_the_compute_parties(
    first: Table, compute: tuple[str, ...]
) -> None:
    """The half that one holds, and not its place in the list, says which part it plays."""
    spec = vote_spec("1/1", TRIO, compute, TRIO, label="reordered")
    later = vote(YES, spec, setups=kept(first)).deliver()
    right(later)
    assert met_anew(later) == set()


@pytest.mark.parametrize("loser", ["alice", "carlos"])
def test_a_setup_that_only_one_side_has_is_not_used(first: Table, loser: str) -> None:
    peer = {"alice": "carlos", "carlos": "alice"}[loser]
    table = trio("lost", without(kept(first), (loser, peer))).deliver()
    right(table)
    assert peer not in named(table)[loser]
    assert loser in named(table)[peer]
    assert met_anew(table) == {frozenset(("alice", "carlos"))}
    healed = trio("healed", kept(table)).deliver()
    right(healed)
    assert met_anew(healed) == set()


def test_sides_that_kept_different_setups_fall_back_to_fresh_base_transfers(first: Table) -> None:
    second = trio("second").deliver()
    mixed = kept(first)
    mixed["alice"] = kept(second)["alice"]
    table = trio("mixed", mixed).deliver()
    right(table)
    assert met_anew(table) == {pair for pair in PAIRS if "alice" in pair}


def test_of_several_setups_one_that_both_have_is_used_whatever_else_they_name(first: Table) -> None:
    second, third = (trio(label).deliver() for label in ("second", "third"))
    several = kept(first, second, third)
    several["bob"] = kept(first)["bob"]  # who keeps the oldest alone
    assert [len(ids) for ids in several["alice"].values()] == [3, 3]
    table = trio("several", several).deliver()
    right(table)
    assert met_anew(table) == set()


def test_the_newest_of_the_setups_that_both_have_is_used(first: Table) -> None:
    second = trio("second").deliver()
    both = kept(first, second)
    assert list(both["alice"]["bob"]) == [*kept(second)["alice"]["bob"], *kept(first)["alice"]["bob"]]
    broken = kept(first)["alice"]["bob"]
    for name in broken:  # the older one is spoilt at one side: were it used, the triples would be wrong
        both["alice"]["bob"][name] = PairKeys(bytes(4096))
    right(trio("both", both).deliver())


def test_a_peer_that_names_setups_that_never_were_gets_fresh_ones() -> None:
    invented = {bytes([number]) * 16: PairKeys(bytes(4096)) for number in (7, 8)}
    table = trio("claims", {"bob": {"alice": {**invented}, "carlos": {**invented}, "eve": {**invented}}})
    right(table.deliver())
    assert named(table)["bob"] == dict.fromkeys(("alice", "carlos", "eve"), tuple(invented))
    assert met_anew(table) == PAIRS


def test_setups_are_named_for_compute_parties_alone(first: Table) -> None:
    spec = vote_spec("1/1", TRIO, ("alice", "bob"), TRIO, label="two")
    setups: dict[str, Setups] = {name: {**peers} for name, peers in kept(first).items()}
    table = vote(YES, spec, setups=setups).deliver()
    right(table)
    assert named(table)["carlos"] == {}


# -- nothing twice -----------------------------------------------------------------------------------


def test_sessions_with_the_same_setups_and_ballots_open_unrelated_bits() -> None:
    """What is opened is masked by triples of its own session, and by each of them once."""
    setups = kept(vote(dict.fromkeys(MANY, 1), many("strangers")).deliver())
    opened: list[bytes] = []
    for number in range(5):
        table = vote(dict.fromkeys(MANY, 1), many(f"{number}"), setups=setups).deliver()
        assert met_anew(table) == set()
        opened += [Masked.decode(part.body).bits for part in parts_of(table, Step.MASKED)]
        opened += [Opened.decode(part.body).bits for part in parts_of(table, Step.OPENED)]
    long = [raw for raw in opened if len(raw) > 7]
    assert len(set(long)) == len(long) >= 20
    ones = [int.from_bytes(raw, "little").bit_count() / (8 * len(raw)) for raw in long]
    assert 0.4 < sum(ones) / len(ones) < 0.6
