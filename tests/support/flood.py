"""A client without manners: thousands of publications a second, from a thread, over a bare socket."""

from __future__ import annotations

import itertools
import secrets
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from party_node.config import BrokerConfig
from party_node.diagnosis import tls_context
from party_node.post import Publication

_PUBLISH = 0x30  # at QoS 0 [MQTT-3.3.1]
_BATCH = 0.01  # seconds


class Flood:
    """Publishes the same things over and over, in a `with` block."""

    def __init__(
        self, broker: BrokerConfig, name: str, sent: Sequence[Publication], *, rate: int, count: int
    ) -> None:
        """`count` publications, `rate` a second."""
        self._packets = itertools.cycle([packet(each) for each in sent])
        self._rate, self._count = rate, count
        self.sent = 0
        self._broker, self._name = broker, name
        self._thread = threading.Thread(target=self._run, name=f"flood of {name}")
        self.took = 0.0  # seconds, once it is over

    def __enter__(self) -> Self:
        raw = socket.create_connection((self._broker.host, self._broker.port), 10)
        self._socket = tls_context(self._broker).wrap_socket(raw, server_hostname=self._broker.host)
        self._socket.sendall(connect(f"{self._name}-{secrets.token_hex(16)}"))
        assert self._socket.recv(4)[3:] == b"\x00", "the broker lets it in"
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()
        self._socket.close()

    def wait(self) -> None:
        """Until all has been handed to the broker."""
        self._thread.join(60)

    def _run(self) -> None:
        begun = time.monotonic()
        with suppress(OSError):  # the broker may hang up
            while self.sent < self._count:
                time.sleep(max(0.0, begun + self.sent / self._rate - time.monotonic()))
                batch = min(int(self._rate * _BATCH), self._count - self.sent)
                self._socket.sendall(b"".join(itertools.islice(self._packets, batch)))
                self.sent += batch
        self.took = time.monotonic() - begun


def packet(publication: Publication) -> bytes:
    """A PUBLISH of MQTT 3.1.1."""
    topic = publication.topic.encode()
    body = len(topic).to_bytes(2, "big") + topic + publication.payload
    return bytes([_PUBLISH | publication.retain]) + _length(len(body)) + body


def connect(identifier: str) -> bytes:
    """A CONNECT of MQTT 3.1.1 with a clean session."""
    raw = identifier.encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(raw).to_bytes(2, "big") + raw
    return b"\x10" + _length(len(body)) + body


def _length(size: int) -> bytes:
    """Seven bits a byte, the lowest first  [MQTT-2.2.3]."""
    out = bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)
