"""Setups: our halves of what an extension with a peer has left for the next one, each for one session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from party_node.database import Database, LostError
from protocol.correlation import ChoiceKeys, PairKeys
from protocol.transcript import digest

SETUPS_KEPT = 2  # with each peer
SCHEMA = """
CREATE TABLE setup (               -- our halves of what serves a next extension; `peer` is its identity
    peer BLOB NOT NULL, id BLOB NOT NULL, kind TEXT NOT NULL,
    keys BLOB, hash BLOB NOT NULL, -- NULL once used; the row stays, or a replay would bring them back
    maker TEXT NOT NULL,           -- the session that made it,
    made INTEGER NOT NULL,         -- and when that was announced, Unix milliseconds
    lent TEXT,                     -- the one session that named it in its join; '' if none ever may
    PRIMARY KEY (peer, id)
) STRICT;
"""
KINDS: dict[str, type[PairKeys | ChoiceKeys]] = {"pairs": PairKeys, "choices": ChoiceKeys}


class SetupStore:
    """The table `setup` of the journal.  What is written becomes durable with the journal's next commit."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def keep(self, maker: str, peer: bytes, name: bytes, setup: PairKeys | ChoiceKeys, made: int) -> None:
        """What an extension with `peer` has left for a next session; a replay makes the same again."""
        kind = next(kind for kind, each in KINDS.items() if isinstance(setup, each))
        keys = setup.to_bytes()
        row = (peer, name, kind, keys, digest("setup", keys), maker, made, None)
        self._db.write("INSERT OR IGNORE INTO setup VALUES (?,?,?,?,?,?,?,?)", *row)

    def lend(self, session: str, peers: Iterable[bytes]) -> None:
        """Give a session what is kept with these peers, for it alone: no setup is ever named twice."""
        query = (
            "SELECT id, keys, hash FROM setup WHERE peer = ? AND lent IS NULL ORDER BY made DESC, id LIMIT ?"
        )
        for peer in peers:
            for name, keys, expected in self._db.execute(query, (peer, SETUPS_KEPT)).fetchall():
                if digest("setup", keys) == expected:
                    self._db.write("UPDATE setup SET lent = ? WHERE peer = ? AND id = ?", session, peer, name)
                else:  # damaged on the disk
                    mark = "UPDATE setup SET lent = '', keys = NULL WHERE peer = ? AND id = ?"
                    self._db.write(mark, peer, name)

    def drop(self, before: int) -> None:
        """Delete what was made before a time, unless a session is using it; its mark goes with its maker."""
        self._db.write("UPDATE setup SET lent = '', keys = NULL WHERE made < ? AND lent IS NULL", before)
        self._db.write(_DROP_MARKS, before)

    def distrust(self, peer: bytes) -> None:
        """Never use again what was made with a peer that has broken the protocol."""
        self._db.write("UPDATE setup SET lent = '', keys = NULL WHERE peer = ? AND lent IS NULL", peer)

    def of(self, session: str, members: Mapping[str, bytes]) -> dict[str, dict[bytes, PairKeys | ChoiceKeys]]:
        """The setups that a session may use, by peer and id; LostError if one is damaged."""
        names = {identity: name for name, identity in members.items()}
        found: dict[str, dict[bytes, PairKeys | ChoiceKeys]] = {}
        query = (
            "SELECT peer, id, kind, keys, hash FROM setup WHERE lent = ? AND keys IS NOT NULL "
            "ORDER BY peer, made DESC, id"
        )
        for peer, name, kind, keys, expected in self._db.execute(query, (session,)):
            if digest("setup", keys) != expected:
                raise LostError(f"what was kept with {names[peer]} for session {session[:12]} is damaged")
            found.setdefault(names[peer], {})[name] = KINDS[kind].from_bytes(keys)
        return found

    def forget(self, session: str) -> None:
        """A session is over: what it has used is deleted, and of what it has made the newest is kept."""
        self._db.write("UPDATE setup SET keys = NULL WHERE lent = ?", session)
        self._db.write(_PRUNE, SETUPS_KEPT)


# All but the newest ones that serve no session.
_PRUNE = """
DELETE FROM setup WHERE lent IS NULL AND (peer, id) IN (
    SELECT peer, id FROM (
        SELECT peer, id, row_number() OVER (PARTITION BY peer ORDER BY made DESC, id) AS place
        FROM setup WHERE lent IS NULL
    ) WHERE place > ?
)
"""
# A mark is needed for as long as the session that made the setup may be replayed.
_DROP_MARKS = """
DELETE FROM setup WHERE made < ? AND keys IS NULL
    AND maker NOT IN (SELECT id FROM session WHERE seed IS NOT NULL)
"""
