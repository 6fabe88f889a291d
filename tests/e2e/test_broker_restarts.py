"""A broker that is killed at any step and started again costs no session, whether or not it remembers.

Many sessions, each stopped at a step of its own, are in the middle of it when the broker dies: one reader has
heard a letter of that step, and what the others should have heard dies with the broker.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from coordinator.cluster import BROKER
from protocol.functionalities import Functionality
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.messages import Step
from protocol.spec import session_id
from protocol.states import State
from tests.support.broker_faults import Freeze, Lies
from tests.support.programs import Cluster, until
from tests.support.proxy import Proxy, lied_to

PARTIES = ("alice", "bob", "carlos")
INPUTS = "party,raise,merge\nalice,3800,yes\nbob,2514,no\ncarlos,2983,yes\n"
LINEAR = (Step.ANNOUNCE, Step.JOIN, Step.BEGIN, Step.SHARE, Step.RECEIVED, Step.REVEAL, Step.CONFIRM)
IN_ROUNDS = ("correlate-2", "correlate-3", "masked-1", "opened-1", Step.COMMIT)
SUM, REFERENDUM = (Sum(), "raise", "9297.00"), (Referendum(threshold="2/3"), "merge", "YES")
QUESTIONS: dict[str, tuple[Functionality, str, str]] = {
    **{f"sum, {step}": SUM for step in LINEAR},
    **{f"referendum, {stage}": REFERENDUM for stage in (*LINEAR, *IN_ROUNDS)},
}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Proxy]]:
    """Three nodes that do everything, and a broker between which and them a session can be stopped."""
    with lied_to(tmp_path_factory.mktemp("restarts"), PARTIES, INPUTS) as (nodes, proxy):
        nodes.start(BROKER, *PARTIES)
        yield nodes, proxy


def stopped(nodes: Cluster, proxy: Proxy) -> dict[str, str]:
    """A session for each question, each in the middle of its step; their ids."""
    sessions = {}
    for what, (function, name, _) in QUESTIONS.items():
        spec = nodes.spec(function, name, within=40, result_to=PARTIES)
        step = what.rpartition(" ")[2]
        proxy.lie(session_id(spec.encode()), Lies(operations=(Freeze(step=step, heard=True),)))
        sessions[what] = nodes.announce(spec)
    for session in sessions.values():
        proxy.frozen(session)
    return sessions


@pytest.mark.parametrize("remembers", [True, False], ids=["with its own persistence", "without"])
def test_a_broker_killed_at_any_step_costs_nothing(
    network: tuple[Cluster, Proxy], *, remembers: bool
) -> None:
    nodes, proxy = network
    data = nodes.directory / BROKER / "data"
    sessions = stopped(nodes, proxy)
    if remembers:  # what it had retained at this moment, which may be less or more than it should
        nodes.signal(BROKER, signal.SIGUSR1)
        until(lambda: list(data.iterdir()), "the broker writes down what it has retained")
    nodes.kill(BROKER)
    if not remembers:
        for path in data.iterdir():
            path.unlink()
    for session in sessions.values():
        proxy.release(session)
    nodes.start(BROKER)
    for what, session in sessions.items():
        for name, outcome in nodes.outcomes(session, *PARTIES).items():
            assert outcome.state is State.COMPLETED, f"{what}: {name}: {outcome.ending}"
            assert outcome.answer is not None
            assert outcome.answer.text() == QUESTIONS[what][2], f"{what}: {name}"
        for topic, payloads in proxy.payloads(session).items():
            assert len(payloads) == 1, f"{what}: two different payloads under {topic}"
