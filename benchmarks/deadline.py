"""A limit on what the main thread does, for work that knows no limit of its own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from benchmarks.measurement import BenchmarkError

AGAIN_S = 30  # longer than the clean-up of a case, which it must not interrupt


@contextmanager
def deadline(limit_s: float) -> Iterator[None]:
    """Raise BenchmarkError inside the block once `limit_s` seconds have passed.

    An exception, not a kill: the `finally` blocks on the way end the processes of the case.
    """

    def expire(_signal: int, _frame: FrameType | None) -> None:
        raise BenchmarkError(f"more than {limit_s:.0f} s")

    previous = signal.signal(signal.SIGALRM, expire)
    # It comes again: the first exception may land inside a callback that an event loop only logs.
    outer = signal.setitimer(signal.ITIMER_REAL, limit_s, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, *outer)  # a test runner's limit goes on
