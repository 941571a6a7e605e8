"""Keeps one connection to another server: connects, and connects again when it ends.

The shell around `Line`, which decides what the messages mean. The sockets are those of `cloudlink.client`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from cloudlink.bridgesections import is_private
from cloudlink.client.backoff import Backoff
from cloudlink.client.errors import ClientError, ConnectError, DisconnectedError
from cloudlink.client.socket import Options, open_socket
from cloudlink.closecodes import CloseCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.client.socket import Socket

logger = logging.getLogger("cloudlink.bridge")

TIMEOUT = 10.0
"""Seconds for each step of connecting."""
FIRST_DELAY, LONGEST_DELAY = 2.0, 60.0
"""Seconds until the next attempt, at first and at most; half of it is random."""
_TURN_BYTES = 1 << 16
"""Bytes of messages that are handled in one turn of the event loop; further messages wait for the next one."""
_STABLE_AFTER = 10.0
"""Seconds after which a connection counts as stable: the next delay starts small again."""


class Line(Protocol):
    """One connection, from its opening to its end."""

    @property
    def is_ready(self) -> bool:
        """Whether the greeting is complete."""
        ...

    @property
    def waiting_for(self) -> str:
        """The message of the greeting that has not come yet, in words."""
        ...

    def opened(self, wire: SocketWire) -> None:
        """Begin the greeting."""
        ...

    def received(self, text: str) -> None:
        """Handle a message."""
        ...

    def ponged(self) -> None:
        """Handle a pong."""
        ...

    def closed(self, code: int, reason: str) -> tuple[str, float]:
        """Return why the connection has ended, and the least seconds before the next attempt."""
        ...


class SocketWire:
    """A socket of the client as a `Wire`."""

    def __init__(self, socket: Socket, receiver: _Receiver) -> None:
        self._socket = socket
        self._receiver = receiver
        self._closing: asyncio.Task[None] | None = None

    @property
    def is_congested(self) -> bool:
        """Whether the other side reads too slowly to be sent more now."""
        return self._socket.is_congested

    def send(self, text: bytes) -> None:
        """Send a message."""
        self._socket.send(text.decode())

    def ping(self) -> None:
        """Send a ping."""
        self._socket.ping()

    def close(self, code: int, reason: str) -> None:
        """Close the connection; a peer that does not answer is dropped."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(code, reason))

    async def _close(self, code: int, reason: str) -> None:
        try:
            await self._socket.close(code, reason)
        finally:
            self._socket.abort()  # where this was cancelled

    def drop(self) -> None:
        """Drop the connection, unless it is closed or being closed."""
        if self._closing is None:
            self._socket.abort()

    def hold(self) -> None:
        """Read nothing more until `release`."""
        self._receiver.hold()

    def release(self) -> None:
        """Read again."""
        self._receiver.release()


class Dialer:
    """Connects for as long as its task runs."""

    def __init__(
        self,
        url: str,
        new_line: Callable[[], Line],
        on_down: Callable[[str, str], None],
        options: Options | None = None,
        *,
        private_only: bool = False,
    ) -> None:
        """Set up a dialer.

        Args:
            url: The address.
            new_line: Returns what handles the next connection.
            on_down: Called with the reason, and what happens next, when a connection has ended or failed.
            options: How to open sockets.
            private_only: Whether a `ws://` address must be of this computer or a private network.
        """
        self._url = url
        self._new_line = new_line
        self._on_down = on_down
        self._options = options or Options(timeout=TIMEOUT)
        self._private_only = private_only and urlsplit(url).scheme == "ws"
        self._backoff = Backoff(FIRST_DELAY, LONGEST_DELAY)

    async def run(self) -> None:
        """Connect again and again."""
        loop = asyncio.get_running_loop()
        while True:
            since = loop.time()
            why, at_least = await self._connect(self._new_line())
            if loop.time() - since > _STABLE_AFTER:
                self._backoff.reset()
            delay = max(self._backoff.next(), at_least)
            self._on_down(why, f"next try in {delay:.0f} s")
            await asyncio.sleep(delay)

    async def _connect(self, line: Line) -> tuple[str, float]:
        """Connect once, and return when and why the connection has ended."""
        receiver = _Receiver(line)
        try:
            socket = await open_socket(self._url, receiver, self._options)
        except ClientError as error:
            return in_words(error), 0.0
        if self._private_only and not _is_private(socket.peer_address):
            socket.abort()
            host = urlsplit(self._url).hostname
            return f"{host} is not in a private network, so the url must begin with wss://", 0.0
        receiver.socket = socket
        wire = receiver.wire = SocketWire(socket, receiver)
        try:
            receiver.handle(lambda: line.opened(wire))
            async with asyncio.timeout(TIMEOUT):
                await asyncio.wait((receiver.ready, receiver.ended), return_when=asyncio.FIRST_COMPLETED)
            return await receiver.ended
        except TimeoutError:
            return f"the server is connected, but {line.waiting_for} did not come in time", 0.0
        finally:
            wire.drop()


