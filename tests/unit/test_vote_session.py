"""A referendum among pure sessions: the right word for exactly those who may know it, over whoever voted."""

from collections.abc import Iterator, Mapping
from itertools import product

import pytest

from protocol.bits import Bits
from protocol.functionalities import Boolean
from protocol.functionalities.referendum import Referendum
from protocol.gates import cost
from protocol.letters import COMPUTE, Part
from protocol.messages import AbortReason, Commit, Join, PublicResult, Received, Step, stage
from protocol.rounds import Setups
from protocol.spec import SessionSpec
from protocol.states import State
from tests.support.ballots import VOTERS, kept, parts_of, stages, vote, vote_spec
from tests.support.sessions import Table, Wire, losing, reboxed, rewritten

COMMITTEE = ("carl", "cora", "cleo")
TEN = tuple(f"voter-{number}" for number in range(10))


def answer(table: Table) -> str:
    """The one answer that every result party has; nobody else has any."""
    spec, texts = table.spec, table.texts()
    assert set(texts) == set(spec.results) & set(table.sessions)
    (text,) = {str(each) for each in texts.values()}
    for name in table.sessions:
        assert table.outcome(name).state is State.COMPLETED, name
        assert table.outcome(name).ending is None
    return text


def counted(table: Table) -> tuple[str, ...]:
    """The inputs that everybody says were counted."""
    (inputs,) = {table.outcome(name).inputs for name in table.sessions}
    return inputs


def rounds_of(spec: SessionSpec, ballots: int | None = None) -> int:
    """How many rounds of gates a referendum takes."""
    assert isinstance(spec.function, Boolean)
    one = Bits.zeros(1)
    return cost(spec.function.circuit(Bits.zeros(ballots or len(spec.inputs)), one)).rounds


@pytest.fixture(scope="module")
def acquainted() -> Mapping[str, Setups]:
    """What four parties have kept of an earlier session, so that the many sessions here are fast."""
    return kept(vote(dict.fromkeys(VOTERS, 0)).deliver())


# -- answers -----------------------------------------------------------------------------------------


def every_vote(count: int) -> Iterator[tuple[str, dict[str, int]]]:
    """Each threshold with each way to vote."""
    for least in range(1, count + 1):
        for ballots in product((0, 1), repeat=count):
            yield str(least), dict(zip(VOTERS, ballots, strict=False))


@pytest.mark.parametrize("count", [2, 3, 4])
def test_every_ballot_vector_is_answered_right_under_every_threshold(
    count: int, acquainted: Mapping[str, Setups]
) -> None:
    for threshold, ballots in every_vote(count):
        spec = vote_spec(threshold, VOTERS[:count], label=f"{threshold} {ballots}")
        table = vote(ballots, spec, setups=acquainted).deliver()
        expected = "YES" if sum(ballots.values()) >= int(threshold) else "NO"
        assert answer(table) == expected, (threshold, ballots)


@pytest.mark.parametrize("yes", range(5))
@pytest.mark.parametrize("threshold", ["1/2", "2/3", "1/1", "3", "4"])
def test_strangers_come_to_the_same_answers_without_anything_kept(threshold: str, yes: int) -> None:
    ballots = {name: int(number < yes) for number, name in enumerate(VOTERS)}
    table = vote(ballots, vote_spec(threshold)).deliver()
    assert answer(table) == ("YES" if yes >= Referendum(threshold=threshold).least(4) else "NO")
    assert counted(table) == VOTERS


ROLES = [
    vote_spec("1/2", VOTERS, ("alice", "bob"), ("carlos",)),
    vote_spec("1/2", VOTERS, ("carl", "cora"), ("rosa",)),
    vote_spec("1/2", VOTERS, ("david", "alice"), VOTERS),
    vote_spec("1/2", VOTERS, ("alice", "cora", "bob"), ("rosa", "bob", "david")),
    vote_spec("1/2", ("alice",), ("carl", "cora"), ("alice",)),
    vote_spec("1/2", TEN, COMMITTEE, COMMITTEE),
    vote_spec("1/2", TEN, COMMITTEE, ("voter-3", "rosa", "cleo")),
]


@pytest.mark.parametrize("yes", [0, 0.5, 1])
@pytest.mark.parametrize("spec", ROLES)
def test_exactly_the_result_parties_learn_the_answer_whoever_votes_and_computes(
    spec: SessionSpec, yes: float
) -> None:
    ballots = {name: int(number < yes * len(spec.inputs)) for number, name in enumerate(spec.inputs)}
    table = vote(ballots, spec).deliver()
    assert answer(table) == ("YES" if yes else "NO")
    assert counted(table) == spec.inputs


