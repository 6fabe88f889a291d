"""MQTT behind a small interface: what can be sent is sent once, what cannot is dropped.

No promise of delivery is made here: MQTT loses messages silently at every level of service when a
broker restarts, so the protocol asks end to end for what is missing.  That lets this file be fast,
and it is the only one that knows aiomqtt.

Publishing goes to aiomqtt's paho client directly (33 µs a message; awaiting aiomqtt's `publish` for
each takes 117 µs), and messages are taken from there as well (iterating over aiomqtt's `messages` takes
115 µs each).
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import structlog
from aiomqtt import Client, MqttCodeError, MqttError, ProtocolVersion, Will
from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import MQTTErrorCode

from party_node import diagnosis
from party_node.config import BrokerConfig
from protocol.errors import BrokerError, LocalProtocolError
from protocol.letters import PAYLOAD_BYTES

WINDOW: Final = 1 << 20  # bytes handed to paho before the socket has taken them
ONLINE: Final = b"online"
OFFLINE: Final = b"offline"

_FIRST_DELAY = 0.1  # seconds before the second attempt, doubling
_LAST_DELAY = 10.0
_ANSWER = 5.0  # seconds for the broker to answer a CONNECT, SUBSCRIBE or DISCONNECT
_LAST_WORD = 0.05
_GOODBYE = 3.0  # seconds to hand over what was sent and to take the status back,
_HANG_UP = 1.0  # and then for the connection to close: who is told to stop has five in all
_STABLE = 5.0  # seconds after which a connection counts as one that works
_NODELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
_PUBLISH, _KIND = 0x30, 0xF6  # in the first byte of a packet: at QoS 0, and the bits that say so
_MOST_PACKETS = 64  # read in one turn of the loop
_NO_LIMIT = 65535  # QoS 1 messages in flight: our own window is the limit
_PROTOCOLS = {"5": ProtocolVersion.V5, "3.1.1": ProtocolVersion.V311}

log = structlog.get_logger(__name__)
OnMessage = Callable[[str, bytes], None]
OnConnected = Callable[[], Awaitable[None] | None]


class Transport:
    """One party's connection to the broker, made again for ever.

    `on_message(topic, payload)` is called in the loop for each message; if it raises, `run` does.
    `on_connected()` is called (and awaited) after each connection, once subscribed.
    With `presence`, the party's status follows this connection; that is for its node alone.
    """

    def __init__(
        self,
        broker: BrokerConfig,
        name: str,
        *,
        on_message: OnMessage,
        on_connected: OnConnected,
        filters: Sequence[str],
        presence: bool = True,
    ) -> None:
        self._broker = broker
        # The same for every connection: who comes back displaces the half-dead one of before.
        self._identifier = _identifier(name)
        self._status = status_topic(broker, name) if presence else None
        self._on_message = on_message
        self._on_connected = on_connected
        self._filters = tuple(filters)
        self._link: _Link | None = None
        self._up = asyncio.Event()
        self._reported: str | None = None  # the kind of trouble that the log knows of
        self._since = 0.0  # when the connection was made, by the loop's clock
        self._down_since: float | None = None  # by the same, and None while there is a link, or no loop yet

    @property
    def connected(self) -> bool:
        """True while messages can be sent."""
        return self._up.is_set()

    @property
    def down(self) -> float | None:
        """For how many seconds there has been no link; None while there is one."""
        if self.connected:
            return None
        return 0.0 if self._down_since is None else asyncio.get_running_loop().time() - self._down_since

    async def wait_connected(self) -> None:
        """Wait until messages can be sent."""
        await self._up.wait()

    def send(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 0) -> None:
        """Publish, or drop if the link is down; never blocks.

        Raises LocalProtocolError if the payload is larger than PAYLOAD_BYTES: a broker would drop it
        without a word.
        """
        if len(payload) > PAYLOAD_BYTES:
            raise LocalProtocolError(f"{topic}: {len(payload)} bytes, at most {PAYLOAD_BYTES}")
        if self._link is not None:
            self._link.send(topic, payload, qos, retain)

    async def flush(self) -> None:
        """Wait until all that was sent has been handed to the socket, or dropped."""
        if self._link is not None:
            await self._link.flush()

    async def run(self) -> None:
        """Stay connected until cancelled; then say goodbye in good order."""
        delay = _FIRST_DELAY
        clock = asyncio.get_running_loop().time
        self._down_since = clock()
        while True:
            self._since = clock()
            problem = await self._attempt()
            if clock() - self._since > _STABLE:
                delay, self._reported = _FIRST_DELAY, None
            self._report(problem)
            # Jitter, so that nodes do not all come back at once after a broker's restart.
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
            delay = min(2 * delay, _LAST_DELAY)

    async def _attempt(self) -> diagnosis.Problem:
        """Connect with a new client, serve until the link is lost, and tell why it was."""
        try:
            link = await _open(self._broker, self._identifier, self._on_message, self._status)
        except _NoConnectionError as error:
            self._since = asyncio.get_running_loop().time()  # it was never up
            return error.problem
        self._since = asyncio.get_running_loop().time()
        try:
            return await self._serve(link)
        except MqttError as error:
            return self._lost(error)
        finally:
            if self._up.is_set():
                self._up.clear()
                self._down_since = asyncio.get_running_loop().time()
            self._link = None
            await link.close()

    async def _serve(self, link: _Link) -> diagnosis.Problem:
        """Until the link is lost.  Cancelled: flush, say offline, and go."""
        hello = asyncio.create_task(self._hello(link))
        try:
            await asyncio.wait({link.end, hello}, return_when=asyncio.FIRST_COMPLETED)
            if hello.done() and (problem := hello.result()) is not None:
                return problem
            return self._lost(await asyncio.shield(link.end))
        except asyncio.CancelledError:
            if self._up.is_set() and not link.end.done():
                await self._goodbye(link)
            raise
        finally:
            hello.cancel()
            await asyncio.gather(hello, return_exceptions=True)

    async def _hello(self, link: _Link) -> diagnosis.Problem | None:
        if not await link.subscribe(self._filters):
            return diagnosis.unsubscribed(self._broker)
        self._link = link
        if self._status is not None:
            self.send(self._status, ONLINE, retain=True, qos=1)
        self._up.set()
        log.info("connected", broker=f"{self._broker.host}:{self._broker.port}")
        pending = self._on_connected()
        if pending is not None:
            await pending
        return None

    async def _goodbye(self, link: _Link) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await link.flush()
                if self._status is not None:
                    await link.publish_offline(self._status)
                else:
                    await link.unsubscribe(self._filters)

    def _lost(self, error: BaseException) -> diagnosis.Problem:
        """Our own bug passes; everything else is the network's."""
        cause = error.__cause__ or error
        if not isinstance(cause, (MqttError, OSError)):
            raise cause
        return diagnosis.lost(self._broker, str(cause))

    def _report(self, problem: diagnosis.Problem) -> None:
        """Once for each kind of trouble: a broker that is away for a night fills no disk."""
        if problem.kind != self._reported:
            self._reported = problem.kind
            log.warning(problem.message, hint=problem.hint)


