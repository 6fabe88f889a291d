"""The anchor: how long the budget ledger was, and how its chain ended, in a small file beside the journal.

A ledger that was lost, cut or put back from a copy no longer reaches its anchor.  The file is one line that a
person can write too: the number of entries and the head of the chain, `12 3f2a…`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from party_node import durable

FILE = "ledger.anchor"
_LINE = re.compile(r"(0|[1-9][0-9]*) ([0-9a-f]{64})\n?")


class Tip(NamedTuple):
    """The end of a chain."""

    length: int  # in entries
    head: bytes  # the hash of the last one, over the hash of the one before

    def __str__(self) -> str:
        return f"{self.length} {self.head.hex()}"


START = Tip(0, bytes(32))  # of an empty ledger


class Anchor:
    """The file.  What `write` has returned from survives a power cut."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Tip | None:
        """What it says, None if there is none; ValueError if it is damaged."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return None
        line = _LINE.fullmatch(raw.decode("ascii", errors="replace"))
        if line is None:
            raise ValueError(f"{self.path}: not an anchor, expected the number of entries and a hash")
        return Tip(int(line[1]), bytes.fromhex(line[2]))

    def write(self, tip: Tip) -> None:
        """Replace it as a whole: a crash leaves the old one or the new one.  OSError if the disk is full."""
        durable.replace(self.path, f"{tip}\n".encode())
