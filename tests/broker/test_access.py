"""What the broker keeps apart, and what a person is told who cannot get in."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
import ssl
from contextlib import suppress
from pathlib import Path

import amqtt.contexts
import pytest
from aiomqtt import Client as MqttClient
from cryptography import x509

from coordinator import embedded_broker, pki
from coordinator.acl import AccessList
from coordinator.broker import BrokerKind
from party_node import durable, transport
from party_node.config import BrokerConfig
from party_node.diagnosis import tls_context
from party_node.post import Publication
from party_node.transport import OFFLINE, ONLINE, probe
from protocol.errors import BrokerError
from protocol.letters import PAYLOAD_BYTES
from tests.broker.test_transport import STATUS, STATUSES, letter, letters_to
from tests.support.brokers import KINDS, BrokerHandle, require, running_broker
from tests.support.clients import Client, running
from tests.support.flood import packet

DIGITS = "0123456789abcdef" * 2
ACCEPTED, REFUSED = b"\x20\x02\x00\x00", b"\x20\x02\x00\x05"  # the answers to CONNECT, MQTT 3.1.1


def _connect_packet(identifier: str, will_topic: str = "", will: bytes = b"") -> bytes:
    """An MQTT 3.1.1 CONNECT with a clean session, and a will if a topic is given."""
    flags = 0x02 | (0x04 if will_topic else 0)
    fields = [identifier.encode(), *([will_topic.encode(), will] if will_topic else [])]
    payload = b"".join(len(field).to_bytes(2, "big") + field for field in fields)
    body = b"\x00\x04MQTT\x04" + bytes([flags]) + b"\x00\x3c" + payload
    return bytes([0x10, len(body)]) + body


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> BrokerKind:
    """Each kind of broker, for tests that restart it."""
    chosen: BrokerKind = request.param
    return chosen


HELLO = _connect_packet(f"mallory-{DIGITS}")


async def test_a_letter_under_another_partys_name_is_not_delivered(broker: BrokerHandle) -> None:
    mallory = Client(broker.config("mallory"), "mallory", [])
    bob = Client(broker.config("bob"), "bob", letters_to("bob"))
    async with running(mallory), running(bob):
        for qos in (0, 1):
            mallory.transport.send(letter("alice", "bob"), b"forged", qos=qos)
            mallory.transport.send(letter("alice", "bob"), b"forged and kept", qos=qos, retain=True)
        mallory.transport.send(letter("mallory", "bob"), b"honest")
        await bob.receives(letter("mallory", "bob"), b"honest")
        assert bob.received == [(letter("mallory", "bob"), b"honest")]


async def test_a_status_under_another_partys_name_is_not_delivered(broker: BrokerHandle) -> None:
    mallory = Client(broker.config("mallory"), "mallory", [STATUSES])
    async with running(mallory):
        mallory.transport.send(STATUS.format("alice"), ONLINE, retain=True)
        mallory.transport.send(STATUS.format("mallory"), b"done")
        await mallory.receives(STATUS.format("mallory"), b"done")
        assert mallory.payloads(STATUS.format("alice")) == []


async def test_a_last_will_under_another_partys_name_is_not_delivered(broker: BrokerHandle) -> None:
    bob = Client(broker.config("bob"), "bob", [STATUSES, *letters_to("bob")])
    async with running(bob):
        hello = _connect_packet(f"mallory-{DIGITS}", letter("alice", "bob"), b"forged")
        await _speak(broker, "mallory", hello)  # and no DISCONNECT: the will is published, or refused
        async with running(Client(broker.config("mallory"), "mallory", [])):
            await bob.receives(STATUS.format("mallory"), ONLINE)
        await bob.receives(STATUS.format("mallory"), OFFLINE)
        assert bob.payloads(letter("alice", "bob")) == []


@pytest.mark.parametrize(
    "filters", [letters_to("bob"), letters_to("+"), ["#"], ["sotto/#"], ["sotto/1/session/#"]]
)
async def test_letters_to_another_party_cannot_be_read(broker: BrokerHandle, filters: list[str]) -> None:
    alice = Client(broker.config("alice"), "alice", [])
    bob = Client(broker.config("bob"), "bob", letters_to("bob"))
    async with running(bob), running(alice), _raw(broker.config("mallory"), "mallory") as mallory:
        alice.transport.send(letter("alice", "bob", 0), b"kept", retain=True, qos=1)
        await bob.receives(letter("alice", "bob", 0), b"kept")
        for topic_filter in [*filters, *letters_to("all")]:
            await mallory.subscribe(topic_filter, qos=1)
        alice.transport.send(letter("alice", "bob", 1), b"secret")
        await bob.receives(letter("alice", "bob", 1), b"secret")
        alice.transport.send(letter("alice", "all"), b"to all")
        seen = []
        async for message in mallory.messages:
            if "/session/" in message.topic.value:
                seen.append(message.topic.value)
            if message.topic.value == letter("alice", "all"):
                break
        assert set(seen) == {letter("alice", "all")}


async def test_who_only_connects_is_sent_nothing(broker: BrokerHandle) -> None:
    alice = Client(broker.config("alice"), "alice", [])
    bob = Client(broker.config("bob"), "bob", letters_to("bob"))
    carlos = Client(broker.config("carlos"), "carlos", [])
    async with running(alice), running(bob):
        alice.transport.send(letter("alice", "bob"), b"kept", retain=True, qos=1)
        await bob.receives(letter("alice", "bob"), b"kept")
        async with running(carlos):
            # Our subscription to our own letters is answered after whatever else was sent.
            carlos.transport.send(letter("carlos", "bob"), b"ping")
            await bob.receives(letter("carlos", "bob"), b"ping")
        assert carlos.received == []


async def test_refused_subscriptions_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Mosquitto grants every subscription and delivers nothing.
    with running_broker("embedded", tmp_path) as broker:
        client = Client(broker.config("mallory"), "mallory", letters_to("bob"))
        task = asyncio.create_task(client.transport.run())
        seen = ""
        async with asyncio.timeout(10):
            while "refused our subscriptions" not in seen:
                await asyncio.sleep(0.01)
                seen += "".join(capsys.readouterr())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert not client.transport.connected


@pytest.mark.parametrize(
    "identifier",
    [
        f"alice-{DIGITS}",
        f"mallory-x-{DIGITS}",  # the party mallory-x
        f"mallory{DIGITS}",
        f"mallory-{DIGITS}0",
        f"mallory-{DIGITS}\n",
        f"mallory-{DIGITS.upper()}",
        f"m.*-{DIGITS}",
        "mallory",
        "",
    ],
)
async def test_a_client_id_that_does_not_start_with_the_own_name_is_refused(
    tmp_path: Path, identifier: str
) -> None:
    # Mosquitto accepts it: there, only that ids are random keeps connections apart.
    with running_broker("embedded", tmp_path) as broker:
        context = tls_context(broker.config("mallory"))
        assert await _answer(broker, context, _connect_packet(f"mallory-{DIGITS}")) == ACCEPTED
        assert await _answer(broker, context, _connect_packet(identifier)) == REFUSED


async def test_a_connection_cannot_be_taken_over_even_by_who_knows_its_client_id(tmp_path: Path) -> None:
    with running_broker("embedded", tmp_path) as broker:
        alice = Client(broker.config("alice"), "alice", letters_to("alice"))
        bob = Client(broker.config("bob"), "bob", [STATUSES])
        async with running(alice), running(bob):
            context = tls_context(broker.config("mallory"))
            assert await _answer(broker, context, _connect_packet(alice.transport._identifier)) == REFUSED
            bob.transport.send(letter("bob", "alice"), b"still there?")
            await alice.receives(letter("bob", "alice"), b"still there?")
            assert alice.connections == 1
            assert OFFLINE not in bob.payloads(STATUS.format("alice"))


async def test_a_client_that_the_broker_threw_out_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[embedded_broker.GatedBroker] = []

    class Recorded(embedded_broker.GatedBroker):
        def __init__(self, config: amqtt.contexts.BrokerConfig, access: AccessList) -> None:
            super().__init__(config, access)
            made.append(self)

    monkeypatch.setattr(embedded_broker, "GatedBroker", Recorded)
    with running_broker("embedded", tmp_path) as broker:
        broker.stop()
        stop = asyncio.Event()
        settings = embedded_broker.Settings.load(tmp_path / "broker" / "mosquitto.conf")
        serving = asyncio.create_task(embedded_broker.serve(settings, stop))
        alice = Client(broker.config("alice"), "alice", [STATUSES])
        async with running(alice):
            forbidden = b"\x30\x04\x00\x01$x"
            reader, writer = await asyncio.open_connection(
                "localhost", broker.port, ssl=tls_context(broker.config("mallory"))
            )
            writer.write(HELLO + forbidden)
            async with asyncio.timeout(10):
                await reader.read()  # the broker hangs up
            writer.close()
            assert list(made[0].sessions) == [alice.transport._identifier]
        stop.set()
        await serving


async def test_who_uses_another_partys_name_in_a_client_id_ends_no_connection(broker: BrokerHandle) -> None:
    alice = Client(broker.config("alice"), "alice", letters_to("alice"))
    bob = Client(broker.config("bob"), "bob", [STATUSES])
    async with running(alice), running(bob):
        for identifier in ("alice", f"alice-{DIGITS}"):
            await _speak(broker, "mallory", _connect_packet(identifier))
        bob.transport.send(letter("bob", "alice"), b"still there?")
        await alice.receives(letter("bob", "alice"), b"still there?")
        assert alice.connections == 1
        assert OFFLINE not in bob.payloads(STATUS.format("alice"))


# -- what is said to a person who cannot get in ----------------------------------------------------


async def test_probe_is_content_with_a_working_broker(broker: BrokerHandle) -> None:
    await probe(broker.config("alice"), "alice")


async def test_a_client_without_a_certificate_is_refused(broker: BrokerHandle) -> None:
    context = ssl.create_default_context(cafile=str(broker.config("alice").ca))
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        await _answer(broker, context, _connect_packet(f"alice-{DIGITS}"))


async def test_a_certificate_from_another_authority_is_refused(broker: BrokerHandle, tmp_path: Path) -> None:
    stranger = pki.Authority.create(tmp_path / "stranger")
    with pytest.raises(BrokerError) as caught:
        await probe(broker.config("alice", authority=stranger), "alice")
    assert "signed by the broker's authority" in caught.value.hint


async def test_our_expired_certificate_is_named(broker: BrokerHandle) -> None:
    config = broker.config("alice", lifetime=dt.timedelta(days=-1))
    with pytest.raises(BrokerError, match=r"our certificate .*tls\.crt expired on"):
        await probe(config, "alice")


async def test_a_broker_of_another_authority_is_not_trusted(broker: BrokerHandle, tmp_path: Path) -> None:
    pki.Authority.create(tmp_path / "stranger")
    config = broker.config("alice").model_copy(update={"ca": tmp_path / "stranger" / "ca.crt"})
    with pytest.raises(BrokerError, match=r"is not signed by .*stranger/ca\.crt"):
        await probe(config, "alice")


async def test_a_broker_under_another_host_name_is_not_trusted(broker: BrokerHandle) -> None:
    with pytest.raises(BrokerError, match="is for another host"):
        await probe(broker.config("alice", host="127.1"), "alice")  # an alias of 127.0.0.1


async def test_a_broker_whose_certificate_has_expired_is_not_trusted(
    tmp_path: Path, kind: BrokerKind
) -> None:
    with running_broker(kind, tmp_path) as broker:
        key = pki.load_key(tmp_path / "broker" / "tls.key").public_key()
        expired = broker.authority.issue_server(key, ["localhost"], dt.timedelta(days=-1))
        (tmp_path / "broker" / "tls.crt").write_bytes(expired)
        broker.restart()
        with pytest.raises(BrokerError, match=r"the certificate of localhost:\d+ has expired") as caught:
            await probe(broker.config("alice"), "alice")
        assert "coordinator renew" in caught.value.hint


async def test_an_authority_that_has_expired_is_named_and_not_the_broker(
    tmp_path: Path, kind: BrokerKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(kind)
    monkeypatch.setattr(pki, "CA_LIFETIME", dt.timedelta(days=-1))
    handle = BrokerHandle(kind, tmp_path)
    handle.start()
    try:
        with pytest.raises(BrokerError, match=r"the authority .*ca\.crt expired on") as caught:
            await probe(handle.config("alice"), "alice")
        assert "anew" in caught.value.hint
    finally:
        handle.stop()


# -- what is revoked ---------------------------------------------------------------------------------


def _revoke(broker: BrokerHandle, *configs: BrokerConfig) -> None:
    """Put these certificates on the broker's list, which it has not read yet."""
    now = dt.datetime.now(dt.UTC)
    certificates = [x509.load_pem_x509_certificate(each.certificate.read_bytes()) for each in configs]
    revoked = {each.serial_number: now for each in certificates}
    path = broker.directory / "broker" / "crl.pem"
    durable.replace(path, broker.authority.revocation_list(revoked, 2), 0o644)


