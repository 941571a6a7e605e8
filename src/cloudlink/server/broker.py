"""The broker interface: carries events from this process to other server processes.

A single server uses `LocalBroker`, which does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .events import Event, User


class Broker(Protocol):
    """Carries events to other processes. Calls must not block."""

    def publish(self, room: str, protocol: type | None, event: Event) -> None:
        """Carry an event to the members of a room that are connected to other processes."""
        ...

    def send(self, user: User, room: str, event: Event) -> None:
        """Carry an event to one user that is connected to another process.

        Args:
            user: The recipient; its `node` is not empty.
            room: The room that the event was sent in, empty for none.
            event: The event.
        """
        ...

    def room_opened(self, room: str, protocol: type | None) -> None:
        """Record that a room has its first member in this process."""
        ...

    def room_closed(self, room: str, protocol: type | None) -> None:
        """Record that the last member in this process has left a room."""
        ...


class LocalBroker:
    """The broker of a server without peers."""

    def publish(self, room: str, protocol: type | None, event: Event) -> None:
        """Do nothing: all members are connected to this process."""

    def send(self, user: User, room: str, event: Event) -> None:
        """Do nothing: all users are connected to this process."""

    def room_opened(self, room: str, protocol: type | None) -> None:
        """Do nothing."""

    def room_closed(self, room: str, protocol: type | None) -> None:
        """Do nothing."""
