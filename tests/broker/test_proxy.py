"""The proxy that lies in other tests is otherwise as good as the broker behind it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from coordinator.cluster import BROKER
from party_node.transport import ONLINE
from protocol.letters import PAYLOAD_BYTES
from tests.support.clients import Client, running
from tests.support.mqtt_packets import CONNECT, Packet
from tests.support.programs import Cluster
from tests.support.proxy import Proxy, lied_to

SESSION = f"sotto/1/session/{64 * '0'}"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[tuple[Cluster, Proxy]]:
    """A proxy and its Mosquitto, and nobody else."""
    with lied_to(tmp_path, ("alice", "bob"), "party,raise\nalice,1\nbob,2\n") as (nodes, proxy):
        nodes.start(BROKER)
        yield nodes, proxy


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_letters_pass_as_they_are_under_the_names_of_their_senders(
    network: tuple[Cluster, Proxy], protocol: str
) -> None:
    nodes, proxy = network
    alice, reader = (
        nodes.client(name).model_copy(update={"protocol": protocol}) for name in ("alice", "reader")
    )
    kept, large = f"{SESSION}/join/alice/all/0", f"{SESSION}/begin/alice/all/0"
    async with running(Client(alice, "alice", [])) as sender:
        sender.transport.send(f"{SESSION}/join/bob/all/0", b"forged")  # which the access list forbids
        sender.transport.send(kept, b"kept", retain=True)
        sender.transport.send(large, bytes(PAYLOAD_BYTES - 1))
        filters = [f"{SESSION}/+/+/all/+", "sotto/1/party/+/status"]
        async with running(Client(reader, "reader", filters, presence=False)) as hears:
            await hears.receives("sotto/1/party/alice/status", ONLINE)
            await hears.receives(kept, b"kept")
            sender.transport.send(large, bytes(PAYLOAD_BYTES))
            await hears.receives(large, bytes(PAYLOAD_BYTES))
        assert not [topic for topic, payload in hears.received if payload == b"forged"]
    assert {each.peer for each in proxy.letters if each.way == "up"} == {"alice"}
    assert [each.payload for each in proxy.seen(64 * "0", "join")] == [b"forged", b"kept"]


def test_nobody_comes_in_without_a_certificate(network: tuple[Cluster, Proxy]) -> None:
    nodes, _ = network
    reach = nodes.client("reader")
    context = ssl.create_default_context(cafile=str(reach.ca))
    connect = Packet(CONNECT << 4, b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x02id").encode()
    with (
        socket.create_connection((reach.host, reach.port), 5) as raw,
        context.wrap_socket(raw, server_hostname=reach.host) as connection,
        suppress(ssl.SSLError, ConnectionError),  # TLS 1.3 tells the client late, and perhaps too late
    ):
        connection.sendall(connect)
        assert connection.recv(1) == b""
