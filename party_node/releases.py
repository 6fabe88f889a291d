"""The release ledger: which exact answers an input has gone into, so that no two of them give it away.

The difference of two exact sums over different sets of people is the sum over those by whom they differ, and
answers under one threshold after the other are the count.  So an input goes into a further exact answer only
if that is over exactly the same people and under the same threshold, or if the sets differ by at least the
number that the owner names.  What an input was is kept as a keyed hash: a changed input is another one.

Which inputs are counted may be known only when a session is over, and to those who do not compute not even
then: what they hear may have been made up by the broker and all compute parties but one.  So an entry is the
whole family of sets that may have been counted, and two families are as far apart as their nearest different
members.

An entry is written as we join, in the same transaction, and taken back if nothing can have been opened.
Answers that cost ε go by the input's budget instead, where it has one: without a limit, ε hides nothing.

Not noticed: a journal that is put back as a whole, or rows that are deleted.  Like the other ledger, this one
protects its owner, and nobody keeps the owner from deceiving it.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from party_node.database import Database
from party_node.policy import Refusal
from protocol.encoding import Exact
from protocol.functionalities.referendum import Referendum
from protocol.messages import RefusalCode
from protocol.session import Session
from protocol.spec import SessionSpec
from protocol.transcript import pack

KEY_BYTES = 32
SCHEMA = """
CREATE TABLE release (             -- exact answers that our inputs have gone into; see releases.py
    session TEXT PRIMARY KEY,
    content BLOB NOT NULL,         -- keyed hash of the input's name and value
    parties TEXT NOT NULL,         -- JSON: whose inputs may have been counted,
    least INTEGER NOT NULL,        -- and how many at least
    threshold TEXT,                -- of a referendum, as the spec has it
    at INTEGER NOT NULL,           -- Unix milliseconds
    seal BLOB NOT NULL             -- keyed hash of the row
) STRICT;
CREATE INDEX release_content ON release (content);
CREATE TABLE release_key (key BLOB NOT NULL) STRICT;
"""
_SELECT = "SELECT session, content, parties, least, threshold, at, seal FROM release"


@dataclass(frozen=True)
class Family:
    """All sets of at least `least` of these parties; each set that counts our input has us in it."""

    parties: frozenset[str]
    least: int

    @property
    def single(self) -> bool:
        """True if it is one set."""
        return self.least == len(self.parties)

    def distance(self, other: Family) -> int:
        """By how many people two different sets of the two families differ at least; 0 if there are none."""
        if self == other and self.single:
            return 0
        common = len(self.parties & other.parties)
        # As many as possible are taken from what both have, and the rest from what only one has.
        return max(0, self.least - common) + max(0, other.least - common) or 1

    def sizes(self, other: Family) -> range:
        """How many may be in a set that is in both families."""
        return range(max(self.least, other.least), len(self.parties & other.parties) + 1)


class Release(NamedTuple):
    """One entry, without what the input was."""

    session: str
    parties: tuple[str, ...]
    least: int
    threshold: str | None
    at: int

    @property
    def family(self) -> Family:
        """The sets that may have been counted."""
        return Family(frozenset(self.parties), self.least)


class Releases:
    """The table `release` of the journal.  What is written becomes durable with the journal's next commit."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._examined = False

    def reserve(
        self, session: str, spec: SessionSpec, value: Exact, distance: int | None, now: int
    ) -> Refusal | None:
        """Note that our input goes into this exact answer, unless an earlier one forbids it.

        `distance`: by how many people sets must differ; None is that they never may.
        """
        self._db.begin()  # nobody else writes between the look and the entry
        if flaw := self.flaw():
            return flaw
        tag = _content(self._key(), spec.input, value)
        release = Release(session, spec.inputs, spec.min_inputs, _threshold(spec), now)
        for row in self._db.execute(f"{_SELECT} WHERE content = ? ORDER BY at, session", (tag,)):
            if found := _conflict(release, _release(row), distance):
                return found
        self._write(tag, release)
        return None

    def flaw(self) -> Refusal | None:
        """Whether a row is not what was written; looked at once in each process, until all is well."""
        if self._examined:
            return None
        key = self._key()
        for row in self._db.execute(_SELECT):
            if not hmac.compare_digest(row[-1], _seal(key, row[:-1])):
                return Refusal(
                    RefusalCode.POLICY,
                    f"{self._db.path}: the release of session {row[0][:12]} is not what was written",
                    "nothing exact is told; stop the node and put back the journal that belongs to it",
                )
        self._examined = True
        return None

    def ended(self, session: str, machine: Session, *, shared: bool) -> None:
        """Narrow the entry down to what can have been counted; `shared`: our share letters are stored."""
        row = self._db.execute(f"{_SELECT} WHERE session = ?", (session,)).fetchone()
        if row is None:
            return
        me, outcome = machine.me, machine.outcome
        computed = me in machine.spec.compute  # then what is counted is what we have agreed to
        if shared and not machine.view:
            return  # abandoned without a replay: nobody knows how far it had come, so all may have been
        if not shared or (computed and me not in outcome.inputs):
            self._db.write("DELETE FROM release WHERE session = ?", session)
            return
        parties = outcome.inputs if computed else machine.joined
        least = len(parties) if computed else machine.spec.min_inputs
        before = _release(row)
        self._write(row[1], Release(session, parties, least, before.threshold, before.at))

    def of(self, session: str) -> Release | None:
        """What is noted of a session."""
        row = self._db.execute(f"{_SELECT} WHERE session = ?", (session,)).fetchone()
        return None if row is None else _release(row)

    def entries(self) -> list[Release]:
        """All of them, oldest first."""
        return [_release(row) for row in self._db.execute(f"{_SELECT} ORDER BY at, session")]

    def _write(self, tag: bytes, release: Release) -> None:
        parties = json.dumps(release.parties)
        row = (release.session, tag, parties, release.least, release.threshold, release.at)
        self._db.write("INSERT OR REPLACE INTO release VALUES (?,?,?,?,?,?,?)", *row, _seal(self._key(), row))

    def _key(self) -> bytes:
        """Made once; without it, whoever gets a copy of the table could not try out values."""
        found = self._db.execute("SELECT key FROM release_key").fetchone()
        if found is not None:
            return bytes(found[0])
        key = secrets.token_bytes(KEY_BYTES)
        self._db.write("INSERT INTO release_key VALUES (?)", key)
        return key


