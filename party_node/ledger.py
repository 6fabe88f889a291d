"""The budget ledger: what each session costs each input, stored before it is owed and never altered.

Rule 1: ε is an integer number of nano-ε, and sums of it are exact.
Rule 2: what is reserved counts like what is spent.  The sum is taken and the entry written in one
transaction, so that no two sessions find the same room [sums are a valid filter for adaptively chosen ε:
Rogers, Roth, Ullman, Vadhan, NIPS 2016].
Rule 3: `reserved` is written as we join; `spent` in the transaction that stores our share letters, the first
bytes that depend on the input; `released` when a session has ended of which none were ever stored.

Each entry is chained to the one before by a hash.  How long the chain is, and how it ends, also stands in the
anchor: a file beside the journal, forced to the disk after each commit that brought entries, before anything
leaves that this commit allows.  So a ledger that was altered, cut, lost or put back from a copy is noticed:
`flaw` says so, it is not written any more, and whatever costs ε is refused.  A ledger that has gone past its
anchor is right: a crash came between the commit and the anchor.

Not noticed: a data directory that is put back, or deleted, as a whole, anchor included; and an entry that
is forged together with all hashes after it and the anchor.  The ledger protects its owner, and nobody keeps
the owner from deceiving it.  Repaired it is by hand, while the node is stopped: put back the journal and the
anchor that belong together.  Or write the ledger's own end into the anchor (the error shows it), or move both
away, and take what was spent and is not in the ledger off the input's `epsilon` in the configuration.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from party_node.anchor import START, Anchor, Tip
from party_node.database import Database
from protocol.errors import LocalProtocolError, SottoError
from protocol.transcript import digest

SCHEMA = """
CREATE TABLE ledger (              -- only ever added to; see ledger.py
    number INTEGER PRIMARY KEY, session TEXT NOT NULL, input TEXT NOT NULL,
    event TEXT NOT NULL,           -- reserved; then spent or released, of the same amount
    nano INTEGER NOT NULL,         -- nano-ε
    at INTEGER NOT NULL,           -- Unix milliseconds
    head BLOB NOT NULL,            -- hash over the head before and this entry
    UNIQUE (session, event)
) STRICT;
"""
_SELECT = "SELECT number, session, input, event, nano, at, head FROM ledger"
_REPAIR = "no epsilon is spent; stop the node, and put back the journal and the anchor that belong together"
_DEDUCT = "and take what is not in it off epsilon under [inputs] in the config"


class Event(StrEnum):
    """What becomes of a session's cost."""

    RESERVED = "reserved"
    SPENT = "spent"
    RELEASED = "released"


class Entry(NamedTuple):
    """One line of the ledger."""

    number: int  # from 1
    session: str
    input: str
    event: str
    nano: int
    at: int
    head: bytes

    def link(self, before: bytes) -> bytes:
        """The head that this entry has after that one."""
        return digest("ledger", before, *(str(each) for each in self[:-1]))


@dataclass(frozen=True)
class Account:
    """What sessions have cost one input so far, in nano-ε."""

    spent: int
    reserved: int

    def fits(self, nano: int, budget: int | None) -> bool:
        """Whether so much more is within the budget; None is no limit."""
        return budget is None or self.spent + self.reserved + nano <= budget


class LedgerError(SottoError):
    """The ledger is not the one that was written last."""

    @classmethod
    def astray(cls, problem: str, tip: Tip) -> LedgerError:
        """The chain is whole, but not the one that was anchored; a person may know that it is the newest."""
        return cls(problem, f"{_REPAIR}, or write '{tip}' into the anchor {_DEDUCT}")

    @classmethod
    def broken(cls, problem: str) -> LedgerError:
        """No chain at all."""
        return cls(problem, f"{_REPAIR}, or move both away {_DEDUCT}")


def missing(journal: Path, anchor: Anchor) -> LedgerError | None:
    """What is wrong where there is no journal: nothing, if none has spent anything yet."""
    try:
        anchored = anchor.read()
    except (OSError, ValueError) as error:
        return LedgerError.astray(str(error), START)
    if anchored in (None, START):
        return None
    return LedgerError.astray(f"{journal}: missing, {anchor.path} has seen {anchored.length} entries", START)


