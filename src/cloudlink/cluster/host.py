"""What a node of a cluster is part of: the interface of a server, or of a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .records import Private, RoomEvent, RoomVariable, Row, Topic


class Host(Protocol):
    """The server of a node, as the node uses it. Users and nodes are named by their ids."""

    @property
    def clients(self) -> int:
        """The number of clients of this node."""
        ...

    def schedule_flush(self) -> None:
        """Call `Node.flush` soon."""
        ...

    def on_ready(self, others: int) -> None:
        """The node sees the cluster: this many other nodes."""
        ...

    def on_number(self, number: int) -> None:
        """The node has another number, because a node with a lower id has the former one."""
        ...

    def on_users(self, node: str, rows: dict[str, Row]) -> None:
        """Replace all users of a node, by id."""
        ...

    def on_user(self, node: str, row: Row) -> None:
        """Add a user, or add it to rooms, or rename it."""
        ...

    def on_left(self, node: str, user: str, room: str) -> None:
        """Remove a user from a room."""
        ...

    def on_gone(self, node: str, user: str) -> None:
        """Remove a user."""
        ...

    def on_down(self, node: str) -> None:
        """Remove all users of a node."""
        ...

    def on_quiet(self, node: str) -> None:
        """Take over what a node does for all: it may have died, but its users stay for a moment."""
        ...

    def on_absence(self) -> None:
        """Do nothing more for all nodes: this process did not run for so long that others may have taken over."""
        ...

    def on_event(self, node: str, record: RoomEvent | RoomVariable | Private | Topic) -> None:
        """Deliver an event of another node."""
        ...

    def is_shared(self, protocol: str, room: str, node: str) -> bool:
        """Return whether a node has users in a room."""
        ...

    def dismiss(self, user: str, username: str) -> None:
        """Disconnect a client of this node: a client of another node had its name before."""
        ...
