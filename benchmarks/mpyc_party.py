"""One MPyC party as a process of its own: connects, computes, prints one JSON report.

Started by `mpyc_peer`, in a directory whose `.config/` holds the certificates that MPyC expects.
Each variant is the fastest of those that MPyC offers, on uvloop.

For a sum: secure arrays over a 64-bit prime field (`SecInt(64)` works in a field of 96 bits and is slower).

For a referendum: one secret bit each, their sum, and its comparison with the threshold, `>=` of `SecInt`
with no more bits than the sum has and a sign (of `SecInt(32)` it takes twice as long, of arrays more than
that).  Beside it the same by hand, which a caller would have to know: a polynomial of degree n that is 1 on
T..n and 0 on 0..T−1, over the smallest prime field that has room for the sum.
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
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import uvloop

from benchmarks.measurement import BenchmarkError, peak_memory_mb

PRIME = 2**64 - 59  # the largest prime below 2^64: a share takes 8 bytes, as in Z_2^64


@dataclass(frozen=True)
class PartyReport:
    """What one party saw."""

    first: float  # seconds from input() to output() the first time
    launches: list[float]  # the same of the later ones, one a repetition
    first_result_at: float  # time.monotonic(), one clock for all processes of a machine
    first_bytes: int  # sent for the first launch, as MPyC counts them: payload and header, before TLS
    bytes_sent: int  # for a later launch
    peak_memory_mb: float
    first_value: int  # the first element of the answer
    digest: str  # of the whole answer
    by_hand: list[float]  # as `launches`, by the polynomial; empty for a sum


Answer = npt.NDArray[np.int64]
Compute = Callable[[], Awaitable[Answer]]  # from input() to output()


def party_input(party: int, length: int) -> Answer:
    """What a party brings to a sum: reproducible, so that it can be checked."""
    return np.random.default_rng(party).integers(0, 2**40, size=length, dtype=np.int64)


def least_yes(parties: int) -> int:
    """The threshold: two thirds.  So many vote yes, so the referendum just passes."""
    return -(-2 * parties // 3)


def digest(values: Answer) -> str:
    """Tells two answers apart without printing a million numbers."""
    return hashlib.sha256(values.tobytes()).hexdigest()


def step_polynomial(top: int, threshold: int, prime: int) -> list[int]:
    """Coefficients mod `prime`, constant first, of degree `top`: 1 on threshold..top, 0 on 0..threshold−1.

    By Lagrange's interpolation.
    """
    total = [0] * (top + 1)
    for x in range(threshold, top + 1):
        basis, divisor = [1], 1
        for other in set(range(top + 1)) - {x}:
            basis = [(high - other * low) % prime for low, high in zip([*basis, 0], [0, *basis], strict=True)]
            divisor = divisor * (x - other) % prime
        factor = pow(divisor, -1, prime)
        total = [(sum_ + factor * each) % prime for sum_, each in zip(total, basis, strict=True)]
    return total


class _LoopbackLoop(uvloop.Loop):
    """MPyC listens on every interface; a benchmark has no business there."""

    async def create_server(
        self, protocol_factory: Any, host: Any = "127.0.0.1", port: Any = None, **options: Any
    ) -> asyncio.Server:
        server = await super().create_server(protocol_factory, host, port, **options)
        return cast("asyncio.Server", server)


# -- the functions ---------------------------------------------------------------------------------


def _sum(mpc: Any, length: int) -> Compute:
    """An array for vectors, a secure number for scalars."""
    sectype = mpc.SecFld(PRIME)
    values = party_input(mpc.pid, length).astype(object)

    async def compute() -> Answer:
        secret = sectype(int(values[0])) if length == 1 else sectype.array(values)
        first, *others = mpc.input(secret)
        result = await mpc.output(sum(others, start=first))
        return np.atleast_1d(np.asarray(result.value)).astype(np.int64)

    return compute


def _referendum(mpc: Any) -> Compute:
    parties = len(mpc.parties)
    threshold, sectype = least_yes(parties), mpc.SecInt(parties.bit_length() + 1)

    async def compute() -> Answer:
        ballots = mpc.input(sectype(int(mpc.pid < threshold)))
        return np.array([int(await mpc.output(mpc.sum(ballots) >= threshold))])

    return compute


def _by_hand(mpc: Any) -> Compute:
    parties = len(mpc.parties)
    threshold, prime = least_yes(parties), _prime_above(parties)
    sectype = mpc.SecFld(prime)
    constant, *coefficients = step_polynomial(parties, threshold, prime)

    async def compute() -> Answer:
        ballots = mpc.input(sectype(int(mpc.pid < threshold)))
        powers = [mpc.sum(ballots)]
        while len(powers) < parties:  # all those up to twice the highest so far, in one round
            powers += mpc.scalar_mul(powers[-1], powers[: parties - len(powers)])
        terms = [power * each for power, each in zip(powers, coefficients, strict=True)]
        return np.array([int(await mpc.output(mpc.sum(terms) + constant))])

    return compute


def _prime_above(number: int) -> int:
    candidate = number + 1
    while any(candidate % each == 0 for each in range(2, candidate)):
        candidate += 1
    return candidate


# -- one party -------------------------------------------------------------------------------------


async def _launch(mpc: Any, compute: Compute) -> tuple[float, Answer]:
    await mpc.transfer(None)  # start together: nobody waits for a party still busy with the last
    started = time.perf_counter()
    answer = await compute()
    return time.perf_counter() - started, answer


def _bytes_sent(mpc: Any) -> int:
    return sum(peer.protocol.nbytes_sent for peer in mpc.parties if peer.pid != mpc.pid)


async def _measure(mpc: Any, length: int, repetitions: int) -> PartyReport:
    """`length` 0 is the referendum."""
    compute = _sum(mpc, length) if length else _referendum(mpc)
    await mpc.start()
    sent = [_bytes_sent(mpc)]
    first, _ = await _launch(mpc, compute)
    first_result_at = time.monotonic()
    sent.append(_bytes_sent(mpc))
    launches = []
    for _ in range(repetitions):
        elapsed, answer = await _launch(mpc, compute)
        launches.append(elapsed)
        sent.append(_bytes_sent(mpc))
    by_hand = [] if length else [await _launch(mpc, _by_hand(mpc)) for _ in range(repetitions + 1)][1:]
    if any(each.tolist() != answer.tolist() for _, each in by_hand):
        raise BenchmarkError("the polynomial and the comparison disagree")
    await mpc.shutdown()
    return PartyReport(
        first=first,
        launches=launches,
        first_result_at=first_result_at,
        first_bytes=sent[1] - sent[0],
        bytes_sent=sent[-1] - sent[-2],
        peak_memory_mb=peak_memory_mb(os.getpid()),
        first_value=int(answer[0]),
        digest=digest(answer),
        by_hand=[elapsed for elapsed, _ in by_hand],
    )


def main() -> None:
    """Run one party; what is not ours on the command line is MPyC's."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--length", type=int, required=True, help="of a vector to sum; 0: a referendum")
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
