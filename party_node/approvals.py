"""A person's answers on their way to the node: small files in its data directory, read while the node waits.

They survive a restart of either side, need no port and no signal, and whoever may write there is the owner.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from party_node import durable
from protocol.errors import ConfigError

log = structlog.get_logger("node")

FOLDER = "answers-of-people"
OTHERS_WRITE = 0o022
LOOK_AGAIN = 0.5  # seconds; a person does not notice, and one look costs less than a letter


class Said(NamedTuple):
    """One answer, and the file that it came in."""

    session: str
    approve: bool
    words: str
    path: Path


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    approve: bool
    words: str


def say(data_dir: Path, session: str, *, approve: bool, words: str) -> None:
    """Leave an answer for the node; a second one before it is read replaces the first.

    ConfigError for anybody but the node's own user, whose answers the node would not be able to read.
    """
    folder = data_dir / FOLDER
    try:
        if data_dir.stat().st_uid == os.geteuid():
            folder.mkdir(mode=0o700, exist_ok=True)
            durable.replace(folder / session, _File(approve=approve, words=words).model_dump_json().encode())
            return
    except OSError as error:
        problem = (error.strerror or "cannot be written").lower()
    else:
        problem = "belongs to another user"
    raise ConfigError(f"{folder}: {problem}", "say it as the user who runs the node")


def heard(data_dir: Path) -> list[Said]:
    """The answers that are there; `forget` each once the journal has it.  What is none is passed over.

    ConfigError if they cannot be read, or may be somebody else's.
    """
    folder = data_dir / FOLDER
    try:
        ours = folder.stat()
        if ours.st_uid != os.geteuid() or ours.st_mode & OTHERS_WRITE:
            raise ConfigError(f"{folder}: others may write there", "chmod 700, and give it to the node")
        return [said for path in sorted(folder.iterdir()) if (said := _read(path)) is not None]
    except FileNotFoundError:
        return []
    except OSError as error:
        problem = (error.strerror or "cannot be read").lower()
        raise ConfigError(f"{folder}: {problem}", "give it to the node") from None


def _read(path: Path) -> Said | None:
    if path.name.startswith(".") or not path.is_file():
        return None  # half-written, or not ours
    try:
        found = _File.model_validate_json(path.read_bytes())
    except ValidationError:
        log.warning("not an answer of `party-node`", path=path, hint="say it again")
        path.unlink()
        return None
    return Said(path.name, found.approve, found.words, path)


def forget(said: Said) -> None:
    """The journal has it."""
    with suppress(OSError):  # then it is heard once more, and changes nothing
        said.path.unlink()
