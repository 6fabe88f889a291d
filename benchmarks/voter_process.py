"""Many voters in one process, each with its own identity, certificate, journal and connection.

Started by `voters`.  It says "connected" once all are, and serves until it is ended.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
from functools import cache
from pathlib import Path
from unittest.mock import patch

import uvloop

from party_node import config as configs
from party_node import logs
from party_node.daemon import Daemon
from party_node.roster import load_roster

CONNECTED = "connected"
_AT_ONCE = 32  # voters that connect at the same time


async def _serve(configurations: list[Path]) -> None:
    connecting = asyncio.Semaphore(_AT_ONCE)
    forever = asyncio.Event()

    async def for_ever() -> None:
        await forever.wait()

    async def start(path: Path) -> asyncio.Task[None]:
        async with connecting:
            daemon = Daemon(configs.load_node(path))
            serving = asyncio.create_task(daemon.run(for_ever))
            await asyncio.wait(
                {serving, asyncio.ensure_future(daemon.transport.wait_connected())},
                return_when=asyncio.FIRST_COMPLETED,
            )
            return serving

    serving = await asyncio.gather(*(start(path) for path in configurations))
    gc.freeze()  # as each node does; thousands of them in one heap are the benchmark's doing
    print(CONNECTED, flush=True)
    await asyncio.gather(*serving)


def main() -> None:
    """Serve the voters whose configuration files are named, one a line, in a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configurations", type=Path, required=True)
    parser.add_argument("--life", type=int, required=True, help="seconds until it gives up")
    arguments = parser.parse_args()
    signal.alarm(arguments.life)  # even if whoever started us is killed
    logs.configure("error")
    paths = [Path(line) for line in arguments.configurations.read_text().splitlines()]
    # On a machine of its own each would read it once; here that would be the square of their number.
    with patch("party_node.daemon.load_roster", cache(load_roster)):
        uvloop.run(_serve(paths))


if __name__ == "__main__":
    main()
