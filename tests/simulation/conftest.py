"""Simulated nodes log nothing: thousands of sessions would bury what a failed test says."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog


def silence() -> None:
    """Switch the nodes' logs off."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    silence()
    yield
    structlog.reset_defaults()
