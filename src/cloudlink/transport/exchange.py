"""Answers one HTTP request on its connection, and closes it.

The response is written in pieces, no faster than the peer takes them, so that a large file costs little memory. A
peer that takes nothing, or a handler that does not come to an end, is given up after some time.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from cloudlink.http import File
from cloudlink.http.refusals import failed, overdue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cloudlink.http import Response

logger = logging.getLogger("cloudlink.transport")

_HANDLER_TIMEOUT = 30.0
"""Seconds a handler has to answer."""
_STALL_TIMEOUT = 30.0
"""Seconds in which a peer has to take the next piece of a response."""
_LINGER_TIME = 2.0
"""Seconds for which more of a request is read and dropped once it has been answered."""
_PIECE = 1 << 16
"""Bytes of a file read at a time."""
_MOST_DROPPED = 1 << 20
"""Bytes of a request's body that are read and dropped; the rest stays with the peer."""

_waste = bytearray(1 << 16)
"""What all peers send behind their requests; never looked at."""


class Exchange(asyncio.BufferedProtocol):
    """Sends the response to a request.

    Attributes:
        ended: Set when the connection is gone.
    """

    def __init__(
        self, transport: asyncio.Transport, when_lost: Callable[[Exchange], None], *, lingers: bool
    ) -> None:
        """Set up the exchange.

        Args:
            transport: The connection that the request came through.
            when_lost: Called with this exchange when the connection is gone.
            lingers: Whether more of the request may still come. A socket that is closed with unread bytes is reset, and
                the peer might never see the response (RFC 9112, section 9.6).
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
        """Send the response that a function finds."""
        self._task = asyncio.get_running_loop().create_task(self._send_result(answer, head_only=head_only))

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    # Called by the event loop.

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002  # asyncio's signature
        """Return where the next bytes go."""
        return _waste

    def buffer_updated(self, nbytes: int) -> None:
        """Drop what came."""
        self._dropped += nbytes
        if self._dropped > _MOST_DROPPED:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Go on writing to a peer that has only said that it will send no more."""
        is_answered = self._task is None or self._task.done()
        return not is_answered and self._transport.get_extra_info("ssl_object") is None

    def pause_writing(self) -> None:
        """Wait: the peer reads more slowly than we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on: the peer has caught up."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Stop: the connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        self._writable.set()
        self.ended.set()
        self._when_lost(self)

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
                    raise OSError("it has become shorter")  # noqa: TRY301  # as if it could not be read on
                left -= len(piece)
                transport.write(piece)
                async with asyncio.timeout(_STALL_TIMEOUT):
                    await self._writable.wait()
        except OSError as error:  # the time-out included
            # The response is shorter than its head says, by which the peer sees that it is not whole.
            logger.info("A file was not sent to its end: %s.", str(error) or "the client takes nothing")
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
        """Drop a peer that has taken nothing for a while."""
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
