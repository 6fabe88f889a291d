"""People who are never online together all the same compute together: those who vote, and those who count.

Voters come and go while no compute party runs, and the other way round; the broker keeps their letters, and
is restarted itself meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from coordinator.cluster import BROKER
from protocol.functionalities.average import Average
from protocol.functionalities.referendum import Referendum
from protocol.messages import Step
from protocol.spec import SessionSpec
from protocol.states import State
from tests.support.programs import Cluster, made_cluster, until

COUNTING, VOTING = ("alice", "bob", "carlos"), ("vera", "wim")
PARTIES = COUNTING + VOTING
INPUTS = "party,raise,merge\nalice,3800,yes\nbob,2514,no\ncarlos,2983,yes\nvera,3390,yes\nwim,3113,no\n"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Cluster]:
    """Five nodes, of whom nobody runs yet."""
    with made_cluster("mosquitto", tmp_path, PARTIES, INPUTS) as made:
        yield made


def shift(network: Cluster, names: tuple[str, ...], sessions: list[str], step: Step) -> None:
    """These are online until each has sent its letters of a step in all sessions."""
    network.start(*names)
    for name in names:
        for session in sessions:
            until(partial(sent, network, name, session, step), f"{name} sends its {step}")
    for name in names:
        assert network.terminate(name) == 0


def sent(network: Cluster, name: str, session: str, step: Step) -> bool:
    known = [row.id for row in network.sessions(name)]
    return session in known and any(f"/{step}/" in each.topic for each in network.sent(name, session))


def question(network: Cluster, *, votes: bool) -> SessionSpec:
    roles = {"compute": COUNTING, "result_to": COUNTING}
    if votes:
        return network.spec(Referendum(threshold="1/2"), "merge", within=90, **roles)
    return network.spec(Average(), "raise", within=90, **roles)


def test_voters_and_those_who_count_need_never_be_online_together(network: Cluster) -> None:
    network.start(BROKER)
    average, referendum = question(network, votes=False), question(network, votes=True)
    sessions = [network.announce(spec) for spec in (average, referendum)]
    shift(network, VOTING, sessions, Step.JOIN)
    shift(network, COUNTING, sessions, Step.SHARE)
    assert network.terminate(BROKER) == 0
    network.start(BROKER)
    shift(network, VOTING, sessions, Step.SHARE)
    network.start(*COUNTING)
    for session, answer in zip(sessions, ("3160.00", "YES"), strict=True):
        for name, outcome in network.outcomes(session, *COUNTING).items():
            assert outcome.state is State.COMPLETED, f"{name}: {outcome.ending}"
            assert outcome.inputs == PARTIES
            assert outcome.answer is not None
            assert outcome.answer.text() == answer
