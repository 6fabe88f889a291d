"""amqtt as a broker that keeps Sotto's rules; `coordinator up` runs it where Mosquitto is missing.

amqtt trusts too much for a network of strangers: it forgets a client's session before it has
authenticated whoever asks, publishes a last will unchecked, sends a new client everybody's retained
messages and lets two clients share a name.  So nothing reaches it except through a gate that holds
the TLS side: a certificate is required, the client id must be its common name, a will is checked
like any publication, no byte leaves for somebody who may not read it, and a newcomer under a name
displaces the old connection first.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import re
import signal
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from amqtt.adapters import BufferReader, StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import Action, BaseContext, BrokerConfig, ListenerConfig, ListenerType
from amqtt.errors import AMQTTError, CodecError, MQTTError, NoDataError
from amqtt.mqtt.connack import NOT_AUTHORIZED, UNACCEPTABLE_PROTOCOL_VERSION, ConnackPacket
from amqtt.mqtt.connect import ConnectPacket
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

from coordinator.acl import AccessList
from coordinator.broker import read_settings

LISTENER = "gate"
HELLO_TIMEOUT = 10.0  # seconds from the handshake to a complete CONNECT
HELLO_LIMIT = 4096  # bytes; a name, a will's topic and "offline" are far shorter
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_PUBLISH = 3
_V311 = 4

log = logging.getLogger("coordinator.embedded_broker")


class RefusedError(Exception):
    """A client may not come in; `code` is MQTT 3.1.1's answer to its CONNECT."""

    def __init__(self, why: str, code: int) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True)
class Settings:
    """What the embedded broker takes from a mosquitto.conf."""

    address: str | None
    port: int
    ca: Path
    certificate: Path
    key: Path
    access: AccessList
    max_packet: int

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read the settings that apply; the others are Mosquitto's own."""
        values = read_settings(path)
        port, _, address = values["listener"].partition(" ")
        return cls(
            address=address or None,
            port=int(port),
            ca=Path(values["cafile"]),
            certificate=Path(values["certfile"]),
            key=Path(values["keyfile"]),
            access=AccessList.load(Path(values["acl_file"])),
            max_packet=int(values["max_packet_size"]),
        )

    def tls(self) -> ssl.SSLContext:
        """TLS 1.3, and no handshake without a certificate that our authority signed."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.certificate, self.key)
        return context


class AdmittedByGate(BaseAuthPlugin):  # type: ignore[misc]  # amqtt ships no types
    """amqtt wants an opinion; the gate has refused everyone else before amqtt saw a byte."""

    async def authenticate(self, *, session: Session) -> bool:
        return bool(session.client_id == common_name(session.ssl_object))


class AccessRules(BaseTopicPlugin):  # type: ignore[misc]  # amqtt ships no types
    """What may be published and subscribed; delivery is checked at the gate."""

    @dataclass
    class Config:
        """Filled in by amqtt from its configuration."""

        access: AccessList

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self._access: AccessList = self.config.access

    async def topic_filtering(
        self,
        *,
        session: Session | None = None,
        topic: str | None = None,
        action: Action | None = None,
    ) -> bool:
        if action is Action.RECEIVE:
            return True
        if session is None or session.client_id is None or topic is None:
            return False
        may = self._access.may_write if action is Action.PUBLISH else self._access.may_read
        return may(session.client_id, topic)


class GatedBroker(Broker):  # type: ignore[misc]  # amqtt ships no types
    """amqtt delivers at the subscriber's QoS whatever the publisher's; so it grants QoS 0 only.

    At QoS 1 it would also drop a message for a receiver that is busy for five seconds.
    """

    async def add_subscription(self, subscription: tuple[str, int], session: Session) -> int:
        topic_filter, _ = subscription
        granted: int = await super().add_subscription((topic_filter, 0), session)
        return granted


class _Incoming(StreamReaderAdapter):  # type: ignore[misc]  # amqtt ships no types
    """A client's bytes: the CONNECT that the gate has read, then the rest, in bounded pieces."""

    def __init__(self, hello: bytes, reader: asyncio.StreamReader, limit: int) -> None:
        super().__init__(reader)
        self._hello = memoryview(hello)
        self._limit = limit

    async def read(self, n: int = -1) -> bytes:
        if self._hello:
            piece, self._hello = self._hello[:n], self._hello[n:]
            return bytes(piece)
        if n > self._limit:
            raise ConnectionAbortedError(f"a packet of {n} bytes, more than {self._limit}")
        piece_read: bytes = await super().read(n)
        return piece_read


class _Outgoing(StreamWriterAdapter):  # type: ignore[misc]  # amqtt ships no types
    """What leaves for a client: a publication that it may not read is dropped here."""

    def __init__(self, writer: asyncio.StreamWriter, name: str, access: AccessList) -> None:
        super().__init__(writer)
        self._name = name
        self._access = access

    def write(self, data: bytes) -> None:
        if data[0] >> 4 != _PUBLISH or self._access.may_read(self._name, _topic(data)):
            super().write(data)


