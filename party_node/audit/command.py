"""Reading bundles from files, for `party-node audit verify`: no config, no key and no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from party_node import console
from party_node.audit.bundle import MOST_BYTES
from party_node.audit.verdict import Standing, Verdict, verify
from party_node.roster import load_roster
from protocol.errors import SottoError

CODES = {
    Standing.VALID: console.DONE,
    Standing.INVALID: console.FAILED,
    Standing.INCOMPLETE: console.NO_ANSWER,
}


def judge(paths: Sequence[Path], roster: Path) -> Verdict:
    """The verdict on bundles of one session in these files."""
    return verify([_read(path) for path in paths], load_roster(roster))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        problem = (error.strerror or "unreadable").lower()
        raise SottoError(f"{path}: {problem}", "`party-node audit export` writes one") from None
    if len(raw) > MOST_BYTES:
        raise SottoError(f"{path}: more than {MOST_BYTES} bytes", "no bundle is as large")
    return raw
