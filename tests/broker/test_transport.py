"""What the nodes may rely on, with TLS and client certificates, against each broker."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time

import psutil
import pytest

from party_node.transport import OFFLINE, ONLINE, probe
from protocol.errors import LocalProtocolError
from protocol.letters import PAYLOAD_BYTES
from tests.support.brokers import BrokerHandle
from tests.support.clients import Client, running

STATUS = "sotto/1/party/{}/status"
STATUSES = "sotto/1/party/+/status"


def letter(sender: str, to: str, part: int = 0) -> str:
    return f"sotto/1/session/5f/share/{sender}/{to}/{part}"


def letters_to(*audiences: str) -> list[str]:
    return [f"sotto/1/session/+/+/+/{audience}/#" for audience in audiences]


@pytest.fixture
def alice(broker: BrokerHandle) -> Client:
    return Client(broker.config("alice"), "alice", [STATUSES, *letters_to("alice", "all")])


@pytest.fixture
def bob(broker: BrokerHandle) -> Client:
    return Client(broker.config("bob"), "bob", [STATUSES, *letters_to("bob", "all", "compute")])


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("to", ["bob", "all", "compute"])
async def test_a_letter_goes_round(alice: Client, bob: Client, to: str, qos: int) -> None:
    async with running(alice), running(bob):
        alice.transport.send(letter("alice", to), b"share", qos=qos)
        await bob.receives(letter("alice", to), b"share")


async def test_messages_keep_their_order(alice: Client, bob: Client) -> None:
    async with running(alice), running(bob):
        for part in range(500):
            alice.transport.send(letter("alice", "bob", part), b"%d" % part)
        await bob.receives(letter("alice", "bob", 499), b"499")
        parts = [payload for topic, payload in bob.received if "/session/" in topic]
        assert parts == [b"%d" % part for part in range(500)]


async def test_what_was_sent_just_before_the_goodbye_arrives(alice: Client, bob: Client) -> None:
    async with running(bob):
        async with running(alice):
            for part in range(2000):
                alice.transport.send(letter("alice", "bob", part), b"x" * 100)
        await bob.receives(letter("alice", "bob", 1999), b"x" * 100)
        assert len(bob.payloads(letter("alice", "bob", 0))) == 1
        assert sum("/session/" in topic for topic, _ in bob.received) == 2000


async def test_a_retained_letter_waits_for_a_node_that_starts_later(alice: Client, bob: Client) -> None:
    async with running(alice):
        alice.transport.send(letter("alice", "bob"), b"kept", retain=True, qos=1)
        async with running(bob):
            await bob.receives(letter("alice", "bob"), b"kept")


async def test_an_empty_retained_letter_deletes_the_one_before(
    alice: Client, bob: Client, broker: BrokerHandle
) -> None:
    async with running(alice), running(bob):
        alice.transport.send(letter("alice", "bob"), b"kept", retain=True, qos=1)
        alice.transport.send(letter("alice", "bob"), b"", retain=True, qos=1)
        await bob.receives(letter("alice", "bob"), b"")
        carlos = Client(broker.config("carlos"), "carlos", [STATUSES])
        later = Client(broker.config("bob"), "bob", [*letters_to("bob"), STATUSES])
    async with running(later), running(carlos):
        await later.receives(STATUS.format("carlos"), ONLINE)
        assert later.payloads(letter("alice", "bob")) == []


async def test_status_is_online_while_connected_and_offline_after(alice: Client, bob: Client) -> None:
    async with running(bob):
        async with running(alice):
            await bob.receives(STATUS.format("alice"), ONLINE)
        await bob.receives(STATUS.format("alice"), OFFLINE)


async def test_the_last_will_tells_of_a_node_that_died(bob: Client, broker: BrokerHandle) -> None:
    async with running(bob):
        child = await _node_process(broker, "alice")
        await bob.receives(STATUS.format("alice"), ONLINE)
        child.send_signal(signal.SIGKILL)
        await bob.receives(STATUS.format("alice"), OFFLINE)
        await child.wait()


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_after_a_broker_restart_letters_arrive_again(
    alice: Client, bob: Client, broker: BrokerHandle, end: str
) -> None:
    async with running(alice), running(bob):
        alice.transport.send(letter("alice", "bob", 1), b"before")
        await bob.receives(letter("alice", "bob", 1), b"before")
        getattr(broker, end)()
        await asyncio.to_thread(broker.start)
        await alice.until(lambda client: client.connections == 2)
        await bob.until(lambda client: client.connections == 2)
        alice.transport.send(letter("alice", "bob", 2), b"after")
        await bob.receives(letter("alice", "bob", 2), b"after")


async def test_a_broker_that_starts_later_is_found(alice: Client, broker: BrokerHandle) -> None:
    broker.stop()
    task = asyncio.create_task(alice.transport.run())
    await asyncio.to_thread(broker.start)
    await alice.until(lambda client: client.connections == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_without_a_link_sending_drops_and_flushing_returns(alice: Client, broker: BrokerHandle) -> None:
    alice.transport.send(letter("alice", "bob"), b"too early")
    await alice.transport.flush()
    async with running(alice):
        broker.stop()
        alice.transport.send(letter("alice", "bob"), b"x" * 1000)
        async with asyncio.timeout(10):
            await alice.transport.flush()


async def test_a_chunk_with_the_largest_envelope_passes(alice: Client, bob: Client) -> None:
    async with running(alice), running(bob):
        alice.transport.send(letter("alice", "bob"), b"m" * PAYLOAD_BYTES)
        await bob.receives(letter("alice", "bob"), b"m" * PAYLOAD_BYTES)


async def test_a_payload_over_the_limit_is_our_bug(alice: Client) -> None:
    with pytest.raises(LocalProtocolError, match="at most"):
        alice.transport.send(letter("alice", "bob"), b"m" * (PAYLOAD_BYTES + 1))


async def test_a_burst_of_chunks_passes_while_the_sender_still_listens(alice: Client, bob: Client) -> None:
    chunks = [bytes([part]) * (1 << 20) for part in range(20)]
    async with running(alice), running(bob):
        for part, chunk in enumerate(chunks):
            alice.transport.send(letter("alice", "bob", part), chunk)
        bob.transport.send(letter("bob", "alice"), b"hello")
        await alice.receives(letter("bob", "alice"), b"hello")
        await bob.receives(letter("alice", "bob", 19), chunks[19])
        assert [payload for topic, payload in bob.received if "/session/" in topic] == chunks


async def test_a_large_backlog_takes_no_more_memory_than_its_messages(alice: Client, bob: Client) -> None:
    chunk = b"c" * (1 << 20)
    async with running(alice), running(bob):
        before = psutil.Process().memory_info().rss
        for part in range(200):
            alice.transport.send(letter("alice", "all", part), chunk)
        assert psutil.Process().memory_info().rss - before < 20 << 20  # one payload, many references
        await bob.until(lambda client: len(client.received) >= 200)
        await alice.transport.flush()


async def test_two_connections_of_one_party_both_receive_and_are_heard(
    alice: Client, bob: Client, broker: BrokerHandle
) -> None:
    config = broker.config("alice")
    commands = [Client(config, "alice", letters_to("alice"), presence=False) for _ in range(2)]
    async with running(bob), running(commands[0]), running(commands[1]):
        bob.transport.send(letter("bob", "alice"), b"to both")
        for part, command in enumerate(commands):
            await command.receives(letter("bob", "alice"), b"to both")
            command.transport.send(letter("alice", "bob", part), b"mine")
            await bob.receives(letter("alice", "bob", part), b"mine")
        assert [command.connections for command in commands] == [1, 1]


async def test_two_transports_of_one_party_have_client_ids_that_cannot_be_guessed(
    alice: Client, broker: BrokerHandle
) -> None:
    other = Client(broker.config("alice"), "alice", [])
    identifiers = {alice.transport._identifier, other.transport._identifier}
    assert len(identifiers) == 2
    assert all(re.fullmatch(r"alice-[0-9a-f]{32}", identifier) for identifier in identifiers)


async def test_commands_and_probes_leave_the_nodes_connection_and_status_alone(
    alice: Client, bob: Client, broker: BrokerHandle
) -> None:
    config = broker.config("alice")
    async with running(bob), running(alice):
        await bob.receives(STATUS.format("alice"), ONLINE)
        await probe(config, "alice")
        async with running(Client(config, "alice", letters_to("alice"), presence=False)):
            pass
        killed = await _node_process(broker, "alice", presence=False)
        killed.kill()
        await killed.wait()
        alice.transport.send(letter("alice", "bob"), b"still here")
        await bob.receives(letter("alice", "bob"), b"still here")
        assert alice.connections == 1
        assert bob.payloads(STATUS.format("alice")) == [ONLINE]


async def test_what_a_command_sent_just_before_it_left_arrives(bob: Client, broker: BrokerHandle) -> None:
    filters = letters_to("alice", "all")
    async with running(bob):
        async with running(Client(broker.config("alice"), "alice", filters, presence=False)) as command:
            for part in range(500):
                bob.transport.send(letter("bob", "alice", part), b"y" * 1000)  # left unread
                command.transport.send(letter("alice", "bob", part), b"x" * 100)
        await bob.receives(letter("alice", "bob", 499), b"x" * 100)
        assert sum("/session/" in topic for topic, _ in bob.received) == 500


async def test_who_comes_back_displaces_the_half_dead_connection_of_before(
    alice: Client, bob: Client, broker: BrokerHandle
) -> None:
    async with running(bob):
        old = await _node_process(broker, "alice", identifier=alice.transport._identifier)
        await bob.receives(STATUS.format("alice"), ONLINE)
        old.send_signal(signal.SIGSTOP)  # so that it does not come back
        status = STATUS.format("alice")
        async with running(alice):
            bob.transport.send(letter("bob", "alice"), b"for the newcomer")
            await alice.receives(letter("bob", "alice"), b"for the newcomer")
            await bob.until(lambda client: client.payloads(status).count(ONLINE) == 2)
            old.kill()
            await old.wait()
            alice.transport.send(letter("alice", "bob"), b"still here")
            await bob.receives(letter("alice", "bob"), b"still here")
            assert bob.payloads(status)[-1] == ONLINE
            assert alice.connections == 1


async def test_an_error_in_on_message_ends_the_transport(broker: BrokerHandle) -> None:
    client = Client(broker.config("alice"), "alice", [STATUSES])

    def fail(topic: str, payload: bytes) -> None:
        raise KeyError(topic)

    client.transport._on_message = fail
    with pytest.raises(KeyError, match="alice"):
        async with asyncio.timeout(10):
            await client.transport.run()


async def test_small_letters_are_not_held_back(alice: Client, bob: Client) -> None:
    async with running(alice), running(bob):
        started = time.monotonic()
        for part in range(50):
            alice.transport.send(letter("alice", "bob", part), b"ping", qos=1)
            await bob.receives(letter("alice", "bob", part), b"ping")
            bob.transport.send(letter("bob", "alice", part), b"pong", qos=1)
            await alice.receives(letter("bob", "alice", part), b"pong")
        assert (time.monotonic() - started) / 50 < 0.035  # Nagle's algorithm would add 40 ms each


async def _node_process(
    broker: BrokerHandle, name: str, *, presence: bool = True, identifier: str = ""
) -> asyncio.subprocess.Process:
    """A transport in a process of its own, connected, which can be killed or stopped."""
    config = broker.config(name).model_dump_json()
    arguments = [name, config, "node" if presence else "command", identifier]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.node_process", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert b"connected" in await process.stdout.readline()
    return process
