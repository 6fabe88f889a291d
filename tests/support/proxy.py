"""A broker that lies: between the nodes and a real Mosquitto, it reads every packet and does what `Lies` say.

It ends TLS with the broker's own certificate and key, for the adversary owns the broker.  Mosquitto itself
listens without TLS on the loopback interface, to the proxy alone: parties' TLS keys are not the
adversary's, and a user name in CONNECT, taken from the party's certificate, keeps the access list in force.

Letters (QoS 0 below `session/`) are at the mercy of the lies; everything else passes as it came.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

from coordinator import broker
from coordinator.cluster import BROKER
from coordinator.processes import free_port
from party_node.config import load_coordinator
from tests.support.broker_faults import Due, Letter, Liar, Lies, Operation, Way
from tests.support.mqtt_packets import (
    CONNECT,
    PUBLISH,
    MalformedPacketError,
    Packet,
    Publish,
    level,
    read,
    with_user_name,
)
from tests.support.programs import Cluster, made_cluster

TOGETHER = 0.1  # seconds for which letters lie together to be reordered
_LIFETIME = 300.0  # seconds after which the proxy ends by itself
_PATIENCE = 30.0  # seconds that any wait in a test may take
_TLS = ("cafile", "certfile", "keyfile", "tls_version", "require_certificate", "use_identity_as_username")


@dataclass(frozen=True, eq=False)
class _Link:
    """One party's connection and its counterpart with Mosquitto."""

    number: int
    name: str
    level: int
    down: asyncio.StreamWriter  # to the party
    up: asyncio.StreamWriter  # to Mosquitto


