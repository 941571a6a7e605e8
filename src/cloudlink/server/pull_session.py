"""Sessions for servers that override how a client's messages are processed.

CloudLink 0.2.0 reads each connection in coroutines that a subclass may override:
`connection_handler`, which calls `connection_loop`, which calls `message_processor` for each message.
A server that overrides one of them gets sessions that queue messages and run those coroutines. All
other servers use `session.Session`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from cloudlink.closecodes import CloseCode

from .client import Client, State
from .session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_MAX_MESSAGES = 1024
_MAX_BYTES = 8 << 20
"""Bytes, or characters of text, that may wait in one client's inbox in addition to one message."""


class Inbox:
    """The queue of one client's unread messages, with None as end marker."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[bytes | str | None] = asyncio.Queue()
        self._size = 0

    @property
    def is_full(self) -> bool:
        """Whether the waiting messages exceed the maximum."""
        return self._messages.qsize() >= _MAX_MESSAGES or self._size > _MAX_BYTES

    def put(self, message: bytes | str | None) -> None:
        """Add a text or binary message, or None for the end."""
        self._size += len(message or b"")
        self._messages.put_nowait(message)

    async def get(self) -> bytes | str | None:
        """Wait for the next message and return it; at the end, return None, also on later calls."""
        message = await self._messages.get()
        self._size -= len(message or b"")
        if message is None:
            self._messages.put_nowait(None)
        return message


class PullClient(Client):
    """A client whose messages are read with `async for message in client`."""

    inbox: Inbox

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while (message := await self.inbox.get()) is not None:
            yield message

    async def recv(self) -> str | bytes:
        """Return the next message. Raises `ConnectionError` if the client has disconnected."""
        message = await self.inbox.get()
        if message is None:
            raise ConnectionError("the client is gone")
        return message


class PullSession(Session):
    """A session whose messages wait until the server's coroutines read them."""

    __slots__ = ("_inbox",)

    client_class = PullClient

    def __init__(self, host: Any, connection: Any, snowflake: int) -> None:
        super().__init__(host, connection, snowflake)
        self._inbox = Inbox()
        cast("PullClient", self.client).inbox = self._inbox

    def receive(self, data: bytes) -> None:
        """Queue a text message."""
        self._queue(data.decode())

    def receive_binary(self, data: bytes) -> None:
        """Queue a binary message."""
        self._queue(data)

    def process(self, message: str | bytes) -> None:
        """Handle a message as a normal session does on arrival."""
        if isinstance(message, str):
            self._handle(message.encode())
        else:
            self._handle_binary(message)

    def _depart(self, cause: str = "") -> None:
        """End the coroutines' wait for messages, too."""
        super()._depart(cause)
        self._inbox.put(None)

    def _queue(self, message: str | bytes) -> None:
        if self._inbox.is_full:
            self.close(CloseCode.POLICY_VIOLATION, "Too many messages are waiting to be processed", "flood")
        elif self.state is not State.CLOSED:
            self._inbox.put(message)
