"""Where new connections wait for their first bytes, so that thousands of them cannot send these all at once.

The event loop reads from every socket that has something before it does anything else. If 4800 new connections hold their first
bytes back and then all send them, reading them would take a fifth of a second, in which nobody is served. So only the lobby
watches them, with an `epoll` object of its own (Linux), which the loop sees as one file. The lobby lets some of them in at a
time, in the order in which their bytes have come; everybody else is served in between.
"""

from __future__ import annotations

import asyncio
import select
from contextlib import suppress
from typing import Protocol

_AT_ONCE = 100
"""Most connections that are let in in one iteration of the event loop."""


class Lobby(Protocol):
    """Holds connections until something has arrived from them."""

    def wait(self, stream: asyncio.Transport) -> None:
        """Read nothing from a new connection until something has arrived, and until it is its turn."""
        ...

    def leave(self, stream: asyncio.Transport) -> None:
        """Forget a connection that has ended; does nothing if it does not wait here any more."""
        ...

    def close(self) -> None:
        """Watch nothing any more; does nothing the second time."""
        ...


class NoLobby:
    """For systems without epoll: the event loop reads from new connections at once."""

    def wait(self, stream: asyncio.Transport) -> None:
        """Do nothing."""

    def leave(self, stream: asyncio.Transport) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class EpollLobby:
    """Watches new connections with an epoll object."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Args: loop: The event loop of the connections."""
        self._loop = loop
        self._epoll = select.epoll()
        self._streams: dict[int, asyncio.Transport] = {}
        self._numbers: dict[asyncio.Transport, int] = {}
        loop.add_reader(self._epoll.fileno(), self._let_in)

    def wait(self, stream: asyncio.Transport) -> None:
        """See `Lobby`."""
        if self._epoll.closed:
            return
        number = stream.get_extra_info("socket").fileno()
        stream.pause_reading()
        self._epoll.register(number, select.EPOLLIN)
        self._streams[number], self._numbers[stream] = stream, number

    def leave(self, stream: asyncio.Transport) -> None:
        """See `Lobby`."""
        number = self._numbers.pop(stream, None)
        if number is not None:
            del self._streams[number]
            with suppress(OSError, ValueError):  # the socket, or the lobby, may be closed already
                self._epoll.unregister(number)

    def close(self) -> None:
        """See `Lobby`."""
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def _let_in(self) -> None:
        for number, _ in self._epoll.poll(0, _AT_ONCE):
            stream = self._streams[number]
            self.leave(stream)
            stream.resume_reading()


def open_lobby() -> Lobby:
    """Return a lobby for the running event loop."""
    return EpollLobby(asyncio.get_running_loop()) if hasattr(select, "epoll") else NoLobby()
