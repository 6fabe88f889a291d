"""The coverage-guided fuzzer runs, finds what is broken, and nothing that it has found comes back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.fuzz import corpus
from tests.fuzz.__main__ import REGRESSIONS, exists, fuzz, installed
from tests.fuzz.targets import TARGETS
from tests.simulation.conftest import silence

SECONDS = 1  # for each of these in the ordinary test run; `make fuzz` takes all targets, and longer
FEWEST = {"codec": 2_000, "statements": 2_000, "session": 50}  # runs


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    silence()
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("target", "path"),
    [
        pytest.param(target, path, id=f"{target}: {path.name}")
        for target in TARGETS
        for path in sorted((REGRESSIONS / target).glob("*"))
    ],
)
def test_what_was_found_once_does_not_come_back(target: str, path: Path) -> None:
    TARGETS[target](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_every_seed_keeps_the_promises(target: str, tmp_path: Path) -> None:
    assert corpus.write(target, tmp_path) > 0
    for path in tmp_path.iterdir():
        TARGETS[target](path.read_bytes())


@pytest.mark.parametrize("target", FEWEST)
def test_a_short_search_guided_by_coverage_finds_nothing(target: str, tmp_path: Path) -> None:
    if not installed():
        assert not (os.environ.get("CI") and exists()), (
            "a fuzzer that never runs finds nothing: install atheris"
        )
        pytest.skip("atheris is not installed: it exists for Linux on x86-64, up to Python 3.13")
    fuzzed = fuzz(target, SECONDS, tmp_path)
    assert not fuzzed.found, fuzzed.log[-3000:]
    assert fuzzed.runs >= FEWEST[target], fuzzed.log[-3000:]
    assert fuzzed.edges > 50
