"""Large files beside the journal: written once, read back if still there, deleted with the session."""

from __future__ import annotations

import os
import shutil
from collections.abc import Set
from contextlib import suppress
from pathlib import Path

from party_node.durable import sync_directory

LARGE = 1 << 16  # bytes from which a file is cheaper than a row, which SQLite would write three times


class Spool:
    """`directory/<session>/<name>`; without a directory it keeps nothing, and all stays in the journal."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def keep(self, session: str, name: str, content: bytes, *, durable: bool = False) -> bool:
        """Write `content` to a file if it is large; False if the journal should take it.

        Only with `durable` is it sure to survive a power cut once this returns.
        """
        if self._directory is None or len(content) < LARGE:
            return False
        folder = self._directory / session
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / name
        path.touch(mode=0o600)
        with path.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if durable:
            sync_directory(folder)
            sync_directory(self._directory)
        return True

    def read(self, session: str, name: str) -> bytes | None:
        """What `keep` wrote, or None if it is gone."""
        if self._directory is None:
            return None
        with suppress(OSError):
            return (self._directory / session / name).read_bytes()
        return None

    def drop(self, session: str, name: str | None) -> None:
        """Delete one file of a session, or all; what is not there is no matter."""
        if self._directory is None:
            return
        if name is None:
            shutil.rmtree(self._directory / session, ignore_errors=True)
        else:
            (self._directory / session / name).unlink(missing_ok=True)

    def tidy(self, letters: Set[str], secret: Set[str], name: str) -> None:
        """Delete what a crash left behind.

        A folder stays for sessions with letters, and the file `name` in it for those that are secret yet.
        """
        if self._directory is None or not self._directory.exists():
            return
        for folder in self._directory.iterdir():
            if folder.name not in letters:
                self.drop(folder.name, None)
            elif folder.name not in secret:
                self.drop(folder.name, name)
