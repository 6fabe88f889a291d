"""The roster: which Ed25519 key is whose.  Only what stands here is believed, as in SSH's known_hosts."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from party_node.toml import checked, read_toml
from protocol.errors import ConfigError
from protocol.names import Name

KEY_BYTES = 32  # an Ed25519 public key, RFC 8032


@dataclass(frozen=True)
class Roster:
    """The pinned public keys (32 bytes each) of parties and coordinators; no name or key twice."""

    parties: Mapping[str, bytes]
    coordinators: Mapping[str, bytes]

    def identity(self, name: str) -> bytes | None:
        """The public key of a party or a coordinator, or None for a stranger."""
        return self.parties.get(name) or self.coordinators.get(name)

    def is_coordinator(self, name: str) -> bool:
        """Whether `name` may announce sessions."""
        return name in self.coordinators


def load_roster(path: Path) -> Roster:
    """The roster in a TOML file.  Raises ConfigError, which names the entry."""
    tables = checked(_RosterFile, read_toml(path), path)
    _refuse_doubles(path, tables)
    return Roster(
        {name: entry.identity for name, entry in tables.parties.items()},
        {name: entry.identity for name, entry in tables.coordinators.items()},
    )


def fingerprint(public_key: bytes) -> str:
    """A key's short form for people, written as SSH does: SHA256: and unpadded base64."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(public_key).digest()).decode().rstrip("=")


def _public_key(text: object) -> bytes:
    try:
        key = base64.b64decode(str(text), validate=True)
    except binascii.Error:
        raise ValueError("should be base64, as `party-node init` prints it") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"is {len(key)} bytes, should be the {KEY_BYTES} bytes of an Ed25519 key")
    return key


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    identity: Annotated[bytes, BeforeValidator(_public_key)] = Field(
        description="the base64 of the 32-byte Ed25519 public key, as `party-node init` prints it"
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
