"""What other processes are told of this one's events, and how they are reached.

A server that runs alone has a `LocalBroker`, which does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .events import Event, User


class Broker(Protocol):
    """Carries events to other processes. No call may block."""

    def publish(self, room: str, protocol: type | None, event: Event) -> None:
        """Carry an event to everybody in a room who is connected elsewhere."""
        ...

    def send(self, user: User, room: str, event: Event) -> None:
        """Carry an event to one user who is connected elsewhere.

        Args:
            user: The recipient; its `node` is not empty.
            room: The room it was sent in, empty for none.
            event: The event.
        """
        ...

    def room_opened(self, room: str, protocol: type | None) -> None:
        """Note that a room has its first member here."""
        ...

    def room_closed(self, room: str, protocol: type | None) -> None:
        """Note that the last member here has left a room."""
        ...


class LocalBroker:
    """The broker of a server without peers."""

    def publish(self, room: str, protocol: type | None, event: Event) -> None:
        """Do nothing: everybody is connected here."""

    def send(self, user: User, room: str, event: Event) -> None:
        """Do nothing: no user is connected elsewhere."""

    def room_opened(self, room: str, protocol: type | None) -> None:
        """Do nothing."""

    def room_closed(self, room: str, protocol: type | None) -> None:
        """Do nothing."""