async def test_who_is_revoked_is_thrown_out_by_a_restart_and_told_why(
    tmp_path: Path, kind: BrokerKind, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_broker(kind, tmp_path) as broker:
        lost, renewed, other = broker.config("bob"), broker.config("bob"), broker.config("alice")
        async with running(Client(lost, "bob", [])) as bob:
            _revoke(broker, lost)
            broker.restart()
            seen = ""
            async with asyncio.timeout(20):
                while "revoked" not in seen:
                    await asyncio.sleep(0.01)
                    seen += "".join(capsys.readouterr())
            assert (bob.transport.connected, bob.connections) == (False, 1)
        with pytest.raises(BrokerError) as caught:
            await probe(lost, "bob")
        told = caught.value.message + caught.value.hint  # whether the alert comes before the end is chance
        assert "revoked" in told
        assert str(lost.certificate) in told
        await probe(renewed, "bob")
        await probe(other, "alice")


async def test_mosquitto_reads_the_list_at_a_sighup_for_new_connections_only(tmp_path: Path) -> None:
    # What README and mosquitto.conf say of it: who is connected stays until a restart.
    with running_broker("mosquitto", tmp_path) as broker:
        config = broker.config("bob")
        async with running(Client(config, "bob", letters_to("bob"))) as bob:
            _revoke(broker, config)
            await probe(config, "bob")
            os.kill(broker.pid, signal.SIGHUP)
            async with asyncio.timeout(20):
                while True:
                    try:
                        await probe(config, "bob")
                    except BrokerError:
                        break
            async with running(Client(broker.config("alice"), "alice", [])) as alice:
                alice.transport.send(letter("alice", "bob"), b"still there?")
                await bob.receives(letter("alice", "bob"), b"still there?")


async def test_a_broker_that_is_not_there_is_named(broker: BrokerHandle) -> None:
    config = broker.config("alice")
    broker.stop()
    with pytest.raises(BrokerError, match=f"nothing listens at localhost:{broker.port}"):
        await probe(config, "alice")


async def test_an_unknown_host_is_named(broker: BrokerHandle) -> None:
    with pytest.raises(BrokerError, match=r"no address is known for nowhere\.invalid"):
        await probe(broker.config("alice", host="nowhere.invalid"), "alice")


async def test_a_missing_certificate_file_is_named(broker: BrokerHandle) -> None:
    config = broker.config("alice").model_copy(update={"key": Path("/nowhere/tls.key")})
    with pytest.raises(BrokerError, match=r"/nowhere/tls\.key"):
        await probe(config, "alice")


async def test_a_port_without_tls_is_told(broker: BrokerHandle) -> None:
    def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = broker.config("alice").model_copy(update={"port": port})
    async with server:
        with pytest.raises(BrokerError, match=r"no TLS 1\.3"):
            await probe(config, "alice")


async def test_trouble_is_told_once(
    broker: BrokerHandle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0
    attempted = asyncio.Event()
    open_link = transport._open

    async def counted(*arguments: object) -> object:
        nonlocal attempts
        attempts += 1
        attempted.set()
        return await open_link(*arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(transport, "_open", counted)
    client = Client(broker.config("alice"), "alice", [])
    broker.stop()
    task = asyncio.create_task(client.transport.run())
    async with asyncio.timeout(20):
        while attempts < 4:
            attempted.clear()
            await attempted.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert "".join(capsys.readouterr()).count("nothing listens") == 1


async def test_who_publishes_and_leaves_in_one_breath_is_heard(broker: BrokerHandle) -> None:
    bob = Client(broker.config("bob"), "bob", letters_to("bob"))
    topics = [letter("alice", "bob", part).encode() for part in range(1000)]
    bodies = [len(topic).to_bytes(2, "big") + topic + b"x" for topic in topics]
    publications = b"".join(bytes([0x30, len(body)]) + body for body in bodies)
    async with running(bob):
        context = tls_context(broker.config("alice"))
        reader, writer = await asyncio.open_connection("localhost", broker.port, ssl=context)
        writer.write(_connect_packet(f"alice-{DIGITS}") + publications + b"\xe0\x00")
        await bob.until(lambda client: len(client.received) == 1000)
        await reader.read()  # the broker hangs up
        writer.close()


# -- garbage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x10\xff\xff\xff\xff\xff",
        b"\x10\xff\xff\xff\x7f" + b"\x00" * 70000,
        b"\x10\x00",
        b"\x10\x06\x00\x04MQTT",
        b"\x10\x0a\x00\x04MQTT\x04\x02\x00\x3c",
        b"\x30\x05\x00\x03a/bx",
        b"\x00" * 64,
        HELLO + b"\x30\xff\xff\xff\x7f" + b"z" * 4096,
        HELLO + b"\xf0\x00" * 8,
        HELLO + b"\x82\x03\x00\x01\xff",
        HELLO + b"\x30\x04\x00\x02\xff\xfe",
    ],
)
async def test_garbage_ends_nothing_but_its_own_connection(broker: BrokerHandle, garbage: bytes) -> None:
    alice = Client(broker.config("alice"), "alice", letters_to("alice"))
    bob = Client(broker.config("bob"), "bob", [])
    async with running(alice), running(bob):
        await _speak(broker, "mallory", garbage)
        bob.transport.send(letter("bob", "alice"), b"still there?")
        await alice.receives(letter("bob", "alice"), b"still there?")
        assert alice.connections == bob.connections == 1
    async with running(Client(broker.config("carlos"), "carlos", [])):
        pass


@pytest.mark.parametrize(
    "topic", ["sotto/1/session/+/+/mallory/bob/0", "sotto/1/session/5e/share/mallory/#", "#", "a\x00b"]
)
async def test_who_publishes_to_a_topic_that_is_none_is_hung_up_on(broker: BrokerHandle, topic: str) -> None:
    bob = Client(broker.config("bob"), "bob", letters_to("bob"))
    async with running(bob):
        await _hung_up_on(broker, HELLO + packet(Publication(topic, b"x")))
        async with running(Client(broker.config("mallory"), "mallory", [])) as mallory:
            mallory.transport.send(letter("mallory", "bob"), b"honest")
            await bob.receives(letter("mallory", "bob"), b"honest")
        assert bob.received == [(letter("mallory", "bob"), b"honest")]


async def test_who_publishes_too_much_at_once_is_hung_up_on(broker: BrokerHandle) -> None:
    await _hung_up_on(broker, HELLO + packet(Publication(letter("mallory", "bob"), bytes(2 * PAYLOAD_BYTES))))


async def _hung_up_on(broker: BrokerHandle, sent: bytes) -> None:
    """Send as mallory; pass if the broker lets it in and then ends the connection."""
    reader, writer = await asyncio.open_connection(
        "localhost", broker.port, ssl=tls_context(broker.config("mallory"))
    )
    try:
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                writer.write(sent)
                assert await reader.readexactly(4) == ACCEPTED
                assert await reader.read() == b""
    finally:
        writer.transport.abort()


async def _speak(broker: BrokerHandle, name: str, sent: bytes) -> None:
    """Connect with a good certificate, send bytes, wait a moment for an answer and hang up."""
    context = tls_context(broker.config(name))
    with suppress(OSError, EOFError, TimeoutError):
        async with asyncio.timeout(0.5):
            await _answer(broker, context, sent)


async def _answer(broker: BrokerHandle, context: ssl.SSLContext, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("localhost", broker.port, ssl=context)
    try:
        writer.write(sent)
        return await reader.readexactly(4)
    finally:
        writer.transport.abort()


def _raw(config: BrokerConfig, name: str) -> MqttClient:
    """A client that does not keep to our transport's manners."""
    return MqttClient(
        config.host,
        config.port,
        identifier=transport._identifier(name),
        protocol=transport._PROTOCOLS[config.protocol],
        tls_context=tls_context(config),
        timeout=5,
    )