@pytest.mark.parametrize("spec", [vote_spec(), *ROLES])
def test_everybody_sends_what_their_roles_ask_for_and_no_more(spec: SessionSpec) -> None:
    table = vote(dict.fromkeys(spec.inputs, 1), spec).deliver()
    rounds = rounds_of(spec)
    for name in spec.members:
        computes, leads = name in spec.compute, name == spec.leader
        due = ["join"] + ["begin"] * leads
        due += ["share"] * sum(name in spec.inputs and other != name for other in spec.compute)
        due += ["received", "commit"] * computes
        due += [f"{'opened' if leads else 'masked'}-{number + 1}" for number in range(rounds * computes)]
        due += (
            ["reveal"]
            * (computes and spec.results != (name,))
            * (1 if spec.reveal_to_all else len(set(spec.results) - {name}))
        )
        due += ["confirm"] * (name in spec.results)
        found = [each for each in stages(table, name) if not each.startswith("correlate")]
        assert sorted(found) == sorted(due), name
    assert {name for name, each in table.letters if each.step is Step.CORRELATE} <= set(spec.compute)


def test_each_letter_of_a_round_goes_to_those_who_need_it_and_no_further() -> None:
    table = vote(dict.fromkeys(VOTERS, 1)).deliver()
    for name, letter in table.letters:
        if letter.step is Step.MASKED:
            assert (letter.to, letter.recipients, name == "alice") == ("alice", (), False)
        if letter.step is Step.OPENED:
            assert (letter.to, letter.recipients, name) == (COMPUTE, (), "alice")
        if letter.step is Step.CORRELATE:
            assert letter.recipients == (letter.to,)
            assert letter.to in table.spec.compute
            assert letter.view == b""


def test_triples_are_made_while_the_session_still_waits_for_people() -> None:
    spec = vote_spec("1/2", (*VOTERS, "erin"), VOTERS, VOTERS, min_inputs=4)
    table = vote(dict.fromkeys((*VOTERS, "erin"), 1), spec, absent=["erin"]).deliver()
    assert table.now < spec.join_by
    assert stages(table).count("correlate-3") == 6
    assert "begin" not in stages(table)
    assert table.sessions["alice"].waiting_for() == [(Step.JOIN, "erin")]
    before = len(table.letters)
    assert answer(table.run()) == "YES"
    assert not [letter for _, letter in table.letters[before:] if letter.step is Step.CORRELATE]


def test_one_ballot_needs_no_triples_and_no_rounds() -> None:
    spec = vote_spec("1", ("ivy",), ("carl", "cora"), ("rosa",))
    for ballot, word in ((0, "NO"), (1, "YES")):
        table = vote({"ivy": ballot}, spec).deliver()
        assert answer(table) == word
        assert not set(stages(table)) & {stage(Step.CORRELATE, 1), "masked-1", "opened-1"}


def test_a_list_of_received_ballots_carries_no_commitment_and_a_commitment_carries_the_openings() -> None:
    """A commitment beside the list would be one to a share that nobody can know before the gates."""
    table = vote(dict.fromkeys(VOTERS, 1)).deliver()
    assert {Received.decode(part.body).commitment for part in parts_of(table, Step.RECEIVED)} == {None}
    commits = [Commit.decode(part.body) for part in parts_of(table, Step.COMMIT)]
    assert len(commits) == len(VOTERS)
    (opened,) = {each.opened for each in commits}
    assert opened is not None


def test_only_those_who_compute_a_referendum_offer_transfers() -> None:
    table = vote(dict.fromkeys(VOTERS, 1), vote_spec("1/2", VOTERS, ("alice", "bob"))).deliver()
    offers = {part.header.sender: Join.decode(part.body).offer for part in parts_of(table, Step.JOIN)}
    assert {name for name, offer in offers.items() if offer is not None} == {"alice", "bob"}
    assert len(set(offers.values())) == 3
    linear = Table().start().deliver()
    for part in parts_of(linear, Step.JOIN):
        assert (Join.decode(part.body).offer, Join.decode(part.body).setups) == (None, {})


@pytest.mark.parametrize("yes", [0, 4])
def test_a_public_answer_is_the_bit_and_nothing_but_the_bit(yes: int) -> None:
    ballots = {name: int(number < yes) for number, name in enumerate(VOTERS)}
    table = vote(ballots, vote_spec(public=True, results=("alice", "bob"))).deliver()
    results = [PublicResult.decode(part.body) for part in parts_of(table, Step.RESULT)]
    assert [each.inputs for each in results] == [VOTERS, VOTERS]
    assert {int.from_bytes(each.elements, "little") for each in results} == {int(yes > 0)}


def test_what_can_be_seen_of_a_vote_is_the_same_for_every_way_to_vote(
    acquainted: Mapping[str, Setups],
) -> None:
    """Who writes to whom in which order, and how long: the same whether all say yes, none, or it is close."""
    seen = set()
    for ballots in product((0, 1), repeat=4):
        table = vote(dict(zip(VOTERS, ballots, strict=True)), setups=acquainted).deliver()
        shown = [(name, each.stage, each.to, len(each.body), each.recipients) for name, each in table.letters]
        seen.add(tuple(shown))
    assert len(seen) == 1


# -- dropouts ----------------------------------------------------------------------------------------

FIVE = TEN[:5]


def sparing(threshold: str, least: int = 1) -> SessionSpec:
    """Five voters of whom some may be missing, and a committee of three."""
    return vote_spec(threshold, FIVE, COMMITTEE, ("rosa",), min_inputs=least)


