"""Answers one HTTP request, then closes its connection.

The response is written in pieces, no faster than the peer reads them, so that a large file costs little memory. The
connection is dropped if the peer reads nothing, or the handler does not finish, for some time.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from cloudlink.http import File
from cloudlink.http.refusals import failed, overdue

from .tls import detach

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cloudlink.http import Response

logger = logging.getLogger("cloudlink.transport")

_HANDLER_TIMEOUT = 30.0
"""Seconds a handler has to answer."""
_STALL_TIMEOUT = 30.0
"""Seconds within which a peer must read the next piece of a response."""
_LINGER_TIME = 2.0
"""Seconds for which the rest of an answered request is read and dropped."""
_PIECE = 1 << 16
"""Bytes of a file read at a time."""
_MOST_DROPPED = 1 << 20
"""Most bytes of a request's body that are read and dropped; the rest is not read."""

_waste = bytearray(1 << 16)
"""Shared buffer for the bytes after all requests; never read."""


class Exchange(asyncio.BufferedProtocol):
    """Sends the response to a request.

    Attributes:
        ended: Set when the connection has ended.
    """

    def __init__(
        self, transport: asyncio.Transport, when_lost: Callable[[Exchange], None], *, lingers: bool
    ) -> None:
        """Set up the exchange.

        Args:
            transport: The transport of the request.
            when_lost: Called with this exchange when the connection has ended.
            lingers: Whether more of the request may arrive. Closing a socket with unread bytes resets it, and the
                peer might never see the response (RFC 9112, section 9.6).
        """
        self._transport = transport
        self._when_lost = when_lost
        self._lingers = lingers
        self._dropped = 0
        self.ended = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def send(self, response: Response, *, head_only: bool = False) -> None:
        """Send a response that is ready and not a file."""
        self._transport.write(response.head(_now()) + (b"" if head_only else response.body))
        self._finish()

    def send_result(self, answer: Callable[[], Awaitable[Response]], *, head_only: bool) -> None:
        """Send the response that an async function returns."""
        self._task = asyncio.get_running_loop().create_task(self._send_result(answer, head_only=head_only))

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    # Called by the event loop.

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002  # asyncio's signature
        """Return where the next bytes go."""
        return _waste

    def buffer_updated(self, nbytes: int) -> None:
        """Drop the bytes."""
        self._dropped += nbytes
        if self._dropped > _MOST_DROPPED:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Keep writing: the peer has only announced that it will send no more."""
        is_answered = self._task is None or self._task.done()
        return not is_answered and self._transport.get_extra_info("ssl_object") is None

    def pause_writing(self) -> None:
        """Pause, because the peer reads more slowly than we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Resume, because the peer has caught up."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Stop, because the connection has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._writable.set()
        self.ended.set()
        self._when_lost(self)
        detach(self._transport)

    # Sending.

    async def _send_result(self, answer: Callable[[], Awaitable[Response]], *, head_only: bool) -> None:
        try:
            async with asyncio.timeout(_HANDLER_TIMEOUT):
                response = await answer()
        except TimeoutError:
            logger.warning("An HTTP request was not answered within %g seconds.", _HANDLER_TIMEOUT)
            response = overdue(_HANDLER_TIMEOUT)
        except Exception:
            logger.exception("An HTTP request could not be answered.")
            response = failed()
        if isinstance(response.body, File):
            await self._send_file(response, response.body, head_only=head_only)
        else:
            self.send(response, head_only=head_only)

    async def _send_file(self, response: Response, file: File, *, head_only: bool) -> None:
        transport = self._transport
        transport.set_write_buffer_limits(high=_PIECE)
        try:
            transport.write(response.head(_now()))
            left = 0 if head_only else file.size
            while left:
                piece = await asyncio.to_thread(file.stream.read, min(left, _PIECE))
                if not piece:
                    raise OSError("it has become shorter")  # noqa: TRY301  # handled like a read error
                left -= len(piece)
                transport.write(piece)
                async with asyncio.timeout(_STALL_TIMEOUT):
                    await self._writable.wait()
        except OSError as error:  # the time-out included
            # The response is shorter than its head says, so the peer can see that it is incomplete.
            logger.info("A file was not sent to its end: %s.", str(error) or "the client reads nothing")
            transport.abort()
        else:
            self._finish()
        finally:
            file.stream.close()

    def _finish(self) -> None:
        if self._lingers:
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self._timer = asyncio.get_running_loop().call_later(_LINGER_TIME, self._close)
        else:
            self._close()

    def _close(self) -> None:
        self._transport.close()
        self._timer = asyncio.get_running_loop().call_later(_STALL_TIMEOUT, self._watch, self._unsent())

    def _watch(self, unsent: int) -> None:
        """Drop a peer that has read nothing for a while."""
        now = self._unsent()
        if now < unsent:
            self._timer = asyncio.get_running_loop().call_later(_STALL_TIMEOUT, self._watch, now)
        else:
            self._transport.abort()

    def _unsent(self) -> int:
        return self._transport.get_write_buffer_size()


def _now() -> str:
    from email.utils import formatdate  # noqa: PLC0415  # only pages need it

    return formatdate(usegmt=True)
