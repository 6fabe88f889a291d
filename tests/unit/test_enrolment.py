"""Keys are made where they stay; who is enrolled can be renewed, and who is revoked does not come back."""

from __future__ import annotations

import base64
import datetime as dt
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from coordinator import announce, cluster, pki
from coordinator.enroll import enroll
from coordinator.init import init
from coordinator.renew import renew
from coordinator.revoke import revoke
from party_node import enrolment
from party_node.roster import fingerprint, load_roster
from protocol.errors import ConfigError, SpecError
from protocol.functionalities.average import Average

TODAY = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"


@dataclass(frozen=True)
class Party:
    """What a party has on its own machine, and what it tells the operator."""

    directory: Path
    identity: str

    @property
    def request(self) -> Path:
        return self.directory / "tls.csr"


def made(directory: Path, name: str = "erin") -> Party:
    told = enrolment.create(name, directory, "broker.example.org:8883")
    return Party(directory, told.split('identity = "')[1].split('"')[0])


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """An operator's directory, for a network of three and whoever enrolls."""
    init(tmp_path / "net", ["alice", "bob", "carlos"], "broker.example.org:8883")
    return tmp_path / "net"


@pytest.fixture
def erin(net: Path, tmp_path: Path) -> Party:
    """A party that has enrolled with keys of its own."""
    party = made(tmp_path / "erin")
    enroll(net, "erin", party.request, party.identity)
    return party


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def serials(net: Path) -> set[int]:
    found = x509.load_pem_x509_crl((net / "broker" / "crl.pem").read_bytes())
    return {entry.serial_number for entry in found}


def everything(net: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in net.rglob("*") if path.is_file()}


# -- keys that never leave ---------------------------------------------------------------------------


def secret_forms(path: Path) -> list[bytes]:
    """The private key in a file as it might turn up elsewhere."""
    key = pki.load_key(path)
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    raw = key.private_bytes_raw()
    return [raw, raw.hex().encode(), base64.b64encode(raw)[:-2], base64.b64encode(der), der]


def test_what_init_prints_and_sends_holds_no_private_key_and_the_keys_are_their_owners_alone(
    tmp_path: Path,
) -> None:
    before = os.umask(0)  # whatever the shell's habits are
    try:
        told = enrolment.create("erin", tmp_path / "erin", "broker.example.org:8883")
    finally:
        os.umask(before)
    directory = tmp_path / "erin"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    request = (directory / "tls.csr").read_bytes()
    der = x509.load_pem_x509_csr(request).public_bytes(Encoding.DER)
    for name in ("identity.key", "tls.key"):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600
        for form in secret_forms(directory / name):
            for sent in (told.encode(), request, der, (directory / "config.toml").read_bytes()):
                assert form not in sent
    assert "identity" in told


def test_the_operators_directory_never_holds_a_private_key_of_who_enrolls(net: Path, erin: Party) -> None:
    forms = secret_forms(erin.directory / "tls.key") + secret_forms(erin.directory / "identity.key")
    for path, content in everything(net).items():
        assert not any(form in content for form in forms), path


# -- renewal -----------------------------------------------------------------------------------------


def test_the_same_identity_once_more_renews_the_certificate_and_keeps_the_old_one(
    net: Path, erin: Party
) -> None:
    folder = net / "parties" / "erin"
    first = certificate(folder / "tls.crt")
    roster = load_roster(net / "roster.toml")
    told = enroll(net, "erin", erin.request, erin.identity)
    assert told[0].startswith("renewed the certificate of erin until ")
    second = certificate(folder / "tls.crt")
    assert second.serial_number != first.serial_number
    assert second.public_key() == first.public_key()
    assert certificate(folder / f"tls-{first.serial_number:x}.crt") == first
    assert load_roster(net / "roster.toml") == roster


def test_a_renewal_may_bring_another_key_for_the_connection(net: Path, erin: Party, tmp_path: Path) -> None:
    other = made(tmp_path / "other")
    enroll(net, "erin", other.request, erin.identity)
    assert len(list((net / "parties" / "erin").glob("tls*.crt"))) == 2


def test_another_identity_is_refused_and_nothing_changes(net: Path, erin: Party, tmp_path: Path) -> None:
    other = made(tmp_path / "other")
    before = everything(net)
    with pytest.raises(ConfigError, match="ANOTHER identity") as caught:
        enroll(net, "erin", other.request, other.identity)
    assert "coordinator revoke" in caught.value.hint
    assert everything(net) == before


