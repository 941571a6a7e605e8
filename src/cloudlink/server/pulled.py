"""Sessions for servers whose author overrides how a client's messages are processed.

CloudLink 0.2.0 reads each connection in coroutines that a subclass may override:
`connection_handler`, which calls `connection_loop`, which calls `message_processor` for each message.
A server that overrides one of them gets sessions that queue messages and run those coroutines; all
other servers never come here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from .clients import Client
from .session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_MAX_QUEUED = 1024
_POLICY_VIOLATION = 1008


class PulledClient(Client):
    """A client whose messages are read with `async for message in client`."""

    inbox: asyncio.Queue[str | bytes | None]

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while (message := await self.inbox.get()) is not None:
            yield message

    async def recv(self) -> str | bytes:
        """Return the next message. Raises `ConnectionError` when the client is gone."""
        message = await self.inbox.get()
        if message is None:
            self.inbox.put_nowait(None)  # whoever asks next is told, too
            raise ConnectionError("the client is gone")
        return message


class PulledSession(Session):
    """A session whose messages wait until the server's coroutines ask for them."""

    __slots__ = ("_inbox",)

    client_class = PulledClient

    def __init__(self, host: Any, connection: Any, snowflake: int) -> None:
        super().__init__(host, connection, snowflake)
        self._inbox: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        cast("PulledClient", self.client).inbox = self._inbox

    def receive(self, data: bytes) -> None:
        """Queue a text message."""
        self._queue(data.decode())

    def receive_binary(self, data: bytes) -> None:
        """Queue a binary message."""
        self._queue(data)

    def process(self, message: str | bytes) -> None:
        """Handle a message the way a session normally does at once."""
        if isinstance(message, str):
            super().receive(message.encode())
        else:
            super().receive_binary(message)

    def lost(self) -> None:
        """End the coroutines' wait for messages."""
        super().lost()
        self._inbox.put_nowait(None)

    def _queue(self, message: str | bytes) -> None:
        if self._inbox.qsize() >= _MAX_QUEUED:
            self.close(_POLICY_VIOLATION, "Too many messages are waiting to be processed")
        else:
            self._inbox.put_nowait(message)
