"""What the nodes may rely on, with TLS and client certificates, against each broker."""

from __future__ import annotations

import asyncio
import signal
import sys
import time

import psutil
import pytest

from party_node.transport import MAX_PAYLOAD, OFFLINE, ONLINE
from protocol.errors import LocalProtocolError
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
        alice.transport.send(letter("alice", "bob"), b"m" * MAX_PAYLOAD)
        await bob.receives(letter("alice", "bob"), b"m" * MAX_PAYLOAD)


async def test_a_payload_over_the_limit_is_our_bug(alice: Client) -> None:
    with pytest.raises(LocalProtocolError, match="at most"):
        alice.transport.send(letter("alice", "bob"), b"m" * (MAX_PAYLOAD + 1))


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


async def test_the_newcomer_under_a_name_is_the_one_that_is_heard(
    alice: Client, bob: Client, broker: BrokerHandle
) -> None:
    async with running(bob):
        old = await _node_process(broker, "alice")
        await bob.receives(STATUS.format("alice"), ONLINE)
        old.send_signal(signal.SIGSTOP)  # so that it does not come back
        async with running(alice):
            bob.transport.send(letter("bob", "alice"), b"for the newcomer")
            await alice.receives(letter("bob", "alice"), b"for the newcomer")
            status = STATUS.format("alice")
            await bob.until(lambda client: client.payloads(status).count(ONLINE) == 2)
            assert bob.payloads(status)[-1] == ONLINE
        old.kill()
        await old.wait()


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


async def _node_process(broker: BrokerHandle, name: str) -> asyncio.subprocess.Process:
    """A transport in a process of its own, which can be killed or stopped."""
    config = broker.config(name).model_dump_json()
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.node_process", name, config
    )
