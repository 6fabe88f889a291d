"""Transports under observation: what they received can be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from party_node.config import BrokerConfig
from party_node.transport import Transport

Received = tuple[str, bytes]
_PATIENCE = 20.0  # seconds that any wait in a test may take


class Client:
    """A transport and all that it received."""

    def __init__(
        self, broker: BrokerConfig, name: str, filters: Sequence[str], *, presence: bool = True
    ) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self._changed = asyncio.Event()
        self.transport = Transport(
            broker,
            name,
            on_message=self._on_message,
            on_connected=self._on_connected,
            filters=filters,
            presence=presence,
        )

    def _on_message(self, topic: str, payload: bytes) -> None:
        self.received.append((topic, payload))
        self._changed.set()

    def _on_connected(self) -> None:
        self.connections += 1
        self._changed.set()

    async def until(self, condition: Callable[[Client], bool]) -> None:
        """Wait until the condition holds, looking after each message and connection."""
        async with asyncio.timeout(_PATIENCE):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()

    async def receives(self, topic: str, payload: bytes) -> None:
        """Wait for one message."""
        await self.until(lambda client: (topic, payload) in client.received)

    def payloads(self, topic: str) -> list[bytes]:
        """All payloads received under a topic."""
        return [payload for where, payload in self.received if where == topic]


@asynccontextmanager
async def running(client: Client) -> AsyncIterator[Client]:
    """The client, connected; at the end it says goodbye."""
    task = asyncio.create_task(client.transport.run())
    try:
        async with asyncio.timeout(_PATIENCE):
            await client.transport.wait_connected()
        yield client
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
