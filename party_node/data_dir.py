"""The data directory: it is its owner's alone, and at most one node runs on it.

Two nodes on one journal would send different messages under one address, for which everybody else
aborts the session and names this party.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import ConfigError

_LOCK = "node.lock"


def create(data_dir: Path) -> None:
    """Make the directory if it is not there.  Raises ConfigError."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(data_dir, error) from None


@contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """The directory for one node alone.  Raises ConfigError if another runs on it.

    The lock ends with the process, however that ends; the file stays, and means nothing by itself.
    """
    create(data_dir)
    try:
        descriptor = os.open(data_dir / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unusable(data_dir, error) from None
    try:
        _lock(descriptor, data_dir)
        yield
    finally:
        os.close(descriptor)


def runs(data_dir: Path) -> bool:
    """Whether a node runs on it."""
    try:
        with (data_dir / _LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _lock(descriptor: int, data_dir: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(
            f"data_dir: {data_dir}: another node runs on it",
            "stop that one first, or give this node a data_dir of its own",
        ) from None


def _unusable(data_dir: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"data_dir: {data_dir}: {(error.strerror or 'cannot be used').lower()}",
        "name a directory that this user may write to",
    )
