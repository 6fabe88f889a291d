"""systemd is told how the node is: sd_notify(3), a datagram to the socket that NOTIFY_SOCKET names.

Without a service manager that asked for it, nothing is sent.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"


def notify(state: str) -> None:
    """Send one line to the service manager, if there is one; that it does not listen is its own affair."""
    if path := os.environ.get("NOTIFY_SOCKET"):
        # A name that starts with @ is in Linux's abstract namespace, where that is a zero byte.
        address = f"\0{path[1:]}" if path.startswith("@") else path
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(state.encode(), address)


def watchdog_seconds() -> float | None:
    """How often the service manager wants a sign of life, None if it does not: twice as often as it must."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    period = int(os.environ.get("WATCHDOG_USEC", "0")) / 1_000_000
    return period / 2 or None


async def stay_alive() -> None:
    """Give the signs of life: from the node's own loop, so that they end when it hangs."""
    while (pause := watchdog_seconds()) is not None:
        notify(ALIVE)
        await asyncio.sleep(pause)
