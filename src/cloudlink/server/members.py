"""The fan-out side of a room: which connections of this process are sent the room's frames.

Per dialect there is one audience, the outboxes of all members who are sent the very same bytes, so that delivering
an event costs nothing per recipient. Who is present, here or elsewhere, is kept in `presence`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from cloudlink.delivery import Audience

if TYPE_CHECKING:
    from cloudlink.delivery import Delivery, Outbox

    from .events import User
    from .presence import Presence


class Member(Protocol):
    """What a room asks of a client."""

    outbox: Outbox
    dialect: Any
    user: User
    open: bool


class Members:
    """The clients of one protocol in one room.

    Attributes:
        room: The room's name.
        protocol: The protocol's schema class, None for clients whose first message has not come.
        presence: Every user of that protocol in the room, those of other processes included.
        clients: The members, in the order they joined.
        audiences: Per dialect, the members who speak it.
    """

    __slots__ = ("_delivery", "audiences", "clients", "presence", "protocol", "room")

    def __init__(self, room: str, protocol: type | None, presence: Presence, delivery: Delivery) -> None:
        self.room = room
        self.protocol = protocol
        self.presence = presence
        self.clients: dict[Any, None] = {}
        self.audiences: dict[Any, Audience] = {}
        self._delivery = delivery

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
