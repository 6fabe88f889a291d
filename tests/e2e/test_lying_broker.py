"""A broker that lies about letters of honest parties may end a session, by name; it makes no wrong number.

Real nodes and a real Mosquitto, with `tests/support/proxy.py` between them.  All sessions run side by side,
each with lies of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from protocol.states import State
from tests.support.broker_faults import (
    Alter,
    Delay,
    Double,
    Drop,
    Hold,
    Lies,
    Reorder,
    Replay,
    Swap,
    generate,
)
from tests.support.lied import PARTIES, Lied, judged, lied_cluster

WITHIN = 8.0  # seconds that a session lasts at most

# What loses no letter must not cost the answer.
HARMLESS: dict[str, Lies] = {
    "no lies": Lies(),
    "everything comes twice": Lies(operations=(Double(),)),
    "in another order, and late": Lies(3, (Reorder(window=7), Delay(ms=300))),
    "earlier letters come again": Lies(4, (Replay(chance=0.5),)),
    "an old session's letters come again": Lies(5, (Replay(old=True, chance=0.7), Double(chance=0.2))),
    "an old session's letters under this one's name": Lies(6, (Replay(old=True, relabelled=True),)),
}
LOSSY: dict[str, Lies] = {
    "a third is lost, up and down": Lies(7, (Drop(chance=0.33),)),
    "letters say what others have said": Lies(8, (Swap(chance=0.3),)),
    "bits are flipped": Lies(9, (Alter(chance=0.3),)),
    "shares are kept until somebody asks": Lies(10, (Hold(step="share", until="request"),)),
    "nobody but carlos hears the leader's begin": Lies(
        11, tuple(Drop(step="begin", reader=name) for name in ("bob", "david"))
    ),
}
DRAWN: dict[str, Lies] = {f"seed {seed}": generate(seed) for seed in range(1, 7)}
EVERYTHING = HARMLESS | LOSSY | DRAWN


@pytest.fixture(scope="module")
def lied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lied]:
    """Four nodes, with an input and a ballot for each session."""
    with lied_cluster(tmp_path_factory.mktemp("lied"), len(EVERYTHING)) as made:
        yield made


def test_whatever_becomes_of_letters_the_answer_is_right_or_the_end_has_a_name(lied: Lied) -> None:
    specs = lied.ask_all(EVERYTHING, WITHIN)
    ends = {what: judged(lied, spec, EVERYTHING[what]) for what, spec in specs.items()}
    assert {what for what in HARMLESS if ends[what] != {State.COMPLETED}} == set()
    completed = [what for what, states in ends.items() if states == {State.COMPLETED}]
    assert len(completed) > len(HARMLESS), f"too many lies to show anything: {ends}"
    assert any("payload dropped" in lied.nodes.log(name) for name in PARTIES), "no lie has arrived"
