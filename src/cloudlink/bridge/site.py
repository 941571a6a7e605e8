"""The interfaces of the server and of a connection, as the pure parts of a bridge use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cloudlink.server.events import Event, User

NODE_PREFIX = "bridge:"
"""What the `node` of each bridge's users begins with; the name of the bridge follows."""


def is_of_bridge(user: User) -> bool:
    """Return whether a user is on the other side of some bridge, which another node may run."""
    return bool(user.bridge)


class Site(Protocol):
    """This server, as one bridge sees it: its rooms hold users of CloudLink 4."""

    @property
    def is_attributed(self) -> bool:
        """Whether local clients see the senders of messages to a room."""
        ...

    def users(self, room: str) -> Iterable[User]:
        """Return the named users in a room that are not on the other side of a bridge."""
        ...

    def is_in(self, user_id: str, room: str) -> User | None:
        """Return the user with that id if it is in the room, else None."""
        ...

    def new_user(self, username: str) -> User:
        """Return a user of this bridge with ids of its own."""
        ...

    def join(self, user: User, room: str) -> None:
        """Show a user of this bridge in a room."""
        ...

    def leave(self, user: User, room: str) -> None:
        """Remove a user of this bridge from a room."""
        ...

    def rename(self, user: User) -> None:
        """Show a user of this bridge by another name."""
        ...

    def remove(self, users: Iterable[User]) -> None:
        """Remove users of this bridge from all rooms."""
        ...

    def admitted(self, user: User | None, room: str, val: bytes, *, is_variable: bool) -> bytes:
        """Return the value to deliver, changed by word filters, empty if mutes or other rules forbid it.

        Args:
            user: Its sender, None if it is not known.
            room: The room that it is for.
            val: JSON text of the value.
            is_variable: Whether it is a variable's; otherwise it is a message.
        """
        ...

    def deliver(self, room: str, event: Event) -> None:
        """Send an event that came over the bridge to the members of a room."""
        ...

    def deliver_to(self, user: User, room: str, event: Event) -> None:
        """Send an event that came over the bridge to one user."""
        ...

    def is_username(self, username: str) -> bool:
        """Return whether a user of the other side may be shown by a name."""
        ...

    def is_variable(self, name: str, val: bytes) -> bool:
        """Return whether a room's variable may have this name and value."""
        ...

    def is_cloud_variable(self, name: str, val: bytes) -> bool:
        """Return whether a cloud variable may have this name and value."""
        ...

    def variables(self, project: str) -> Mapping[str, bytes]:
        """Return a project's cloud variables, name to JSON text."""
        ...

    def set_variable(self, project: str, name: str, val: bytes) -> bool:
        """Set a project's cloud variable, which is allowed; return False if the project has no space for it."""
        ...


class Wire(Protocol):
    """A connection to the other side."""

    @property
    def is_congested(self) -> bool:
        """Whether the other side reads too slowly to be sent more now."""
        ...

    def send(self, text: bytes) -> None:
        """Send a message."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close the connection."""
        ...

    def hold(self) -> None:
        """Read nothing more until `release`."""
        ...

    def release(self) -> None:
        """Read again."""
        ...
