"""A journal on a disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from party_node.journal import Journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    yield journal
    journal.close()


@pytest.fixture(autouse=True)
def _own_logs() -> None:
    """Another test may have set a level: logs that are looked for would be missing."""
    structlog.reset_defaults()