def yeses(*names: str) -> dict[str, int]:
    return {name: int(name in names) for name in FIVE}


@pytest.mark.parametrize(
    ("threshold", "yes", "word"),
    [
        ("2/3", FIVE[:3], "YES"),  # T = 3 of the 4 that were counted, where it would be 4 of 5
        ("2/3", FIVE[:2], "NO"),
        ("4", FIVE[:3], "NO"),  # a whole number stands, however few were counted
        ("4", FIVE[:4], "YES"),
        ("5", FIVE, "NO"),
        ("1/1", FIVE[:4], "YES"),
    ],
)
@pytest.mark.parametrize(
    "wire",
    [
        losing(Step.SHARE, FIVE[4]),
        losing(Step.SHARE, FIVE[4], "cora"),
        losing(Step.SHARE, FIVE[4], "carl", "cleo"),
    ],
    ids=["no share", "one share missing", "two shares missing"],
)
def test_a_ballot_that_is_not_complete_everywhere_is_left_out_and_a_fraction_is_of_the_rest(
    wire: Wire, threshold: str, yes: tuple[str, ...], word: str
) -> None:
    table = vote(yeses(*yes), sparing(threshold), wire).run()
    assert counted(table) == FIVE[:4]
    assert answer(table) == word
    opened = table.outcome(table.spec.results[0]).answer
    assert opened is not None
    assert table.spec.function.facts(opened, 4) == {
        "n": 4,
        "T": 3 if threshold == "2/3" else 4 if threshold != "5" else 5,
    }


@pytest.mark.parametrize(("threshold", "word"), [("2/3", "YES"), ("4", "NO")])
def test_a_voter_that_never_joins_is_left_out_and_a_fraction_is_of_the_rest(
    threshold: str, word: str
) -> None:
    table = vote(yeses(*FIVE[:3]), sparing(threshold), absent=FIVE[4:]).run()
    assert table.now == table.spec.join_by
    assert (counted(table), answer(table)) == (FIVE[:4], word)


def test_a_ballot_that_does_not_open_is_left_out_without_waiting() -> None:
    def wire(reader: str, part: Part) -> list[Part]:
        spoilt = (part.header.step, part.header.sender, reader) == (Step.SHARE, FIVE[4], "cora")
        return [reboxed(part, bytes(48))] if spoilt else [part]

    table = vote(yeses(*FIVE[:3]), sparing("2/3"), wire).deliver()
    assert table.now == table.spec.created
    assert (counted(table), answer(table)) == (FIVE[:4], "YES")


def test_compute_parties_that_hold_different_ballots_count_what_all_hold() -> None:
    def wire(reader: str, part: Part) -> list[Part]:
        lost = {("carl", FIVE[0]), ("cora", FIVE[1]), ("cleo", FIVE[2])}
        return [] if part.header.step is Step.SHARE and (reader, part.header.sender) in lost else [part]

    table = vote(yeses(FIVE[3]), sparing("1/2"), wire).run()
    assert (counted(table), answer(table)) == (FIVE[3:], "YES")
    commits = {Commit.decode(part.body).inputs for part in parts_of(table, Step.COMMIT)}
    assert commits == {FIVE[3:]}


def test_too_few_ballots_end_it_before_any_gate_is_opened() -> None:
    table = vote(yeses(*FIVE), sparing("1/2", 5), losing(Step.SHARE, FIVE[4], "cora")).run()
    assert table.texts() == {}
    for name in table.sessions:
        ending = table.outcome(name).ending
        assert ending is not None
        assert ending.reason is AbortReason.TOO_FEW_INPUTS
    assert not [each for each in stages(table) if each.startswith(("masked", "opened", "commit", "reveal"))]


@pytest.mark.parametrize(
    "noise", [b"\xff" * 8, b"\xfe" + b"\xff" * 7, bytes(7) + b"\x80", b"\x03" + bytes(7)]
)
def test_a_ballot_cannot_count_twice_whatever_its_party_sends(noise: bytes) -> None:
    """Only the lowest bit of a share counts, so that a ballot is a bit whatever lies above."""
    changed = []

    def wire(reader: str, part: Part) -> list[Part]:
        theirs = (part.header.step, part.header.sender) == (Step.SHARE, FIVE[4]) and part.body
        if not theirs:
            return [part]
        changed.append((part.body[32] ^ noise[0]) & 1)
        return [rewritten(part, part.body[:32] + noise)]

    acquainted = kept(vote(yeses(), sparing("1")).deliver())
    for yes, more in product(range(4), (1, 2)):
        least = min(yes + more, 5)
        spec = vote_spec(str(least), FIVE, COMMITTEE, ("rosa",), label=f"{yes}")
        table = vote(yeses(*FIVE[:yes]), spec, wire, acquainted).deliver()
        assert answer(table) == ("YES" if yes + changed.pop() >= least else "NO"), (least, yes)
        assert (counted(table), changed) == (FIVE, [])
