"""What our certificates say of themselves: whose they are, and from when to when.

They are judged here, before a broker does: it would say little, and a broker that takes us for somebody else
lets us in and gives us nobody's letters.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.x509.oid import NameOID

from party_node.config import CoordinatorConfig, NodeConfig
from protocol.errors import ConfigError

WARN_DAYS = 30  # before the end
RENEW = "whoever signs for the broker renews it: `coordinator enroll` with tls.csr, or `coordinator renew`"
RENEW_ALL = "all certificates end with it: whoever runs the broker must set the network up anew"
_CLOCK = "is this machine's clock right?"
log = structlog.get_logger("node")


@dataclass(frozen=True)
class Concern:
    """What is wrong with a certificate, or soon will be."""

    message: str
    hint: str
    usable: bool  # until the end


def concern(
    certificate: x509.Certificate, path: Path, now: dt.datetime, renew: str = RENEW
) -> Concern | None:
    """Whether the certificate in `path` wants attention at the time `now`."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begins:
        return Concern(f"{path}: not valid before {begins:%Y-%m-%d %H:%M} UTC", _CLOCK, usable=False)
    if now > ends:
        return Concern(f"{path}: expired on {ends:%Y-%m-%d}", renew, usable=False)
    if (left := (ends - now).days) < WARN_DAYS:
        return Concern(f"{path}: expires on {ends:%Y-%m-%d}, in {left} days", renew, usable=True)
    return None


def concerns(config: NodeConfig | CoordinatorConfig, now: dt.datetime) -> Iterator[Concern]:
    """What there is to say of our own certificate and of the authority's."""
    broker = config.broker
    for path, key, renew in (
        (broker.certificate, "broker.certificate", RENEW),
        (broker.ca, "broker.ca", RENEW_ALL),
    ):
        found = concern(load(path, key), path, now, renew)
        if found is not None:
            yield found


def usable(config: NodeConfig | CoordinatorConfig) -> list[Concern]:
    """What ends soon.  Raises ConfigError for what cannot be used at all."""
    found = list(concerns(config, dt.datetime.now(dt.UTC)))
    for each in found:
        if not each.usable:
            raise ConfigError(each.message, each.hint)
    return found


def load(path: Path, key: str) -> x509.Certificate:
    """The certificate that `key` in the config names.  Raises ConfigError."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise ConfigError(
            f"{path}: no certificate can be read from it", f"{key} in the config names it"
        ) from None


def own(config: NodeConfig | CoordinatorConfig) -> x509.Certificate:
    """Our certificate.  Raises ConfigError unless its common name is our name."""
    path = config.broker.certificate
    certificate = load(path, "broker.certificate")
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    common = str(names[0].value) if names else ""
    if common != config.name:
        raise ConfigError(
            f"{path}: a certificate for {common or 'nobody'}, expected {config.name}",
            "the broker takes the certificate's common name for the party's name",
        )
    return certificate


def warn(config: NodeConfig | CoordinatorConfig) -> None:
    """Log what there is to say; the node goes on, and takes a renewed certificate at its next connection."""
    try:
        for found in concerns(config, dt.datetime.now(dt.UTC)):
            (log.warning if found.usable else log.error)(found.message, hint=found.hint)
    except ConfigError as error:
        log.warning(error.message, hint=error.hint)
