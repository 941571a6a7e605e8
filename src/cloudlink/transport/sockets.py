"""Limits of the system's sockets: how much one may buffer, and what happens when no more can be opened."""

from __future__ import annotations

import errno
import logging
import select
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
"""Most unsent bytes that the kernel buffers for a peer."""

_USED_UP = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_LAST_ATTEMPT = 2.0
"""Seconds after which asyncio no longer tries to accept connections on a closed port."""


def bound_unsent(connected: socket.socket) -> None:
    """Have the kernel keep no more than 512 KiB of what it has not sent to a peer yet.

    By default Linux keeps up to 4 MiB for a peer that reads nothing, in addition to the backlog, and updates in it cannot be
    replaced any more. Unlike `SO_SNDBUF`, this does not bound the data in flight, and so not the speed over long distances.
    If the system does not know the option, nothing happens.

    Args:
        connected: The socket of a connection.
    """
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None:
        with suppress(OSError):
            connected.setsockopt(socket.IPPROTO_TCP, option, _MOST_UNSENT)


def has_hung_up(connected: socket.socket) -> bool:
    """Return whether the peer will send no more, even while nothing is read; always False where only reading tells.

    Args:
        connected: The socket of a connection.
    """
    hung_up: int | None = getattr(select, "POLLRDHUP", None)
    if hung_up is None:
        return False
    poll = select.poll()
    poll.register(connected.fileno(), hung_up)
    return bool(poll.poll(0))


def own_addresses() -> list[str]:
    """Return the addresses with which this machine reaches others; nothing is sent."""
    found = []
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))  # of a datagram socket, this only chooses the route
            found.append(probe.getsockname()[0].partition("%")[0])
    return found


def open_files_limit() -> int | None:
    """Return how many files and sockets this process may have open, None if unknown."""
    try:
        import resource  # noqa: PLC0415  # Windows lacks this module, and such a limit
    except ImportError:
        return None
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_open_files_limit() -> None:
    """Let this process open as many sockets as the system allows; the usual 1024 are too few."""
    try:
        import resource  # noqa: PLC0415  # see above
    except ImportError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class AcceptErrors:
    """Makes an event loop report at most once a minute, in one line, that it cannot accept connections.

    asyncio tries again each second and by default logs a traceback for every attempt.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._throttle = LogThrottle(clock=clock)
        self._others: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = None

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Handle the loop's accept errors; all other errors go to the previous handler."""
        self._others = loop.get_exception_handler()
        loop.set_exception_handler(self.handle)

    def unwatch_later(self, loop: asyncio.AbstractEventLoop) -> None:
        """Restore the loop's handler once asyncio has stopped trying to accept on the closed port."""
        loop.call_later(_LAST_ATTEMPT, self.unwatch, loop)

    def unwatch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Restore the loop's handler, unless it has been changed meanwhile."""
        if loop.get_exception_handler() == self.handle:
            loop.set_exception_handler(self._others)

    def handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle an error of the loop (`asyncio.loop.set_exception_handler`)."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _USED_UP and "accept" in context["message"]:
            self._report(error)
        elif isinstance(error, ValueError) and "_start_serving" in context["message"]:
            pass  # asyncio tried again although the port is closed
        elif self._others is not None:
            self._others(loop, context)
        else:
            loop.default_exception_handler(context)

    def _report(self, error: OSError) -> None:
        if not self._throttle.should_log():
            return
        limit = open_files_limit()
        if error.errno == errno.EMFILE and limit is not None:
            why = f"this process may have {limit} files and sockets open; raise that with `ulimit -n`"
        else:
            why = f"the system says: {error.strerror}"
        logger.error("New connections have to wait: %s.", why)
