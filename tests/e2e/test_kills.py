"""A node that is killed at any step and started again completes its sessions, and says the same bytes again.

Many sessions, each stopped as the victim has sent its first letter of a step, are in the middle of it when it
dies.  `test_faults.py` has whole clusters that are killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import partial

import pytest

from coordinator.cluster import BROKER
from protocol.functionalities import Functionality
from protocol.functionalities.referendum import Referendum
from protocol.functionalities.sum import Sum
from protocol.messages import Step
from protocol.spec import session_id
from protocol.states import State
from tests.support.broker_faults import Freeze, Hold, Lies, Operation
from tests.support.programs import Cluster, until
from tests.support.proxy import Proxy, lied_to

PARTIES = ("alice", "bob", "carlos")
INPUTS = "party,raise,merge\nalice,3800,yes\nbob,2514,no\ncarlos,2983,yes\n"
SUM, NOISED, REFERENDUM = "sum", "sum with noise", "referendum"
FUNCTIONS: dict[str, tuple[Functionality, str, dict[str, int]]] = {
    SUM: (Sum(), "raise", {}),
    NOISED: (Sum(lower=Decimal(0), upper=Decimal(5000)), "raise", {"epsilon": 10**9}),
    REFERENDUM: (Referendum(threshold="2/3"), "merge", {}),
}
ANSWERS = {SUM: "9297.00", REFERENDUM: "YES"}
# Where a node is when it has sent a letter of a step and nobody has heard it.
STATES: dict[str, State] = {
    Step.JOIN: State.JOINED,
    Step.SHARE: State.SHARING,
    Step.RECEIVED: State.COMPUTING,
    Step.REVEAL: State.OPENING,
    Step.CONFIRM: State.CONFIRMING,
}
# Triples are made beside these states; alice leads.
IN_ROUNDS = {
    "alice": (Step.CORRELATE, "opened-1", Step.COMMIT),
    "carlos": (Step.CORRELATE, "masked-1", Step.COMMIT),
}
Stop = tuple[str, str]  # a function, and the stage at which its session stands still


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Proxy]]:
    """Three nodes that do everything, and a proxy that can stop each session for itself."""
    with lied_to(tmp_path_factory.mktemp("kills"), PARTIES, INPUTS) as (nodes, proxy):
        nodes.start(BROKER, *PARTIES)
        yield nodes, proxy


def stopped(nodes: Cluster, proxy: Proxy, victim: str) -> dict[Stop, str]:
    """A session for each stop, once it stands there; their ids."""
    linear = (Step.ANNOUNCE, *STATES)
    stops = [(SUM, stage) for stage in linear]
    stops += [(NOISED, stage) for stage in (Step.RECEIVED, Step.REVEAL)]  # committed to its noise
    stops += [(REFERENDUM, stage) for stage in (*linear, *IN_ROUNDS[victim])]
    sessions = {}
    for function, stage in stops:
        asked, name, noise = FUNCTIONS[function]
        spec = nodes.spec(asked, name, within=40, result_to=PARTIES, **noise)
        proxy.lie(session_id(spec.encode()), Lies(operations=stop(victim, stage)))
        sessions[function, stage] = nodes.announce(spec)
    for (function, stage), session in sessions.items():
        proxy.frozen(session)
        until(partial(stands, nodes, victim, session, stage), f"{victim} stands at {stage} of a {function}")
    return sessions


def stop(victim: str, stage: str) -> tuple[Operation, ...]:
    """The session stands still where the victim sends a stage and does not go on without the others'."""
    if stage == Step.ANNOUNCE:  # which it hears
        return (Freeze(step=stage, reader=victim, heard=True),)
    held = (Hold(step=stage, reader=victim),) if stage in STATES else ()
    return *held, Freeze(step=stage, sender=victim)


def stands(nodes: Cluster, name: str, session: str, stage: str) -> bool:
    """Whether a node is in the state in which it sends letters of a stage."""
    states = {row.state for row in nodes.sessions(name) if row.id == session}
    return stage not in STATES or states == {STATES[stage]}


def said_again(proxy: Proxy, name: str, killed: int) -> set[bytes]:
    """The letters that one has published before it was killed, and after."""
    own = [each.way == "up" and each.peer == name and each.step != Step.REQUEST for each in proxy.letters]
    payloads = [each.payload if mine else b"" for each, mine in zip(proxy.letters, own, strict=False)]
    return {*payloads[:killed]} & {*payloads[killed:]} - {b""}


@pytest.mark.parametrize("victim", ["alice", "carlos"])
def test_a_node_killed_at_every_step_completes_and_says_the_same_again(
    network: tuple[Cluster, Proxy], victim: str
) -> None:
    nodes, proxy = network
    sessions = stopped(nodes, proxy, victim)
    nodes.kill(victim)
    killed = len(proxy.letters)
    for session in sessions.values():
        proxy.release(session)
    nodes.start(victim)
    for (function, stage), session in sessions.items():
        answers = set()
        for name, outcome in nodes.outcomes(session, *PARTIES).items():
            assert outcome.state is State.COMPLETED, f"{function}, {stage}: {name}: {outcome.ending}"
            assert outcome.answer is not None
            answers.add(str(outcome.answer.text()))
        (answer,) = answers  # the same for all
        assert answer == ANSWERS.get(function, answer), f"{function}, {stage}"
        for topic, payloads in proxy.payloads(session).items():
            assert len(payloads) == 1, f"{function}, {stage}: two different payloads under {topic}"
    # Not always all: what the others have is not said again where the rest came before the new link was up.
    assert len(said_again(proxy, victim, killed)) > 10, "too little was said again to compare"
