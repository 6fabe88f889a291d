"""Moments for people and for JSON: UTC, to the second."""

from __future__ import annotations

import datetime as dt

_LAST_DATE = 253_402_300_799_999  # Unix milliseconds, the end of the year 9999


def utc(milliseconds: int) -> str:
    """A Unix time as ISO 8601 has it: 2026-11-22T15:04:10Z; what no calendar has, as a number."""
    if not 0 <= milliseconds <= _LAST_DATE:
        return f"{milliseconds} ms"
    return f"{dt.datetime.fromtimestamp(milliseconds // 1000, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
