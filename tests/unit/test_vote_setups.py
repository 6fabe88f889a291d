"""What one session leaves for the next serves where both sides name it, and only there; the
same arrivals give the same letters, and nothing secret can be seen of what is kept."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.beaver import Triples
from protocol.bits import Bits
from protocol.correlation import ChoiceKeys, PairKeys
from protocol.letters import Part
from protocol.messages import Join, Masked, Opened, Step
from protocol.rounds import Setups
from protocol.sealed import Outgoing
from protocol.spec import SessionSpec
from protocol.states import State
from tests.support.ballots import TRIO, Kept, kept, parts_of, retelling, stages, vote, vote_spec
from tests.support.sessions import Table, Wire, losing, repeatable, sealing_key

PAIRS = {frozenset(pair) for pair in [("alice", "bob"), ("alice", "carlos"), ("bob", "carlos")]}
YES = dict.fromkeys(TRIO, 1)


def session(label: str, setups: Kept | None = None, wire: Wire = lambda _reader, part: [part]) -> Table:
    """Three who know each other or not, in a session of this name."""
    return vote(YES, vote_spec("1/1", TRIO, label=label), wire, setups)


@pytest.fixture(scope="module")
def first() -> Table:
    """A session of strangers."""
    return session("first").deliver()


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


def without(kept_by_all: Kept, *pairs: tuple[str, str]) -> Kept:
    """What is left when some parties have lost what they kept of some peers."""
    return {
        name: {peer: dict(ids) for peer, ids in peers.items() if (name, peer) not in pairs}
        for name, peers in kept_by_all.items()
    }


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
    table = session("aborted", wire=losing(Step.MASKED, "bob")).run()
    assert {each.state for each in table.sessions.values()} == {State.ABORTED}
    again = session("after", kept(table)).deliver()
    right(again)
    assert met_anew(again) == set()


# -- using again -------------------------------------------------------------------------------------


def test_each_session_leaves_the_next_its_setups_and_no_two_have_a_key_in_common(first: Table) -> None:
    tables = [first]
    for label in ("second", "third", "fourth"):
        tables.append(session(label, kept(tables[-1])).deliver())
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
        for table in (first, session("later", kept(first)).deliver())
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
    table = session("lost", without(kept(first), (loser, peer))).deliver()
    right(table)
    assert peer not in named(table)[loser]
    assert loser in named(table)[peer]
    assert met_anew(table) == {frozenset(("alice", "carlos"))}
    healed = session("healed", kept(table)).deliver()
    right(healed)
    assert met_anew(healed) == set()


def test_sides_that_kept_different_setups_fall_back_to_fresh_base_transfers(first: Table) -> None:
    second = session("second").deliver()
    mixed = kept(first)
    mixed["alice"] = kept(second)["alice"]
    table = session("mixed", mixed).deliver()
    right(table)
    assert met_anew(table) == {pair for pair in PAIRS if "alice" in pair}


def test_of_several_setups_one_that_both_have_is_used_whatever_else_they_name(first: Table) -> None:
    second, third = (session(label).deliver() for label in ("second", "third"))
    several = kept(first, second, third)
    several["bob"] = kept(first)["bob"]  # who keeps the oldest alone
    assert [len(ids) for ids in several["alice"].values()] == [3, 3]
    table = session("several", several).deliver()
    right(table)
    assert met_anew(table) == set()


def test_the_newest_of_the_setups_that_both_have_is_used(first: Table) -> None:
    second = session("second").deliver()
    both = kept(first, second)
    assert list(both["alice"]["bob"]) == [*kept(second)["alice"]["bob"], *kept(first)["alice"]["bob"]]
    broken = kept(first)["alice"]["bob"]
    for name in broken:  # the older one is spoilt at one side: were it used, the triples would be wrong
        both["alice"]["bob"][name] = PairKeys(bytes(4096))
    right(session("both", both).deliver())


def test_a_peer_that_names_setups_that_never_were_gets_fresh_ones() -> None:
    invented = {bytes([number]) * 16: PairKeys(bytes(4096)) for number in (7, 8)}
    table = session("claims", {"bob": {"alice": {**invented}, "carlos": {**invented}, "eve": {**invented}}})
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


MANY = tuple(f"voter-{number}" for number in range(130))


def many(label: str) -> SessionSpec:
    """So many ballots that no two rounds open the same bits by chance."""
    return vote_spec("1/2", MANY, ("carl", "cora"), ("rosa",), label=label)


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


# -- purity ------------------------------------------------------------------------------------------

FOUR = vote_spec("2/3")
SPARING = vote_spec("2/3", compute=TRIO, results=TRIO, min_inputs=2)
LIE = retelling(Masked, Step.MASKED, "bob", {"bits": b""}, round_=1)
BALLOTS = {"alice": 1, "bob": 1, "carlos": 0, "david": 1}
RUNS: dict[str, Callable[[Kept], Table]] = {
    "strangers": lambda _: vote(BALLOTS, FOUR).run(),
    "acquainted": lambda setups: session("again", setups).run(),
    "one forgot": lambda setups: session("forgot", without(setups, ("alice", "bob"))).run(),
    "dropout": lambda _: vote(BALLOTS, SPARING, losing(Step.SHARE, "david", "bob")).run(),
    "silence": lambda setups: session("silence", setups, losing(Step.OPENED, "alice", "carlos")).run(),
    "lie": lambda setups: session("lie", setups, LIE).run(),
}


def bytes_of(letters: list[Outgoing]) -> list[tuple[object, ...]]:
    """Letters as bytes, with the seeds in the open."""
    return [
        (each.stage, each.to, each.body, each.recipients, each.seed and each.seed.expose(), each.view)
        for each in letters
    ]


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_the_same_arrivals_give_the_same_letters_and_setups_byte_by_byte(
    run: Callable[[Kept], Table], first: Table
) -> None:
    table = run(kept(first))
    for name in table.sessions:
        again, sent, made = table.fresh(name), [], []
        sent += again.join(sealing_key(name), table.spec.created)
        for at, part in table.arrivals[name]:
            sent += again.tick(at) if part is None else again.receive(part, at)
            made += again.new_setups()
        assert bytes_of(sent) == bytes_of([each for sender, each in table.letters if sender == name])
        assert made == table.made.get(name, [])
        assert (again.state, again.outcome.ending) == (table.outcome(name).state, table.outcome(name).ending)


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_everything_doubled_is_harmless(run: Callable[[Kept], Table], first: Table) -> None:
    table = run(kept(first))
    for name, each in table.sessions.items():
        again, sent = table.fresh(name), []
        sent += again.join(sealing_key(name), table.spec.created)
        for at, part in table.arrivals[name]:
            for _ in range(2):
                sent += again.tick(at) if part is None else again.receive(part, at)
        assert again.outcome.state is each.outcome.state
        assert bytes_of(sent) == bytes_of([mine for sender, mine in table.letters if sender == name])


@pytest.mark.parametrize("name", ["alice", "bob", "carlos"])
@pytest.mark.parametrize("acquainted", [False, True])
@settings(repeatable, max_examples=8)
@given(st.data())
def test_the_order_of_arrival_changes_nothing(
    first: Table, name: str, acquainted: bool, data: st.DataObject
) -> None:
    setups = kept(first) if acquainted else None
    table = session("ordered", setups).deliver()
    arrived = [part for _, part in table.arrivals[name] if part is not None]
    again = table.fresh(name)
    sent = again.join(sealing_key(name), table.spec.created)
    for part in _causal(data.draw(st.permutations(arrived))):
        sent += again.receive(part, table.spec.created)
    assert again.outcome.state is State.COMPLETED
    expected = [letter for sender, letter in table.letters if sender == name]
    assert sorted(bytes_of(sent), key=repr) == sorted(bytes_of(expected), key=repr)


def _causal(parts: list[Part]) -> list[Part]:
    """A peer's third letter about triples answers our second, and that one its first: so it comes later."""
    late = [part for part in parts if part.header.stage == "correlate-3"]
    return [part for part in parts if part not in late] + late


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_nothing_is_sent_after_the_end(run: Callable[[Kept], Table], first: Table) -> None:
    table = run(kept(first))
    for each in table.sessions.values():
        before = each.outcome
        assert each.over
        assert (each.deadline, each.waiting_for(), each.new_setups()) == (None, [], [])
        assert [letter for part in table.parts for letter in each.receive(part, table.now)] == []
        assert each.tick(table.spec.close_by + 10**9) == []
        assert each.outcome == before


