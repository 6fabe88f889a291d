"""`coordinator renew`: new certificates for the keys that lie in this directory, under the same names.

Those are the broker's, the coordinator's and those of a network under one roof.  A party that keeps its key
to itself sends its tls.csr to `coordinator enroll` once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from coordinator import members, pki
from party_node.roster import load_roster


def renew(directory: Path) -> list[str]:
    """Sign anew whatever is not revoked; returns what to tell the operator."""
    with members.alone(directory):
        return _renew(directory)


def _renew(directory: Path) -> list[str]:
    authority = pki.Authority.load(directory / "ca")
    revoked = load_roster(directory / members.ROSTER).revoked
    told = []
    for path in _certificates(directory):
        before = x509.load_pem_x509_certificate(path.read_bytes())
        name = str(before.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        if name not in revoked:
            signed = _signed(authority, before, name)
            members.keep_certificate(path, signed)
            until = x509.load_pem_x509_certificate(signed).not_valid_after_utc
            told.append(f"{path}: {name}, until {until:%Y-%m-%d}")
    told.append("restart the broker; a node takes its certificate at its next connection")
    return told


def _certificates(directory: Path) -> Iterator[Path]:
    """The newest certificate beside each private key."""
    for key in sorted(directory.glob("*/*.key")) + sorted(directory.glob("parties/*/*.key")):
        certificate = key.with_suffix(".crt")
        if certificate.exists() and key.parent.name != "ca":
            yield certificate


def _signed(authority: pki.Authority, before: x509.Certificate, name: str) -> bytes:
    key = pki.ed25519(before)
    try:
        names = before.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return authority.issue_client(key, name)
    return authority.issue_server(key, [str(each.value) for each in names])
