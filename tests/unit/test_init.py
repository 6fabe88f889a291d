"""`coordinator init`: what `docker compose` and a network of several machines start from."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from coordinator.init import init
from party_node.config import load_node
from protocol.errors import ConfigError


def test_the_nodes_are_to_reach_the_broker_under_its_name(tmp_path: Path) -> None:
    init(tmp_path / "made", ["alice", "bob"], "broker.example.org:8884")
    reach = load_node(tmp_path / "made" / "parties" / "alice" / "config.toml").broker
    assert (reach.host, reach.port, reach.protocol) == ("broker.example.org", 8884, "5")
    names = _certificate(tmp_path / "made" / "broker" / "tls.crt").extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "broker.example.org" in names.value.get_values_for_type(x509.DNSName)


def test_the_healthcheck_has_a_certificate_of_its_own(tmp_path: Path) -> None:
    init(tmp_path / "made", ["alice", "bob"], "broker:8883")
    subject = _certificate(tmp_path / "made" / "broker" / "healthcheck.crt").subject
    assert [each.value for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["healthcheck"]


def test_a_new_network_has_a_list_that_revokes_nobody_and_does_not_end_before_its_authority(
    tmp_path: Path,
) -> None:
    init(tmp_path / "made", ["alice", "bob"], "broker:8883")
    found = x509.load_pem_x509_crl((tmp_path / "made" / "broker" / "crl.pem").read_bytes())
    assert list(found) == []
    assert found.next_update_utc == _certificate(tmp_path / "made" / "ca" / "ca.crt").not_valid_after_utc
    assert (tmp_path / "made" / "broker" / "crl.pem").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("address", ["broker", ":8883", "broker:", "broker:mqtt", "broker:0", "broker:65536"])
def test_an_address_that_is_none_is_refused_and_nothing_is_made(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        init(tmp_path / "made", ["alice", "bob"], address)
    assert not (tmp_path / "made").exists()


def test_no_party_may_be_called_healthcheck(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="healthcheck cannot be a party's name"):
        init(tmp_path / "made", ["alice", "healthcheck"], "broker:8883")
    assert not (tmp_path / "made").exists()


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())