# -- nothing to be seen ------------------------------------------------------------------------------


def spied(
    monkeypatch: pytest.MonkeyPatch, spec: SessionSpec, setups: Kept | None
) -> tuple[Table, set[bytes]]:
    """A session that was stopped before its commitments, and the triples that were taken for it."""
    taken: set[bytes] = set()
    honest = Triples.take

    def take(self: Triples, count: int) -> tuple[Bits, Bits, Bits]:
        found = honest(self, count)
        taken.update(each.to_bytes() for each in found)
        return found

    monkeypatch.setattr(Triples, "take", take)
    table = vote(dict.fromkeys(spec.inputs, 1), spec, losing(Step.COMMIT, spec.compute[0]), setups)
    return table.deliver(), taken


def spellings(secret: bytes) -> list[str]:
    """How bytes may appear in a repr."""
    return [secret.hex(), repr(secret)[2:-1], str(list(secret))[1:-1]]


@pytest.mark.parametrize("show", [repr, str, "{}".format, lambda each: f"{[each]!r} {({'x': each},)}"])
def test_evaluation_preparation_triples_and_setups_show_nothing_secret(
    show: Callable[[object], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    strangers = vote(dict.fromkeys(MANY, 1), many("strangers")).deliver()
    table, taken = spied(monkeypatch, many("acquainted"), kept(strangers))
    secrets = {each for each in taken if len(each) > 7}
    assert len(secrets) == 6, "a, b and c of the first round at both"
    shown = show(strangers.made)
    for each in table.sessions.values():
        evaluation = each._evaluation
        shown += show(each) + show(evaluation) + show(each._holding)
        if evaluation is not None:
            shown += show(evaluation._preparation) + show(evaluation._run) + show(evaluation._setups)
            shown += show(evaluation._preparation._kept) + show(evaluation._run and evaluation._run._triples)
    for made in strangers.made.values():
        for _, _, setup in made:
            raw = setup.to_bytes()
            secrets |= {raw[at : at + 16] for at in range(0, len(raw), 16)}
    assert "Keys(<redacted>)" in shown
    assert not [secret for secret in secrets if any(each in shown for each in spellings(secret))]


def test_letters_on_their_way_show_nothing_secret() -> None:
    table = vote(BALLOTS, FOUR).deliver()
    shown = repr([letter for _, letter in table.letters])
    secrets = [letter.body for _, letter in table.letters if letter.recipients and len(letter.body) > 7]
    secrets += [letter.seed.expose() for _, letter in table.letters if letter.seed]
    assert not [secret for secret in secrets if any(each in shown for each in spellings(secret[:32]))]


def test_after_the_end_a_session_holds_neither_triples_nor_what_was_sealed(first: Table) -> None:
    for each in first.sessions.values():
        evaluation = each._evaluation
        assert evaluation is not None
        assert evaluation._run is None
        assert evaluation._preparation._kept is None
        assert not evaluation._preparation._pairs
        assert not evaluation._preparation.made
        assert not each._mail._sealed
