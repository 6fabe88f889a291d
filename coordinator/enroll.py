"""`coordinator enroll`: a request and an identity made on a party's own machine become a membership.

Once more with the same identity, it renews the certificate.  Another identity under a known name is refused
until the old one is revoked: a change of key is never silent.  What was revoked is never taken again.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from coordinator import members, pki
from party_node.roster import Roster, fingerprint, load_roster, public_key
from protocol.errors import ConfigError
from protocol.names import PATTERN, is_name


def enroll(directory: Path, name: str, request: Path, identity: str) -> list[str]:
    """Sign the request, add the roster entry; returns what to tell the operator."""
    if not is_name(name):
        raise ConfigError(f"{name}: not a party name", f"a name matches {PATTERN}")
    with members.alone(directory):
        return _enroll(directory, name, request, identity)


def _enroll(directory: Path, name: str, request: Path, identity: str) -> list[str]:
    authority = pki.Authority.load(directory / "ca")
    path = directory / members.ROSTER
    roster = load_roster(path)
    key = _identity(identity)
    _refuse_change(path, roster, name, key)
    pem = _read(request)
    _refuse_revoked(directory, f"the identity of {name}", key)
    _refuse_revoked(directory, f"the key in {request}", pki.public_key(pem).public_bytes_raw())
    signed = authority.issue_client(pem, name)
    # Its own is over: nobody comes so far with the key that was revoked.
    revoked = {other: why for other, why in roster.revoked.items() if other != name}
    members.write_roster(directory, roster, {name: key}, revoked)
    certificate = members.folder(directory, name) / members.CERTIFICATE
    members.keep_certificate(certificate, signed)
    until = x509.load_pem_x509_certificate(signed).not_valid_after_utc
    done = "renewed the certificate of" if roster.entry(name) == key else "enrolled"
    return [
        f"{done} {name} until {until:%Y-%m-%d}",
        f"compare this with the party by telephone: {fingerprint(key)}",
        f"send {certificate}, {directory / 'ca' / 'ca.crt'} and {path} to the party",
    ]


def _identity(text: str) -> bytes:
    try:
        return public_key(text)
    except ValueError as error:
        raise ConfigError(f"the identity {error}", "`party-node init` prints it") from None


def _read(request: Path) -> bytes:
    try:
        return request.read_bytes()
    except OSError as error:
        raise ConfigError(f"{request}: {(error.strerror or 'unreadable').lower()}", "name tls.csr") from None


def _refuse_change(path: Path, roster: Roster, name: str, key: bytes) -> None:
    known = roster.entry(name)
    if known not in (None, key) and name not in roster.revoked:
        raise ConfigError(
            f"{name} is in {path} with ANOTHER identity, {fingerprint(known or b'')}",
            "if the party, asked by telephone, really has a new key: first `coordinator revoke` the old one",
        )


def _refuse_revoked(directory: Path, what: str, key: bytes) -> None:
    if fingerprint(key) in members.revoked_keys(directory):
        raise ConfigError(
            f"{what}, {fingerprint(key)}, was revoked",
            "a key that was revoked is never taken again: `party-node init` makes new ones",
        )
