"""Queues of ready frames, one per client, written once per turn of the event loop.

Per recipient almost nothing happens: a frame is appended to a list. All that one turn produced for a
client leaves in one write, in the order it was produced, whoever it came from.

This module does not know the event loop: whoever builds a `Delivery` hands it the function that
calls back at the end of the turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class Connection(Protocol):
    """What the inside of the server may ask of a connection; the transport has the real one."""

    remote_address: tuple[str, int] | None
    """Address and port of the peer, None where it is unknown."""

    headers: Mapping[str, str]
    """Headers of the upgrade request; look-ups ignore case."""

    path: str
    """Request target of the upgrade request."""

    def write(self, frames: list[bytes]) -> None:
        """Write ready frames in order. The list is the caller's and is emptied afterwards."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake (RFC 6455, section 7) after everything written before."""
        ...


class Outbox(list[bytes]):
    """The frames waiting for one client, oldest first."""

    __slots__ = ("connection",)

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection


class Delivery:
    """Takes frames for clients and writes them at the end of the event loop's turn."""

    def __init__(self, schedule: Callable[[Callable[[], None]], object]) -> None:
        """Args: schedule: called with `flush` when the first frame of a turn is queued."""
        self._schedule = schedule
        self._scheduled = False
        self._waiting: list[Outbox] = []

    def send(self, outbox: Outbox, frame: bytes) -> None:
        """Queue one frame for one client."""
        if not outbox:
            self._waiting.append(outbox)
            if not self._scheduled:
                self._wake()
        outbox.append(frame)

    def broadcast(self, audience: Iterable[Outbox], frame: bytes, skip: Outbox | None = None) -> None:
        """Queue one frame for many clients, except the one to skip."""
        if not self._scheduled:
            self._wake()
        waiting = self._waiting
        for outbox in audience:
            if outbox is skip:
                continue
            if not outbox:
                waiting.append(outbox)
            outbox.append(frame)

    def _wake(self) -> None:
        self._scheduled = True
        self._schedule(self.flush)

    def flush(self) -> None:
        """Write everything that is queued, one write per client."""
        self._scheduled = False
        waiting, self._waiting = self._waiting, []
        for outbox in waiting:
            outbox.connection.write(outbox)
            outbox.clear()

    def close(self, outbox: Outbox, code: int, reason: str) -> None:
        """Write what is queued for a client, then close its connection."""
        if outbox:
            outbox.connection.write(outbox)
            outbox.clear()
        outbox.connection.close(code, reason)
