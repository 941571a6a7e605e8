"""A client in memory: it sends packets to the server under test, and waits for packets from it."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudlink.server.client import Client
    from cloudlink.server.session import Session

    from .connection import MemoryConnection

_ANY: Any = object()
"""Marks a listener that does not matter."""
TIMEOUT = 5.0
"""Default time-out of waiting calls, in seconds."""
_listeners = itertools.count(1)


class NotReceivedError(AssertionError):
    """A test waited for something that did not arrive in time."""


class MemoryClient:
    """One client of a server in memory.

    Packets that no call has returned wait in `unread`, in order of arrival.
    """

    def __init__(self, session: Session, connection: MemoryConnection, errors: list[BaseException]) -> None:
        """Args: errors: The errors that handlers raised, for messages about missing packets."""
        self._session = session
        self._connection = connection
        self._errors = errors
        self._client = session.client

    @property
    def client(self) -> Client:
        """The client as the server and its plugins see it."""
        return self._client

    @property
    def unread(self) -> list[Any]:
        """The packets that have arrived and were not returned yet, oldest first; clear the list to forget them."""
        return self._connection.unread

    @property
    def closed(self) -> tuple[int, str] | None:
        """Code and reason of the server's close frame, None while the connection is open."""
        return self._connection.closed

    async def send(self, packet: dict[str, Any] | str | bytes) -> None:
        """Send a packet: a dict as JSON, text unchanged, bytes as a binary message.

        Raises:
            ConnectionError: The server has closed the connection.
        """
        if self.closed is not None:
            raise ConnectionError(f"{self._name} cannot send: {self._how_closed}")
        if isinstance(packet, bytes):
            self._session.receive_binary(packet)
        else:
            text = packet if isinstance(packet, str) else json.dumps(packet)
            self._session.receive(text.encode())
        await asyncio.sleep(0)

    async def receive(self, cmd: str | None = None, *, listener: Any = _ANY, timeout: float = TIMEOUT) -> Any:
        """Wait for a packet, take it out of `unread` and return it.

        Args:
            cmd: The `cmd` it must have (for cloud variables, the `method`); None takes any.
            listener: The `listener` it must have; by default any.
            timeout: Seconds to wait.

        Returns:
            The oldest matching unread packet, decoded; text that is not JSON is returned as text.

        Raises:
            NotReceivedError: None arrived in time, or the connection was closed; the message lists the unread packets.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        while (packet := self._take(cmd, listener)) is None:
            if self.closed is not None or not await self._changes_before(deadline):
                raise NotReceivedError(self._complaint(cmd, listener, timeout))
        return packet[0]

    async def request(self, packet: dict[str, Any], *, timeout: float = TIMEOUT) -> Any:
        """Send a packet with a listener, a new one unless it has one, and return the first packet with that listener.

        Raises:
            NotReceivedError: No answer arrived in time.
        """
        request = {"listener": f"request {next(_listeners)}", **packet}
        await self.send(request)
        return await self.receive(listener=request["listener"], timeout=timeout)

    async def leave(self) -> None:
        """End the connection from this side, as a closed browser tab does."""
        self._session.connection_lost()
        await asyncio.sleep(0)

    async def wait_closed(self, timeout: float = TIMEOUT) -> tuple[int, str]:
        """Wait until the server closes the connection; return the code and the reason.

        Raises:
            NotReceivedError: The server did not close it in time.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        while self.closed is None:
            if not await self._changes_before(deadline):
                raise NotReceivedError(
                    f"{self._name} was not disconnected within {timeout:g} s{self._what_came}"
                )
        return self.closed

    def _take(self, cmd: str | None, listener: Any) -> tuple[Any] | None:
        for place, packet in enumerate(self.unread):
            if _fits(packet, cmd, listener):
                return (self.unread.pop(place),)
        return None

    async def _changes_before(self, deadline: float) -> bool:
        self._connection.changed.clear()
        try:
            async with asyncio.timeout_at(deadline):
                await self._connection.changed.wait()
        except TimeoutError:
            return False
        return True

    @property
    def _name(self) -> str:
        return self._client.username or f"client {self._client.snowflake}"

    @property
    def _how_closed(self) -> str:
        return (
            "" if self.closed is None else f"the connection was closed, {self.closed[0]} {self.closed[1]!r}"
        )

    @property
    def _what_came(self) -> str:
        lines = [f"\n  {json.dumps(packet, ensure_ascii=False)}" for packet in self.unread] or [" nothing"]
        raised = f"\nHandlers raised: {', '.join(map(repr, self._errors))}" if self._errors else ""
        return f". What came and was not read:{''.join(lines)}{raised}"

    def _complaint(self, cmd: str | None, listener: Any, timeout: float) -> str:
        wanted = f" with cmd {cmd!r}" if cmd is not None else ""
        if listener is not _ANY:
            wanted += f"{' and' if wanted else ' with'} listener {listener!r}"
        end = self._how_closed or f"{timeout:g} s have passed"
        return f"{self._name} got no packet{wanted}: {end}{self._what_came}"


def _fits(packet: Any, cmd: str | None, listener: Any) -> bool:
    fields = packet if isinstance(packet, dict) else {}
    if cmd is not None and cmd not in (fields.get("cmd"), fields.get("method")):
        return False
    return listener is _ANY or ("listener" in fields and fields["listener"] == listener)
