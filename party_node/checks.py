"""`party-node check`: everything that can go wrong before a session, tried in order."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator

from cryptography import x509
from cryptography.x509.oid import NameOID

from party_node import accounts, inputs
from party_node.config import NodeConfig
from party_node.daemon import checked_roster
from party_node.roster import fingerprint
from party_node.transport import probe
from protocol.errors import ConfigError
from protocol.membership import describe

WARN_DAYS = 30


def run(config: NodeConfig) -> Iterator[str]:
    """One line for each thing that is in order; the first that is not raises SottoError."""
    yield f"config of {config.name}"
    roster = checked_roster(config)
    public = roster.identity(config.name) or b""
    yield f"identity {fingerprint(public)}, as pinned in {config.roster.name}"
    yield f"roster of {len(roster.parties)} parties and {len(roster.coordinators)} coordinators"
    yield _certificate(config)
    for name, source in config.inputs.items():
        value = inputs.load(name, source, config.directory)
        yield f"input {name}: {'one ballot' if value.ballot else describe(value.units.shape)}"
    yield ledger_line(config)
    asyncio.run(probe(config.broker, config.name))
    yield f"broker {config.broker.host}:{config.broker.port} lets {config.name} in"


def ledger_line(config: NodeConfig) -> str:
    """How much the budget ledger holds; LedgerError if it cannot be trusted."""
    entries = accounts.entries(config)
    return "no ledger yet" if entries is None else f"ledger of {len(entries)} entries, as anchored"


def _certificate(config: NodeConfig) -> str:
    path = config.broker.certificate
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise ConfigError(
            f"{path}: no certificate can be read from it", "broker.certificate in the config names it"
        ) from None
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    common = str(names[0].value) if names else ""
    if common != config.name:
        raise ConfigError(
            f"{path}: a certificate for {common or 'nobody'}, expected {config.name}",
            "the broker takes the certificate's common name for the party's name",
        )
    left = (certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)).days
    if left < 0:
        raise ConfigError(f"{path}: expired {-left} days ago", "have tls.csr signed again")
    soon = f"; have tls.csr signed again, fewer than {WARN_DAYS} days are left" if left < WARN_DAYS else ""
    return f"certificate for {common}, valid for {left} more days{soon}"
