"""The way to the broker: its name, port and TLS, our login, a letter to ourselves, and what the broker keeps.

Each step needs the one before; after the first that fails, the others would only repeat it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import secrets
import socket
import ssl
import time
from dataclasses import dataclass, field

from cryptography import x509

from party_node import certificates, diagnosis
from party_node.config import BrokerConfig, NodeConfig
from party_node.operations.findings import Finding, Verdict, ok, wrong
from party_node.post import VERSION
from party_node.transport import visit
from protocol.errors import BrokerError
from protocol.messages import Step

PATIENCE = 5.0  # seconds for each step
MOST = 10_000  # of each thing that the broker keeps: it may be anybody's
_RENEW = "whoever runs the broker must renew it"


@dataclass
class Kept:
    """What the broker keeps for everybody."""

    complete: bool = False  # whether all of it has come
    statuses: dict[str, bytes] = field(default_factory=dict)  # party → online or offline
    announcements: list[tuple[bytes, int]] = field(default_factory=list)  # and when they came, Unix ms


async def examine(config: NodeConfig, kept: Kept) -> list[Finding]:
    """Go as far as it goes; what the broker keeps is put into `kept`."""
    found = []
    for step in (_name, _port, _tls):
        found.append(await step(config.broker))
        if found[-1].verdict is Verdict.WRONG:
            return found
    return [*found, *await _login(config, kept)]


async def _name(broker: BrokerConfig) -> Finding:
    check = "broker name"
    try:
        async with asyncio.timeout(PATIENCE):
            loop = asyncio.get_running_loop()
            infos = await loop.getaddrinfo(broker.host, broker.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return _unreachable(check, broker, error)
    return ok(check, f"{broker.host} is {', '.join(dict.fromkeys(str(info[4][0]) for info in infos))}")


async def _port(broker: BrokerConfig) -> Finding:
    check = "broker port"
    begun = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(broker.host, broker.port)
    except OSError as error:
        return _unreachable(check, broker, error)
    address = writer.get_extra_info("peername")[0]
    writer.transport.abort()
    return ok(check, f"{address} accepts connections on {broker.port}, after {_since(begun)}")


async def _tls(broker: BrokerConfig) -> Finding:
    check = "broker TLS"
    try:
        context = diagnosis.tls_context(broker)
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(broker.host, broker.port, ssl=context)
    except BrokerError as error:
        return wrong(check, error)
    except OSError as error:
        return _unreachable(check, broker, error)
    session: ssl.SSLObject = writer.get_extra_info("ssl_object")
    version, raw = session.version(), session.getpeercert(binary_form=True) or b""
    writer.transport.abort()
    return _judged(check, broker, str(version), x509.load_der_x509_certificate(raw))


def _judged(check: str, broker: BrokerConfig, version: str, certificate: x509.Certificate) -> Finding:
    """The handshake has verified host name, authority and dates; what is left is how long they last."""
    issuer = certificate.issuer.rfc4514_string()
    until = f"until {certificate.not_valid_after_utc:%Y-%m-%d}"
    found = f"{version}, a certificate for {broker.host} by {issuer}, {until}"
    left = certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)
    if left < dt.timedelta(days=certificates.WARN_DAYS):
        return Finding(check, Verdict.WARNING, f"{found}, {left.days} days from now", _RENEW)
    return ok(check, found)


async def _login(config: NodeConfig, kept: Kept) -> list[Finding]:
    """One more connection under our name; our node's own does not notice."""
    base, name, mark = f"{config.broker.base_topic}/{VERSION}", config.name, secrets.token_hex(32)
    mine = (
        f"{base}/session/{mark}/{Step.REQUEST}/{name}/{name}/0"  # our node takes it for its own, and drops it
    )
    back = asyncio.Event()

    def on_message(topic: str, payload: bytes) -> None:
        if topic == mine:
            back.set()
        elif topic.startswith(f"{base}/party/") and len(kept.statuses) < MOST:
            kept.statuses[topic.split("/")[-2]] = payload
        elif payload and len(kept.announcements) < MOST:
            kept.announcements.append((payload, time.time_ns() // 1_000_000))

    filters = [mine, f"{base}/party/+/status", f"{base}/session/+/{Step.ANNOUNCE}/+/all/+"]
    login = f"{name} may connect, in MQTT {config.broker.protocol}"
    try:
        async with visit(config.broker, name, filters, on_message) as say:
            begun = time.perf_counter()
            say(mine, b"doctor")
            # It comes after everything that the broker had kept.
            await asyncio.wait_for(back.wait(), PATIENCE)
            kept.complete = True
    except BrokerError as error:
        return [wrong("broker login", error)]
    except TimeoutError:
        hint = "does its access list let us write and read under our own name, and is `base_topic` right?"
        lost = Finding("letters", Verdict.WRONG, f"none to ourselves came back within {PATIENCE:g} s", hint)
        return [ok("broker login", login), lost]
    return [ok("broker login", login), ok("letters", f"one to ourselves came back after {_since(begun)}")]


def _unreachable(check: str, broker: BrokerConfig, error: BaseException) -> Finding:
    return wrong(check, diagnosis.unreachable(broker, error).error())


def _since(begun: float) -> str:
    return f"{1000 * (time.perf_counter() - begun):.1f} ms"