def _conflict(new: Release, old: Release, distance: int | None) -> Refusal | None:
    apart = new.family.distance(old.family)
    if _swept(new, old):
        return Refusal(
            RefusalCode.DIFFERENCING,
            f"the same input was voted on under threshold {old.threshold} in session {old.session[:12]}",
            "thresholds one after the other give the count; with --epsilon each of them costs its part",
        )
    if apart == 0 or (distance is not None and apart >= distance):
        return None
    among = f"{len(old.parties)} parties" if old.family.single else f"some of {len(old.parties)} parties"
    least = "never with other parties" if distance is None else f"{distance} parties apart"
    return Refusal(
        RefusalCode.DIFFERENCING,
        f"the same input went into an exact answer among {among} in session {old.session[:12]}, "
        f"and this one may be {apart} {'party' if apart == 1 else 'parties'} apart, expected {least}",
        "ask exactly the same parties with --min-inputs for all of them, or with --epsilon; "
        "min_difference under [policy] in this node's config",
    )


def _swept(new: Release, old: Release) -> bool:
    """Whether one set of ballots could be compared with two thresholds."""
    if new.threshold is None or old.threshold is None:
        return False
    one, other = Referendum(threshold=new.threshold), Referendum(threshold=old.threshold)
    return any(one.least(size) != other.least(size) for size in new.family.sizes(old.family))


def _threshold(spec: SessionSpec) -> str | None:
    """None where nothing is compared with a threshold."""
    return spec.function.threshold if isinstance(spec.function, Referendum) else None


def _content(key: bytes, name: str, value: Exact) -> bytes:
    """The same for the same value under the same name, however it is written: 3800 and 3800.00."""
    units, scale = value.units, value.scale
    while scale and not (units % 10).any():
        units, scale = units // 10, scale - 1
    raw = pack("release", name, str(units.shape), str(scale), units.astype("<i8").tobytes())
    return hmac.digest(key, raw, "sha256")


def _seal(key: bytes, row: Sequence[object]) -> bytes:
    parts = (each if isinstance(each, bytes) else str(each) for each in row)
    return hmac.digest(key, pack("release row", *parts), "sha256")


def _release(row: Sequence[object]) -> Release:
    session, _, parties, least, threshold, at, _ = row
    return Release(session, tuple(json.loads(parties)), least, threshold, at)  # type: ignore[arg-type] # SQLite's types
