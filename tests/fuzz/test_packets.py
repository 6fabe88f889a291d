"""A broker that breaks MQTT itself: a transport goes on or connects again, and never ends."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.brokers import BrokerHandle
from tests.support.clients import Client, running

CONNACK = bytes([0x20, 3, 0, 0, 0])  # MQTT 5, §3.2: accepted
AFTERWARDS = "sotto/1/session/after/all"


def publish(topic: bytes, payload: bytes) -> bytes:
    """A PUBLISH at QoS 0 [MQTT 5, §3.3], whatever the topic is."""
    body = len(topic).to_bytes(2, "big") + topic + b"\0" + payload
    return bytes([0x30, len(body)]) + body


PACKETS = {
    "a topic with wildcards": publish(b"sotto/1/session/+/#", b"x"),
    "a topic that is not UTF-8": publish(b"sotto/\xff\xfe", b"x"),
    "an empty topic": publish(b"", b"x"),
    "a topic with a NUL": publish(b"sotto/\0", b"x"),
    "a topic that is longer than its packet": bytes([0x30, 3]) + b"\0\x10a",
    "a publish of nothing": bytes([0x30, 0]),
    "a level of service that there is not": bytes([0x36, 8]) + b"\0\1a\0\1\0ab",
    "properties without an end": bytes([0x30, 7]) + b"\0\1a\x03\xff\xff\xff",
    "a length without an end": bytes([0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
    "a type that there is not": bytes([0x00, 0]),
    "an acknowledgement of nothing": bytes([0x40, 2, 0, 9]),
}


class HostileBroker:
    """Lets everybody in; to the first subscriber it sends `packet`, and to each a letter after that."""

    def __init__(self, packet: bytes) -> None:
        self._packet = packet
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            while True:
                kind, body = await self._received(reader)
                if kind == 1:  # CONNECT
                    writer.write(CONNACK)
                elif kind == 8:  # SUBSCRIBE
                    writer.write(bytes([0x90, 4]) + body[:2] + b"\0\1")
                    packet, self._packet = self._packet, b""
                    writer.write(packet + publish(AFTERWARDS.encode(), b"good"))
                elif kind == 3:  # PUBLISH at QoS 1: the goodbye
                    at = 2 + int.from_bytes(body[:2], "big")
                    writer.write(bytes([0x40, 2]) + body[at : at + 2])
                elif kind == 12:  # PINGREQ
                    writer.write(bytes([0xD0, 0]))
                await writer.drain()
        writer.close()

    async def _received(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        kind, length, shift = (await reader.readexactly(1))[0] >> 4, 0, 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return kind, await reader.readexactly(length)


@contextlib.asynccontextmanager
async def serving(handle: BrokerHandle, packet: bytes) -> AsyncIterator[HostileBroker]:
    """On the port and with the certificate of a real broker that does not run."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(handle.directory / "broker" / "tls.crt", handle.directory / "broker" / "tls.key")
    hostile = HostileBroker(packet)
    server = await asyncio.start_server(hostile.serve, "127.0.0.1", handle.port, ssl=context)
    try:
        yield hostile
    finally:
        server.close()


@pytest.mark.parametrize("packet", PACKETS.values(), ids=PACKETS)
async def test_a_broker_that_breaks_mqtt_costs_a_connection_at_most(tmp_path: Path, packet: bytes) -> None:
    handle = BrokerHandle("mosquitto", tmp_path)
    client = Client(handle.config("alice"), "alice", ["sotto/#"])
    async with serving(handle, packet) as hostile, running(client):
        await client.receives(AFTERWARDS, b"good")
        assert hostile.connections <= 3
