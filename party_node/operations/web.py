"""The node's own port: /healthz for a watchman, /metrics for Prometheus, and nothing else.

It is served by the node's own loop: an answer proves that the loop still turns, which a thread of its own
could not.  A request costs the loop some microseconds; the rest is done in a thread.  It is bounded in size
and time, and there are few at once.  It is no way in: nothing that a request says is used, but its path.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CONTENT_TYPE_LATEST

from party_node.config import NodeConfig
from party_node.operations import health, metrics
from protocol.errors import ConfigError

if TYPE_CHECKING:
    from party_node.daemon import Daemon

MOST_REQUEST = 8192  # bytes of a request's head
MOST_SECONDS = 5.0  # for a request and its answer
MOST_AT_ONCE = 16

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Page:
    """An answer."""

    status: HTTPStatus
    kind: str
    body: bytes

    def encode(self) -> bytes:
        """As it is sent; the connection ends with it."""
        head = (
            f"HTTP/1.1 {self.status} {self.status.phrase}\r\nContent-Type: {self.kind}\r\n"
            f"Content-Length: {len(self.body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + self.body


Pages = dict[str, Callable[[], Awaitable[Page]]]  # by path


def pages(config: NodeConfig, daemon: Daemon) -> Pages:
    """What there is to see of a node."""

    async def healthz() -> Page:
        room = await asyncio.to_thread(shutil.disk_usage, config.data_dir)
        found = health.examine(daemon.snapshot(), config.metrics.patience, room.free)
        status = HTTPStatus.OK if found.well else HTTPStatus.SERVICE_UNAVAILABLE
        return Page(status, "application/json", json.dumps(found.view()).encode() + b"\n")

    async def numbers() -> Page:
        given = (daemon.snapshot(), config, daemon.roster, daemon.journal_path)
        return Page(HTTPStatus.OK, CONTENT_TYPE_LATEST, await asyncio.to_thread(metrics.text, *given))

    return {"/healthz": healthz, "/metrics": numbers}


@asynccontextmanager
async def serving(listen: tuple[str, int], shown: Pages) -> AsyncIterator[None]:
    """Answer on this address for the length of the block.  ConfigError if it cannot be had."""
    host, port = listen
    visits: set[asyncio.Task[None]] = set()

    def arrive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(visits) >= MOST_AT_ONCE:
            writer.close()
            return
        visit = asyncio.create_task(_answer(reader, writer, shown))
        visits.add(visit)
        visit.add_done_callback(visits.discard)

    try:
        server = await asyncio.start_server(arrive, host, port, limit=MOST_REQUEST)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else "cannot be used"
        problem = f"metrics.listen: {host}:{port}: {reason}"
        raise ConfigError(problem, "choose an address of this machine and a port that is free") from None
    if not _loopback(host):
        log.warning("the metrics port can be reached from other machines", listen=f"{host}:{port}")
    try:
        yield
    finally:
        server.close()
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, shown: Pages) -> None:
    """One request, one answer.  Who is too slow, or goes away, gets none."""
    with suppress(TimeoutError, ConnectionError, asyncio.IncompleteReadError):
        try:
            async with asyncio.timeout(MOST_SECONDS):
                page = await _page(reader, shown)
                writer.write(page.encode())
                await writer.drain()
        finally:
            writer.close()


async def _page(reader: asyncio.StreamReader, shown: Pages) -> Page:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return _no(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    line = head.partition(b"\r\n")[0].split(b" ")
    if len(line) != 3 or not line[2].startswith(b"HTTP/1."):
        return _no(HTTPStatus.BAD_REQUEST)
    method, target, _ = line
    page = shown.get(target.partition(b"?")[0].decode("ascii", errors="replace"))
    if page is None:
        return _no(HTTPStatus.NOT_FOUND)
    if method != b"GET":
        return _no(HTTPStatus.METHOD_NOT_ALLOWED)
    try:
        return await page()
    except OSError as error:  # the data directory is gone, for one
        log.warning("no answer to who asked how the node is", exc_info=error)
        return _no(HTTPStatus.INTERNAL_SERVER_ERROR)


def _no(status: HTTPStatus) -> Page:
    return Page(status, "text/plain; charset=utf-8", f"{status.phrase.lower()}\n".encode())
