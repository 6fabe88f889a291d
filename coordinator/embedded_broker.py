"""amqtt as a broker that keeps Sotto's rules; `coordinator up` runs it where Mosquitto is missing.

amqtt trusts too much for a network of strangers: it forgets a client's session before it has
authenticated whoever asks, publishes a last will unchecked, sends a new client everybody's retained
messages and lets two clients share a name.  So nothing reaches it except through a gate that holds
the TLS side: a certificate is required, the client id must be its common name and random digits, a
will is checked like any publication, and who comes back under an id displaces the old connection
first.  A name may have many ids, and so many connections; what it may do follows from the name.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import re
import signal
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from amqtt.adapters import BufferReader, StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker, BrokerContext
from amqtt.contexts import Action, BrokerConfig, ListenerConfig, ListenerType
from amqtt.errors import AMQTTError, CodecError, MQTTError, NoDataError
from amqtt.mqtt.connack import NOT_AUTHORIZED, UNACCEPTABLE_PROTOCOL_VERSION, ConnackPacket
from amqtt.mqtt.connect import ConnectPacket
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

from coordinator.acl import AccessList
from coordinator.broker import read_settings
from protocol.names import is_name

LISTENER = "default"
HELLO_TIMEOUT = 10.0  # seconds from the handshake to a complete CONNECT
BACKLOG = 100  # packets of one client that wait to be passed on
HELLO_LIMIT = 4096  # bytes; a name, a will's topic and "offline" are far shorter
_DISCONNECT = 14
_V311 = 4
_CONNECT = 0x10
_PUBLISH = 3

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
    revoked: Path  # the list of revoked certificates, read once
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
            revoked=Path(values["crlfile"]),
            access=AccessList.load(Path(values["acl_file"])),
            max_packet=int(values["max_packet_size"]),
        )

    def tls(self) -> ssl.SSLContext:
        """TLS 1.3, and no handshake without a certificate that our authority signed and has not revoked."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.ca))
        context.load_verify_locations(cafile=str(self.revoked))
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.certificate, self.key)
        return context


class AdmittedByGate(BaseAuthPlugin):  # type: ignore[misc]  # amqtt ships no types
    """amqtt wants an opinion; the gate has refused everyone else before amqtt saw a byte."""

    async def authenticate(self, *, session: Session) -> bool:
        return is_id_of(common_name(session.ssl_object), str(session.client_id))


class _Payload(bytes):
    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


class GatedBroker(Broker):  # type: ignore[misc]  # amqtt ships no types
    """amqtt with its decisions replaced by ours.

    Each override stands for something that went wrong: see the comments.  They reach below amqtt's
    plugins, which start a task for each decision and, while it waits, lose a message if somebody
    subscribes.  The broker tests hold for every version that pyproject.toml allows.
    """

    def __init__(self, config: BrokerConfig, access: AccessList) -> None:
        super().__init__(config)
        self._access = access
        self._names: dict[str, str] = {}  # by client id: the name in its certificate

    async def serve(
        self, identifier: str, name: str, incoming: _Incoming, outgoing: StreamWriterAdapter
    ) -> None:
        """Serve one connection that the gate has let in; leave nothing of it behind."""
        self._names[identifier] = name
        try:
            await self.external_connected(incoming, outgoing, LISTENER)
        finally:
            # amqtt would go on delivering to a client that it threw out itself.
            await self._cleanup_session(identifier)
            del self._names[identifier]

    async def _topic_filtering(self, session: Session, topic: str, action: Action) -> bool:
        if action is Action.RECEIVE:
            return True  # a subscription is granted only if all that it matches may be read
        may = self._access.may_write if action is Action.PUBLISH else self._access.may_read
        return may(self._names[session.client_id], topic)

    async def _broadcast_message(
        self, session: Session | None, topic: str, data: bytes, force_qos: int | None = None
    ) -> None:
        # amqtt formats each message for a debug log that nobody reads: 3 ms for a MiB.  And a will
        # would go out at its own QoS, not at the one granted.
        del force_qos
        await super()._broadcast_message(session, topic, _Payload(data))

    async def add_subscription(self, subscription: tuple[str, int], session: Session) -> int:
        # amqtt delivers at the subscriber's QoS whatever the publisher's, and at QoS 1 drops a
        # message if the receiver is busy for five seconds, and serves nothing else of that client
        # until it has acknowledged what was retained.  So it grants QoS 0 only.
        topic_filter, _ = subscription
        granted: int = await super().add_subscription((topic_filter, 0), session)
        return granted

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        # amqtt calls this for everybody's subscriptions when anybody connects.
        own = self._subscriptions.get(subscription[0], ())
        if any(subscriber is session for subscriber, _ in own):
            granted = (subscription[0], 0)
            await super()._publish_retained_messages_for_subscription(granted, session)


class _Incoming(StreamReaderAdapter):  # type: ignore[misc]  # amqtt ships no types
    """A client's bytes as whole packets, the CONNECT that the gate has read first.

    amqtt reads as fast as it can into an unbounded queue, and forgets the queue of a client that
    disconnects.  So a packet is let in when few wait before it, and the end when none does.
    """

    def __init__(
        self,
        hello: bytes,
        reader: asyncio.StreamReader,
        limit: int,
        waiting: Callable[[], int],
    ) -> None:
        super().__init__(reader)
        self._stream = reader
        self._rest = memoryview(hello)
        self._limit = limit
        self._waiting = waiting

    async def read(self, n: int = -1) -> bytes:
        if not self._rest and n > 0:
            self._rest = memoryview(await self._next())
        piece, self._rest = self._rest[:n], self._rest[n:]
        return bytes(piece)

    async def _next(self) -> bytes:
        try:
            packet = await _read_packet(self._stream, self._limit)
            _check_topic(packet)
        except (OSError, EOFError):
            await self._room(0)
            raise
        await self._room(0 if packet[0] >> 4 == _DISCONNECT else BACKLOG)
        return packet

    async def _room(self, limit: int) -> None:
        await asyncio.sleep(0)  # amqtt queues a packet in a task that starts only now
        while self._waiting() > limit:  # noqa: ASYNC110 - amqtt's queue tells nobody
            await asyncio.sleep(0.001)


