"""The journal beside the node that owns it: read only, so that whoever looks never stands in its way.

What the node has not committed yet is not seen.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from party_node import anchor
from party_node.anchor import Anchor
from party_node.database import Database
from party_node.ledger import Ledger
from protocol.errors import SottoError
from protocol.letters import parse
from protocol.spec import SessionSpec
from protocol.states import State

PATIENCE = 2.0  # seconds for a lock: only a checkpoint takes one that is in a reader's way
MOST_LETTERS = 1000  # that are looked through for who sent them
_MOVE = "stop the node and put a copy back, or move it away: what was open and the answers go with it"


class UnreadableError(SottoError):
    """There is a journal, and it cannot be read."""

    def __init__(self, path: Path, problem: object, hint: str = _MOVE) -> None:
        super().__init__(f"{path}: {problem}", hint)


@dataclass(frozen=True)
class Taken:
    """A session that we take or took part in.  Times are Unix milliseconds."""

    spec: SessionSpec
    joined: int
    ended: int | None
    present: frozenset[str]  # who must have been there for it to end as it did


@contextmanager
def reading(path: Path) -> Iterator[Database]:
    """The journal in this file, which must exist.  UnreadableError if it is none, or damaged."""
    try:
        # A path may hold what means something in a URI, such as ? or #.
        where = f"{path.absolute().as_uri()}?mode=ro"
        database = sqlite3.connect(where, uri=True, isolation_level=None, timeout=PATIENCE, factory=Database)
        try:
            database.path = path
            yield database
        finally:
            database.close()
    except sqlite3.DatabaseError as error:
        raise UnreadableError(path, error) from None


def ledger(database: Database) -> Ledger:
    """Its budget ledger."""
    return Ledger(database, Anchor(Path(database.path).parent / anchor.FILE))


def sessions(database: Database) -> list[Taken]:
    """All of them, oldest first."""
    rows = database.execute("SELECT announce, outcome, joined, ended FROM session ORDER BY joined, id")
    return [_taken(*row) for row in rows]


def _taken(announce: bytes, outcome: str | None, joined: int, ended: int | None) -> Taken:
    spec = SessionSpec.decode(parse(announce).body)
    found = {} if outcome is None else json.loads(outcome)
    present: set[str] = set()
    if found.get("state") == State.COMPLETED:
        # All compute parties have revealed, and of the others who is named has sent what counted.
        present = {*spec.compute, *found["inputs"], *(set(spec.results) - set(found["unconfirmed"]))}
    return Taken(spec, joined, ended, frozenset(present))


def last_seen(database: Database) -> dict[str, int]:
    """When each party last gave a sign, as far as the journal knows: letters go when their session ends."""
    seen: dict[str, int] = {}
    for taken in sessions(database):
        for name in taken.present:
            seen[name] = max(seen.get(name, 0), taken.ended or 0)
    # The primary key is no rowid, so rows have one by the order of their arrival.
    query = "SELECT at, payload FROM arrival WHERE payload != '' ORDER BY rowid DESC LIMIT ?"
    for at, payload in database.execute(query, (MOST_LETTERS,)):
        sender = parse(payload).header.sender
        seen[sender] = max(seen.get(sender, 0), at)
    return seen