@pytest.mark.parametrize("identity", ["", "?", "AAAA", base64.b64encode(bytes(48)).decode()])
def test_an_identity_that_is_none_is_refused_without_being_repeated(
    net: Path, tmp_path: Path, identity: str
) -> None:
    party = made(tmp_path / "erin")
    before = everything(net)
    with pytest.raises(ConfigError, match=r"^the identity ") as caught:
        enroll(net, "erin", party.request, identity)
    assert len(identity) < 8 or identity not in caught.value.message
    assert everything(net) == before


def test_the_identity_of_somebody_else_is_refused_and_nothing_changes(
    net: Path, erin: Party, tmp_path: Path
) -> None:
    other = made(tmp_path / "other", "frank")
    before = everything(net)
    with pytest.raises(ConfigError, match="the same key as"):
        enroll(net, "frank", other.request, erin.identity)
    assert everything(net) == before


def test_the_operator_renews_what_has_its_key_here_under_the_same_names(net: Path, erin: Party) -> None:
    revoke(net, "bob", "left")
    paths = [
        *(net / "broker" / name for name in ("tls.crt", "healthcheck.crt")),
        net / "coordinator" / "tls.crt",
        net / "parties" / "alice" / "tls.crt",
    ]
    others = [net / "parties" / name / "tls.crt" for name in ("bob", "erin")]
    before = {path: certificate(path) for path in [*paths, *others, net / "ca" / "ca.crt"]}
    renew(net)
    for path, old in before.items():
        new = certificate(path)
        assert (new.serial_number != old.serial_number) == (path in paths), path
        assert (new.subject, new.public_key()) == (old.subject, old.public_key())
    extension = x509.SubjectAlternativeName
    names = [
        each.extensions.get_extension_for_class(extension).value
        for each in (before[paths[0]], certificate(paths[0]))
    ]
    assert names[0] == names[1]
    renew(net)
    assert len(list((net / "broker").glob("tls*.crt"))) == 3


# -- revocation --------------------------------------------------------------------------------------


def test_a_revoked_party_is_marked_for_everybody_and_all_its_certificates_are_listed(
    net: Path, erin: Party
) -> None:
    enroll(net, "erin", erin.request, erin.identity)
    given = [certificate(path) for path in (net / "parties" / "erin").glob("tls*.crt")]
    told = "\n".join(revoke(net, "erin", 'lost "laptop"'))
    roster = load_roster(net / "roster.toml")
    assert roster.revoked == {"erin": f'lost "laptop", {TODAY}'}
    assert roster.identity("erin") is None
    assert roster.identity("alice") is not None
    assert len(given) == 2
    assert serials(net) == {each.serial_number for each in given}
    for step in ("restart the broker", "to everybody", "party-node init"):
        assert step in told


def test_who_was_revoked_before_stays_listed(net: Path) -> None:
    first = certificate(net / "parties" / "alice" / "tls.crt").serial_number
    second = certificate(net / "parties" / "bob" / "tls.crt").serial_number
    for name in ("alice", "bob", "alice"):
        revoke(net, name, "left")
    assert serials(net) == {first, second}
    assert set(load_roster(net / "roster.toml").revoked) == {"alice", "bob"}


def test_the_list_is_signed_numbered_and_in_force_as_long_as_the_authority(net: Path) -> None:
    authority = pki.Authority.load(net / "ca")
    for number in (1, 2, 3):
        found = x509.load_pem_x509_crl((net / "broker" / "crl.pem").read_bytes())
        key = authority.certificate.public_key()
        assert isinstance(key, Ed25519PublicKey)
        assert found.is_signature_valid(key)
        assert found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == number
        assert found.next_update_utc == authority.certificate.not_valid_after_utc
        assert found.last_update_utc <= dt.datetime.now(dt.UTC) - dt.timedelta(minutes=4)
        revoke(net, "bob", "left")


@pytest.mark.parametrize("name", ["mallory", "healthcheck", "all", ""])
def test_who_is_not_in_the_roster_cannot_be_revoked(net: Path, name: str) -> None:
    before = everything(net)
    with pytest.raises(ConfigError, match="is not in the roster"):
        revoke(net, name, "left")
    assert everything(net) == before


