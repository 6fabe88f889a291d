"""The floor: what the same bytes cost over one bare TLS 1.3 connection between two processes.

No broker, no sealing, no arithmetic. Whatever a system takes beyond this is its own.
`python -m benchmarks.floor DIRECTORY` is the receiving process, started by the functions here.
"""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import statistics
import struct
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.certificates import Authority
from benchmarks.measurement import BenchmarkError

ROOT = Path(__file__).resolve().parent.parent
LIFE_S = 60
REPETITIONS = 5
_LENGTH = struct.Struct("<Q")
_ACKNOWLEDGED = b"."


def tls_transfer_seconds(total_bytes: int, messages: int) -> float:
    """Median time from the first byte written until the receiver confirms the last one.

    total_bytes  sent in one direction, as `messages` equal writes one after the other
    """
    return uvloop.run(_median_transfer(total_bytes, max(1, messages)))


def tls_round_trip_seconds() -> float:
    """Median time of one empty message and its answer."""
    return tls_transfer_seconds(0, 1)


async def _median_transfer(total_bytes: int, messages: int) -> float:
    size, left_over = divmod(total_bytes, messages)
    parts = [bytes(size + (i < left_over)) for i in range(messages)]
    async with asyncio.timeout(LIFE_S), _connection() as (reader, writer):
        await _transfer(reader, writer, total_bytes, parts)  # the first one pays for slow start and buffers
        times = [await _transfer(reader, writer, total_bytes, parts) for _ in range(REPETITIONS)]
    return statistics.median(times)


async def _transfer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, total_bytes: int, parts: list[bytes]
) -> float:
    started = time.perf_counter()
    writer.write(_LENGTH.pack(total_bytes))
    for part in parts:
        writer.write(part)
        await writer.drain()
    await reader.readexactly(len(_ACKNOWLEDGED))
    return time.perf_counter() - started


@asynccontextmanager
async def _connection() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a receiver in a process of its own, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="floor-") as name:
        directory = Path(name)
        _write_certificates(directory)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.floor", name),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=DEVNULL,
            stdout=PIPE,
        )
        try:
            reader, writer = await _connect(process, directory)
            yield reader, writer
            writer.close()
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def _connect(
    process: asyncio.subprocess.Process, directory: Path
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    line = await process.stdout.readline() if process.stdout else b""
    if not line:
        raise BenchmarkError("floor: the receiving process did not start")
    context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return await asyncio.open_connection("127.0.0.1", int(line), ssl=context, server_hostname="floor")


def _write_certificates(directory: Path) -> None:
    authority = Authority("benchmark")
    authority.write(directory / "ca.crt")
    authority.issue("floor", directory / "tls.crt", directory / "tls.key")


class _Receiver(asyncio.Protocol):
    """Counts what a length promised and confirms it; keeps nothing."""

    def __init__(self, closed: asyncio.Event) -> None:
        self._closed = closed
        self._head = b""
        self._missing = 0
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of this class without being of it.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        if len(self._head) < _LENGTH.size:
            used = _LENGTH.size - len(self._head)
            self._head += data[:used]
            if len(self._head) < _LENGTH.size:
                return
            (self._missing,) = _LENGTH.unpack(self._head)
            data = data[used:]
        self._missing -= len(data)
        if self._missing == 0:
            self._head = b""
            self._transport.write(_ACKNOWLEDGED)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 asyncio's signature
        self._closed.set()


async def _receive(directory: Path) -> None:
    """Serve one connection on a free port, which is printed, until it closes."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Receiver(closed), "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await closed.wait()
    server.close()


if __name__ == "__main__":
    signal.alarm(LIFE_S)  # even if whoever started it is killed
    uvloop.run(_receive(Path(sys.argv[1])))
