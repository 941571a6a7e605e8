"""The queue of frames that wait for one client, and the connection they wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .backlog import Backlog


class Connection(Protocol):
    """The part of a connection that the rest of the server uses; the transport implements it."""

    remote_address: tuple[str, int] | None
    """Address and port of the peer; None if unknown."""

    address: str
    """Address for limits and logs; behind trusted proxies, the client's real one."""

    path: str
    """Request target of the upgrade request."""

    congested: bool
    """Whether the peer is not reading what was written; nothing more should be written until it does."""

    patience: int
    """Factor by which the peer may be silent longer than others before it counts as gone."""

    kept: int
    """Bytes of received parts of messages, and of a read buffer that has become large."""

    cause: str
    """Why the connection ended or will end, if nobody else knows: `client`, `stalled`, `timeout` or `protocol`."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the upgrade request; look-ups ignore case."""
        ...

    def write(self, frames: list[bytes]) -> None:
        """Write ready frames in order. The caller keeps the list and empties it afterwards."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake (RFC 6455, section 7) after everything written before."""
        ...

    def hold(self) -> None:
        """Read nothing from the peer until `release`, because its earlier packets still wait."""
        ...

    def release(self) -> None:
        """Resume reading from the peer."""
        ...

    def drop_soon(self) -> None:
        """Read nothing more and drop the connection within a second, after its close frame was sent."""
        ...

    def slow_down(self) -> None:
        """Read nothing from the peer for a moment: it sends too much."""
        ...


class Owner(Protocol):
    """The sender and recipient of frames, as delivery sees it: a session."""

    def close_for_reading_slowly(self) -> None:
        """Close the connection, because its backlog is over the limit."""
        ...

    def tell_undelivered(self, listener: bytes) -> None:
        """Note that a frame this client caused was dropped, because one of its recipients reads too slowly.

        Args:
            listener: The tag of the frame.
        """
        ...


class Outbox(list[bytes]):
    """The frames waiting for one client, oldest first.

    Attributes:
        connection: The connection they are written to.
        owner: Notified of dropped frames.
        backlog: Frames that wait since the client stopped reading; older than those in the list.
    """

    __slots__ = ("backlog", "connection", "owner")

    def __init__(self, connection: Connection, owner: Owner | None = None) -> None:
        """Args: owner: Notified of dropped frames, None for nobody."""
        super().__init__()
        self.connection = connection
        self.owner = owner or _NOBODY
        self.backlog: Backlog | None = None

    def retire(self) -> None:
        """Drop waiting frames and the owner, because the client has disconnected."""
        self.clear()
        self.backlog = None
        self.owner = _NOBODY

    # Queues compare by identity: two that hold the same frames belong to two clients.
    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__
    __ne__ = object.__ne__


class _Nobody:
    """The owner of an outbox whose client has disconnected, or that never had one."""

    def close_for_reading_slowly(self) -> None:
        """Do nothing."""

    def tell_undelivered(self, listener: bytes) -> None:
        """Do nothing."""


_NOBODY = _Nobody()
