"""Triples of any number of parties are right in any order of letters; nothing else than letters is needed."""

from collections.abc import Mapping
from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.beaver import open_all
from protocol.bits import Bits
from protocol.correlation import ChoiceKeys, Message, PairKeys, Preparation, base_ot
from protocol.correlation.base_ot import Chosen
from protocol.errors import LocalProtocolError
from protocol.messages import MalformedError
from protocol.secret import Seed
from protocol.transcript import digest
from tests.support.sessions import repeatable, seed_of

Setups = Mapping[str, Mapping[str, PairKeys | ChoiceKeys]]
Shares = tuple[Bits, Bits, Bits]  # of a, b and c


def names(count: int) -> tuple[str, ...]:
    return tuple(f"party-{number}" for number in range(count))


def ones(vector: Bits) -> int:
    return int(vector.to_bools().sum())


class Table:
    """Preparations around one table, with their letters in the test's own hands."""

    def __init__(
        self,
        parties: int | tuple[str, ...],
        count: int,
        session: str = "s",
        setups: Setups | None = None,
        joins: str = "joins",
    ) -> None:
        self.names = names(parties) if isinstance(parties, int) else parties
        self.count = count
        self.session, self.joins = session, joins
        self.setups = setups or {}
        self.preparations = {
            name: Preparation(name, self.names, count, seed_of(f"{session} {name}")) for name in self.names
        }
        self.sent: list[tuple[str, Message]] = []  # every letter, with its sender
        self.waiting: list[tuple[str, Message]] = []

    def context(self, one: str, other: str) -> bytes:
        return digest(self.joins, self.session, *sorted((one, other)))

    def meet(self, one: str, other: str) -> None:
        setup = self.setups.get(one, {}).get(other)
        offer, context = self.preparations[other].offer, self.context(one, other)
        self._post(one, self.preparations[one].meet(other, offer, context, setup))

    def meet_all(self) -> None:
        for one, other in permutations(self.names, 2):
            self.meet(one, other)

    def deliver(self, at: int = 0) -> None:
        sender, letter = self.waiting.pop(at)
        self._post(letter.to, self.preparations[letter.to].take(sender, letter.step, letter.body))

    def run(self) -> None:
        self.meet_all()
        while self.waiting:
            self.deliver()

    def shares(self) -> list[Shares]:
        return [each.triples().take(self.count) for each in self.preparations.values()]

    def _post(self, sender: str, letters: list[Message]) -> None:
        self.sent += [(sender, letter) for letter in letters]
        self.waiting += [(sender, letter) for letter in letters]


def wrong(shares: list[Shares]) -> int:
    """How many of the triples are wrong."""
    a, b, c = (open_all(each) for each in zip(*shares, strict=True))
    return ones((a & b) ^ c)


# -- right -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 64, 200])
@pytest.mark.parametrize("parties", [2, 3, 4, 5])
def test_the_xor_of_c_is_the_and_of_the_xors(parties: int, count: int) -> None:
    table = Table(parties, count)
    table.run()
    assert all(each.ready for each in table.preparations.values())
    assert wrong(table.shares()) == 0


@settings(repeatable, max_examples=25)
@given(st.integers(2, 4), st.integers(1, 9), st.data())
def test_meetings_and_letters_may_come_in_any_order(parties: int, count: int, data: st.DataObject) -> None:
    table = Table(parties, count)
    meetings = data.draw(st.permutations(list(permutations(table.names, 2))))
    met: set[tuple[str, str]] = set()
    while meetings or table.waiting:
        # A letter waits until its reader has met the writer; the caller sees to that.
        ready = [at for at, (sender, letter) in enumerate(table.waiting) if (letter.to, sender) in met]
        if meetings and (not ready or data.draw(st.booleans())):
            one, other = meetings.pop()
            met.add((one, other))
            table.meet(one, other)
        else:
            table.deliver(data.draw(st.sampled_from(ready)))
    assert wrong(table.shares()) == 0


def test_every_share_of_a_b_and_c_is_balanced() -> None:
    table = Table(3, 4096)
    table.run()
    for shares in table.shares():
        for share in shares:
            assert abs(ones(share) - 2048) < 192, "six standard deviations of 4096 bits"
        for one, other in pairwise([*shares, shares[0]]):
            assert abs(ones(one ^ other) - 2048) < 192


