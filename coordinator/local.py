"""`coordinator up` and `down`: a lasting cluster on this machine."""

from __future__ import annotations

import time
from pathlib import Path

from coordinator import announce, cluster, terminal
from party_node import logs


def up(directory: Path, parties: str | None, inputs: Path | None, lifetime: float | None) -> None:
    """Create what is missing, start what does not run, say what to do next."""
    logs.configure("warning")
    cluster.up(directory, announce.names(parties), inputs, lifetime=lifetime)
    names = ", ".join(cluster.parties_of(directory))
    terminal.note(f"the broker and the nodes of {names} are up")
    terminal.note(f"stop them with: coordinator down --dir {directory}")


def down(directory: Path, after: float) -> None:
    """Stop everything, now or later."""
    time.sleep(after)
    cluster.down(directory)
