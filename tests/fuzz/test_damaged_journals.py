"""A journal that a disk has damaged: an error that names the file, or an end that blames nobody.

Bits are flipped, zeroed and cut off anywhere in the file of a stopped node, in the middle of its sessions.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from party_node.journal import Journal
from party_node.post import Publication
from protocol.dp.noise import Noise, Relation
from protocol.errors import SottoError
from protocol.functionalities.sum import Sum
from protocol.states import State
from tests.simulation.conftest import silence
from tests.support.network import Network

CASES = 40
TRIO = {"alice": "100", "bob": "20", "carlos": "3"}


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    silence()
    yield
    structlog.reset_defaults()


def interrupted(directory: Path) -> tuple[Network, list[str]]:
    """Alice is stopped in the middle of an exact and a noised session; one is over already."""
    network = Network({name: {"raise": value} for name, value in TRIO.items()}, directory=directory)
    noise = Noise(epsilon=10**9, sensitivity=1000, relation=Relation.REPLACE_ONE, colluders=1)
    bounded = Sum.model_validate_json('{"lower":"0","upper":"1000","decimals":0}')
    network.announce(network.spec(bounded, noise=noise))
    network.run(network.now + 3_000)
    network.leaves = lambda sender, sent: not (sender == "carlos" and "/received/" in sent.topic)
    sessions = [network.announce(network.spec(Sum(decimals=0)))]
    sessions.append(network.announce(network.spec(bounded, noise=noise)))
    network.run(network.now + 500)
    network.stop("alice")
    network.leaves = lambda _sender, _sent: True
    assert not (directory / "alice" / "journal.sqlite-wal").exists(), "all of it is in one file"
    return network, sessions


def damaged(good: bytes, draw: random.Random) -> bytes:
    """A few bits, a few zeros, or the end."""
    raw = bytearray(good)
    if draw.random() < 0.2:
        del raw[draw.randrange(len(raw)) :]
        return bytes(raw)
    at = draw.choice([place for place, byte in enumerate(raw) if byte])
    zeros = draw.random() < 0.2
    for place in range(at, min(at + draw.choice([1, 1, 8, 64]), len(raw))):
        raw[place] = 0 if zeros else raw[place] ^ (1 << draw.randrange(8))
    return bytes(raw)


def told(path: Path, error: SottoError) -> str:
    """What is wrong with which file, or with which session in it, and what to do."""
    assert error.message.startswith((f"{path}: ", "journal: session ")), error.message
    assert error.hint
    return "told"


def outcome(network: Network, sessions: list[str], path: Path) -> str:
    """Start alice on what is left of her journal, and let all end that can."""
    sent: list[Publication] = []
    network.leaves = lambda sender, each: sender != "alice" or not sent.append(each)  # type: ignore[func-returns-value]
    try:
        network.start("alice")
    except SottoError as error:
        assert sent == [], "nothing leaves a node that does not start"
        return told(path, error)
    try:
        network.run()
    except SottoError as error:
        return told(path, error)
    for session in sessions:
        for name, each in network.outcomes(session).items():
            assert each.ending is None or each.ending.culprit is None, f"{name} blames {each.ending}"
    exact = network.outcomes(sessions[0])
    for name, each in exact.items():
        if each.state is State.COMPLETED:
            assert each.answer is not None
            assert each.answer.text() == "123", f"{name} has a wrong answer"
    return "completed" if all(each.state is State.COMPLETED for each in exact.values()) else "aborted"


def test_a_damaged_journal_is_told_by_name_or_blames_nobody(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for number in range(CASES):
        directory = tmp_path / str(number)
        directory.mkdir()
        network, sessions = interrupted(directory)
        path = directory / "alice" / "journal.sqlite"
        path.write_bytes(damaged(path.read_bytes(), random.Random(number)))
        try:
            seen[outcome(network, sessions, path)] += 1
        finally:
            network.close()
            shutil.rmtree(directory)
    assert seen["told"] > 0, seen
    assert seen["completed"] > 0, seen


@pytest.mark.parametrize("number", range(6))
def test_a_damaged_letter_of_somebody_else_is_our_loss_and_not_his_doing(tmp_path: Path, number: int) -> None:
    network, sessions = interrupted(tmp_path)
    journal = Journal(tmp_path / "alice" / "journal.sqlite")
    query = "SELECT rowid, payload FROM arrival WHERE session = ? AND length(payload) > 0 ORDER BY rowid"
    rows = journal._db.execute(query, (sessions[0],)).fetchall()
    row, payload = rows[number % len(rows)]
    journal._db.write(
        "UPDATE arrival SET payload = ? WHERE rowid = ?", payload[:-3] + b"!" + payload[-2:], row
    )
    journal.commit()
    journal.close()
    outcome(network, sessions, tmp_path / "alice" / "journal.sqlite")
    ending = network.outcomes(sessions[0])["alice"].ending
    assert ending is not None
    assert (str(ending.reason), ending.silent) == ("lost-state", ("alice",))
    network.close()
