"""The same arrivals give the same letters, in any order, and nothing secret can be seen of what is held."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.beaver import Triples
from protocol.bits import Bits
from protocol.letters import Part
from protocol.messages import Masked, Step
from protocol.sealed import Outgoing
from protocol.spec import SessionSpec
from protocol.states import State
from tests.support.ballots import (
    FOUR,
    MANY,
    TRIO,
    Kept,
    kept,
    many,
    retelling,
    trio,
    vote,
    vote_spec,
    without,
)
from tests.support.sessions import Table, losing, repeatable, sealing_key


@pytest.fixture(scope="module")
def first() -> Table:
    """A session of strangers."""
    return trio("first").deliver()


SPARING = vote_spec("2/3", compute=TRIO, results=TRIO, min_inputs=2)
LIE = retelling(Masked, Step.MASKED, "bob", {"bits": b""}, round_=1)
BALLOTS = {"alice": 1, "bob": 1, "carlos": 0, "david": 1}
RUNS: dict[str, Callable[[Kept], Table]] = {
    "strangers": lambda _: vote(BALLOTS, FOUR).run(),
    "acquainted": lambda setups: trio("again", setups).run(),
    "one forgot": lambda setups: trio("forgot", without(setups, ("alice", "bob"))).run(),
    "dropout": lambda _: vote(BALLOTS, SPARING, losing(Step.SHARE, "david", "bob")).run(),
    "silence": lambda setups: trio("silence", setups, losing(Step.OPENED, "alice", "carlos")).run(),
    "lie": lambda setups: trio("lie", setups, LIE).run(),
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
    table = trio("ordered", setups).deliver()
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
