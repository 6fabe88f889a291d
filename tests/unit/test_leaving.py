"""A node that is told to stop takes in what has come, and leaves its letters behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator import announce, cluster, pki
from coordinator.announce import Question
from party_node.config import load_coordinator, load_node
from party_node.daemon import Daemon, now_ms
from party_node.journal import Journal
from party_node.post import Post
from party_node.roster import load_roster
from protocol.functionalities.sum import Sum
from protocol.letters import ALL
from protocol.messages import Step
from protocol.spec import session_id
from protocol.states import State

PARTIES = ("alice", "bob")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "inputs.csv").write_text("party,raise\nalice,3800\nbob,2514\n")
    cluster.create(tmp_path / "D", PARTIES, tmp_path / "inputs.csv", kind="embedded")
    return tmp_path / "D"


def announced(directory: Path) -> tuple[str, str, bytes]:
    """A session's id, and its announcement as a topic and a payload."""
    config = load_coordinator(directory / "coordinator" / "config.toml")
    question = Question(function=Sum(), input="raise", parties=PARTIES, min_inputs=2)
    spec = announce.build(question, config.name, load_roster(config.roster), now_ms(), bytes(16))
    body = spec.encode()
    post = Post(config.name, pki.load_key(config.identity_key), "sotto")
    (sent,) = post.plain(session_id(body), Step.ANNOUNCE, ALL, body)
    letter = post.publication(session_id(body), sent)
    return session_id(body), letter.topic, letter.payload


async def test_what_came_last_is_taken_in_and_answered_and_the_answer_is_left_for_the_others(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOTTO_POLICY__MIN_INPUTS", "2")
    config = load_node(directory / "parties" / "alice" / "config.toml")
    session, topic, payload = announced(directory)
    daemon = Daemon(config)

    async def work() -> None:
        daemon._mail.append((topic, payload))  # it came in the turn of the loop in which we are stopped

    await daemon.run(work)
    daemon._on_message(topic, payload)  # what comes later is left for the next start
    assert daemon._mail == []
    journal = Journal(daemon.journal_path)
    row = journal.session(session)
    assert row is not None
    assert (row.state, row.retained) == (State.JOINED, True)
    assert [sent.step for sent in journal.outbox(session)] == [Step.JOIN]
    journal.close()
