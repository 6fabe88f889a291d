"""What a vector that must be refused looks like."""

from __future__ import annotations

from typing import Any

Vector = dict[str, Any]


def flawed(kind: str, name: str, error: str, says: str, given: Vector, repair: Vector) -> Vector:
    """It has one flaw, and `repair` is what takes it away."""
    return {"name": name, "kind": kind, "error": error, "says": says, "given": given, "repair": repair}
