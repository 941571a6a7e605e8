"""What is asked of the system's sockets: how much one may hold, and what happens when there are no more."""

from __future__ import annotations

import errno
import logging
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cloudlink.logthrottle import LogThrottle

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

logger = logging.getLogger("cloudlink.transport")

_MOST_UNSENT = 1 << 19
"""Bytes that the kernel takes for a peer before it has sent them."""

_USED_UP = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_LAST_ATTEMPT = 2.0
"""Seconds after which asyncio has tried for the last time to accept connections of a closed port."""


def bound_unsent(connected: socket.socket) -> None:
    """Have the kernel keep no more than 512 KiB of what it has not sent to a peer yet.

    By default Linux keeps up to 4 MiB for a peer that reads nothing, beside the backlog, where it cannot be replaced
    any more. Unlike `SO_SNDBUF` this does not bound what is on its way, and so not the speed of a long way either. Where
    the system does not know the option, nothing happens.

    Args:
        connected: The socket of a connection.
    """
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None:
        with suppress(OSError):
            connected.setsockopt(socket.IPPROTO_TCP, option, _MOST_UNSENT)


def open_files_limit() -> int | None:
    """Return how many files and sockets this process may have open, None where the system does not tell."""
    try:
        import resource  # noqa: PLC0415  # Windows has none, and no such limit
    except ImportError:
        return None
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_open_files_limit() -> None:
    """Let this process open as many sockets as the system allows; the usual 1024 are soon used up."""
    try:
        import resource  # noqa: PLC0415  # see above
    except ImportError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class AcceptErrors:
    """Has an event loop report once a minute, in one line, that it cannot accept connections.

    asyncio tries again each second and by itself writes a traceback for every single attempt.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._throttle = LogThrottle(clock=clock)
        self._others: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = None

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the loop's errors; those of others go where they went before."""
        self._others = loop.get_exception_handler()
        loop.set_exception_handler(self.handle)

    def unwatch_later(self, loop: asyncio.AbstractEventLoop) -> None:
        """Leave the loop as it was once the port is closed and forgotten."""
        loop.call_later(_LAST_ATTEMPT, self.unwatch, loop)

    def unwatch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Leave the loop as it was, unless somebody else has changed it meanwhile."""
        if loop.get_exception_handler() == self.handle:
            loop.set_exception_handler(self._others)

    def handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle an error of the loop (`asyncio.loop.set_exception_handler`)."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _USED_UP and "accept" in context["message"]:
            self._report(error)
        elif isinstance(error, ValueError) and "_start_serving" in context["message"]:
            pass  # asyncio tries again although the port is closed by now
        elif self._others is not None:
            self._others(loop, context)
        else:
            loop.default_exception_handler(context)

    def _report(self, error: OSError) -> None:
        if not self._throttle.should_log():
            return
        limit = open_files_limit()
        if error.errno == errno.EMFILE and limit is not None:
            why = f"this process may have {limit} files and sockets open; `ulimit -n` raises that"
        else:
            why = f"the system says: {error.strerror}"
        logger.error("New connections have to wait: %s.", why)