class _Receiver:
    """The receiver of a socket, which protects the server from floods, and from mistakes in a line.

    A socket delivers everything that it has read at once, which may be megabytes. Here, messages wait while the
    connection is held, and after `_TURN_BYTES` in a turn, so that clients of this server are served in between.
    """

    def __init__(self, line: Line) -> None:
        self.wire: SocketWire | None = None
        self.socket: Socket | None = None
        self._line = line
        self._waiting: deque[str | None] = deque()  # messages, and None for each pong between them
        self._in_turn = 0  # bytes handled in this turn of the event loop
        self._is_held = False
        loop = self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[tuple[str, float]] = loop.create_future()

    def received(self, text: str) -> None:
        if self._is_held or self._waiting or self._in_turn >= _TURN_BYTES:
            if not self._waiting and self.socket is not None:
                self.socket.pause_reading()
            self._waiting.append(text)
        else:
            self._deliver(text)

    def hold(self) -> None:
        self._is_held = True
        if self.socket is not None:
            self.socket.pause_reading()

    def release(self) -> None:
        self._is_held = False
        if self._in_turn == 0:
            self._next_turn()

    def _deliver(self, text: str | None) -> None:
        if text is None:
            self.handle(self._line.ponged)
            return
        if self._in_turn == 0:
            self._loop.call_soon(self._next_turn)
        self._in_turn += len(text) + 1
        self.handle(lambda: self._line.received(text))

    def _next_turn(self) -> None:
        self._in_turn = 0
        while self._waiting and not self._is_held and self._in_turn < _TURN_BYTES:
            self._deliver(self._waiting.popleft())
        if not (self._waiting or self._is_held or self.ended.done()) and self.socket is not None:
            self.socket.resume_reading()

    def ponged(self) -> None:
        if self._waiting:
            self._waiting.append(None)
        else:
            self._deliver(None)

    def connection_lost(self, code: int, reason: str) -> None:
        self._waiting.clear()
        if not self.ended.done():
            self.ended.set_result(self._line.closed(code, reason))

    def handle(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:
            logger.exception("A bridge failed to handle a message; its connection is closed.")
            if self.wire is not None:
                self.wire.close(CloseCode.INTERNAL_ERROR, "The bridge made a mistake")
        if self._line.is_ready and not self.ready.done():
            self.ready.set_result(None)


def in_words(error: ClientError) -> str:
    """Return what an error says is wrong, without its advice."""
    return error.problem if isinstance(error, ConnectError) else str(error)


def why_closed(code: int, reason: str) -> str:
    """Return the end of a connection in words."""
    if code == CloseCode.ABNORMAL:
        return "the connection broke"
    return f"the other side says: {reason} ({code})" if reason else str(DisconnectedError(code)).rstrip(".")


def _is_private(address: str) -> bool:
    try:
        return is_private(address)
    except ValueError:
        return False
