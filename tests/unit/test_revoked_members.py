"""Nobody goes on with a party that was revoked, or has another key, since a session began."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from party_node.roster import Roster, fingerprint
from protocol.functionalities.sum import Sum
from protocol.messages import AbortReason, RefusalCode, Step
from protocol.states import Ending, State
from tests.support.network import COORDINATOR, Network

INPUTS = {name: {"raise": "1"} for name in ("alice", "bob", "carlos")}
WHY = "lost laptop, 2026-11-22"


def revoked(roster: Roster) -> Roster:
    return replace(roster, revoked={"carlos": WHY})


def changed(roster: Roster) -> Roster:
    """The node knows carlos under another key."""
    return replace(roster, changed={"carlos": fingerprint(bytes(32))})


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return Network(INPUTS, directory=tmp_path)


def restarted(network: Network, name: str, roster: Roster) -> None:
    """`name` alone has the new roster, once it starts again."""
    network.stop(name)
    before, network.roster = network.roster, roster
    network.start(name)
    network.roster = before


@pytest.mark.parametrize("change", [revoked, changed])
@pytest.mark.parametrize("held", [Step.JOIN, Step.SHARE, Step.RECEIVED, Step.REVEAL])
def test_a_session_with_a_stranger_ends_by_name_when_the_node_starts_again(
    network: Network, change: Callable[[Roster], Roster], held: Step
) -> None:
    """Whatever alice still waits for: letters of one kind do not reach her."""
    network.tamper = lambda to, sent: [] if to == "alice" and f"/{held}/" in sent.topic else [sent]
    session = network.announce(network.spec(Sum()))
    network.run(until=network.now + 5_000)
    assert network.nodes["alice"].outcome(session) is not None
    roster = change(network.roster)
    sent = len(network.tap)
    restarted(network, "alice", roster)
    outcome = network.outcomes(session)["alice"]
    assert outcome.state is State.ABORTED
    assert outcome.ending == Ending(AbortReason.REFUSED, f"carlos {roster.objection('carlos')}")
    said = [each for each in network.tap[sent:] if f"/{session}/" in each.topic and "/alice/" in each.topic]
    assert not [each for each in said if f"/{Step.REVEAL}/" in each.topic] or held is Step.REVEAL
    network.run()
    bob = network.outcomes(session)["bob"]
    assert bob.state is State.ABORTED or held is Step.REVEAL
    if bob.ending is not None:
        assert bob.ending.reported_by == "alice"
        assert WHY in bob.ending.detail or change is changed
    network.close()


def test_an_announcement_that_names_a_revoked_party_is_refused_with_the_reason(network: Network) -> None:
    restarted(network, "alice", revoked(network.roster))
    with capture_logs() as logs:
        session = network.announce(network.spec(Sum()))
        network.run()
    (entry,) = [each for each in logs if each["event"] == "session refused"]
    assert (entry["problem"], entry["code"]) == (f"carlos is revoked: {WHY}", str(RefusalCode.SPEC))
    assert network.outcomes(session)["alice"].state is State.REFUSED
    network.close()


def test_an_announcement_by_a_revoked_coordinator_is_not_answered(network: Network) -> None:
    restarted(network, "alice", replace(network.roster, revoked={COORDINATOR: WHY}))
    with capture_logs() as logs:
        session = network.announce(network.spec(Sum()))
        network.run()
    assert f"{COORDINATOR} is revoked: {WHY}" in [each.get("problem") for each in logs]
    assert network.nodes["alice"].outcome(session) is None
    network.close()


def test_another_key_in_an_announcement_is_shouted_about(network: Network) -> None:
    spec = network.spec(Sum())
    spec = network.spec(Sum(), members={**spec.members, "carlos": bytes(32)})
    with capture_logs() as logs:
        network.announce(spec)
        network.run()
    shouts = [each for each in logs if each["event"] == "key changed"]
    assert len(shouts) == 3  # at each node, carlos's own among them
    known = fingerprint(network.roster.parties["carlos"])
    assert {(each["known"], each["offered"]) for each in shouts} == {(known, fingerprint(bytes(32)))}
    network.close()


@pytest.mark.parametrize("held", [Step.JOIN, Step.SHARE])
def test_a_session_of_a_coordinator_that_was_revoked_ends_too(network: Network, held: Step) -> None:
    network.tamper = lambda to, sent: [] if to == "alice" and f"/{held}/" in sent.topic else [sent]
    session = network.announce(network.spec(Sum()))
    network.run(until=network.now + 5_000)
    restarted(network, "alice", replace(network.roster, revoked={COORDINATOR: WHY}))
    ending = network.outcomes(session)["alice"].ending
    assert ending is not None
    assert ending.reason is AbortReason.REFUSED
    assert ending.detail.startswith("coordinator, who announced it, ")
    assert WHY in ending.detail
    network.close()
