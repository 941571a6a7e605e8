"""Tells the event loop of a bounded number of sockets at a time (Linux).

asyncio's selector returns all sockets that have something to read, and the event loop reads them all before it does anything
else. With thousands of busy clients, that is more than the server can process in a turn. What is read but has to wait costs more
than what is still in the system's buffers: it is queued, and by its turn, the processor's caches have lost the data of its
client. A server that had fallen behind needed half as much time again for each message, and could not catch up. So it reads even
less while it is behind, but not nothing, because only reading shows from which address something comes.

The system keeps the order: sockets that were not returned come first in the next call.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import select
    from collections.abc import Callable

_AT_ONCE = 256
"""Most sockets that are read in one iteration of the event loop: about 5 ms of work for small messages."""
_WHILE_BEHIND = 48
"""The same while the server is behind."""


class _BoundedEpoll:
    """An epoll object whose `poll` returns a bounded number of events, whatever the caller asks for."""

    def __init__(self, epoll: select.epoll, is_behind: Callable[[], bool]) -> None:
        self.register = epoll.register
        self.unregister = epoll.unregister
        self.modify = epoll.modify
        self.fileno = epoll.fileno
        self.close = epoll.close
        self._poll = epoll.poll
        self._is_behind = is_behind

    def poll(self, timeout: float | None, wanted: int) -> list[tuple[int, int]]:
        """Wait up to `timeout` seconds, and return descriptors with their events."""
        return self._poll(timeout, min(wanted, _WHILE_BEHIND if self._is_behind() else _AT_ONCE))


def bounded_selector(is_behind: Callable[[], bool]) -> selectors.EpollSelector:
    """Return a selector whose `select` returns a bounded number of files.

    It replaces an attribute of the standard library's selector that is not public; without that attribute, the selector returns
    all files.

    Args:
        is_behind: Returns whether so much that has been read waits that little more should be read.
    """
    selector = selectors.EpollSelector()
    epoll = getattr(selector, "_selector", None)
    if epoll is not None:
        selector._selector = _BoundedEpoll(epoll, is_behind)  # type: ignore[attr-defined]  # noqa: SLF001
    return selector


def new_event_loop(is_behind: Callable[[], bool]) -> asyncio.AbstractEventLoop:
    """Return a new event loop with a `bounded_selector`.

    On a system without epoll, or if another library provides the loops, as after `uvloop.install`, it is the usual one.
    """
    loop = asyncio.new_event_loop()
    if type(loop) is not asyncio.SelectorEventLoop or not hasattr(selectors, "EpollSelector"):
        return loop
    loop.close()
    return asyncio.SelectorEventLoop(bounded_selector(is_behind))
