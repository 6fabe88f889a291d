"""Certificates end: a node says so a month before, and says what to do."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from structlog.testing import capture_logs

from coordinator import cluster, pki
from coordinator.revoke import revoke
from party_node import certificates, checks
from party_node.certificates import WARN_DAYS, concern
from party_node.config import NodeConfig, load_node
from party_node.daemon import Daemon, daily_until
from protocol.errors import ConfigError

DAY = dt.timedelta(days=1)
SECOND = dt.timedelta(seconds=1)
PATH = Path("tls.crt")


@pytest.fixture
def alice(tmp_path: Path) -> NodeConfig:
    """A node of a new network; its broker does not run."""
    cluster.create(tmp_path / "net", ["alice", "bob"])
    return load_node(tmp_path / "net" / "parties" / "alice" / "config.toml")


def issue(config: NodeConfig, lifetime: dt.timedelta, name: str = "alice") -> x509.Certificate:
    """Another certificate for the node, from its network's authority."""
    key = pki.load_key(config.broker.key).public_key()
    pem = pki.Authority.load(config.broker.ca.parent).issue_client(key, name, lifetime)
    config.broker.certificate.write_bytes(pem)
    return x509.load_pem_x509_certificate(pem)


def first_complaint(config: NodeConfig) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        list(checks.run(config))
    return caught.value


# -- what a certificate says at a time ---------------------------------------------------------------


def test_a_certificate_is_of_concern_from_a_month_before_its_end_and_before_its_beginning(
    alice: NodeConfig,
) -> None:
    certificate = issue(alice, 365 * DAY)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc

    def at(now: dt.datetime) -> tuple[str, bool] | None:
        found = concern(certificate, PATH, now)
        return None if found is None else (found.message, found.usable)

    assert at(begins - SECOND) == (f"tls.crt: not valid before {begins:%Y-%m-%d %H:%M} UTC", False)
    assert at(begins) is None
    assert at(ends - WARN_DAYS * DAY) is None
    assert at(ends - WARN_DAYS * DAY + SECOND) == (f"tls.crt: expires on {ends:%Y-%m-%d}, in 29 days", True)
    assert at(ends) == (f"tls.crt: expires on {ends:%Y-%m-%d}, in 0 days", True)
    assert at(ends + SECOND) == (f"tls.crt: expired on {ends:%Y-%m-%d}", False)


# -- the check ---------------------------------------------------------------------------------------


def lines_of(config: NodeConfig) -> list[str]:
    """What is in order, up to the broker, which is not there."""
    told = []
    lines = checks.run(config)
    for line in lines:
        told.append(line)
        if line.startswith("certificate"):
            break
    return told


def test_the_check_warns_of_an_end_that_is_near(alice: NodeConfig) -> None:
    issue(alice, 20 * DAY)
    line = lines_of(alice)[-1]
    assert line.startswith("certificate for alice, valid for 19 more days; ")
    assert "coordinator enroll" in line


def test_the_check_says_nothing_of_an_end_that_is_far(alice: NodeConfig) -> None:
    assert lines_of(alice)[-1] == "certificate for alice, valid for 364 more days"


def test_the_check_warns_of_the_end_of_the_authority(
    alice: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pki, "CA_LIFETIME", 10 * DAY)
    alice.broker.ca.unlink()
    (alice.broker.ca.parent / "ca.key").unlink()
    pki.Authority.create(alice.broker.ca.parent)
    line = lines_of(alice)[-1]
    assert "ca.crt: expires on" in line
    assert "set the network up anew" in line


@pytest.mark.parametrize(
    ("lifetime", "problem", "remedy"),
    [(-1 * DAY, "expired on", "coordinator enroll"), (-400 * DAY, "expired on", "coordinator renew")],
)
def test_the_check_refuses_what_has_expired(
    alice: NodeConfig, lifetime: dt.timedelta, problem: str, remedy: str
) -> None:
    issue(alice, lifetime)
    error = first_complaint(alice)
    assert problem in error.message
    assert str(alice.broker.certificate) in error.message
    assert remedy in error.hint


def test_the_check_refuses_what_is_not_valid_yet(alice: NodeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pki, "CLOCK_SKEW", -2 * DAY)
    issue(alice, 365 * DAY)
    error = first_complaint(alice)
    assert "not valid before" in error.message
    assert "clock" in error.hint


def test_the_check_names_who_is_revoked(alice: NodeConfig) -> None:
    revoke(alice.roster.parent, "bob", "lost laptop")
    assert any(line.startswith("bob is revoked: lost laptop, ") for line in lines_of(alice))


# -- a certificate for somebody else -----------------------------------------------------------------


def test_a_node_with_somebody_elses_certificate_does_not_start(alice: NodeConfig) -> None:
    issue(alice, DAY, name="bob")
    for error in (_start(alice), first_complaint(alice)):
        assert error.message == f"{alice.broker.certificate}: a certificate for bob, expected alice"
        assert "common name" in error.hint
    assert not alice.data_dir.joinpath("known_parties").exists()


def _start(config: NodeConfig) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Daemon(config)
    return caught.value


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_certificate_that_is_none_is_named_with_its_key_in_the_config(
    alice: NodeConfig, content: bytes
) -> None:
    alice.broker.certificate.write_bytes(content)
    for error in (_start(alice), first_complaint(alice)):
        assert error.message == f"{alice.broker.certificate}: no certificate can be read from it"
        assert error.hint == "broker.certificate in the config names it"


# -- a running node ----------------------------------------------------------------------------------


def test_a_node_logs_an_end_that_is_near_and_one_that_has_come(alice: NodeConfig) -> None:
    for lifetime, level, word in ((20 * DAY, "warning", "expires on"), (-1 * DAY, "error", "expired on")):
        issue(alice, lifetime)
        with capture_logs() as logs:
            certificates.warn(alice)
        (entry,) = logs
        assert entry["log_level"] == level
        assert word in entry["event"]
        assert "coordinator enroll" in entry["hint"]


def test_a_certificate_that_is_being_replaced_ends_no_node(alice: NodeConfig) -> None:
    alice.broker.certificate.unlink()
    with capture_logs() as logs:
        certificates.warn(alice)
    assert logs[0]["event"] == f"{alice.broker.certificate}: no certificate can be read from it"


async def test_it_looks_at_once_and_again_each_day_until_it_stops() -> None:
    stop, looks = asyncio.Event(), 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            stop.set()

    async with asyncio.timeout(10):
        await daily_until(stop, look, day=0.001)
    assert looks == 3
