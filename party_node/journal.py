"""The journal: what a node must not forget, written before it acts, in SQLite.

One transaction holds what arrived and the exact bytes that answer it, so after a crash the node replays
to the same state and sends the same bytes.  Secrets (seed, input, what was sealed to us) are overwritten
when the session's use for them ends.

What is large lies in files beside it, which are not forced to the disk: they survive `kill -9`, and after
a power cut they are checked (the input by its hash, a letter by our own signature).  Where one is lost,
the session ends in a named abort; it is never made anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from party_node import anchor, database, ledger, releases, setups
from party_node.anchor import Anchor
from party_node.database import LostError
from party_node.ledger import Ledger
from party_node.post import Sent
from party_node.releases import Releases
from party_node.setups import SetupStore
from party_node.spool import Spool
from protocol.errors import ConfigError, SottoError
from protocol.functionalities import Answer
from protocol.letters import parse
from protocol.messages import IN_ROUNDS, SEALED, AbortReason, MalformedError, RefusalCode, Step
from protocol.ring import Ring
from protocol.secret import Seed
from protocol.spec import SessionSpec
from protocol.states import Ending, Outcome, State
from protocol.transcript import digest

INPUT_FILE = "input"
MEMORY = database.MEMORY
SCHEMA_VERSION = 5
SCHEMA = """
CREATE TABLE session (
    id TEXT PRIMARY KEY,
    announce BLOB NOT NULL,        -- the coordinator's signed letter
    joined INTEGER NOT NULL,       -- Unix milliseconds
    seed BLOB,
    state TEXT NOT NULL,
    outcome TEXT,                  -- JSON, once it is over
    answer BLOB,                   -- int64, little endian; NULL if it is in a file
    ended INTEGER,
    retained INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE input (               -- the snapshot of our own input; `elements` is NULL if it is in a file
    session TEXT PRIMARY KEY, shape TEXT NOT NULL, hash BLOB NOT NULL, elements BLOB
) STRICT;
CREATE TABLE decision (            -- whether we take part, and who said so
    session TEXT PRIMARY KEY, made TEXT NOT NULL, by TEXT NOT NULL, code TEXT NOT NULL, detail TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE TABLE arrival (             -- payload is NULL where only the time came, '' for our own noise
    session TEXT NOT NULL, number INTEGER NOT NULL, at INTEGER NOT NULL, payload BLOB,
    hash BLOB,                     -- of the payload
    plain INTEGER NOT NULL,        -- 1: part of the evidence
    PRIMARY KEY (session, number)
) STRICT;
CREATE TABLE evidence (            -- of an ended session, the plain letters as they were signed
    session TEXT NOT NULL, number INTEGER NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (session, number)
) STRICT;
CREATE TABLE outbox (              -- one row a part, exactly as published; NULL if it is in a file
    session TEXT NOT NULL, step TEXT NOT NULL, recipient TEXT NOT NULL, part INTEGER NOT NULL,
    payload BLOB,
    PRIMARY KEY (session, step, recipient, part)
) STRICT;
"""
EVIDENCE = frozenset(Step) - SEALED - IN_ROUNDS - {Step.ANNOUNCE, Step.REQUEST}


@dataclass(frozen=True)
class SessionRow:
    """What the journal knows of a session."""

    id: str
    announce: bytes
    joined: int
    seed: Seed | None
    state: State
    outcome: Outcome | None
    ended: int | None
    retained: bool

    @property
    def spec(self) -> SessionSpec:
        """What was announced; ConfigError if the disk has altered it."""
        try:
            return _spec(self.announce)
        except MalformedError as error:
            problem = f"journal: session {self.id[:12]}: what was announced is damaged: {error.message}"
            raise ConfigError(problem, database.DAMAGED) from None


@lru_cache(maxsize=32)
def _spec(announce: bytes) -> SessionSpec:
    """A peer may ask about one many times a second."""
    return SessionSpec.decode(parse(announce).body)


class Made(StrEnum):
    """What was decided about a session that we are to take part in."""

    PENDING = "pending"  # a person is asked
    JOINED = "joined"
    REFUSED = "refused"


class Decider(StrEnum):
    """Who decided."""

    POLICY = "policy"
    PERSON = "person"


class Decision(NamedTuple):
    """Whether we take part, and why not."""

    made: Made
    by: Decider
    code: str  # of a refusal
    detail: str
    at: int  # Unix milliseconds


class Journal:
    """SQLite in WAL mode with synchronous=FULL: what `commit` has returned from survives a power cut."""

    def __init__(self, path: Path | str) -> None:
        folder = None if path == MEMORY else Path(path).parent
        self._spool = Spool(folder and folder / "spool")
        self._answers = Spool(folder and folder / "answers")
        self._leftovers: list[tuple[str, str | None]] = []  # files to delete once the commit is safe,
        self._old_answers: list[str] = []  # and the folders of answers
        self._db = database.opened(
            path, SCHEMA + setups.SCHEMA + ledger.SCHEMA + releases.SCHEMA, SCHEMA_VERSION
        )
        self.ledger = Ledger(self._db, None if folder is None else Anchor(folder / anchor.FILE))
        self.releases = Releases(self._db)
        self.setups = SetupStore(self._db)

    @property
    def failure(self) -> SottoError | None:
        """Why nothing more is written, if the disk has failed."""
        return self._db.failure

    def tidy(self) -> None:
        """Put in order what a crash left behind; only for the node that owns the journal, as it starts."""
        letters = self._db.execute("SELECT DISTINCT session FROM outbox").fetchall()
        secret = self._db.execute("SELECT id FROM session WHERE seed IS NOT NULL").fetchall()
        self._spool.tidy({row[0] for row in letters}, {row[0] for row in secret}, INPUT_FILE)
        self.ledger.settle()

    def close(self) -> None:
        """Undo what was not committed and close the file."""
        self._db.close()

    # -- writing: everything between two commits is one transaction --------------------------------

    def _write(self, sql: str, *values: object) -> None:
        self._db.write(sql, *values)

    def _keep(self, spool: Spool, session: str, name: str, content: bytes, *, durable: bool = False) -> bool:
        with self._db.storing():
            return spool.keep(session, name, content, durable=durable)

    def commit(self) -> None:
        """Make durable all that was written since the last commit; StorageError: nothing of it may leave."""
        self._db.commit()
        self.ledger.anchor()
        for session, name in self._leftovers:
            self._spool.drop(session, name)
        self._leftovers.clear()
        for session in self._old_answers:
            self._answers.drop(session, None)
        self._old_answers.clear()

    def scrub(self) -> bool:
        """Take deleted secrets off the write-ahead log too; False if a reader is in the way just now."""
        self.commit()
        return self._db.empty_log()

    def announced(self, session: str, announce: bytes, now: int) -> None:
        """A session that we coordinate and have no part in, or that a person is asked about."""
        self._write(
            "INSERT INTO session (id, announce, joined, state) VALUES (?,?,?,?)",
            *(session, announce, now, State.ANNOUNCED),
        )

    def open(self, session: str, announce: bytes, now: int, seed: Seed, value: Ring | None) -> None:
        """A session begins: its seed and the snapshot of our input."""
        self._write(
            "INSERT INTO session (id, announce, joined, seed, state) VALUES (?,?,?,?,?) "
            "ON CONFLICT (id) DO UPDATE "  # a person has been asked
            "SET joined = excluded.joined, seed = excluded.seed, state = excluded.state",
            *(session, announce, now, seed.expose(), State.JOINED),
        )
        if value is not None:
            raw = value.tobytes()
            kept = self._keep(self._spool, session, INPUT_FILE, raw)
            row = (session, json.dumps(value.shape), digest("snapshot", raw), None if kept else raw)
            self._write("INSERT INTO input VALUES (?,?,?,?)", *row)

    def decided(self, session: str, decision: Decision) -> None:
        """Whether we take part; a later word of a person replaces that they are asked."""
        self._write("INSERT OR REPLACE INTO decision VALUES (?,?,?,?,?,?)", session, *decision)

    def arrived(
        self, session: str, number: int, now: int, payload: bytes | None, *, plain: bool = False
    ) -> None:
        """A part, or a tick of the clock, that the session has taken in."""
        made = payload and digest("arrival", payload)
        row = (session, number, now, payload, made, int(plain))
        self._write("INSERT INTO arrival VALUES (?,?,?,?,?,?)", *row)

    def sent(self, session: str, part: Sent) -> None:
        """A part that leaves after the next commit, and is resent byte by byte for ever after."""
        name = _letter_file(part.step, part.to, part.part)
        kept = self._keep(self._spool, session, name, part.payload)
        row = (session, part.step, part.to, part.part, None if kept else part.payload)
        self._write("INSERT INTO outbox VALUES (?,?,?,?,?)", *row)

    def state(self, session: str, state: State) -> None:
        """Where the session is, for people to look at."""
        self._write("UPDATE session SET state = ? WHERE id = ?", state, session)

    def end(self, session: str, outcome: Outcome, now: int) -> None:
        """The session is over: keep how it ended and the answer, if it is ours to know."""
        answer = None if outcome.answer is None else outcome.answer.units.astype("<i8").tobytes()
        if answer is not None and self._keep(self._answers, session, "units", answer, durable=True):
            answer = None
        self._write(
            "UPDATE session SET state = ?, outcome = ?, answer = ?, ended = ? WHERE id = ?",
            *(outcome.state, _dump(outcome), answer, now, session),
        )

    def keep_evidence(self, session: str) -> None:
        """What everybody may read of an ended session outlives what is secret of it."""
        self._write(
            "INSERT OR IGNORE INTO evidence SELECT session, number, payload FROM arrival "
            "WHERE session = ? AND plain = 1",
            session,
        )
        ours = [sent.payload for sent in self.outbox(session) if sent.payload and is_evidence(sent.step)]
        for number, payload in enumerate(ours):
            self._write("INSERT OR IGNORE INTO evidence VALUES (?,?,?)", session, -1 - number, payload)

    def drop_evidence(self, before: int) -> None:
        """Delete it of sessions that ended before a time."""
        query = "DELETE FROM evidence WHERE session IN (SELECT id FROM session WHERE ended < ?)"
        self._write(query, before)

    def drop_sessions(self, before: int) -> None:
        """Delete what ended before a time and has nothing left but its answer."""
        for (session,) in self._db.execute(_OLD, (before,)).fetchall():
            self._write("DELETE FROM decision WHERE session = ?", session)
            self._write("DELETE FROM evidence WHERE session = ?", session)
            self._write("DELETE FROM session WHERE id = ?", session)
            self._old_answers.append(session)

    def retain(self, session: str) -> None:
        """The broker keeps this session's letters for those who are away."""
        self._write("UPDATE session SET retained = 1 WHERE id = ?", session)

    def forget_secrets(self, session: str) -> None:
        """Overwrite the seed, the input and all that arrived."""
        self._write("UPDATE session SET seed = NULL WHERE id = ?", session)
        self._write("DELETE FROM input WHERE session = ?", session)
        self._leftovers.append((session, INPUT_FILE))
        self._write("DELETE FROM arrival WHERE session = ?", session)
        self.setups.forget(session)

    def forget_outbox(self, session: str) -> None:
        """Nobody may ask for these letters any more."""
        self._write("DELETE FROM outbox WHERE session = ?", session)
        self._leftovers.append((session, None))
        self._write("UPDATE session SET retained = 0 WHERE id = ?", session)

    # -- reading -----------------------------------------------------------------------------------

    def sessions(self) -> list[SessionRow]:
        """Every session, oldest first."""
        return [self._row(row) for row in self._db.execute(f"{_SELECT} ORDER BY joined, id")]

    def session(self, session: str) -> SessionRow | None:
        """One session, if it is known."""
        row = self._db.execute(f"{_SELECT} WHERE id = ?", (session,)).fetchone()
        return None if row is None else self._row(row)

    def unswept(self) -> list[SessionRow]:
        """Ended sessions of which something is still kept for others."""
        where = (
            "WHERE ended IS NOT NULL AND id IN (SELECT session FROM outbox UNION SELECT session FROM arrival)"
        )
        return [self._row(row) for row in self._db.execute(f"{_SELECT} {where}")]

    def decision(self, session: str) -> Decision | None:
        """Whether we take part, if that was ours to decide."""
        query = "SELECT made, by, code, detail, at FROM decision WHERE session = ?"
        row = self._db.execute(query, (session,)).fetchone()
        return None if row is None else Decision(Made(row[0]), Decider(row[1]), *row[2:])

    def pending(self) -> list[SessionRow]:
        """The sessions that a person is asked about, oldest first."""
        where = "WHERE ended IS NULL AND id IN (SELECT session FROM decision WHERE made = ?)"
        rows = self._db.execute(f"{_SELECT} {where} ORDER BY joined, id", (Made.PENDING,))
        return [self._row(row) for row in rows.fetchall()]

    def evidence(self, session: str) -> list[bytes]:
        """The plain letters of an ended session, ours first; empty once their time is over."""
        query = "SELECT payload FROM evidence WHERE session = ? ORDER BY number"
        return [payload for (payload,) in self._db.execute(query, (session,))]

    def arrivals(self, session: str) -> Iterator[tuple[int, bytes | None]]:
        """(when, payload) in the order of arrival; LostError if one is damaged.

        Others would be blamed for what the disk has altered.
        """
        query = "SELECT at, payload, hash FROM arrival WHERE session = ? ORDER BY number"
        for at, payload, expected in self._db.execute(query, (session,)):
            if payload and digest("arrival", payload) != expected:
                raise LostError(f"a letter that arrived in session {session[:12]} is damaged")
            yield at, payload

    def value(self, session: str) -> Ring | None:
        """The snapshot of our input; LostError if its file did not survive a power cut."""
        row = self._db.execute(
            "SELECT shape, hash, elements FROM input WHERE session = ?", (session,)
        ).fetchone()
        if row is None:
            return None
        shape, expected, elements = row
        raw = self._spool.read(session, INPUT_FILE) if elements is None else elements
        if raw is None or digest("snapshot", raw) != expected:
            raise LostError(f"the snapshot of our input for session {session[:12]} is lost")
        return np.frombuffer(raw, dtype=np.uint64).reshape(json.loads(shape))

    def outbox(
        self, session: str, wanted: Callable[[str, str], bool] = lambda _step, _to: True
    ) -> list[Sent]:
        """Every part that was sent, in order; without payload where its file is lost.

        With `wanted(step, to)` only the parts for which it holds: the others' files are not read.
        """
        rows = self._db.execute(
            "SELECT step, recipient, part, payload FROM outbox WHERE session = ? ORDER BY rowid", (session,)
        ).fetchall()
        found = []
        for step, to, part, payload in rows:
            if not wanted(step, to):
                continue
            raw = self._spool.read(session, _letter_file(step, to, part)) if payload is None else payload
            found.append(Sent(step, to, part, raw or b""))
        return found

    def _row(self, row: tuple[Any, ...]) -> SessionRow:
        session, announce, joined, seed, state, outcome, answer, ended, retained = row
        return SessionRow(
            id=session,
            announce=announce,
            joined=joined,
            seed=None if seed is None else Seed(seed),
            state=State(state),
            outcome=None if outcome is None else self._outcome(session, outcome, answer),
            ended=ended,
            retained=bool(retained),
        )

    def _outcome(self, session: str, raw: str, units: bytes | None) -> Outcome:
        fields = json.loads(raw)
        shown, ending, answer = fields["answer"], fields["ending"], None
        if shown is not None:
            found = self._answers.read(session, "units") if units is None else units
            if found is not None:  # else somebody has deleted the file
                array = np.frombuffer(found, dtype="<i8").reshape(shown["shape"])
                answer = Answer(array, shown["decimals"], tuple(shown["words"]))
        return Outcome(
            State(fields["state"]),
            answer,
            tuple(fields["inputs"]),
            tuple(fields["unconfirmed"]),
            None if ending is None else _ending(**ending),
        )


_OLD = """
SELECT id FROM session WHERE ended < ? AND id NOT IN (
    SELECT session FROM outbox UNION SELECT session FROM arrival
    UNION SELECT maker FROM setup UNION SELECT lent FROM setup WHERE lent IS NOT NULL
)
"""
_SELECT = "SELECT id, announce, joined, seed, state, outcome, answer, ended, retained FROM session"


def is_evidence(step: str) -> bool:
    """True for the steps that tell how a session went and nothing that is in it."""
    return step in EVIDENCE


def _letter_file(step: str, to: str, part: int) -> str:
    return f"{step}.{to}.{part}"


def _dump(outcome: Outcome) -> str:
    answer = outcome.answer
    return json.dumps(
        {
            "state": outcome.state,
            "inputs": outcome.inputs,
            "unconfirmed": outcome.unconfirmed,
            "ending": None if outcome.ending is None else asdict(outcome.ending),
            "answer": None if answer is None else _form(answer),
        }
    )


def _form(answer: Answer) -> dict[str, object]:
    """What an answer's units mean; the units themselves are kept elsewhere."""
    return {"shape": answer.units.shape, "decimals": answer.decimals, "words": answer.words}


def _ending(
    reason: str, detail: str, silent: list[str], culprit: str | None, reported_by: str | None
) -> Ending:
    known = RefusalCode(reason) if reason in list(RefusalCode) else AbortReason(reason)
    return Ending(known, detail, tuple(silent), culprit, reported_by)