@pytest.mark.parametrize("step", [2, 3])
def test_a_changed_letter_makes_triples_wrong(step: int) -> None:
    """And nobody notices: security is passive."""
    table = Table(2, 512)
    table.meet_all()
    while table.waiting:
        sender, letter = table.waiting[0]
        if letter.step == step:
            turned = bytes(each ^ 0xFF for each in letter.body[-512:])
            body = letter.body[: -len(turned)] + turned
            table.waiting[0] = (sender, letter._replace(body=body))
        table.deliver()
    assert wrong(table.shares()) > 100


# -- bytes -------------------------------------------------------------------------------------------


def test_the_same_seeds_and_contexts_give_the_same_letters_and_triples() -> None:
    one, other = Table(3, 20), Table(3, 20)
    one.run()
    other.run()
    assert one.sent == other.sent
    found = [[share.to_bytes() for shares in each.shares() for share in shares] for each in (one, other)]
    assert found[0] == found[1]


def test_a_pairs_letters_do_not_depend_on_what_else_has_arrived() -> None:
    """A node that died and meets its peers in another order says the same again."""
    one, other = Table(4, 20), Table(4, 20)
    one.run()
    for each in reversed(list(permutations(other.names, 2))):
        other.meet(*each)
    while other.waiting:
        other.deliver(-1)
    assert sorted(one.sent) == sorted(other.sent)


def test_no_part_of_a_letter_comes_twice_in_a_session_or_between_sessions() -> None:
    """Every stretch of 16 bytes is new, though a and b are the same against every peer."""
    tables = [Table(4, 512), Table(4, 512, session="another")]
    stretches: list[bytes] = []
    for table in tables:
        table.run()
        stretches += [
            letter.body[at : at + 16]
            for _, letter in table.sent
            for at in range(0, len(letter.body) - 15, 16)
        ]
    assert len(set(stretches)) == len(stretches) > 16_000


def test_only_the_two_of_a_pair_write_to_each_other() -> None:
    table = Table(4, 8)
    table.run()
    writers = {
        frozenset(pair): sorted(
            (letter.step, sender) for sender, letter in table.sent if {sender, letter.to} == set(pair)
        )
        for pair in permutations(table.names, 2)
    }
    for i, j in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)):
        sender, receiver = (i, j) if (i + j) % 2 == 0 else (j, i)
        first, second = table.names[sender], table.names[receiver]
        assert writers[frozenset({first, second})] == [(1, first), (2, second), (3, first)]


# -- the setups that each session leaves behind --------------------------------------------------------


def made(table: Table) -> Setups:
    return {name: dict(each.made) for name, each in table.preparations.items()}


def chain(parties: int, count: int, sessions: int) -> list[Table]:
    """One session after the other, each with the setups that the one before has left."""
    tables: list[Table] = []
    for number in range(sessions):
        setups = made(tables[-1]) if tables else None
        tables.append(Table(parties, count, session=f"number {number}", setups=setups))
        tables[-1].run()
    return tables


def halves(setups: Setups, one: str, other: str) -> tuple[str, ChoiceKeys, PairKeys]:
    """Who has the choices, both halves."""
    mine, theirs = setups[one][other], setups[other][one]
    if isinstance(mine, ChoiceKeys):
        assert isinstance(theirs, PairKeys)
        return one, mine, theirs
    assert isinstance(theirs, ChoiceKeys)
    return other, theirs, mine


def keys_of(pairs: PairKeys) -> set[bytes]:
    return {*pairs.column(0), *pairs.column(1)}


def senders(table: Table) -> set[str]:
    """Who wrote correction bits."""
    return {sender for sender, letter in table.sent if letter.step == 3}


def test_a_session_leaves_setups_and_the_next_one_skips_the_base_transfers() -> None:
    first = Table(3, 100)
    first.run()
    again = Table(3, 60, session="later", setups=made(first))
    again.run()
    assert {letter.step for _, letter in again.sent} == {2, 3}
    assert {len(letter.body) for _, letter in again.sent} == {128 * (15 + 16), 15}
    assert wrong(again.shares()) == 0


