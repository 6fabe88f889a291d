"""A person's answers on their way to the node: small files in its data directory, read while the node waits.

They survive a restart of either side, need no port and no signal, and whoever may write there is the owner.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

log = structlog.get_logger("node")

FOLDER = "answers-of-people"
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
    """Leave an answer for the node; a second one before it is read replaces the first."""
    folder = data_dir / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    draft = folder / f".{session}.{os.getpid()}"
    with draft.open("w") as file:
        json.dump({"approve": approve, "words": words}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / session)


def heard(data_dir: Path) -> Iterator[Said]:
    """The answers that are there; `forget` each once the journal has it."""
    folder = data_dir / FOLDER
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue  # half-written
        try:
            found = _File.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            problem = type(error).__name__
            log.warning("not an answer of `party-node`", path=path, problem=problem, hint="say it again")
            path.unlink(missing_ok=True)
            continue
        yield Said(path.name, found.approve, found.words, path)


def forget(said: Said) -> None:
    """The journal has it."""
    said.path.unlink(missing_ok=True)
