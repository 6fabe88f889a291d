"""`python -m tests.support.stand_in_node CONFIG`: says that it is online, until SIGTERM or two minutes."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path

from party_node.config import load_node
from party_node.transport import Transport


async def main(path: Path) -> None:
    """Stay connected."""
    config = load_node(path)
    transport = Transport(
        config.broker,
        config.name,
        on_message=lambda _topic, _payload: None,
        on_connected=lambda: None,
        filters=[],
    )
    running = asyncio.create_task(transport.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    with suppress(asyncio.CancelledError, TimeoutError):
        async with asyncio.timeout(120):
            await running


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