def test_every_session_of_a_chain_has_right_triples_and_a_setup_for_the_next() -> None:
    for number, table in enumerate(chain(4, 70, 4)):
        assert {letter.step for _, letter in table.sent} == ({1, 2, 3} if number == 0 else {2, 3})
        assert {name: set(each.made) for name, each in table.preparations.items()} == {
            name: set(table.names) - {name} for name in table.names
        }
        assert wrong(table.shares()) == 0


def test_the_two_halves_that_are_left_fit() -> None:
    for table in chain(3, 9, 3):
        for one, other in combinations(table.names, 2):
            _, chosen, pairs = halves(made(table), one, other)
            bits = Bits.from_bytes(chosen.choices, 128).to_bools().tolist()
            columns = pairs.column(0), pairs.column(1)
            assert chosen.keys() == [columns[int(s)][i] for i, s in enumerate(bits)]


def test_roles_alternate_from_session_to_session() -> None:
    tables = chain(2, 9, 4)
    assert [senders(table) for table in tables] == [{"party-1"}, {"party-0"}, {"party-1"}, {"party-0"}]
    kinds = [halves(made(table), *table.names)[0] for table in tables]
    assert kinds == ["party-0", "party-1", "party-0", "party-1"], "who sends next"


def test_no_key_or_choices_of_one_session_come_again_in_another() -> None:
    seen: list[bytes] = []
    tables = chain(3, 9, 4)
    for table in tables:
        for one, other in combinations(table.names, 2):
            _, chosen, pairs = halves(made(table), one, other)
            seen += [*keys_of(pairs), chosen.choices]
    assert len(set(seen)) == len(seen) == 4 * 3 * 257


def test_the_choices_that_a_party_leaves_differ_from_peer_to_peer() -> None:
    """With one s for two peers, these two could compare what they were sent."""
    table = Table(5, 9)
    table.run()
    own = [
        each.choices
        for peers in made(table).values()
        for each in peers.values()
        if isinstance(each, ChoiceKeys)
    ]
    assert len(set(own)) == len(own) == 10


