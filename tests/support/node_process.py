"""`python -m tests.support.node_process NAME BROKER_JSON node|command ID`: a transport, until killed.

ID may be empty, or the client id of somebody's former connection.  It logs to stdout when it is connected.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import sys

from party_node.config import BrokerConfig
from party_node.transport import Transport


async def main(name: str, broker: str, kind: str, identifier: str) -> None:
    """Stay connected."""
    transport = Transport(
        BrokerConfig.model_validate_json(broker),
        name,
        on_message=lambda _topic, _payload: None,
        on_connected=lambda: None,
        filters=[],
        presence=kind == "node",
    )
    transport._identifier = identifier or transport._identifier
    async with asyncio.timeout(120):
        await transport.run()


if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: not longer than the test
    asyncio.run(main(*sys.argv[1:]))
