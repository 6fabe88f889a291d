"""The peer: MPyC with n parties as n processes, mutual TLS between each pair, on loopback.

Its default threshold is kept: any (n - 1) // 2 parties may collude, an honest majority is assumed.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.certificates import Authority
from benchmarks.measurement import BenchmarkError, Measurement
from benchmarks.mpyc_party import PRIME, PartyReport, digest, party_input

ROOT = Path(__file__).resolve().parent.parent


REFERENDUM = 0  # in place of a vector's length
# With PRSS, random shares cost no messages but a key for each set of t parties: C(n, t) of them, some
# 168,000 at 20 parties.  Up to so many parties it makes a referendum faster; a sum needs no random shares.
MOST_WITH_PRSS = 5


def measure_scalar(n: int, repetitions: int, limit_s: int = 120) -> Measurement:
    """The sum of one number a party."""
    return measure_vector(n, 1, repetitions, limit_s)


def measure_vector(n: int, length: int, repetitions: int, limit_s: int = 300) -> Measurement:
    """The element-wise sum of one vector a party; refused if a party's answer is wrong."""
    started, reports = run_parties(n, length, repetitions, limit_s)
    check_sums(reports, length)
    return _measurement(started, reports)


def measure_referendum(n: int, repetitions: int, limit_s: int = 300) -> Measurement:
    """Whether two thirds of n parties vote yes; refused unless every party learns that they do."""
    started, reports = run_parties(n, REFERENDUM, repetitions, limit_s)
    if any(report.first_value != 1 for report in reports):
        raise BenchmarkError("mpyc: a referendum that passes did not")
    return _measurement(started, reports)


def _measurement(started: float, reports: Sequence[PartyReport]) -> Measurement:
    by_hand = _slowest([report.by_hand for report in reports])
    return Measurement(
        launch_all=_slowest([report.launches for report in reports]),
        cold_s=max(report.first_result_at for report in reports) - started,
        bytes_per_party=statistics.mean(report.bytes_sent for report in reports),
        peak_memory_mb=max(report.peak_memory_mb for report in reports),
        first_s=max(report.first for report in reports),
        first_bytes=statistics.mean(report.first_bytes for report in reports),
        by_hand_s=statistics.median(by_hand) if by_hand else None,
    )


def _slowest(times: Sequence[Sequence[float]]) -> list[float]:
    """A launch has ended when the last party has the answer."""
    return [max(each) for each in zip(*times, strict=True)]


def run_parties(n: int, length: int, repetitions: int, limit_s: int) -> tuple[float, list[PartyReport]]:
    """When the first process was spawned (time.monotonic()), and what each party saw."""
    with tempfile.TemporaryDirectory(prefix="mpyc-") as name:
        directory = Path(name)
        _write_certificates(directory / ".config", n)
        commands = _commands(n, length, repetitions, limit_s)
        started = time.monotonic()
        return started, asyncio.run(_run_all(commands, directory, limit_s))


def check_sums(reports: Sequence[PartyReport], length: int) -> None:
    """Refuse the measurement unless each party has the sum of all the parties' inputs."""
    expected = party_input(0, length)
    for party in range(1, len(reports)):
        expected = expected + party_input(party, length)
    wrong = [i for i, report in enumerate(reports) if report.digest != digest(expected)]
    if wrong:
        raise BenchmarkError(f"mpyc: wrong sum at parties {wrong} (field order {PRIME})")


def _write_certificates(config: Path, n: int) -> None:
    """Under the names at which MPyC looks for them, with the host names that it expects."""
    config.mkdir()
    authority = Authority("benchmark")
    authority.write(config / "mpyc_ca.crt")
    for i in range(n):
        stem = config / f"party_{i}"
        authority.issue(f"MPyC party {i}", stem.with_suffix(".crt"), stem.with_suffix(".key"))


def _commands(n: int, length: int, repetitions: int, limit_s: int) -> list[list[str]]:
    ours = ["--length", str(length), "--repetitions", str(repetitions), "--life", str(limit_s)]
    prss = length == REFERENDUM and n <= MOST_WITH_PRSS
    theirs = ["--ssl", "--no-log", *([] if prss else ["--no-prss"])]
    addresses = [word for port in _free_ports(n) for word in ("-P", f"127.0.0.1:{port}")]
    command = [sys.executable, "-m", "benchmarks.mpyc_party", *ours, *theirs, *addresses]
    return [[*command, "-I", str(i)] for i in range(n)]


def _free_ports(count: int) -> list[int]:
    """All held at once, so that no port is given out twice."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


async def _run_all(commands: Sequence[Sequence[str]], directory: Path, limit_s: int) -> list[PartyReport]:
    """All reports; the first party that fails ends the others."""
    processes: list[Process] = []
    try:
        async with asyncio.timeout(limit_s):
            for command in commands:
                processes.append(await _spawn(command, directory))  # noqa: PERF401 the finally below must see each one
            return await asyncio.gather(*(_report(process) for process in processes))
    except TimeoutError:
        raise BenchmarkError(f"mpyc: no result within {limit_s} s") from None
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _spawn(command: Sequence[str], directory: Path) -> Process:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return await asyncio.create_subprocess_exec(
        *command, cwd=directory, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )


async def _report(process: Process) -> PartyReport:
    stdout, stderr = await process.communicate()
    if process.returncode != 0:
        last = stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise BenchmarkError(f"mpyc: a party ended with code {process.returncode}: {last[0]}")
    return PartyReport(**json.loads(stdout))
