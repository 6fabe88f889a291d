"""The sessions that are played here by the thousand send what real sessions send, byte for byte."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from protocol import opening
from protocol.correlation.preparation import Setup
from protocol.messages import Commit, Confirm, Masked, Opened, Step
from protocol.sealed import Outgoing
from protocol.transcript import digest
from tests.statistics.cases import Ballots, Case, Keys, among, noised
from tests.statistics.play import Play
from tests.statistics.watch import PRODUCT
from tests.support.sessions import Table

FIVE = ("alice", "bob", "carlos", "david", "erin")
CASES = {
    "two of three compute": among("2", FIVE[:2], FIVE[2:3]),
    "all three compute": among("2/3", FIVE[:3]),
    "two rounds": among("3", FIVE[:3], FIVE[3:4]),
    "five": among("1/2", FIVE),
    "the answer goes elsewhere": Case("2", FIVE[:3], FIVE[:2], FIVE[3:5]),
    "one ballot, no gates": Case("1", FIVE[:1], FIVE[:2], FIVE[:1]),
    "two of three compute, with noise": noised(among("2", FIVE[:2], FIVE[2:3]), epsilon=1),
    "all three compute, with noise": noised(among("2/3", FIVE[:3]), epsilon=1),
    "five, with noise": noised(among("1/2", FIVE), epsilon=1),
    "one ballot, with noise": noised(Case("1", FIVE[:1], FIVE[:2], FIVE[2:3]), epsilon=1),
}
PUBLIC = {Step.JOIN, Step.BEGIN, Step.RECEIVED}  # what a play leaves out, because no secret enters it
Kept = dict[str, dict[str, dict[bytes, Setup]]]
Seen = Counter[tuple[Step, int, str, str, bytes]]  # (step, round, sender, reader, what is not foreseeable)


def sit(case: Case, ballots: Ballots, kept: Kept | None = None, nonce: int = 0) -> Table:
    """A real session of all parties, who draw their noise themselves."""
    spec = case.spec.model_copy(update={"nonce": bytes([nonce] * 16)})
    table = Table(spec, dict(zip(case.inputs, ballots, strict=True)), setups=kept)
    table.start().run()
    assert table.texts() == dict.fromkeys(case.results, case.answer(ballots + noises(table)))
    return table


def noises(table: Table) -> Ballots:
    """What the compute parties have drawn."""
    drawn = (table.noises[name].elements(()) for name in table.spec.compute if table.noises)
    return tuple(int(each.view(np.int64)) for each in drawn)


def setups_of(table: Table) -> Kept:
    return {name: {each.peer: {each.id: each.setup} for each in made} for name, made in table.made.items()}


def keys_of(table: Table, kept: Kept) -> Keys:
    """What this session was bound to, for another to play it."""
    contexts = {
        frozenset((me, peer)): context
        for me in table.spec.compute
        if (evaluation := table.sessions[me]._evaluation) is not None
        for peer, context in evaluation._contexts.items()
    }
    seeds = {name: session._holding._seed for name, session in table.sessions.items()}
    setups = {
        me: {peer: setup for peer, each in peers.items() for setup in each.values()}
        for me, peers in kept.items()
    }
    return Keys(seeds, table.sessions[table.spec.leader].view, contexts, setups)


def sent(table: Table) -> Seen:
    return Counter(
        (letter.step, letter.round, sender, reader, core(letter))
        for sender, letter in table.letters
        if letter.step not in PUBLIC | {Step.CONFIRM}
        for reader in letter.recipients or ("",)
    )


def core(letter: Outgoing) -> bytes:
    """What its readers could not have written themselves."""
    match letter.step:
        case Step.MASKED:
            return Masked.decode(letter.body).bits
        case Step.OPENED:
            return Opened.decode(letter.body).bits
        case Step.COMMIT:
            return Commit.decode(letter.body).commitment
    return letter.seed.expose() if letter.seed else letter.body


def played(play: Play) -> Seen:
    return Counter(
        (each.step, each.round, each.sender, reader, each.body)
        for each in play.letters
        for reader in each.readers or ("",)
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_play_sends_what_a_session_sends(case: Case) -> None:
    """In a first session, with base transfers, and in later ones."""
    kept, drawn = Kept(), set[int]()
    for nonce in range(4):
        ballots = tuple((nonce + place) % 3 % 2 for place in range(len(case.inputs)))
        table = sit(case, ballots, kept, nonce)
        ballots += noises(table)
        drawn.update(noises(table))
        play = Play(case, ballots, keys_of(table, kept), PRODUCT)
        assert play.answer == case.answer(ballots)
        assert played(play) == sent(table)
        base_transfers = any(each[:2] == (Step.CORRELATE, 1) for each in sent(table))
        assert base_transfers == (nonce == 0 and case.spec.triples > 0)
        kept = setups_of(table)
    assert drawn - {0} or case.noise is None


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_everything_else_that_a_session_says_its_readers_could_have_written(case: Case) -> None:
    ballots = tuple(place % 2 for place in range(len(case.inputs)))
    table = sit(case, ballots)
    play = Play(case, ballots + noises(table), keys_of(table, {}), PRODUCT)
    opened = digest("rounds", *(each.to_bytes() for each in play.opened))
    commitments = {each.sender: each.body for each in play.letters if each.step == Step.COMMIT}
    in_order = [commitments[name] for name in case.compute]
    for _, letter in table.letters:
        if letter.step == Step.COMMIT:
            assert Commit.decode(letter.body).opened == opened
        if letter.step == Step.CONFIRM:
            assert Confirm.decode(letter.body).transcript == opening.transcript(
                play.keys.view, case.inputs, in_order
            )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_ballot_enters_no_letter_before_the_shares_and_none_of_the_seeds(case: Case) -> None:
    """With all ballots turned, joins, triples, the begin and the shares' seeds are what they were."""
    one, other = (
        sit(case, tuple((place + turn) % 2 for place in range(len(case.inputs)))) for turn in (0, 1)
    )
    early = PUBLIC | {Step.CORRELATE}
    for table in (one, other):
        assert {Step.JOIN, Step.BEGIN, Step.SHARE} <= {each.step for _, each in table.letters}
    here, there = (
        [
            (sender, each.step, each.to, core(each))
            for sender, each in table.letters
            if each.step in early or (each.step == Step.SHARE and each.seed)
        ]
        for table in (one, other)
    )
    assert here == there


def test_two_sessions_of_the_same_parties_have_no_context_in_common() -> None:
    case = CASES["five"]
    tables = [sit(case, (1, 0, 1, 0, 1), nonce=nonce) for nonce in range(3)]
    contexts = [context for table in tables for context in keys_of(table, {}).contexts.values()]
    assert len(set(contexts)) == len(contexts) == 3 * len(list(combinations(FIVE, 2)))
