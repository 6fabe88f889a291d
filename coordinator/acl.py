"""The access list in Mosquitto's format, for the embedded broker: one file rules both.

Only `pattern read|write|readwrite <filter>` lines are understood; anything else is an error, since
a rule that is silently skipped is a door left open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from protocol.errors import ConfigError

Levels = tuple[str, ...]


@dataclass(frozen=True)
class AccessList:
    """Who may write and read what; `%u` in a pattern stands for the reader's or writer's name."""

    read: tuple[Levels, ...]
    write: tuple[Levels, ...]

    @classmethod
    def load(cls, path: Path) -> AccessList:
        """Read an access list file."""
        read: list[Levels] = []
        write: list[Levels] = []
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            match line.split():
                case [] | ["#", *_]:
                    continue
                case ["pattern", ("read" | "write" | "readwrite") as access, pattern]:
                    levels = tuple(pattern.split("/"))
                    read += [levels] * access.startswith("read")
                    write += [levels] * access.endswith("write")
                case _:
                    raise ConfigError(
                        f"{path}: line {number}: expected `pattern read|write|readwrite <filter>`",
                        "the embedded broker understands no other rule",
                    )
        return cls(tuple(read), tuple(write))

    def may_read(self, name: str, topic_filter: str) -> bool:
        """True if every topic that the filter matches may be read by `name`."""
        return _covered(_own(self.read, name), topic_filter)

    def may_write(self, name: str, topic: str) -> bool:
        """True if `name` may publish on the topic."""
        return _covered(_own(self.write, name), topic)


@lru_cache(maxsize=4096)
def _own(patterns: tuple[Levels, ...], name: str) -> tuple[Levels, ...]:
    return tuple(tuple(level.replace("%u", name) for level in levels) for levels in patterns)


def _covered(patterns: Iterable[Levels], topic_filter: str) -> bool:
    wanted = topic_filter.split("/")
    return any(_covers(pattern, wanted) for pattern in patterns)


def _covers(pattern: Levels, wanted: list[str]) -> bool:
    for index, level in enumerate(pattern):
        if level == "#":
            return True
        if index == len(wanted) or wanted[index] == "#":
            return False
        if level not in ("+", wanted[index]):
            return False
    return len(pattern) == len(wanted)