async def probe(broker: BrokerConfig, name: str) -> None:
    """Connect once as `name`; raise BrokerError with what is wrong and what to do about it.

    Other connections of the same name, and its status, do not notice.
    """
    async with visit(broker, name, [], lambda _topic, _payload: None):
        pass


@asynccontextmanager
async def visit(
    broker: BrokerConfig, name: str, filters: Sequence[str], on_message: OnMessage
) -> AsyncIterator[Callable[[str, bytes], None]]:
    """One connection as `name` beside its node's, subscribed; what it gives publishes.

    Other connections of the same name, and its status, do not notice.  BrokerError says what is wrong.
    """
    try:
        link = await _open(broker, _identifier(name), on_message)
    except _NoConnectionError as error:
        raise error.problem.error() from None
    try:
        if not await link.subscribe(filters):
            raise diagnosis.unsubscribed(broker).error()
        yield partial(link.send, qos=1, retain=False)
    except MqttError as error:
        raise diagnosis.lost(broker, str(error)).error() from None
    finally:
        await link.close()


def status_topic(broker: BrokerConfig, name: str) -> str:
    """Where a party says that it is online, and the broker that it no longer is."""
    return f"{broker.base_topic}/1/party/{name}/status"


def _identifier(name: str) -> str:
    """A client id.  Who guessed it could take the connection over, so it cannot be guessed."""
    return f"{name}-{secrets.token_hex(16)}"


