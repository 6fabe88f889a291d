"""MQTT packets as bytes: CONNECT and PUBLISH taken apart and put together again, in MQTT 5 and 3.1.1.

Sections are those of OASIS MQTT 5.0.  Everything else is a first byte and a body, passed on as it came.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

CONNECT, PUBLISH, DISCONNECT = 1, 3, 14  # [§2.1.2]
MOST_BYTES = 1 << 21  # of one packet; our brokers take half of that
V5 = 5  # protocol level; 3.1.1 has 4 [§3.1.2.2]
_USER_NAME, _PASSWORD = 0x80, 0x40  # connect flags [§3.1.2.3]


class MalformedPacketError(Exception):
    """These bytes are no packet, or one that nobody here sends."""


@dataclass(frozen=True)
class Packet:
    """A control packet: type and flags in one byte, and what follows the length."""

    first: int
    body: bytes

    @property
    def kind(self) -> int:
        """The packet's type [§2.1.2]."""
        return self.first >> 4

    def encode(self) -> bytes:
        """The bytes on the wire [§2.1]."""
        return bytes([self.first]) + _length(len(self.body)) + self.body


async def read(reader: asyncio.StreamReader) -> Packet | None:
    """The next packet; None where the connection ends between two."""
    first = await reader.read(1)
    if not first:
        return None
    size = shift = 0
    while shift < 28:  # at most four bytes [§1.5.5]
        (byte,) = await reader.readexactly(1)
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    else:
        raise MalformedPacketError("a length of more than four bytes")
    if size > MOST_BYTES:
        raise MalformedPacketError(f"a packet of {size} bytes, at most {MOST_BYTES} are expected")
    return Packet(first[0], await reader.readexactly(size))


@dataclass(frozen=True)
class Publish:
    """A PUBLISH [§3.3].  `properties` are MQTT 5's, as they came."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0  # only above QoS 0 [§2.2.1]
    properties: bytes = b""

    @classmethod
    def decode(cls, packet: Packet, level: int) -> Publish:
        """Take a packet apart."""
        qos = packet.first >> 1 & 3
        topic, rest = _string(packet.body)
        if not topic or qos == 3:
            raise MalformedPacketError("a topic alias that nobody has agreed on, or a QoS of 3")
        packet_id, rest = (int.from_bytes(rest[:2], "big"), rest[2:]) if qos else (0, rest)
        properties, payload = _properties(rest) if level == V5 else (b"", rest)
        flags = {"retain": bool(packet.first & 1), "dup": bool(packet.first & 8)}
        return cls(topic, payload, qos, packet_id=packet_id, properties=properties, **flags)

    def encode(self, level: int) -> bytes:
        """The bytes on the wire."""
        first = PUBLISH << 4 | self.dup << 3 | self.qos << 1 | self.retain
        packet_id = self.packet_id.to_bytes(2, "big") if self.qos else b""
        properties = _length(len(self.properties)) + self.properties if level == V5 else b""
        return Packet(first, _field(self.topic) + packet_id + properties + self.payload).encode()


def level(connect: Packet) -> int:
    """The protocol level that a CONNECT asks for."""
    _, rest = _string(connect.body)
    return rest[0]


def with_user_name(connect: Packet, name: str) -> Packet:
    """The same CONNECT with a user name, which comes last in the payload [§3.1.3]."""
    _, rest = _string(connect.body)
    at = len(connect.body) - len(rest) + 1  # the flags follow the protocol level
    flags = connect.body[at]
    if flags & (_USER_NAME | _PASSWORD):
        raise MalformedPacketError("a CONNECT that names a user already: certificates do that here")
    head = connect.body[:at] + bytes([flags | _USER_NAME]) + connect.body[at + 1 :]
    return Packet(connect.first, head + _field(name))


def _length(value: int) -> bytes:
    """A variable byte integer [§1.5.5]."""
    encoded = bytearray()
    while True:
        value, digit = value >> 7, value & 0x7F
        encoded.append(digit | 0x80 if value else digit)
        if not value:
            return bytes(encoded)


def _field(text: str) -> bytes:
    """A UTF-8 string with its length [§1.5.4]."""
    raw = text.encode()
    return len(raw).to_bytes(2, "big") + raw


def _string(raw: bytes) -> tuple[str, bytes]:
    """The string at the beginning, and the rest."""
    end = 2 + int.from_bytes(raw[:2], "big")
    if len(raw) < max(end, 2):
        raise MalformedPacketError("a string that is longer than its packet")
    return raw[2:end].decode(), raw[end:]


def _properties(raw: bytes) -> tuple[bytes, bytes]:
    """The properties at the beginning, without their length, and the rest [§2.2.2]."""
    size = shift = at = 0
    while shift < 28 and at < len(raw):
        byte, at = raw[at], at + 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if not at or len(raw) < at + size:
        raise MalformedPacketError("properties that are longer than their packet")
    return raw[at : at + size], raw[at + size :]
