"""Brokers carry events between this process and other servers: the nodes of a cluster, and bridges.

A lone server has none. The hub and the rooms report to `Brokers`, which passes each report on to every
broker that needs it. A user of another server belongs to the broker that carries its node (`User.node`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .events import Event, User

VIA = "cluster"
"""The value of `via` of events of other nodes, followed by a colon and their own `via` if they had one."""


class Broker(Protocol):
    """Carries events to other servers. Calls must not block.

    The users that it is told about are those of this process and of other brokers, never those that it carries
    itself.
    """

    def carries(self, node: str) -> bool:
        """Return whether the users of a node are reached through this broker; False for this process (empty)."""
        ...

    def publish(self, room: str, protocol: type | None, event: Event) -> None:
        """Carry an event to the members of a room on other servers.

        Changes of user lists are published too, but need not be carried: `joined` and the other reports say
        the same, also of users without a name.
        """
        ...

    def send(self, user: User, room: str, event: Event) -> None:
        """Carry an event to one user on another server.

        Args:
            user: The recipient; this broker carries its node.
            room: The room that the event was sent in, empty for none.
            event: The event.
        """
        ...

    def refusal(self, user: User, event: Event) -> str:
        """Return why an event cannot be sent to a user that this broker carries, empty if it can."""
        ...

    def joined(self, user: User, room: str, protocol: type | None) -> None:
        """Record that a user is in a room now, with or without a name."""
        ...

    def left(self, user: User, room: str) -> None:
        """Record that a user has left a room; it may be in others."""
        ...

    def renamed(self, user: User) -> None:
        """Record that a user has another name now, or none."""
        ...

    def gone(self, user: User) -> None:
        """Record that a user has disconnected, and is in no room any more."""
        ...


class Brokers:
    """The brokers of this process, none on a lone server.

    Attributes:
        any: Whether there are any.
    """

    def __init__(self) -> None:
        self._brokers: tuple[Broker, ...] = ()
        self.any = False

    def add(self, broker: Broker) -> None:
        """Add a broker; it hears only of what happens from now on."""
        self._brokers = (*self._brokers, broker)
        self.any = True

    def remove(self, broker: Broker) -> None:
        """Remove a broker if it is present."""
        self._brokers = tuple(each for each in self._brokers if each is not broker)
        self.any = bool(self._brokers)

    def publish(self, room: str, protocol: type | None, event: Event) -> None:
        """Have every broker carry an event to the members of a room."""
        for broker in self._brokers:
            broker.publish(room, protocol, event)

    def send(self, user: User, room: str, event: Event) -> None:
        """Have the broker that carries a user's node carry an event to that user."""
        for broker in self._brokers:
            if broker.carries(user.node):
                broker.send(user, room, event)
                return

    def refusal(self, user: User, event: Event) -> str:
        """Return why an event cannot be sent to a user of another server, empty if it can."""
        for broker in self._brokers:
            if broker.carries(user.node):
                return broker.refusal(user, event)
        return ""

    def joined(self, user: User, room: str, protocol: type | None) -> None:
        """Report a user in a room to the brokers that do not carry it."""
        for broker in self._brokers:
            if not broker.carries(user.node):
                broker.joined(user, room, protocol)

    def left(self, user: User, room: str) -> None:
        """Report a user that has left a room to the brokers that do not carry it."""
        for broker in self._brokers:
            if not broker.carries(user.node):
                broker.left(user, room)

    def renamed(self, user: User) -> None:
        """Report a user's name to the brokers that do not carry it."""
        for broker in self._brokers:
            if not broker.carries(user.node):
                broker.renamed(user)

    def gone(self, user: User) -> None:
        """Report a user that has disconnected to the brokers that do not carry it."""
        for broker in self._brokers:
            if not broker.carries(user.node):
                broker.gone(user)
