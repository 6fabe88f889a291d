"""Throw-away certificates: one authority, one certificate a party, valid for a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class Authority:
    """Signs certificates for names; its own certificate goes wherever it is asked to."""

    def __init__(self, name: str) -> None:
        self._key = Ed25519PrivateKey.generate()
        self._name = _named(name)
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        self._certificate = (
            self._draft(self._name, self._key.public_key(), is_ca=True)
            .add_extension(usage, critical=True)
            .sign(self._key, None)
        )

    def write(self, path: Path) -> None:
        """The authority's certificate, for those who verify."""
        path.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def issue(self, name: str, certificate: Path, key: Path) -> None:
        """A key pair whose certificate carries `name`, for either end of a connection."""
        private = Ed25519PrivateKey.generate()
        signed = (
            self._draft(_named(name), private.public_key(), is_ca=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(self._key, None)
        )
        certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        key.write_bytes(
            private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )
        key.chmod(0o600)

    def _draft(self, subject: x509.Name, public: Ed25519PublicKey, *, is_ca: bool) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(issuer_id, critical=False)
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
