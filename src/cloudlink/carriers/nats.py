"""The carrier between machines: core NATS.

All nodes hear `cloudlink.NAME.hello`, and each its own `cloudlink.NAME.node.ID`. NATS keeps the order of what one
node sends to one subject. While there is no connection, everything is dropped; the protocol makes up for it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import suppress
from typing import TYPE_CHECKING

from cloudlink.cluster.carriers import MAX_WAITING_BYTES

if TYPE_CHECKING:
    from cloudlink.cluster.carriers import Receiver

    from .natsbus import NatsBus

_MOST_PENDING = 1 << 20
"""Bytes that are handed to the library; the rest waits here, where it is counted for each node."""
_PAUSE = 0.002
"""Seconds between two looks at the library's buffer."""


class NatsCarrier:
    """Moves batches over NATS.

    Attributes:
        echoes: True: the own hellos come back.
    """

    echoes = True

    def __init__(self, bus: NatsBus, name: str) -> None:
        """Set up the carrier.

        Args:
            bus: The connection.
            name: The setting `cluster_name`.
        """
        self._bus = bus
        self._prefix = f"cloudlink.{name}"
        self._receiver: Receiver | None = None
        self._queue: deque[tuple[str, bytes]] = deque()
        self._waiting: Counter[str] = Counter()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, node: str, receiver: Receiver) -> None:
        """See `Carrier`; the bus is connected."""
        self._receiver = receiver
        self._bus.subscribe(f"{self._prefix}.hello", self._receive)
        self._bus.subscribe(f"{self._prefix}.node.{node}", self._receive)
        self._bus.watch(self._on_bus)
        self._task = asyncio.get_running_loop().create_task(self._send_waiting())

    def hello(self, batch: bytes) -> None:
        """See `Carrier`."""
        self._put("", batch)

    def send(self, node: str, batch: bytes) -> bool:
        """See `Carrier`."""
        if self._waiting[node] + len(batch) > MAX_WAITING_BYTES:
            return False
        self._put(node, batch)
        return True

    def forget(self, node: str) -> None:
        """See `Carrier`."""
        self._queue = deque(entry for entry in self._queue if entry[0] != node)
        del self._waiting[node]

    def close(self) -> None:
        """See `Carrier`; the bus is left open."""
        self._receiver = None
        if self._task is not None:
            self._task.cancel()
        self._bus.send_last([(self._subject(node), batch) for node, batch in self._queue])
        self._queue.clear()

    def _put(self, node: str, batch: bytes) -> None:
        if not self._bus.is_up:
            return
        self._queue.append((node, batch))
        self._waiting[node] += len(batch)
        self._wake.set()

    def _subject(self, node: str) -> str:
        return f"{self._prefix}.node.{node}" if node else f"{self._prefix}.hello"

    def _receive(self, batch: bytes) -> None:
        if self._receiver is not None:
            self._receiver.on_batch(batch)

    def _on_bus(self, is_up: bool) -> None:
        self._queue.clear()
        self._waiting.clear()
        if self._receiver is not None:
            self._receiver.on_bus(is_up)

    async def _send_waiting(self) -> None:
        while True:
            self._wake.clear()
            await self._wake.wait()
            while self._queue:
                client = self._bus.client
                if client is None:
                    break
                if client.pending_data_size > _MOST_PENDING:
                    await asyncio.sleep(_PAUSE)
                    continue
                node, batch = self._queue.popleft()
                self._waiting[node] -= len(batch)
                with suppress(Exception):  # the connection has just broken: the bus makes a new one
                    await client.publish(self._subject(node), batch)
