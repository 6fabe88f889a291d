"""Keys and certificates."""

from __future__ import annotations

import base64
import datetime as dt
import stat
import tomllib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from coordinator import pki
from party_node.enrolment import certificate_request
from protocol.errors import ConfigError


@pytest.fixture
def authority(tmp_path: Path) -> pki.Authority:
    return pki.Authority.create(tmp_path / "ca")


def name_in(pem: bytes) -> str | bytes:
    subject = x509.load_pem_x509_certificate(pem).subject
    return subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value


def test_a_private_key_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    pki.create_key(tmp_path / "tls.key")
    assert stat.S_IMODE((tmp_path / "tls.key").stat().st_mode) == 0o600


def test_a_private_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "tls.key"
    pki.create_key(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"tls\.key exists already"):
        pki.create_key(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]  # and no draft of the other is left


def test_an_existing_authority_is_never_replaced(authority: pki.Authority, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exists already"):
        pki.Authority.create(tmp_path / "ca")


def test_a_key_comes_back_as_it_was_written(tmp_path: Path) -> None:
    key = pki.create_key(tmp_path / "k")
    assert pki.load_key(tmp_path / "k").private_bytes_raw() == key.private_bytes_raw()


@pytest.mark.parametrize("content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_broken_key_file_is_named_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "identity.key"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"identity\.key: no private key") as caught:
        pki.load_key(path)
    assert not content or content.decode() not in str(caught.value)


def test_an_authority_that_is_loaded_signs_as_before(authority: pki.Authority, tmp_path: Path) -> None:
    again = pki.Authority.load(tmp_path / "ca")
    leaf = again.issue_client(Ed25519PrivateKey.generate().public_key(), "alice")
    x509.load_pem_x509_certificate(leaf).verify_directly_issued_by(authority.certificate)


def test_a_directory_without_an_authority_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ca\.crt: no certificate"):
        pki.Authority.load(tmp_path)


def test_an_authority_lasts_ten_years_and_a_certificate_one(authority: pki.Authority) -> None:
    now = dt.datetime.now(dt.UTC)
    leaf = authority.issue_client(Ed25519PrivateKey.generate().public_key(), "alice")
    ends = x509.load_pem_x509_certificate(leaf).not_valid_after_utc
    assert abs(authority.certificate.not_valid_after_utc - now - dt.timedelta(days=3652)) < dt.timedelta(1)
    assert abs(ends - now - dt.timedelta(days=365)) < dt.timedelta(1)


def test_the_name_in_a_certificate_is_the_signers_choice(authority: pki.Authority) -> None:
    request = certificate_request(Ed25519PrivateKey.generate(), "coordinator")
    assert name_in(authority.issue_client(request, "mallory")) == "mallory"


def test_a_request_holds_the_public_key_only(authority: pki.Authority) -> None:
    key = Ed25519PrivateKey.generate()
    request = certificate_request(key, "alice")
    certificate = x509.load_pem_x509_certificate(authority.issue_client(request, "alice"))
    assert certificate.public_key() == key.public_key()
    assert key.private_bytes_raw() not in x509.load_pem_x509_csr(request).public_bytes(Encoding.DER)


def test_a_tampered_request_is_refused(authority: pki.Authority) -> None:
    lines = certificate_request(Ed25519PrivateKey.generate(), "alice").splitlines()
    der = bytearray(base64.b64decode(b"".join(lines[1:-1])))
    der[-1] ^= 1  # the last byte of the signature
    lines[1:-1] = [base64.b64encode(der)]
    with pytest.raises(ConfigError, match="request"):
        authority.issue_client(b"\n".join(lines), "alice")


def test_a_request_with_another_kind_of_key_is_refused(authority: pki.Authority) -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    request = builder.sign(ec.generate_private_key(ec.SECP256R1()), SHA256())
    with pytest.raises(ConfigError, match="Ed25519"):
        authority.issue_client(request.public_bytes(Encoding.PEM), "alice")


def test_a_server_certificate_names_hosts_and_addresses(authority: pki.Authority) -> None:
    pem = authority.issue_server(Ed25519PrivateKey.generate().public_key(), ["broker.example", "10.0.0.7"])
    extensions = x509.load_pem_x509_certificate(pem).extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["broker.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7"]


def test_a_clients_certificate_cannot_serve(authority: pki.Authority) -> None:
    pem = authority.issue_client(Ed25519PrivateKey.generate().public_key(), "alice")
    extensions = x509.load_pem_x509_certificate(pem).extensions
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_an_authority_does_not_show_its_key(authority: pki.Authority) -> None:
    assert repr(authority) == "Authority(<redacted>)"


def test_a_roster_holds_raw_public_keys(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    text = pki.roster_text({"alice": pki.identity(key)}, {"coordinator": pki.identity(key)})
    roster = tomllib.loads(text)
    raw = key.public_key().public_bytes_raw()
    assert base64.b64decode(roster["parties"]["alice"]["identity"]) == raw
    assert base64.b64decode(roster["coordinators"]["coordinator"]["identity"]) == raw
