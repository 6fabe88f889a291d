"""One SQLite file: what `commit` has returned from survives a power cut.

Everything between two commits is one transaction.  Once a write has failed, because the disk is full for one,
nothing more is written or committed: what was lost is in memory only, and must not leave this machine.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from protocol.errors import ConfigError, SottoError

MEMORY = ":memory:"  # SQLite's name for a database without a file
BUSY_SECONDS = 10  # to wait for another command of the same coordinator
_DISK = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}  # the disk fails; the file may be as it should
DAMAGED = "the journal must be a file that this node wrote; a damaged one must be moved away by hand"


class StorageError(SottoError):
    """The disk did not take what must not be forgotten."""

    def __init__(self, path: Path | str, error: sqlite3.Error | OSError) -> None:
        problem = (error.strerror or "cannot be written").lower() if isinstance(error, OSError) else error
        hint = "nothing has left that is not stored; make room or repair the disk, then start again"
        super().__init__(f"{path}: {problem}", hint)


class LostError(SottoError):
    """Something of a session did not survive, or not as it was written."""


class DamagedError(ConfigError, sqlite3.DatabaseError):
    """The file is not one that was written as it is."""


class _Cursor(sqlite3.Cursor):
    """Says which file is damaged, wherever in it that is noticed."""

    connection: Database

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise  # our bug
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            code = getattr(error, "sqlite_errorcode", None)  # none: what is stored as text is not UTF-8
            if code is None or code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise DamagedError(f"{self.connection.path}: {error}", DAMAGED) from None
            raise

    def execute(self, sql: str, parameters: Any = ()) -> _Cursor:
        """As sqlite3's."""
        with self._reading():
            super().execute(sql, parameters)
        return self

    def fetchone(self) -> Any:
        """As sqlite3's."""
        with self._reading():
            return super().fetchone()

    def fetchall(self) -> list[Any]:
        """As sqlite3's."""
        with self._reading():
            return super().fetchall()

    def __next__(self) -> Any:
        with self._reading():
            return super().__next__()


class Database(sqlite3.Connection):
    """Reads are `execute`; what is to be kept goes through `write`, up to the next `commit`."""

    path: Path | str
    failure: SottoError | None = None  # why nothing more is written

    def cursor(self, factory: Any = _Cursor) -> Any:
        """One that names the file if it is damaged."""
        return super().cursor(factory)

    def execute(self, sql: str, parameters: Any = ()) -> _Cursor:
        """As sqlite3's, whose own would not ask for our cursor."""
        found: _Cursor = self.cursor()
        return found.execute(sql, parameters)

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Around what must reach the disk, here or in a file beside: StorageError, now and ever after."""
        if self.failure is not None:
            raise self.failure
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise  # our bug
        except DamagedError as error:
            self.failure = error
            raise
        except (sqlite3.DatabaseError, OSError) as error:
            self.failure = StorageError(self.path, error)
            raise self.failure from None

    def begin(self) -> None:
        """From here to the commit nobody else writes, and what we read stays true."""
        with self.storing():
            if not self.in_transaction:
                self.execute("BEGIN IMMEDIATE")

    def write(self, sql: str, *values: object) -> None:
        """A statement of the running transaction, or of a new one."""
        self.begin()
        with self.storing():
            self.execute(sql, values)

    def commit(self) -> None:
        """Make durable all that was written since the last commit."""
        with self.storing():
            if self.in_transaction:
                self.execute("COMMIT")

    def empty_log(self) -> bool:
        """Move the write-ahead log into the file and cut it; False if a reader is in the way just now."""
        self.execute("PRAGMA busy_timeout = 0")
        with self.storing():
            busy = self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        self.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        return not busy


def opened(path: Path | str, schema: str, version: int) -> Database:
    """The database in this file, which is made if there is none.  ConfigError if it is another one."""
    with _alone(path):
        try:
            database = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS, factory=Database)
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"{path}: {error}", DAMAGED) from None
        database.path = path
        try:
            _prepare(database, schema, version)
        except (sqlite3.DatabaseError, ConfigError, UnicodeDecodeError) as error:
            database.close()
            if isinstance(error, ConfigError):
                raise
            if isinstance(error, UnicodeDecodeError):
                raise ConfigError(f"{path}: {error.reason}", DAMAGED) from None
            if error.sqlite_errorcode & 0xFF in _DISK:
                raise StorageError(path, error) from None
            raise ConfigError(f"{path}: {error}", DAMAGED) from None
    return database


@contextmanager
def _alone(path: Path | str) -> Iterator[None]:
    """One process at a time opens a database, since the first one makes it."""
    if path == MEMORY:
        yield
        return
    try:
        lock = Path(f"{path}.lock").open("w")  # noqa: SIM115 - closed below; an error in the body is not ours
    except OSError as error:
        raise StorageError(path, error) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _prepare(database: Database, schema: str, version: int) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA secure_delete = ON")  # deleted secrets are overwritten with zeros
    found = database.execute("PRAGMA user_version").fetchone()[0]
    if found == 0:
        database.executescript(f"BEGIN; {schema} PRAGMA user_version = {version}; COMMIT;")
    elif found != version:
        raise ConfigError(
            f"{database.path}: journal of version {found}, this program writes version {version}",
            "run the version of the program that wrote it until its sessions have ended",
        )