def test_a_setup_is_nothing_that_the_base_transfers_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their keys and choices serve the extension at hand, and are not kept."""
    used: list[PairKeys | ChoiceKeys] = []
    accept, finish = base_ot.accept, Chosen.finish

    def accepting(seed: Seed, message: bytes, context: bytes) -> tuple[bytes, PairKeys]:
        corrections, pairs = accept(seed, message, context)
        used.append(pairs)
        return corrections, pairs

    def finishing(self: Chosen, corrections: bytes) -> ChoiceKeys:
        used.append(finish(self, corrections))
        return finish(self, corrections)

    monkeypatch.setattr(base_ot, "accept", accepting)
    monkeypatch.setattr(Chosen, "finish", finishing)
    table = Table(3, 9)
    table.run()
    assert len(used) == 6
    spent = {raw[at : at + 16] for each in used for raw in [each.to_bytes()] for at in range(0, len(raw), 16)}
    kept = b"".join(setup.to_bytes() for peers in made(table).values() for setup in peers.values())
    assert not spent & {kept[at : at + 16] for at in range(0, len(kept), 16)}
    table.shares()
    assert not any(each._pairs or each._kept for each in table.preparations.values())


def test_the_kind_of_the_half_says_which_part_is_played_whatever_the_positions() -> None:
    first = Table(2, 9)
    first.run()
    apart = ("party-0", "party-2", "party-1")
    later = Table(apart, 9, session="later", setups=made(first))
    later.run()
    steps = [(letter.step, sender) for sender, letter in later.sent if "party-2" not in {sender, letter.to}]
    assert steps == [(2, "party-1"), (3, "party-0")], "the other way round than in the first session"
    assert wrong(later.shares()) == 0


def test_a_receiver_has_its_half_once_it_has_sent_and_a_sender_once_it_has_read() -> None:
    table = Table(2, 9)
    receiver, sender = (table.preparations[name] for name in table.names)
    table.meet_all()
    assert not receiver.made
    assert not sender.made
    table.deliver()
    assert isinstance(receiver.made["party-1"], ChoiceKeys)
    assert not sender.made
    table.deliver()
    assert isinstance(sender.made["party-0"], PairKeys)
    later = Table(2, 9, session="later", setups=made(table))
    later.meet("party-1", "party-0")
    assert isinstance(later.preparations["party-1"].made["party-0"], ChoiceKeys), "with a setup, at once"


def test_a_setup_survives_storage() -> None:
    first = Table(2, 9)
    first.run()
    stored = {
        name: {peer: type(setup).from_bytes(setup.to_bytes()) for peer, setup in setups.items()}
        for name, setups in made(first).items()
    }
    again = Table(2, 9, session="later", setups=stored)
    again.run()
    assert wrong(again.shares()) == 0


def test_a_half_that_does_not_fit_makes_triples_wrong() -> None:
    """And nobody notices: that both use halves of one setup, their joins must say."""
    first, other = Table(2, 512), Table(2, 512, session="other")
    first.run()
    other.run()
    mixed = {"party-0": made(first)["party-0"], "party-1": made(other)["party-1"]}
    later = Table(2, 512, session="later", setups=mixed)
    later.run()
    assert wrong(later.shares()) > 100


def test_bytes_are_unrelated_though_setup_and_seeds_are_the_same() -> None:
    """A journal restored from a backup may do this; only the contexts, with the joins in them, differ."""
    first = Table(2, 512)
    first.run()
    bodies, setups = [], []
    for joins in ("one", "other"):
        table = Table(2, 512, setups=made(first), joins=joins)
        table.run()
        setups.append(keys_of(halves(made(table), *table.names)[2]))
        bodies.append(b"".join(letter.body for _, letter in table.sent))
        assert wrong(table.shares()) == 0
    difference = np.frombuffer(bodies[0], np.uint8) ^ np.frombuffer(bodies[1], np.uint8)
    bits = 8 * difference.size
    assert abs(int(np.unpackbits(difference).sum()) - bits // 2) < 3 * bits**0.5, "six standard deviations"
    assert not setups[0] & setups[1]


# -- what is missing, and when -----------------------------------------------------------------------


def test_what_is_missing_is_the_next_letter_of_each_peer_that_we_met() -> None:
    table = Table(2, 9)
    receiver, sender = (table.preparations[name] for name in table.names)
    assert (receiver.missing(), sender.missing()) == ([], [])
    table.meet_all()
    assert (receiver.missing(), sender.missing()) == ([("party-1", 1)], [("party-0", 2)])
    table.deliver()
    assert (receiver.missing(), sender.missing()) == ([("party-1", 3)], [("party-0", 2)])
    table.deliver()
    assert (receiver.missing(), sender.missing()) == ([("party-1", 3)], [])
    assert (receiver.ready, sender.ready) == (False, True)
    table.deliver()
    assert (receiver.missing(), receiver.ready) == ([], True)


def test_nothing_is_ready_before_everyone_was_met() -> None:
    table = Table(3, 9)
    table.meet("party-0", "party-1")
    table.meet("party-1", "party-0")
    while table.waiting:
        table.deliver()
    assert not table.preparations["party-0"].missing()
    assert not table.preparations["party-0"].ready


def test_no_triples_need_no_letters() -> None:
    table = Table(3, 0)
    assert all(each.ready for each in table.preparations.values())
    table.run()
    assert table.sent == []
    assert all(each.ready and not each.missing() for each in table.preparations.values())
    assert [each.triples().left for each in table.preparations.values()] == [0, 0, 0]
    assert not any(each.ready for each in table.preparations.values()), "nor are they handed out twice"


def test_triples_are_handed_out_once() -> None:
    table = Table(2, 9)
    with pytest.raises(LocalProtocolError, match="as soon as they are ready"):
        table.preparations["party-0"].triples()
    table.run()
    table.shares()
    for each in table.preparations.values():
        assert not each.ready
        with pytest.raises(LocalProtocolError, match="handed out once"):
            each.triples()
        assert list(each.made), "the setups are kept until they are stored or forgotten"


def test_what_is_forgotten_is_gone() -> None:
    table = Table(2, 9)
    table.run()
    forgotten = table.preparations["party-0"]
    forgotten.forget()
    assert not forgotten.ready
    assert not forgotten.made
    for use in (
        forgotten.triples,
        lambda: forgotten.offer,
        lambda: forgotten.meet("party-1", b"", bytes(32)),
    ):
        with pytest.raises(LocalProtocolError):
            use()
    with pytest.raises(MalformedError, match="was not expected now"):
        forgotten.take("party-1", 1, b"")


def test_a_preparation_forgotten_halfway_waits_for_nothing() -> None:
    table = Table(2, 9)
    table.meet_all()
    forgotten = table.preparations["party-0"]
    sender, letter = table.waiting[0]
    forgotten.forget()
    assert forgotten.missing() == []
    with pytest.raises(MalformedError, match="was not expected now"):
        forgotten.take(sender, letter.step, letter.body)


# -- garbage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "context"),
    [("party-0", bytes(32)), ("party-9", bytes(32)), ("party-1", bytes(31)), ("party-2", bytes(32))],
)
def test_a_meeting_that_cannot_be_is_our_own_bug(peer: str, context: bytes) -> None:
    table = Table(3, 9)
    table.meet("party-0", "party-2")
    with pytest.raises(LocalProtocolError):
        table.preparations["party-0"].meet(peer, table.preparations["party-1"].offer, context)


@pytest.mark.parametrize("offer", [b"", bytes(32), bytes(31), b"\x01" + bytes(31), b"\xff" * 32])
def test_a_bad_offer_is_refused_and_can_be_followed_by_a_good_one(offer: bytes) -> None:
    table = Table(2, 9)
    sender = table.preparations["party-1"]
    with pytest.raises(MalformedError, match=r"^the offered point"):
        sender.meet("party-0", offer, bytes(32))
    assert sender.missing() == []
    table.run()
    assert wrong(table.shares()) == 0


STEPS = st.integers(-1, 5)
BODIES = st.one_of(st.binary(max_size=40), st.sampled_from([0, 2048, 4096, 4096 + 2432, 2432, 3]).map(bytes))


@settings(repeatable, max_examples=60)
@given(st.sampled_from(["party-0", "party-1", "party-9", ""]), STEPS, BODIES, st.integers(0, 3))
def test_garbage_is_malformed_and_changes_nothing(peer: str, step: int, body: bytes, after: int) -> None:
    """Each party is sent it at every point of a session; of another length only, where a letter is due."""
    table = Table(2, 9)
    table.meet_all()
    for _ in range(after):
        table.deliver()
    for name in table.names:
        preparation = table.preparations[name]
        before = preparation.missing()
        acceptable = (peer, step) in before and len(body) == {1: None, 2: 4096 + 2432, 3: 3}[step]
        if acceptable:
            continue
        with pytest.raises(MalformedError):
            preparation.take(peer, step, body)
        assert preparation.missing() == before
    while table.waiting:
        table.deliver()
    assert wrong(table.shares()) == 0


def test_a_letter_that_came_already_is_not_expected_again() -> None:
    table = Table(2, 9)
    table.run()
    for sender, letter in table.sent:
        with pytest.raises(MalformedError, match=f"^step {letter.step} of the preparation was not expected"):
            table.preparations[letter.to].take(sender, letter.step, letter.body)
    assert wrong(table.shares()) == 0


def test_a_bad_point_is_named() -> None:
    table = Table(2, 9)
    table.meet_all()
    sender, letter = table.waiting[0]
    body = letter.body[:64] + bytes(32) + letter.body[96:]
    with pytest.raises(MalformedError, match=r"^point 2 of the base transfers has a small order$"):
        table.preparations[letter.to].take(sender, letter.step, body)


@pytest.mark.parametrize("step", [2, 3])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_letter_of_another_length_is_refused_and_the_right_one_taken(step: int, change: int) -> None:
    table = Table(2, 9)
    table.meet_all()
    while table.waiting[0][1].step < step:
        table.deliver()
    sender, letter = table.waiting[0]
    body = (letter.body + b"\x00")[: len(letter.body) + change]
    with pytest.raises(MalformedError, match=r"^the (columns|correction bits): .* bytes"):
        table.preparations[letter.to].take(sender, step, body)
    while table.waiting:
        table.deliver()
    assert wrong(table.shares()) == 0


def test_a_preparation_shows_no_secret() -> None:
    table = Table(2, 9)
    table.run()
    for each in table.preparations.values():
        seen = repr(vars(each))
        for name in table.names:
            assert seed_of(f"s {name}").expose().hex() not in seen
        assert seen.count("ChoiceKeys(<redacted>)") + seen.count("PairKeys(<redacted>)") == 1
        assert "words" not in seen
