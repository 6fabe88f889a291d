"""`party-node check`: everything that can go wrong before a session, tried in order."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator

from party_node import accounts, certificates, inputs, pins
from party_node.config import NodeConfig
from party_node.daemon import checked_roster
from party_node.roster import Roster, fingerprint
from party_node.transport import probe
from protocol.errors import ConfigError
from protocol.membership import describe


def run(config: NodeConfig) -> Iterator[str]:
    """One line for each thing that is in order; the first that is not raises SottoError."""
    yield f"config of {config.name}"
    roster = checked_roster(config)
    pins.shout_all(roster, "party-node")
    public = roster.identity(config.name) or b""
    yield f"identity {fingerprint(public)}, as pinned in {config.roster.name}"
    yield f"roster of {len(roster.parties)} parties and {len(roster.coordinators)} coordinators"
    yield from _revoked(roster)
    yield from _certificates(config)
    for name, source in config.inputs.items():
        value = inputs.load(name, source, config.directory)
        yield f"input {name}: {'one ballot' if value.ballot else describe(value.units.shape)}"
    yield ledger_line(config)
    asyncio.run(probe(config.broker, config.name))
    yield f"broker {config.broker.host}:{config.broker.port} lets {config.name} in"
    _require_unchanged(roster)


def ledger_line(config: NodeConfig) -> str:
    """How much the budget ledger holds; LedgerError if it cannot be trusted."""
    entries = accounts.entries(config)
    return "no ledger yet" if entries is None else f"ledger of {len(entries)} entries, as anchored"


def _revoked(roster: Roster) -> Iterator[str]:
    for name in roster.revoked:
        yield f"{name} {roster.objection(name)}: refused everywhere"


def _certificates(config: NodeConfig) -> Iterator[str]:
    """Whose they are and for how long; what cannot be used any more is an error."""
    left = (certificates.own(config).not_valid_after_utc - dt.datetime.now(dt.UTC)).days
    soon = "".join(f"; {found.message}: {found.hint}" for found in certificates.usable(config))
    yield f"certificate for {config.name}, valid for {left} more days{soon}"


def _require_unchanged(roster: Roster) -> None:
    """Last, since the node runs all the same: only sessions with these names are refused."""
    for name in roster.changed:
        raise ConfigError(f"{name} {roster.objection(name)}", pins.remedy(roster, name, "party-node"))
