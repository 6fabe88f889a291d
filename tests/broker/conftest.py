"""Each broker test runs against every broker: embedded and Mosquitto."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import KINDS, BrokerHandle, running_broker


@pytest.fixture(params=KINDS)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrokerHandle]:
    with running_broker(request.param, tmp_path) as handle:
        yield handle
