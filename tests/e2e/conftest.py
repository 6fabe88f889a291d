"""A cluster of real processes for the tests of the command lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator import cluster
from tests.support.brokers import KINDS, require

INPUTS = """party,raise,bonus
alice,3800,10.25
bob,2514,-3
carlos,2982,0.5
david,3390,7
"""
PARTIES = ["alice", "bob", "carlos", "david"]
LIFETIME = 600.0  # seconds; should the test run die, the processes end by themselves


@pytest.fixture(scope="module", params=KINDS)
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running cluster of four, on each kind of broker."""
    require(request.param)
    scratch = tmp_path_factory.mktemp("cluster")
    inputs = scratch / "inputs.csv"
    inputs.write_text(INPUTS)
    directory = scratch / "D"
    cluster.create(directory, PARTIES, inputs, kind=request.param)
    for name in PARTIES:  # the same few inputs serve all tests, also those among fewer parties
        with (directory / "parties" / name / "config.toml").open("a") as config:
            config.write("\n[policy]\nmin_difference = 1\n")
    try:
        cluster.up(directory, lifetime=LIFETIME)
        yield directory
    finally:
        cluster.down(directory)
