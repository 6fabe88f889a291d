"""`coordinator revoke`: a party is refused everywhere, by the nodes and by the broker.

The nodes go by the roster, and the broker by the list of revoked certificates.  Doing it twice does no harm:
who was interrupted does it again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

from coordinator import members, pki
from party_node import durable
from party_node.roster import fingerprint, load_roster
from protocol.errors import ConfigError

LIST = "crl.pem"  # in the broker's directory


def revoke(directory: Path, name: str, why: str) -> list[str]:
    """Mark the roster's entry, list every certificate of `name`; returns what to tell the operator."""
    if not why.strip():
        raise ConfigError("--why: empty", "say why, in a few words: everybody's node shows it")
    with members.alone(directory):
        return _revoke(directory, name, why)


def _revoke(directory: Path, name: str, why: str) -> list[str]:
    path, listed = directory / members.ROSTER, directory / "broker" / LIST
    roster, authority = load_roster(path), pki.Authority.load(directory / "ca")
    key = roster.entry(name)
    if key is None:
        known = ", ".join((*roster.parties, *roster.coordinators))
        raise ConfigError(f"{name} is not in the roster", f"{path} names {known}")
    certificates = members.certificates(members.folder(directory, name))
    reason = f"{why}, {dt.datetime.now(dt.UTC):%Y-%m-%d}"
    text = members.checked_roster(directory, roster, {}, {**roster.revoked, name: reason})
    # The roster last: whoever is interrupted can try again, and the keys are taken no more.
    members.add_revoked_keys(directory, [fingerprint(key), *map(members.key_in, certificates)])
    _extend(authority, listed, (each.serial_number for each in certificates))
    members.store_roster(directory, text)
    return [
        f"{name}, {fingerprint(key)}, is revoked: {reason}",
        f"certificates of {name} that are now on {listed}: {len(certificates)}",
        "restart the broker: it reads the list when it starts, and until then an open connection stays open",
        f"send {path} to everybody; a node goes by it once it is restarted",
        f"should {name} come back: new keys by `party-node init`, then `coordinator enroll`",
    ]


def create_list(authority: pki.Authority, folder: Path) -> None:
    """The list of a new broker: it revokes nobody, but a broker that finds none does not start."""
    pki.write_new(folder / LIST, authority.revocation_list({}, 1), mode=0o644)


def _extend(authority: pki.Authority, path: Path, serials: Iterable[int]) -> None:
    """Add to the list; who is on it stays there, with the date of the first time."""
    try:
        number, revoked = authority.read_list(path.read_bytes())
    except (OSError, ValueError):
        raise ConfigError(
            f"{path}: not a revocation list that our authority signed",
            "put a copy of it back: a new one would let everybody in again who was revoked before",
        ) from None
    revoked = dict.fromkeys(serials, dt.datetime.now(dt.UTC)) | revoked
    durable.replace(path, authority.revocation_list(revoked, number + 1), 0o644)
