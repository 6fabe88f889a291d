"""One MPyC party as a process of its own: connects, sums, prints one JSON report.

Started by `mpyc_peer`, in a directory whose `.config/` holds the certificates that MPyC expects.
The variant is the fastest of those that MPyC offers: secure arrays over a 64-bit prime field
(`SecInt(64)` works in a field of 96 bits and is slower), no pseudo-random secret sharing keys,
which a sum does not need, and uvloop.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib
import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import uvloop

from benchmarks.measurement import peak_memory_mb

PRIME = 2**64 - 59  # the largest prime below 2^64: a share takes 8 bytes, as in Z_2^64


@dataclass(frozen=True)
class PartyReport:
    """What one party saw."""

    launches: list[float]  # seconds from input() to output(), one a repetition
    first_result_at: float  # time.monotonic(), one clock for all processes of a machine
    bytes_sent: int  # for one launch, as MPyC counts them: payload and header, before TLS
    peak_memory_mb: float
    first_value: int  # the first element of the sum
    digest: str  # of the whole sum


def party_input(party: int, length: int) -> npt.NDArray[np.int64]:
    """What a party brings: reproducible, so that the sum can be checked."""
    return np.random.default_rng(party).integers(0, 2**40, size=length, dtype=np.int64)


def digest(values: npt.NDArray[np.int64]) -> str:
    """Tells two results apart without printing a million numbers."""
    return hashlib.sha256(values.tobytes()).hexdigest()


class _LoopbackLoop(uvloop.Loop):
    """MPyC listens on every interface; a benchmark has no business there."""

    async def create_server(
        self, protocol_factory: Any, host: Any = "127.0.0.1", port: Any = None, **options: Any
    ) -> asyncio.Server:
        server = await super().create_server(protocol_factory, host, port, **options)
        return cast("asyncio.Server", server)


async def _launch(mpc: Any, sectype: Any, values: Any) -> tuple[float, npt.NDArray[np.int64]]:
    """One sum, from input() to output(); an array for vectors, a secure number for scalars."""
    secret = sectype(int(values[0])) if len(values) == 1 else sectype.array(values)
    await mpc.transfer(None)  # start together: nobody waits for a party still busy with the last
    started = time.perf_counter()
    first, *others = mpc.input(secret)
    result = await mpc.output(sum(others, start=first))
    elapsed = time.perf_counter() - started
    return elapsed, np.atleast_1d(np.asarray(result.value)).astype(np.int64)


def _bytes_sent(mpc: Any) -> int:
    return sum(peer.protocol.nbytes_sent for peer in mpc.parties if peer.pid != mpc.pid)


async def _measure(mpc: Any, length: int, repetitions: int) -> PartyReport:
    sectype = mpc.SecFld(PRIME)
    values = party_input(mpc.pid, length).astype(object)
    await mpc.start()
    await _launch(mpc, sectype, values)
    first_result_at = time.monotonic()
    launches = []
    for _ in range(repetitions):
        before = _bytes_sent(mpc)
        elapsed, result = await _launch(mpc, sectype, values)
        launches.append(elapsed)
    sent = _bytes_sent(mpc) - before
    await mpc.shutdown()
    return PartyReport(
        launches=launches,
        first_result_at=first_result_at,
        bytes_sent=sent,
        peak_memory_mb=peak_memory_mb(os.getpid()),
        first_value=int(result[0]),
        digest=digest(result),
    )


def main() -> None:
    """Run one party; what is not ours on the command line is MPyC's."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--length", type=int, required=True)
    parser.add_argument("--repetitions", type=int, required=True)
    parser.add_argument("--life", type=int, required=True, help="seconds until it gives up")
    arguments, sys.argv[1:] = parser.parse_known_args()
    signal.alarm(arguments.life)  # even if whoever started us is killed
    # MPyC works at import: the package sets an event loop, its runtime reads the command line and
    # takes the current event loop. Ours goes in between.
    importlib.import_module("mpyc")
    loop = _LoopbackLoop()
    asyncio.set_event_loop(loop)
    mpc = importlib.import_module("mpyc.runtime").mpc
    report = loop.run_until_complete(_measure(mpc, arguments.length, arguments.repetitions))
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    main()