@dataclass(frozen=True)
class _Link:
    writer: asyncio.StreamWriter
    ended: asyncio.Event


class Gate:
    """Lets certified clients in, one connection an id."""

    def __init__(self, broker: GatedBroker, settings: Settings) -> None:
        self._broker = broker
        self._settings = settings
        self._context = BrokerContext(broker)
        self._links: dict[str, _Link] = {}

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; whatever a client sends, only its own connection ends."""
        try:
            name, identifier, hello = await self._check(reader, writer)
            await self._serve(name, identifier, hello, reader, writer)
        except RefusedError as refused:
            log.warning("refused %s: %s", writer.get_extra_info("peername"), refused)
            await ConnackPacket.build(0, refused.code).to_stream(StreamWriterAdapter(writer))
        except (OSError, EOFError, TimeoutError, NoDataError, AMQTTError, MQTTError) as error:
            log.info("connection ended: %r", error)
        finally:
            writer.close()

    async def _check(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[str, str, bytes]:
        name = common_name(writer.get_extra_info("ssl_object"))
        hello = await asyncio.wait_for(_read_packet(reader, HELLO_LIMIT), HELLO_TIMEOUT)
        connect = await _parse_hello(hello)
        identifier = str(connect.client_id)
        if not is_id_of(name, identifier):
            raise RefusedError(f"{name} has the client id {identifier!r}", NOT_AUTHORIZED)
        if not connect.clean_session_flag:
            raise RefusedError(f"{name} wants a session to be kept", NOT_AUTHORIZED)
        will = connect.will_topic if connect.will_flag else None
        if will is not None and not self._settings.access.may_write(name, will):
            raise RefusedError(f"{name} may not leave a will on {will!r}", NOT_AUTHORIZED)
        return name, identifier, hello

    async def _serve(
        self,
        name: str,
        identifier: str,
        hello: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        link = _Link(writer, asyncio.Event())
        before, self._links[identifier] = self._links.get(identifier), link
        try:
            if before is not None:
                before.writer.transport.abort()
                await before.ended.wait()
            limit = self._settings.max_packet
            incoming = _Incoming(hello, reader, limit, lambda: self._waiting(identifier))
            await self._broker.serve(identifier, name, incoming, StreamWriterAdapter(writer))
        finally:
            link.ended.set()
            if self._links.get(identifier) is link:
                del self._links[identifier]

    def _waiting(self, identifier: str) -> int:
        session = self._context.get_session(identifier)
        return session.delivered_message_queue.qsize() if session else 0


def common_name(tls: ssl.SSLObject | None) -> str:
    """The name in the client's certificate; TLS has verified the signature."""
    certificate: Any = tls.getpeercert() if tls else None
    subject = dict(pair for part in (certificate or {}).get("subject", ()) for pair in part)
    name = str(subject.get("commonName", ""))
    if not is_name(name):
        raise RefusedError(f"certificate for {name!r}, which is no party's name", NOT_AUTHORIZED)
    return name


def is_id_of(name: str, identifier: str) -> bool:
    """Whether a client id is one that `name` may have; another name may begin like this one."""
    return re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{32}}", identifier) is not None


async def _read_packet(reader: asyncio.StreamReader, limit: int) -> bytes:
    head = await reader.readexactly(2)
    while head[-1] & 0x80 and len(head) < 5:  # the length, seven bits a byte  [MQTT-2.2.3]
        head += await reader.readexactly(1)
    length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[1:]))
    if length > limit:
        raise ConnectionAbortedError(f"a packet of {length} bytes, at most {limit}")
    return head + await reader.readexactly(length)


def _check_topic(packet: bytes) -> None:
    """Hang up on who publishes to a wildcard or to NUL [MQTT-3.3.2-2, 1.5.3-2]; amqtt would pass that on."""
    if packet[0] >> 4 != _PUBLISH:
        return
    start = next((place for place, byte in enumerate(packet[1:5], start=2) if byte < 0x80), len(packet))
    topic = packet[start + 2 : start + 2 + int.from_bytes(packet[start : start + 2], "big")]
    if any(byte in topic for byte in b"+#\x00"):
        raise ConnectionAbortedError("a publication to a topic that is none")


async def _parse_hello(hello: bytes) -> ConnectPacket:
    name, _, rest = hello.partition(b"\x00\x04MQTT")
    if hello[0] != _CONNECT or len(name) > 5 or not rest:
        raise MQTTError("the first packet is no CONNECT")
    if rest[0] != _V311:
        raise RefusedError("only MQTT 3.1.1 is spoken here", UNACCEPTABLE_PROTOCOL_VERSION)
    try:
        return await ConnectPacket.from_stream(BufferReader(hello))
    except (CodecError, ValueError, IndexError) as error:
        raise MQTTError("malformed CONNECT") from error


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run the broker until `stop` is set."""
    gate = ListenerConfig(type=ListenerType.EXTERNAL)
    config = BrokerConfig(
        listeners={"default": gate},
        plugins={f"{__name__}.AdmittedByGate": {}},
    )
    broker = GatedBroker(config, settings.access)
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
