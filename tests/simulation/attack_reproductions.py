"""Plots that once worked, each under the name of what it showed.  They stay."""

from __future__ import annotations

from tests.simulation.attacks import Forge, Hold, Meddle, Plot, Twin
from tests.simulation.schedule import Schedule

REPRODUCTIONS: dict[str, Plot] = {
    # A result party that does not compute was shown complete lists, the compute parties were not: what these
    # revealed was over fewer inputs, and was held against what they had committed to before.
    "honest parties commit twice, and a result party has heard of the first time only": Plot(
        Schedule(
            seed=1,
            inputs=("p0", "p1", "p2", "p3"),
            compute=("p0", "p1", "p2"),
            results=("p4",),
            min_inputs=3,
            function="sum",
            within=10_000,
        ),
        corrupt="p2",
        attacks=(Twin(("p0", "p1"), same_coins=True, deaf_to="p3"), Hold("abort", ("p4",))),
    ),
    # The leader's begin says what shape all inputs have, and to whom it says what is its own affair: so how
    # large a letter may be is no measure for somebody else's.
    "a reveal that is too large by a begin of the leader's making": Plot(
        Schedule(
            seed=1,
            inputs=("p0", "p1", "p2"),
            compute=("p0", "p1", "p2"),
            results=("p3",),
            min_inputs=2,
            function="sum",
            length=600,
            within=10_000,
        ),
        corrupt="p0",
        attacks=(Forge("begin", "another shape", ("p3",)), Meddle("drop", "received", "p3", 1.0)),
    ),
}
