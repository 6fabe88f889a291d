"""The roster: which Ed25519 key is whose.  Nobody is believed who does not stand here with that key.

Who is revoked, or stands here with another key than the one that we know (see pins.py), is a stranger.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from party_node.toml import checked, read_toml
from protocol.errors import ConfigError
from protocol.names import Name

KEY_BYTES = 32  # an Ed25519 public key, RFC 8032
MOST_REASON = 200  # characters


@dataclass(frozen=True)
class Roster:
    """The public keys (32 bytes each) of parties and coordinators; no name or key twice."""

    parties: Mapping[str, bytes]
    coordinators: Mapping[str, bytes]
    revoked: Mapping[str, str] = field(default_factory=dict)  # name → why and when
    changed: Mapping[str, str] = field(default_factory=dict)  # name → the other fingerprint that we know

    def entry(self, name: str) -> bytes | None:
        """The key that stands under a name, believed or not."""
        return self.parties.get(name) or self.coordinators.get(name)

    def identity(self, name: str) -> bytes | None:
        """The public key of a party or a coordinator, or None for a stranger."""
        return None if name in self.revoked or name in self.changed else self.entry(name)

    def is_coordinator(self, name: str) -> bool:
        """Whether `name` may announce sessions."""
        return name in self.coordinators and self.identity(name) is not None

    def objection(self, name: str, offered: bytes | None = None) -> str | None:
        """Why `name`, or the key that is said to be theirs, is not believed; None if it is."""
        entry = self.entry(name)
        if entry is None:
            return "is not in the roster"
        if name in self.revoked:
            return f"is revoked: {self.revoked[name]}"
        if name in self.changed:
            return f"has another key: {fingerprint(entry)} in the roster, known here is {self.changed[name]}"
        if offered is not None and offered != entry:
            return f"has another key in the roster: {fingerprint(entry)}, not {fingerprint(offered)}"
        return None


def load_roster(path: Path) -> Roster:
    """The roster in a TOML file.  Raises ConfigError, which names the entry."""
    tables = checked(_RosterFile, read_toml(path), path)
    _refuse_doubles(path, tables)
    entries = {**tables.parties, **tables.coordinators}
    return Roster(
        {name: entry.identity for name, entry in tables.parties.items()},
        {name: entry.identity for name, entry in tables.coordinators.items()},
        {name: entry.revoked for name, entry in entries.items() if entry.revoked is not None},
    )


@lru_cache(maxsize=4096)
def fingerprint(public_key: bytes) -> str:
    """A key's short form for people, written as SSH does: SHA256: and unpadded base64."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(public_key).digest()).decode().rstrip("=")


def public_key(text: object) -> bytes:
    """An Ed25519 public key from its base64.  ValueError, which does not repeat what may be a private one."""
    try:
        key = base64.b64decode(str(text), validate=True)
    except binascii.Error:
        raise ValueError("should be base64, as `party-node init` prints it") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"is {len(key)} bytes, should be the {KEY_BYTES} bytes of an Ed25519 key")
    return key


def _reason(text: str) -> str:
    """It is shown on terminals and sent in aborts, so it is short and printable."""
    if not text.strip() or not text.isprintable() or len(text) > MOST_REASON:
        raise ValueError(f"should be one line of at most {MOST_REASON} characters that says why and when")
    return text


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    identity: Annotated[bytes, BeforeValidator(public_key)] = Field(
        description="the base64 of the 32-byte Ed25519 public key, as `party-node init` prints it"
    )
    revoked: Annotated[str, AfterValidator(_reason)] | None = Field(
        None, description="why and since when nobody is to believe this key, in quotes"
    )


class _RosterFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    parties: dict[Name, _Entry] = Field(
        default_factory=dict, description="tables: [parties.NAME] with identity"
    )
    coordinators: dict[Name, _Entry] = Field(
        default_factory=dict, description="tables: [coordinators.NAME] with identity"
    )


def _refuse_doubles(path: Path, tables: _RosterFile) -> None:
    """Two names for one key, or one name in both tables, would make a signature ambiguous."""
    owners: dict[bytes, str] = {}
    names: dict[str, str] = {}
    for table, entries in (("parties", tables.parties), ("coordinators", tables.coordinators)):
        for name, entry in entries.items():
            place = f"{table}.{name}"
            if (other := names.setdefault(name, place)) != place:
                raise ConfigError(
                    f"{path}: {place}: already named as {other}", "a name has one role: rename one"
                )
            if (other := owners.setdefault(entry.identity, place)) != place:
                raise ConfigError(
                    f"{path}: {place}.identity: the same key as {other}",
                    "each needs a key of its own, made by `party-node init`",
                )
