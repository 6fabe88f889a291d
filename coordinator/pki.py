"""Keys and certificates: private keys are written once, mode 0600, and never overwritten.

Making a key and signing it are separate steps, so that a party on another machine sends only its
certificate request and its private key never travels.  Everything is Ed25519 (RFC 8410).
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.errors import ConfigError

CA_LIFETIME = dt.timedelta(days=3652)  # ten years
LEAF_LIFETIME = dt.timedelta(days=365)
CLOCK_SKEW = dt.timedelta(minutes=5)  # a certificate works at once on a machine that runs behind
# A broker whose clock says that a list is of tomorrow, or was to be renewed yesterday, lets nobody in at all.
LIST_SKEW = dt.timedelta(days=1)


def write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file whole or not at all; a file that is already there is an error, never lost."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    try:
        path.hardlink_to(draft)  # unlike a rename, a link fails if the name is taken
    except FileExistsError:
        raise ConfigError(
            f"{path} exists already", "delete it first if it is really to be replaced"
        ) from None
    finally:
        draft.unlink()


def create_key(path: Path) -> Ed25519PrivateKey:
    """Draw a new Ed25519 private key into `path` (PKCS#8 PEM, mode 0600)."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_new(path, pem)
    return key


def load_key(path: Path) -> Ed25519PrivateKey:
    """Read an Ed25519 private key written by `create_key`."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{path}: no private key can be read from it ({type(error).__name__})",
            "it must be an unencrypted Ed25519 key in PKCS#8 PEM form",
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: expected an Ed25519 key", "make a new one")
    return key


def identity(key: Ed25519PrivateKey) -> str:
    """The public half as a roster names it: base64 of the 32 raw bytes (RFC 8032)."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def roster_text(
    parties: Mapping[str, str], coordinators: Mapping[str, str], revoked: Mapping[str, str] | None = None
) -> str:
    """roster.toml: who is who.  Each node pins these keys as SSH pins known hosts."""
    lines = ["# Identity keys (Ed25519, base64).  Compare them with their owners before use."]
    for table, members in (("parties", parties), ("coordinators", coordinators)):
        for name, key in members.items():
            lines += ["", f"[{table}.{name}]", f'identity = "{key}"']
            if revoked and name in revoked:
                lines.append(f"revoked = {json.dumps(revoked[name], ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Authority:
    """The certificate authority of one cluster: who it signs for may talk to the broker."""

    certificate: x509.Certificate
    _key: Ed25519PrivateKey

    def __repr__(self) -> str:
        return "Authority(<redacted>)"

    @classmethod
    def create(cls, directory: Path) -> Authority:
        """Make `ca.key` and `ca.crt` in `directory` (made if missing)."""
        directory.mkdir(parents=True, exist_ok=True)
        key = create_key(directory / "ca.key")
        certificate = _self_signed(key, _common_name(f"sotto authority {secrets.token_hex(4)}"))
        write_new(directory / "ca.crt", _pem(certificate), mode=0o644)
        return cls(certificate, key)

    @classmethod
    def load(cls, directory: Path) -> Authority:
        """Read back what `create` made."""
        path = directory / "ca.crt"
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError):
            raise ConfigError(
                f"{path}: no certificate can be read from it", "is this a cluster's directory?"
            ) from None
        return cls(certificate, load_key(directory / "ca.key"))

    def issue_server(
        self,
        who: bytes | Ed25519PublicKey,
        names: Sequence[str],
        lifetime: dt.timedelta = LEAF_LIFETIME,
    ) -> bytes:
        """Sign a broker's key for these host names and IP addresses; returns PEM."""
        if not names:
            raise ConfigError("a server certificate needs a host name", "name at least one")
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        builder = self._leaf(public_key(who), names[0], lifetime)
        return self._sign(builder, ExtendedKeyUsageOID.SERVER_AUTH, alternatives)

    def issue_client(
        self, who: bytes | Ed25519PublicKey, name: str, lifetime: dt.timedelta = LEAF_LIFETIME
    ) -> bytes:
        """Sign a party's key or certificate request under `name`; returns PEM.

        The name comes from the caller and never from the request: a stranger's request cannot
        choose whom it speaks for.
        """
        builder = self._leaf(public_key(who), name, lifetime)
        return self._sign(builder, ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def revocation_list(self, revoked: Mapping[int, dt.datetime], number: int) -> bytes:
        """Sign the list of serial numbers that are refused, and since when; returns PEM [RFC 5280, §5].

        It is in force as long as the authority's own certificate: were it to end before, whoever runs the
        broker would have to sign a new one in time, or nobody could connect.  That an old list could be put
        in the place of a new one is no loss here: who could do that could change the broker's rules.
        """
        certificate, signed = self.certificate, dt.datetime.now(dt.UTC) - LIST_SKEW
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(certificate.subject)
            .last_update(min(max(begins, signed), ends))
            .next_update(ends)
            .add_extension(issuer, critical=False)
            .add_extension(x509.CRLNumber(number), critical=False)
        )
        for serial, since in revoked.items():
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self._key, None).public_bytes(serialization.Encoding.PEM)

    def read_list(self, pem: bytes) -> tuple[int, dict[int, dt.datetime]]:
        """The number of a list that we signed, and what is on it.  ValueError if it is none."""
        found = x509.load_pem_x509_crl(pem)
        if not found.is_signature_valid(self._key.public_key()):
            raise ValueError("somebody else signed it")
        number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        return number, {entry.serial_number: entry.revocation_date_utc for entry in found}

    def _leaf(self, key: Ed25519PublicKey, name: str, lifetime: dt.timedelta) -> x509.CertificateBuilder:
        builder = _builder(key, _common_name(name), self.certificate.subject, lifetime)
        issuer = self._key.public_key()
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer)
        return (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(identifier, critical=False)
        )

    def _sign(
        self,
        builder: x509.CertificateBuilder,
        usage: x509.ObjectIdentifier,
        alternatives: x509.SubjectAlternativeName | None,
    ) -> bytes:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if alternatives is not None:
            builder = builder.add_extension(alternatives, critical=False)
        return _pem(builder.sign(self._key, None))


def _self_signed(key: Ed25519PrivateKey, name: x509.Name) -> x509.Certificate:
    return (
        _builder(key.public_key(), name, name, CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, None)
    )


def _builder(
    key: Ed25519PublicKey, subject: x509.Name, issuer: x509.Name, lifetime: dt.timedelta
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + lifetime) - CLOCK_SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def public_key(who: bytes | Ed25519PublicKey) -> Ed25519PublicKey:
    """The key in a certificate request (PEM) that its sender holds, too.  Raises ConfigError."""
    if isinstance(who, Ed25519PublicKey):
        return who
    try:
        csr = x509.load_pem_x509_csr(who)
        proven = csr.is_signature_valid  # its sender holds the private key
        key = csr.public_key()
    except (ValueError, InvalidSignature):
        raise ConfigError("not a certificate request", "expected PKCS#10 in PEM form") from None
    if not proven or not isinstance(key, Ed25519PublicKey):
        raise ConfigError(
            "a certificate request must hold an Ed25519 key and its signature", "make a new one"
        )
    return key


def ed25519(certificate: x509.Certificate) -> Ed25519PublicKey:
    """The key in a certificate that we have signed."""
    key = certificate.public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError("a certificate whose key is not Ed25519", "it is none of this authority's")
    return key


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
