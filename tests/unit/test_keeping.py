"""What is left of a session that is over, and for how long."""

from __future__ import annotations

from pathlib import Path

import pytest

from party_node.journal import Made
from party_node.remains import Keep
from protocol.functionalities.sum import Sum
from protocol.letters import parse
from protocol.messages import IN_ROUNDS, SEALED, Step
from tests.support.network import Network

HOUR, DAY, WEEK = 3_600_000, 86_400_000, 7 * 86_400_000


def trio(keep: Keep, directory: Path | None = None, length: int | None = None) -> tuple[Network, str]:
    """A session that is over, at nodes that keep things for so long."""
    value = "1" if length is None else ["1"] * length
    network = Network({name: {"raise": value} for name in ("alice", "bob", "carlos")}, directory=directory)
    network.kept = keep
    for name in network.names:
        network.nodes[name] = network.make(name)
    session = network.announce(network.spec(Sum()))
    network.run()
    return network, session


def later(network: Network, milliseconds: int) -> None:
    network.now += milliseconds
    for name in network.names:
        network.nodes[name].tick(network.now)
        network.flush(name)


def test_evidence_is_every_plain_letter_and_nothing_sealed() -> None:
    network, session = trio(Keep(evidence=HOUR))
    for name in network.names:
        steps = [parse(payload).header for payload in network.journals[name].evidence(session)]
        assert {(header.step, header.sender) for header in steps} == {
            *(
                (step, sender)
                for step in (Step.JOIN, Step.RECEIVED, Step.CONFIRM)
                for sender in network.names
            ),
            (Step.BEGIN, "alice"),
        }
        assert not {header.step for header in steps} & (SEALED | IN_ROUNDS)
    network.close()


def test_evidence_goes_when_its_time_is_over_and_the_decision_stays() -> None:
    network, session = trio(Keep(evidence=HOUR))
    journal = network.journals["alice"]
    later(network, HOUR // 2)
    assert journal.evidence(session)
    later(network, WEEK // 50)  # what is due is looked at some times a day
    assert not journal.evidence(session)
    decision = journal.decision(session)
    assert decision is not None
    assert decision.made is Made.JOINED
    network.close()


@pytest.mark.parametrize("length", [None, 10_000])
def test_a_session_is_deleted_with_its_answer_after_as_long_as_the_config_says(
    tmp_path: Path, length: int | None
) -> None:
    network, session = trio(Keep(results=DAY), tmp_path, length)
    journal = network.journals["alice"]
    files = tmp_path / "alice" / "answers" / session
    assert files.exists() is (length is not None)
    later(network, DAY // 2)
    assert journal.session(session) is not None
    later(network, DAY)
    assert journal.session(session) is None
    assert journal.decision(session) is None
    assert not files.exists()
    assert journal.releases.of(session) is not None, "what it has told is never forgotten"
    network.close()


def test_without_a_time_answers_are_kept_for_good() -> None:
    network, session = trio(Keep())
    later(network, 100 * WEEK)
    row = network.journals["alice"].session(session)
    assert row is not None
    assert row.outcome is not None
    assert row.outcome.answer is not None
    network.close()
