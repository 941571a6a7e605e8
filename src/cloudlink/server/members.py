"""The fan-out of a room: the connections of this process that get the room's frames.

Each dialect has one audience: the outboxes of all members that get identical bytes. An event is therefore
encoded once per dialect and not once per recipient. The users in a room, in all processes, are kept in
`presence`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from cloudlink.delivery import Audience

if TYPE_CHECKING:
    from cloudlink.delivery import Delivery, Outbox

    from .events import User
    from .presence import Presence


class Member(Protocol):
    """The part of a client that a room uses."""

    outbox: Outbox
    dialect: Any
    user: User
    open: bool


class Members:
    """The clients of one protocol in one room.

    Attributes:
        room: The room's name.
        protocol: The protocol's schema class, None for clients that have not sent their first message.
        presence: All users of that protocol in the room, including those of other processes.
        clients: The members, in the order in which they joined.
        audiences: The members that speak each dialect.
    """

    __slots__ = ("_alone", "_delivery", "audiences", "clients", "presence", "protocol", "room")

    def __init__(self, room: str, protocol: type | None, presence: Presence, delivery: Delivery) -> None:
        self.room = room
        self.protocol = protocol
        self.presence = presence
        self.clients: dict[Any, None] = {}
        self.audiences: dict[Any, Audience] = {}
        self._delivery = delivery
        self._alone: dict[str, Members] | None = None

    @property
    def alone(self) -> dict[str, Members]:
        """The `joined` of every client that is in this room and in no other. It must not be changed."""
        if self._alone is None:
            self._alone = {self.room: self}
        return self._alone

    def retire(self) -> None:
        """Break the reference cycle after the last client has left, so that all is freed without the garbage collector."""
        self._alone = None

    def add(self, client: Member) -> None:
        """Add a client."""
        self.clients[client] = None
        self._join_audience(client, client.dialect)
        self.presence.add(client.user)

    def remove(self, client: Member) -> None:
        """Remove a member."""
        del self.clients[client]
        self._leave_audience(client)
        self.presence.remove(client.user)

    def change_dialect(self, client: Member, dialect: object) -> None:
        """Move a member to the audience of another dialect; `client.dialect` is still the old one."""
        self._leave_audience(client)
        self._join_audience(client, dialect)

    def _join_audience(self, client: Member, dialect: object) -> None:
        if dialect not in self.audiences:
            self.audiences[dialect] = Audience(self._delivery, self)
        self.audiences[dialect].add(client.outbox)

    def _leave_audience(self, client: Member) -> None:
        audience = self.audiences[client.dialect]
        audience.remove(client.outbox, is_gone=not client.open)
        if not audience:
            del self.audiences[client.dialect]
