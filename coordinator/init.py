"""`coordinator init`: the keys, certificates and roster of a network whose services run elsewhere.

Whoever runs this has seen every private key.  It is for a demonstration or a network under one roof;
parties who do not trust each other make their own with `party-node init`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coordinator import cluster, pki
from protocol.errors import ConfigError

HEALTHCHECK = "healthcheck"  # who asks the broker now and then whether it still answers


def init(directory: Path, parties: Sequence[str], address: str) -> None:
    """Make them below `directory`, for a Mosquitto that the nodes reach at `address` (HOST:PORT)."""
    host, port = _split(address)
    if HEALTHCHECK in parties:
        raise ConfigError(f"{HEALTHCHECK} cannot be a party's name", "it is the broker's own client")
    cluster.create(directory, parties, host=host, port=port, kind="mosquitto")
    folder = directory / cluster.BROKER
    key = pki.create_key(folder / f"{HEALTHCHECK}.key")
    certificate = pki.Authority.load(directory / "ca").issue_client(key.public_key(), HEALTHCHECK)
    pki.write_new(folder / f"{HEALTHCHECK}.crt", certificate, mode=0o644)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ConfigError(f"--broker {address}: expected HOST:PORT", "for example broker.example.org:8883")
    return host, int(port)
