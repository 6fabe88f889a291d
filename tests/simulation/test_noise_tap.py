"""With noise, what the answer would be without it appears nowhere: on no wire, on no disk, in no log."""

from __future__ import annotations

import random
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import structlog

from party_node import active
from protocol import ring
from protocol.dp.epsilon import NANO
from protocol.dp.noise import Noise, Relation
from protocol.functionalities.base import Answer
from protocol.functionalities.sum import Sum
from protocol.holding import Holding
from protocol.ring import Ring
from protocol.sharing import Share
from protocol.states import State
from tests.simulation.test_tap import OpenSeal
from tests.support.detector import Detector, Secret
from tests.support.network import Network
from tests.support.sessions import elements

PARTIES = ("alice", "bob", "carlos", "david")
MOST = 2**48  # an input is a number up to this, of cents that nobody guesses
FUNCTION = Sum(lower=Decimal(-MOST), upper=Decimal(MOST))
NOISE = Noise(
    epsilon=4 * NANO,
    sensitivity=FUNCTION.sensitivity(Relation.REPLACE_ONE),
    relation=Relation.REPLACE_ONE,
    colluders=2,
)
NEVER = {"exact answer", "sum of some inputs", "noise"}


class Left(NamedTuple):
    """What a session leaves behind, and what there is to be found in it."""

    wire: list[bytes]
    disk: list[bytes]
    logs: list[bytes]
    secrets: list[Secret]

    def found(self, where: list[bytes]) -> set[str]:
        """The kinds of secrets that are in these bytes."""
        return {each.kind for each in Detector(self.secrets).find(where)}


def left_by(directory: Path, *, public: bool) -> Left:
    """A session of four nodes, whose journals and files are looked at before anything is deleted."""
    structlog.reset_defaults()
    rng = random.Random(1)
    units = {name: rng.randrange(MOST, 100 * MOST) * rng.choice([-1, 1]) for name in PARTIES}
    inputs = {name: {"raise": str(Decimal(each).scaleb(-2))} for name, each in units.items()}
    with structlog.testing.capture_logs() as logs:
        network = Network(inputs, directory=directory, keep=3_600_000)
        session = network.announce(network.spec(FUNCTION, noise=NOISE, public=public))
        network.run(until=network.now + 10_000)
    [answer] = {outcome.answer.text() for outcome in network.outcomes(session).values() if outcome.answer}
    assert {outcome.state for outcome in network.outcomes(session).values()} == {State.COMPLETED}
    wire = [part for sent in network.tap for part in (sent.topic.encode(), sent.payload)]
    disk = [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
    network.close()
    shares = [network.noises[session, name] for name in PARTIES]
    result = elements(int(Decimal(str(answer)) * 100))
    found = [Secret("answer", "", result), *_secrets([*units.values()], shares)]
    return Left(wire, disk, [str(each).encode() for each in logs], found)


def _secrets(units: list[int], shares: list[Ring]) -> list[Secret]:
    some = [subset for size in (2, 3) for subset in combinations(units, size)]
    whole = np.asarray(np.sum(shares, dtype=np.uint64))
    return [
        Secret("exact answer", "", elements(sum(units))),
        *(Secret("sum of some inputs", "", elements(sum(each))) for each in some),
        *(Secret("noise", "", share) for share in (*shares, whole)),
    ]


@pytest.mark.parametrize("public", [False, True])
def test_the_exact_answer_appears_nowhere_and_neither_does_the_noise(tmp_path: Path, public: bool) -> None:
    left = left_by(tmp_path, public=public)
    for where in left:
        assert where
    assert left.found(left.wire) == ({"answer"} if public else set())
    assert left.found(left.disk) == {"answer"}, "in the journals, for its readers"
    assert left.found(left.logs) == set()


def test_not_even_with_sealing_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(active, "Seal", OpenSeal)
    left = left_by(tmp_path, public=False)
    assert not left.found(left.wire + left.disk + left.logs) & NEVER


# -- what would be found ---------------------------------------------------------------------------------


def test_an_answer_to_which_noise_is_added_when_it_is_read_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(self: Holding, _noise: Share) -> None:
        self._noisy = False

    def decode(self: Sum, opened: Ring, inputs: int) -> Answer:
        return honest(self, opened + np.uint64(123_456_789), inputs)

    honest = Sum.decode
    monkeypatch.setattr(Holding, "take_noise", take)
    monkeypatch.setattr(Sum, "decode", decode)
    left = left_by(tmp_path, public=True)
    assert left.found(left.wire) == {"exact answer"}
    assert "exact answer" in left.found(left.disk)


def test_noise_in_a_log_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def take(self: Holding, noise: Share) -> None:
        structlog.get_logger().info("drawn", units=int(ring.to_signed(noise.elements(()))))
        honest(self, noise)

    honest = Holding.take_noise
    monkeypatch.setattr(Holding, "take_noise", take)
    left = left_by(tmp_path, public=False)
    assert left.found(left.logs) == {"noise"}