class Ledger:
    """The table `ledger` of the journal.  What is written becomes durable with the journal's next commit."""

    def __init__(self, db: Database, anchor: Anchor | None) -> None:
        """Without an anchor, which a ledger in memory has not, only its chain is checked."""
        self._db, self._anchor = db, anchor
        self._anchored: Tip | None = None
        self._examined = False
        self._flaw: LedgerError | None = None
        self._grown = False  # since the last commit

    # -- trust ---------------------------------------------------------------------------------------

    def flaw(self) -> LedgerError | None:
        """Why it must not be relied on: at first the whole chain is checked, later that it has its anchor."""
        if self._flaw is None:
            try:
                self._flaw = self._recheck() if self._examined else self._examine()
            except sqlite3.DatabaseError as error:
                self._flaw = LedgerError.broken(f"{self._db.path}: the ledger cannot be read: {error}")
            self._examined = True
        return self._flaw

    def _examine(self) -> LedgerError | None:
        damage = ""
        try:
            # Before the entries: a node that runs beside us adds to those first.
            self._anchored = None if self._anchor is None else self._anchor.read()
        except (OSError, ValueError) as error:
            damage = str(error)
        entries, head = self.entries(), START.head
        for number, entry in enumerate(entries, 1):
            head = entry.link(head)
            if (entry.number, entry.head) != (number, head):
                return self._altered(number)
        problem = damage or self._off_anchor(entries)
        return LedgerError.astray(problem, self.tip()) if problem else None

    def _off_anchor(self, entries: Sequence[Entry]) -> str:
        """How the ledger misses its anchor; empty if it reaches it."""
        anchored, path = self._anchored, self._anchor and self._anchor.path
        if anchored is None:
            return f"{path}: missing, while the ledger has {len(entries)} entries" if path and entries else ""
        if anchored.length > len(entries):
            return f"{self._db.path}: a ledger of {len(entries)} entries, {path} has seen {anchored.length}"
        if anchored.length and entries[anchored.length - 1].head != anchored.head:
            return f"{self._db.path}: entry {anchored.length} of the ledger is not what {path} has seen"
        return ""

    def _recheck(self) -> LedgerError | None:
        if self._anchored is None or self._anchored == START:
            return None
        query = "SELECT head FROM ledger WHERE number = ?"
        found = self._db.execute(query, (self._anchored.length,)).fetchone()
        if found == (self._anchored.head,):
            return None
        return self._altered(self._anchored.length)

    def _altered(self, number: int) -> LedgerError:
        return LedgerError.broken(f"{self._db.path}: entry {number} of the ledger is not what was written")

    # -- writing: up to the journal's next commit ------------------------------------------------------

    def reserve(self, session: str, name: str, nano: int, budget: int | None, now: int) -> bool:
        """Set aside what a session will cost an input; False if it does not fit, or there is a flaw."""
        self._db.begin()  # nobody else writes between the sum and the entry
        if self.flaw() is not None or not self.account(name).fits(nano, budget):
            return False
        self._append(session, name, Event.RESERVED, nano, now)
        return True

    def spend(self, session: str, now: int) -> None:
        """Our share letters are about to be stored.  Once is enough, however often it is said."""
        if flaw := self.flaw():
            raise flaw
        events = self._events(session)
        if Event.SPENT not in events:
            self._follow(session, events, Event.SPENT, now)

    def release(self, session: str, now: int) -> None:
        """The session has ended; what it has not spent by now it never will."""
        if self.flaw() is None and set(events := self._events(session)) == {Event.RESERVED}:
            self._follow(session, events, Event.RELEASED, now)

    def _follow(self, session: str, events: dict[str, Entry], event: Event, now: int) -> None:
        if set(events) != {Event.RESERVED}:
            known = " and ".join(events) or "never reserved"
            raise LocalProtocolError(f"a session is {event} that was {known}")
        reserved = events[Event.RESERVED]
        self._append(session, reserved.input, event, reserved.nano, now)

    def _append(self, session: str, name: str, event: Event, nano: int, now: int) -> None:
        if self._anchored is None:
            self._fasten()  # before the first entry: later, that there is none means that it was lost
        tip = self.tip()
        entry = Entry(tip.length + 1, session, name, event, nano, now, b"")
        head = entry.link(tip.head)
        self._db.write("INSERT INTO ledger VALUES (?,?,?,?,?,?,?)", *entry[:-1], head)
        self._grown = True

    def anchor(self) -> None:
        """After each commit: force to the disk how far the ledger has come, if it has."""
        if self._grown:
            self._fasten()
            self._grown = False

    def settle(self) -> None:
        """As the node starts that it belongs to: a crash may have come between a commit and the anchor."""
        if self.flaw() is None:
            self._fasten()

    def _fasten(self) -> None:
        tip = self.tip()
        if self._anchor is not None and tip != self._anchored:
            with self._db.storing():
                self._anchor.write(tip)
            self._anchored = tip

    # -- reading -------------------------------------------------------------------------------------

    def tip(self) -> Tip:
        """Where it ends."""
        found = self._db.execute("SELECT number, head FROM ledger ORDER BY number DESC LIMIT 1").fetchone()
        return START if found is None else Tip(*found)

    def account(self, name: str) -> Account:
        """What sessions have cost an input.

        Summed up here, for SQLite's sums end at 2^63; and without an index, which no chain protects.
        """
        query = "SELECT event, nano, count(*) FROM ledger WHERE input = ? GROUP BY event, nano"
        sums: Counter[str] = Counter()
        for event, nano, count in self._db.execute(query, (name,)):
            sums[event] += nano * count
        return Account(sums[Event.SPENT], sums[Event.RESERVED] - sums[Event.SPENT] - sums[Event.RELEASED])

    def reserved(self) -> list[str]:
        """The sessions of which nothing has been spent or released yet; none if there is a flaw."""
        if self.flaw() is not None:
            return []
        query = "SELECT session FROM ledger GROUP BY session HAVING count(*) = 1 ORDER BY min(number)"
        return [session for (session,) in self._db.execute(query)]

    def of(self, session: str) -> list[Entry]:
        """What a session has cost, in order."""
        return list(self._events(session).values())

    def before(self, number: int) -> bytes:
        """The head that entry `number` is chained to."""
        row = self._db.execute("SELECT head FROM ledger WHERE number = ?", (number - 1,)).fetchone()
        return START.head if row is None else bytes(row[0])

    def entries(self) -> list[Entry]:
        """All of it, in order."""
        return [Entry(*row) for row in self._db.execute(f"{_SELECT} ORDER BY number")]

    def _events(self, session: str) -> dict[str, Entry]:
        rows = self._db.execute(f"{_SELECT} WHERE session = ? ORDER BY number", (session,))
        return {row[3]: Entry(*row) for row in rows}