@dataclass(frozen=True)
class _Link:
    writer: asyncio.StreamWriter
    ended: asyncio.Event


class Gate:
    """Lets certified clients in, one connection a name."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self._broker = broker
        self._settings = settings
        self._links: dict[str, _Link] = {}

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; whatever a client sends, only its own connection ends."""
        try:
            name, hello = await self._check(reader, writer)
            await self._serve(name, hello, reader, writer)
        except RefusedError as refused:
            log.warning("refused %s: %s", writer.get_extra_info("peername"), refused)
            await ConnackPacket.build(0, refused.code).to_stream(StreamWriterAdapter(writer))
        except (OSError, EOFError, TimeoutError, NoDataError, AMQTTError, MQTTError) as error:
            log.info("connection ended: %r", error)
        finally:
            writer.close()

    async def _check(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, bytes]:
        name = common_name(writer.get_extra_info("ssl_object"))
        hello = await asyncio.wait_for(_read_hello(reader), HELLO_TIMEOUT)
        connect = await _parse_hello(hello)
        if connect.client_id != name:
            raise RefusedError(f"{name} calls itself {connect.client_id!r}", NOT_AUTHORIZED)
        will = connect.will_topic if connect.will_flag else None
        if will is not None and not self._settings.access.may_write(name, will):
            raise RefusedError(f"{name} may not leave a will on {will!r}", NOT_AUTHORIZED)
        return name, hello

    async def _serve(
        self, name: str, hello: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        link = _Link(writer, asyncio.Event())
        before, self._links[name] = self._links.get(name), link
        try:
            if before is not None:
                before.writer.transport.abort()
                await before.ended.wait()
            incoming = _Incoming(hello, reader, self._settings.max_packet)
            outgoing = _Outgoing(writer, name, self._settings.access)
            await self._broker.external_connected(incoming, outgoing, LISTENER)
        finally:
            link.ended.set()
            if self._links.get(name) is link:
                del self._links[name]


def common_name(tls: ssl.SSLObject | None) -> str:
    """The name in the client's certificate; TLS has verified the signature."""
    certificate: Any = tls.getpeercert() if tls else None
    subject = dict(pair for part in (certificate or {}).get("subject", ()) for pair in part)
    name = str(subject.get("commonName", ""))
    if not _NAME.fullmatch(name):
        raise RefusedError(f"certificate for {name!r}, which is no party's name", NOT_AUTHORIZED)
    return name


async def _read_hello(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(2)
    while head[-1] & 0x80 and len(head) < 5:  # the length, seven bits a byte  [MQTT-2.2.3]
        head += await reader.readexactly(1)
    length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[1:]))
    if head[0] != 0x10 or length > HELLO_LIMIT:
        raise MQTTError("the first packet is no CONNECT")
    return head + await reader.readexactly(length)


async def _parse_hello(hello: bytes) -> ConnectPacket:
    if hello.find(b"\x00\x04MQTT") < 0:
        raise MQTTError("the first packet is no CONNECT")
    if hello[hello.index(b"MQTT") + 4] != _V311:
        raise RefusedError("only MQTT 3.1.1 is spoken here", UNACCEPTABLE_PROTOCOL_VERSION)
    try:
        return await ConnectPacket.from_stream(BufferReader(hello))
    except (CodecError, ValueError, IndexError) as error:
        raise MQTTError("malformed CONNECT") from error


def _topic(publish: bytes) -> str:
    start = 1
    while publish[start] & 0x80:
        start += 1
    length = int.from_bytes(publish[start + 1 : start + 3], "big")
    return publish[start + 3 : start + 3 + length].decode()


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run the broker until `stop` is set."""
    broker = GatedBroker(
        BrokerConfig(
            listeners={"default": ListenerConfig(), LISTENER: ListenerConfig(type=ListenerType.EXTERNAL)},
            plugins={
                f"{__name__}.AdmittedByGate": {},
                f"{__name__}.AccessRules": {"access": settings.access},
            },
        )
    )
    await broker.start()
    server = await asyncio.start_server(
        Gate(broker, settings), settings.address, settings.port, ssl=settings.tls()
    )
    log.info("listening on %s:%d", settings.address or "*", settings.port)
    await stop.wait()
    server.close()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(broker.shutdown(), 2)


async def _main(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop)


def main() -> None:
    """`python -m coordinator.embedded_broker --config mosquitto.conf`."""
    parser = argparse.ArgumentParser(description="an MQTT 3.1.1 broker for a local cluster")
    parser.add_argument("--config", type=Path, required=True, help="a mosquitto.conf")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("amqtt").setLevel(logging.ERROR)
    logging.getLogger("transitions").setLevel(logging.ERROR)
    uvloop.run(_main(Settings.load(parser.parse_args().config)))


if __name__ == "__main__":
    main()