@pytest.mark.parametrize("why", ["", " ", "a\nb", "\x1b[2J", "x" * 200])
def test_a_reason_that_is_none_or_no_line_is_refused(net: Path, why: str) -> None:
    before = everything(net)
    with pytest.raises(ConfigError):
        revoke(net, "bob", why)
    assert everything(net) == before


def test_a_list_that_somebody_else_signed_is_not_built_upon(net: Path, tmp_path: Path) -> None:
    stranger = pki.Authority.create(tmp_path / "stranger")
    for content in (stranger.revocation_list({}, 7), b"", b"garbage"):
        (net / "broker" / "crl.pem").write_bytes(content)
        with pytest.raises(ConfigError, match=r"crl\.pem: not a revocation list that our authority signed"):
            revoke(net, "bob", "left")
        assert (net / "broker" / "crl.pem").read_bytes() == content


def test_a_coordinator_can_be_revoked_too(net: Path) -> None:
    revoke(net, "coordinator", "sold the machine")
    assert serials(net) == {certificate(net / "coordinator" / "tls.crt").serial_number}
    assert not load_roster(net / "roster.toml").is_coordinator("coordinator")


def test_other_entries_survive_an_enrolment_and_a_revocation(net: Path, erin: Party) -> None:
    revoke(net, "bob", "left")
    before = load_roster(net / "roster.toml")
    enroll(net, "erin", erin.request, erin.identity)
    assert load_roster(net / "roster.toml") == before


# -- coming back -------------------------------------------------------------------------------------


def test_who_was_revoked_comes_back_with_new_keys_only(net: Path, erin: Party, tmp_path: Path) -> None:
    revoke(net, "erin", "lost laptop")
    new = made(tmp_path / "new")
    before = everything(net)
    for request, identity in (
        (erin.request, erin.identity),
        (new.request, erin.identity),
        (erin.request, new.identity),
    ):
        with pytest.raises(ConfigError, match="was revoked") as caught:
            enroll(net, "erin", request, identity)
        assert "new ones" in caught.value.hint
    assert everything(net) == before
    lost = serials(net)
    told = enroll(net, "erin", new.request, new.identity)
    assert told[0].startswith("enrolled erin until ")
    roster = load_roster(net / "roster.toml")
    assert fingerprint(roster.identity("erin") or b"") in told[1]
    assert (roster.revoked, serials(net)) == ({}, lost)
    assert certificate(net / "parties" / "erin" / "tls.crt").serial_number not in lost


def test_a_revoked_key_is_not_taken_under_another_name_or_after_its_successor(
    net: Path, erin: Party, tmp_path: Path
) -> None:
    revoke(net, "erin", "lost laptop")
    new = made(tmp_path / "new")
    enroll(net, "erin", new.request, new.identity)
    frank = made(tmp_path / "frank", "frank")
    for request, identity in ((frank.request, erin.identity), (erin.request, frank.identity)):
        with pytest.raises(ConfigError, match="was revoked"):
            enroll(net, "frank", request, identity)
    revoke(net, "erin", "lost again")
    with pytest.raises(ConfigError, match="was revoked"):
        enroll(net, "erin", frank.request, erin.identity)


# -- what a coordinator announces ----------------------------------------------------------------------


def _announced(net: Path, parties: list[str] | None, compute: list[str] | None = None) -> object:
    question = announce.Question(Average(), "raise", parties=parties, compute=compute, result_to=["alice"])
    return announce.build(question, "coordinator", load_roster(net / "roster.toml"), 10**12, bytes(16))


def test_a_revoked_party_cannot_be_named_in_an_announcement(net: Path) -> None:
    revoke(net, "bob", "lost laptop")
    for parties, compute in ((["alice", "bob"], None), (["alice", "carlos"], ["alice", "bob"])):
        with pytest.raises(SpecError) as caught:
            _announced(net, parties, compute)
        assert caught.value.message == f"bob is revoked: lost laptop, {TODAY}"
        assert "bob" not in caught.value.hint


def test_everybody_is_everybody_who_is_not_revoked(net: Path) -> None:
    revoke(net, "bob", "lost laptop")
    spec = _announced(net, None)
    assert getattr(spec, "inputs", None) == ("alice", "carlos")
    assert cluster.parties_of(net) == ["alice", "carlos"]