class Proxy:
    """Serves in a thread of its own, within a `with` block.

    `letters` is everything as it came, before any lie.
    """

    def __init__(self, port: int, upstream: int, ca: Path, folder: Path) -> None:
        """`folder` holds the broker's certificate and key."""
        self.letters: list[Letter] = []
        self._port, self._upstream = port, upstream
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_3
        self._tls.verify_mode = ssl.CERT_REQUIRED
        self._tls.load_verify_locations(ca)
        self._tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        self._liars: dict[str, Liar] = {}
        self._links: dict[int, _Link] = {}
        self._connections = 0
        self._serving: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=asyncio.run, args=(self._main(),), daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()

    # -- for the test ------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread.start()
        self.until(lambda: self._loop is not None, "the proxy listens")
        return self

    def __exit__(self, *_: object) -> None:
        self._soon(self._stop.set)
        self._thread.join(_PATIENCE)
        assert not self._thread.is_alive(), "the proxy does not stop"
        assert not self._failures, self._failures

    def lie(self, session: str, lies: Lies, old: str = "") -> None:
        """Do this to a session's letters from now on; `old` is a session whose letters may be replayed."""
        archive = [each for each in self.letters if each.session == old and each.payload]
        self._liars[session] = Liar(lies, archive)

    def frozen(self, session: str) -> None:
        """Wait until a `Freeze` has happened."""
        self.until(lambda: self._liars[session].frozen, "the session stands still")

    def release(self, session: str, *operations: Operation) -> None:
        """Let go of all letters of a session that are held or frozen; from now on these happen instead."""
        self._soon(lambda: self._deliver(self._liars[session].release(*operations)))

    def seen(self, session: str, stage: str, sender: str = "") -> list[Letter]:
        """Letters of one stage that parties have sent."""
        found = [each for each in list(self.letters) if each.way == "up" and each.session == session]
        return [each for each in found if each.stage == stage and sender in ("", each.sender)]

    def until_seen(self, session: str, stage: str, *senders: str) -> None:
        """Wait until each of them has sent a letter of this stage."""
        self.until(
            lambda: all(self.seen(session, stage, name) for name in senders), f"{senders} send {stage}"
        )

    def until(self, look: Callable[[], object], what: str) -> None:
        """Wait until something is so, looking after each letter."""
        with self._changed:
            assert self._changed.wait_for(look, _PATIENCE), f"not within {_PATIENCE:g} s: {what}"

    def payloads(self, session: str) -> dict[str, set[bytes]]:
        """All that was ever published under each topic of a session, apart from requests and clearings."""
        found: dict[str, set[bytes]] = defaultdict(set)
        for each in list(self.letters):
            if each.way == "up" and each.session == session and each.payload and each.step != "request":
                found[each.publish.topic].add(each.payload)
        return found

    # -- serving -----------------------------------------------------------------------------------

    def _soon(self, action: Callable[[], object]) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(action)

    async def _main(self) -> None:
        server = await asyncio.start_server(self._accepted, "127.0.0.1", self._port, ssl=self._tls)
        with self._changed:
            self._loop = asyncio.get_running_loop()
            self._changed.notify_all()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LIFETIME):
                await self._stop.wait()
        server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failures.append(error)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One party's connection, until one of its two ends is gone."""
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                connect = await read(reader)
                if connect is not None:
                    await self._join_up(connect, reader, writer)
        finally:
            writer.transport.abort()

    async def _join_up(
        self, connect: Packet, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if connect.kind != CONNECT:
            raise MalformedPacketError(f"a connection that begins with a packet of type {connect.kind}")
        name = _common_name(writer)
        up_reader, up = await asyncio.open_connection("127.0.0.1", self._upstream)  # refused: it is down
        self._connections += 1
        link = _Link(self._connections, name, level(connect), writer, up)
        self._links[link.number] = link
        try:
            up.write(with_user_name(connect, name).encode())
            pumps = [
                asyncio.create_task(self._pump(link, "up", reader, up)),
                asyncio.create_task(self._pump(link, "down", up_reader, writer)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                for ended in await asyncio.gather(*pumps, return_exceptions=True):
                    if isinstance(ended, Exception) and not _is_the_end(ended):
                        self._failures.append(ended)
        finally:
            del self._links[link.number]
            up.close()

    async def _pump(
        self, link: _Link, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while (packet := await read(reader)) is not None:
            publish = Publish.decode(packet, link.level) if packet.kind == PUBLISH else None
            if publish is None or publish.qos or "/session/" not in publish.topic:
                writer.write(packet.encode())
            else:
                self._pass(Letter(way, link.name, link.number, publish))
            await writer.drain()

    # -- letters -----------------------------------------------------------------------------------

    def _pass(self, letter: Letter) -> None:
        liar = self._liars.get(letter.session)
        if liar is None:
            self._write(letter)
        else:
            waited = liar.shuffling
            self._deliver(liar.take(letter))
            if liar.shuffling and not waited:
                self._later(TOGETHER, lambda: self._deliver(liar.shuffled()))
        with self._changed:
            self.letters.append(letter)
            self._changed.notify_all()

    def _deliver(self, dues: list[Due]) -> None:
        for milliseconds, letter in dues:
            if milliseconds:
                self._later(milliseconds / 1000, partial(self._write, letter))
            else:
                self._write(letter)

    def _later(self, seconds: float, action: Callable[[], object]) -> None:
        assert self._loop is not None
        self._loop.call_later(seconds, action)

    def _write(self, letter: Letter) -> None:
        """Nothing happens if the connection is gone meanwhile."""
        link = self._links.get(letter.connection)
        if link is not None:
            (link.down if letter.way == "down" else link.up).write(letter.publish.encode(link.level))


def _is_the_end(error: Exception) -> bool:
    """Whether a connection has just ended, as connections do where processes are killed."""
    return isinstance(error, ConnectionError | asyncio.IncompleteReadError | ssl.SSLError)


def _common_name(writer: asyncio.StreamWriter) -> str:
    """Who it is, by the certificate that TLS has checked."""
    certificate = writer.get_extra_info("ssl_object").getpeercert()
    names = [value for ((key, value),) in certificate["subject"] if key == "commonName"]
    return str(names[0])


@contextmanager
def lied_to(directory: Path, parties: tuple[str, ...], inputs: str) -> Iterator[tuple[Cluster, Proxy]]:
    """A cluster whose nodes meet the proxy where they expect their broker; nothing runs yet."""
    with made_cluster("mosquitto", directory, parties, inputs) as made:
        reach = load_coordinator(made.config("coordinator")).broker
        folder = made.directory / BROKER
        cluster = replace(made, upstream=free_port())
        _listen_without_tls(folder / "mosquitto.conf", cluster.upstream)
        with Proxy(reach.port, cluster.upstream, reach.ca, folder) as proxy:
            yield cluster, proxy
            cluster.down()  # while the nodes can still say goodbye


def _listen_without_tls(path: Path, port: int) -> None:
    """Mosquitto believes whoever connects to be who it says: the proxy has looked."""
    lines = [line for line in path.read_text().splitlines() if line.partition(" ")[0] not in _TLS]
    values = {"listener": f"{port} 127.0.0.1", "allow_anonymous": "true"}
    path.write_text(broker.render("\n".join(lines), values))