class _NoConnectionError(Exception):
    def __init__(self, problem: diagnosis.Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class _Notes(logging.Logger):
    """paho tells why a connection broke in its log and nowhere else."""

    def __init__(self) -> None:
        super().__init__("paho", logging.WARNING)
        self.why: OSError | None = None

    def handle(self, record: logging.LogRecord) -> None:
        """Keep the error; nothing is printed."""
        for argument in record.args or ():
            if isinstance(argument, OSError):
                self.why = argument


async def _open(
    broker: BrokerConfig, identifier: str, on_message: OnMessage, status: str | None = None
) -> _Link:
    """Connect with a new client: one that has lost its link reports success without connecting."""
    notes = _Notes()
    client = _client(broker, identifier, on_message, status, notes)
    closed = _closing(client)
    entering: asyncio.Future[Client] = asyncio.create_task(client.__aenter__())
    try:
        await asyncio.wait((entering, closed), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({entering}, timeout=_LAST_WORD)  # a refusal comes just before the end
    except asyncio.CancelledError:
        # The connection is being made in a thread: let it finish, so that its socket is closed.
        await asyncio.wait((entering, closed), return_when=asyncio.FIRST_COMPLETED)
        await _abandon(client, entering)
        raise
    if entering.done() and entering.exception() is None and not closed.done():
        return _Link(client)
    await _abandon(client, entering)
    raise _NoConnectionError(_why(broker, entering, notes))


def _closing(client: Client) -> asyncio.Future[None]:
    """Done when the socket is closed.

    Before CONNACK, aiomqtt would wait for its time-out; just after it, aiomqtt would forget that
    the link is lost, and leave a "Future exception was never retrieved" behind.
    """
    closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    paho = client._client  # noqa: SLF001 - there is no public way to hear of it
    on_disconnect = paho.on_disconnect

    def on_close(*arguments: Any) -> None:
        if on_disconnect is not None:
            on_disconnect(*arguments)
        if client._disconnected.done():  # noqa: SLF001
            client._disconnected.exception()  # noqa: SLF001 - so it counts as retrieved
        if not closed.done():
            closed.set_result(None)

    paho.on_disconnect = on_close
    return closed


async def _abandon(client: Client, entering: asyncio.Future[Client]) -> None:
    """Give up a connection that may be half made."""
    entering.cancel()
    await asyncio.wait({entering})
    _write_at_once(client)
    client._client.disconnect()  # noqa: SLF001 - aiomqtt leaves its socket open here


def _write_at_once(client: Client) -> None:
    """Watch for a writable socket at once; aiomqtt does so later, when it may be closed already."""
    paho = client._client  # noqa: SLF001 - there is no public way
    loop = asyncio.get_running_loop()
    paho.on_socket_register_write = lambda _client, _data, sock: loop.add_writer(
        sock.fileno(), paho.loop_write
    )


def _why(broker: BrokerConfig, entering: asyncio.Future[Client], notes: _Notes) -> diagnosis.Problem:
    error = None if entering.cancelled() else entering.exception()
    if isinstance(error, MqttCodeError):
        return diagnosis.refused(broker, str(error.rc))
    if error is None or notes.why is not None:
        return diagnosis.unreachable(broker, notes.why)
    return diagnosis.unreachable(broker, error.__context__)  # aiomqtt hides the cause


def _client(
    broker: BrokerConfig, identifier: str, on_message: OnMessage, status: str | None, notes: _Notes
) -> Client:
    try:
        tls = diagnosis.tls_context(broker)
    except BrokerError as error:
        raise _NoConnectionError(diagnosis.Problem("files", error.message, error.hint)) from None
    client = Client(
        broker.host,
        broker.port,
        identifier=identifier,
        protocol=_PROTOCOLS[broker.protocol],
        will=Will(status, OFFLINE, qos=1, retain=True) if status is not None else None,
        tls_context=tls,
        timeout=_ANSWER,
        socket_options=[_NODELAY],
        max_inflight_messages=_NO_LIMIT,
        logger=notes,
    )
    client._client.on_message = _receiving(on_message)  # noqa: SLF001 - aiomqtt's own would raise, see there
    _take_at_once(client, on_message, v5=broker.protocol == "5")
    _read_at_once(client)
    return client


def _take_at_once(client: Client, on_message: OnMessage, *, v5: bool) -> None:
    """Take publications at QoS 0 without properties, as all letters are, from the packet itself.

    paho makes a message, its properties and a line for the log of each: 30 µs that a flood would cost us.
    """
    paho = client._client  # noqa: SLF001 - there is no public way
    handle = paho._packet_handle  # noqa: SLF001
    none = bytes(v5)  # what stands between topic and payload: the length of the properties

    def packet_handle() -> MQTTErrorCode:
        command, packet = paho._in_packet["command"], paho._in_packet["packet"]  # noqa: SLF001
        end = 2 + int.from_bytes(packet[:2], "big")
        if command & _KIND != _PUBLISH or packet[end : end + len(none)] != none:
            return handle()
        with suppress(UnicodeDecodeError):
            on_message(packet[2:end].decode(), bytes(packet[end + len(none) :]))
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    paho._packet_handle = packet_handle  # type: ignore[method-assign]  # noqa: SLF001


def _receiving(on_message: OnMessage) -> Callable[[object, object, MQTTMessage], None]:
    """What paho calls for each message.

    aiomqtt's own ends the connection's loop with an exception where a broker breaks MQTT's rules for topics:
    wildcards, nothing at all, or what is not UTF-8.
    """

    def receive(_client: object, _userdata: object, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        on_message(topic, bytes(message.payload))

    return receive


def _read_at_once(client: Client) -> None:
    """Read all that has come in one turn of the loop, so that it shares one transaction of the journal.

    paho reads one packet a turn.
    """
    paho = client._client  # noqa: SLF001 - there is no public way
    read_one = paho.loop_read

    def read(max_packets: int = 1) -> MQTTErrorCode:
        code = read_one(max_packets)
        for _ in range(_MOST_PACKETS - 1):
            sock = paho.socket()
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or sock is None or not _readable(sock):
                break
            code = read_one(max_packets)
        return code

    paho.loop_read = read  # type: ignore[method-assign]  # what aiomqtt calls when there is something to read


def _readable(sock: Any) -> bool:
    poll = select.poll()  # select.select knows no descriptor above 1023
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


class _Link:
    """One connection, from CONNACK until it is lost."""

    def __init__(self, client: Client) -> None:
        self._client = client
        # Awaiting aiomqtt's own publish costs three times as much (see above).
        self._paho = client._client  # noqa: SLF001
        # By topic: what is sent again to a slow link, byte by byte the same, waits in it only once.
        self._backlog: dict[tuple[str, bool], tuple[bytes, int]] = {}
        self._handed = 0  # bytes given to paho since its queue was last empty
        self._drained = asyncio.Event()
        self._drained.set()
        self._loop = asyncio.get_running_loop()
        _write_at_once(client)
        self.end = asyncio.create_task(self._until_lost())
        self._on_unregister = self._paho.on_socket_unregister_write
        self._paho.on_socket_unregister_write = self._on_drained

    def send(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """Hand a message to paho, or keep it until the socket has taken those before it."""
        self._drained.clear()
        if self._handed >= WINDOW:
            self._backlog[topic, retain] = payload, qos
        else:
            self._hand_over(topic, payload, qos, retain)

    def _hand_over(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        self._handed += len(payload)
        if self._paho.publish(topic, payload, qos, retain).rc == MQTTErrorCode.MQTT_ERR_NO_CONN:
            self._drop()

    def _on_drained(self, *arguments: Any) -> None:
        """paho's queue is empty: everything so far is in the socket, or the socket is closed."""
        if self._on_unregister is not None:
            self._on_unregister(*arguments)
        self._handed = 0
        if not self._backlog:
            self._drained.set()
        elif self._paho.socket() is None:
            self._drop()
        else:
            # Later, so that what arrives meanwhile is served between two windows.
            self._loop.call_soon(self._refill)

    def _refill(self) -> None:
        while self._backlog and self._handed < WINDOW:
            (topic, retain), (payload, qos) = next(iter(self._backlog.items()))
            del self._backlog[topic, retain]
            self._hand_over(topic, payload, qos, retain)

    def _drop(self) -> None:
        self._backlog.clear()
        self._drained.set()

    async def flush(self) -> None:
        """Wait until the socket has everything."""
        await self._drained.wait()

    async def subscribe(self, filters: Sequence[str]) -> bool:
        """Subscribe at QoS 1; False if the broker refuses one."""
        if not filters:
            return True
        granted = await self._client.subscribe([(item, 1) for item in filters])
        return all(getattr(code, "value", code) < 0x80 for code in granted)

    async def _until_lost(self) -> MqttError:
        """The reason why the link ended; waiting all along, so that none goes unretrieved."""
        try:
            async for _ in self._client.messages:  # they went to on_message; this is for the end
                pass
        except MqttError as error:
            return error
        raise LocalProtocolError("the link ended without a reason")

    async def publish_offline(self, topic: str) -> None:
        """Take the status back, and wait until the broker knows."""
        with suppress(MqttError):
            await self._client.publish(topic, OFFLINE, qos=1, retain=True)

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """Receive no more.  The answer tells that the broker has read all that was sent before."""
        if filters:
            with suppress(MqttError):
                await self._client.unsubscribe(list(filters))

    async def close(self) -> None:
        """Disconnect in good order if the link is still there, and the broker answers."""
        self._drop()
        self._client.timeout = _HANG_UP
        with suppress(MqttError):
            await self._client.__aexit__(None, None, None)
        self.end.cancel()
        await asyncio.wait({self.end})
