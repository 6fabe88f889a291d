"""A node killed at any statement between a session's announcement and its end never overspends.

The killed process is a real one, and what it leaves are real files.  It is a whole network of two, so that
whatever its nodes have published by then is on record outside of it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from party_node.anchor import Anchor
from party_node.journal import Journal
from party_node.ledger import Account
from party_node.policy import Declared
from party_node.post import Publication
from protocol.dp.noise import Noise, Relation
from protocol.functionalities.sum import Sum
from protocol.states import State
from tests.simulation.conftest import silence
from tests.simulation.judge import check_letters
from tests.support.network import COORDINATOR, START, Network

HALF = 500_000_000  # nano-ε: what a session costs, and all that each of them has
PAIR: dict[str, dict[str, str | list[str]]] = {"alice": {"raise": "3800"}, "bob": {"raise": "2514"}}
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


def table(directory: Path) -> Network:
    """The same two, with the same keys, on whatever is in the directory."""
    network = Network(PAIR, directory=directory, seed=1)
    for name in PAIR:
        network.declared[name] = {"raise": Declared(budget=HALF)}
        network.nodes[name] = network.make(name)
    return network


class Deadly:
    """Counts what a node does, and kills the process at one of these things."""

    def __init__(self, network: Network, victim: str, at: int, tape: Path) -> None:
        self.count = self.shared = 0  # so far, and when the victim's last share was out
        self._victim, self._at = victim, at
        self._tape = os.open(tape, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        network.journals[victim]._db.set_trace_callback(self.step)
        self._publish = network.publish
        network.publish = self.publish  # type: ignore[method-assign] # and a record of it

    def step(self, *_given: object) -> None:
        """One more thing: a statement, a file that is written or renamed, a letter that leaves."""
        self.count += 1
        if self.count == self._at:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, honest: Callable[..., Any]) -> Callable[..., Any]:
        """A function that counts."""

        def counted(*given: Any) -> Any:
            self.step()
            return honest(*given)

        return counted

    def publish(self, sender: str, publication: Publication) -> None:
        """In the network's place."""
        self.step()
        self.record(publication)
        self._publish(sender, publication)
        if f"/share/{self._victim}/" in publication.topic:
            self.shared = self.count

    def record(self, sent: Publication) -> None:
        """This has left: nothing brings it back."""
        record = {"topic": sent.topic, "payload": b64encode(sent.payload).decode(), "retain": sent.retain}
        os.write(self._tape, json.dumps(record).encode() + b"\n")


def session(directory: Path, victim: str, at: int, counts: Any) -> None:
    """In a process of its own: one session, up to the victim's step number `at`."""
    silence()
    network = table(directory)
    for name in PAIR:
        network.restart(name)
    function, relation = Sum(lower=Decimal(0), upper=Decimal(10_000)), Relation.REPLACE_ONE
    noise = Noise(epsilon=HALF, sensitivity=function.sensitivity(relation), relation=relation, colluders=1)
    network.announce(network.spec(function, noise=noise))
    deadly = Deadly(network, victim, at, directory / "tape")
    deadly.record(network.tap[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Anchor, "write", deadly.before(Anchor.write))
        patch.setattr(os, "fsync", deadly.before(os.fsync))
        patch.setattr(Path, "replace", deadly.before(Path.replace))
        network.run()
    counts.put((deadly.shared, deadly.count))


def played(directory: Path, victim: str, at: int) -> tuple[int, int]:
    """Play a session up to a step; where it was not killed, when all was shared, and how many steps."""
    directory.mkdir()
    counts = PROCESSES.SimpleQueue()
    process = PROCESSES.Process(target=session, args=(directory, victim, at, counts))
    process.start()
    process.join(30)
    assert process.exitcode in (0, -signal.SIGKILL)
    found: tuple[int, int] = (0, 0) if process.exitcode else counts.get()
    return found


def record(directory: Path) -> list[Publication]:
    """What was published before the kill."""
    lines = [json.loads(line) for line in (directory / "tape").read_text().splitlines()]
    return [Publication(each["topic"], b64decode(each["payload"]), each["retain"]) for each in lines]


def books(directory: Path, name: str) -> tuple[Account, list[str]]:
    """A ledger as it lies there: trusted, and with a spend exactly where share letters are stored."""
    journal = Journal(directory / name / "journal.sqlite")
    try:
        assert journal.ledger.flaw() is None, f"{name}: {journal.ledger.flaw()}"
        events = [str(entry.event) for entry in journal.ledger.entries()]
        stored = {sent.step for row in journal.sessions() for sent in journal.outbox(row.id)}
        swept = not stored  # the session is over
        assert swept or ("spent" in events) == ("share" in stored), f"{name}: {events}, {stored}"
        return journal.ledger.account("raise"), events
    finally:
        journal.close()


def judge(directory: Path) -> None:
    """What was killed has spent for all that it has shared, and goes on without spending or sending more."""
    before = record(directory)
    for name in PAIR:
        account, events = books(directory, name)
        assert account.spent + account.reserved <= HALF
        shared = [sent for sent in before if f"/share/{name}/" in sent.topic]
        assert not shared or events == ["reserved", "spent"], f"{name} has shared and not spent: {events}"
    network = table(directory)
    network.random = random.Random(2)  # what is drawn anew is not what was drawn before
    network.now = START + 500
    for name in PAIR:
        network.restart(name)
    network.publish(COORDINATOR, before[0])  # the broker has kept it
    network.run()
    check_letters(before + network.tap)
    (known,) = network.journals["alice"].sessions()
    for name, outcome in network.outcomes(known.id, tuple(PAIR)).items():
        assert outcome.state is State.COMPLETED, f"{name}: {outcome}"
    network.close()
    for name in PAIR:
        assert books(directory, name) == (Account(HALF, 0), ["reserved", "spent"])


@pytest.fixture
def scratch() -> Iterator[Path]:
    """In memory where that can be had: what `kill -9` leaves is the same there."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        yield Path(directory)


@pytest.mark.parametrize("victim", ["alice", "bob"])
def test_a_node_killed_at_any_step_between_announcement_and_send_spends_once(
    victim: str, scratch: Path
) -> None:
    """The leader, and the other one."""
    shared, end = played(scratch / "whole", victim, 0)
    assert 30 < shared < end
    judge(scratch / "whole")
    for at in (*range(1, shared + 2), *range(shared + 2, end + 1, 7)):
        directory = scratch / str(at)
        assert played(directory, victim, at) == (0, 0)
        judge(directory)
        shutil.rmtree(directory)
