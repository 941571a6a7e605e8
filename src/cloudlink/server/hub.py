"""The hub: sends every event to clients, subscribers and other processes.

A command, a bridge or a plugin emits an event. The hub has each local audience's dialect write it once,
queues the frame, and passes the event to the subscribers of its class and to the brokers. The hub knows no
protocol; of a dialect, it uses only the `EventWriter` interface.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .events import Message, Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable

    from cloudlink.delivery import Delivery, Outbox

    from .broker import Brokers
    from .client import Client, Schema
    from .clients import ClientsManager
    from .events import Event, User
    from .members import Members
    from .rooms import RoomsManager

    Subscriber = Callable[[str, Schema | None, Any, Outbox | None], object]

logger = logging.getLogger("cloudlink.server")


class Hub:
    """Delivers events."""

    def __init__(
        self, clients: ClientsManager, rooms: RoomsManager, delivery: Delivery, brokers: Brokers
    ) -> None:
        self._clients = clients
        self._rooms = rooms
        self._delivery = delivery
        self._brokers = brokers
        self._subscribers: dict[type[Event], list[Subscriber]] = {}

    def subscribe(self, kind: type[Event], subscriber: Subscriber) -> None:
        """Call a function after each event of a class that is sent to a room, or to users.

        Args:
            kind: The event class, such as `events.Message`.
            subscriber: `f(room, protocol, event, skip)`: the room's name, the protocol's schema class, the
                event, and the outbox that was skipped, None if none was; if several were, the sender's. For
                what is sent to users the name is empty, and both others are None. Exceptions of the subscriber
                are logged.
        """
        self._subscribers.setdefault(kind, []).append(subscriber)

    def unsubscribe(self, kind: type[Event], subscriber: Subscriber) -> None:
        """Stop calling a function that `subscribe` has added; do nothing if it is not there."""
        subscribers = self._subscribers.get(kind, [])
        if subscriber in subscribers:
            subscribers.remove(subscriber)
            if not subscribers:
                del self._subscribers[kind]

    # To a room.

    def emit(
        self,
        members: Members,
        event: Event,
        sender: Client | None = None,
        listener: bytes = b"",
        *,
        to_sender: bool = True,
    ) -> int:
        """Send an event to all members of a room, in this and other processes.

        Args:
            members: The members of one protocol in the room.
            event: The event.
            sender: The client that caused it, None for the server itself.
            listener: JSON text of the sender's echo tag, which only its own copy carries; empty for none.
            to_sender: Whether the sender also gets a copy.

        Returns:
            Bytes queued for all members in this process, counting an omitted sender.
        """
        skip = None
        if sender is not None:
            if not to_sender:
                skip = sender.outbox
            elif listener:
                skip = sender.outbox
                self._delivery.send(skip, sender.dialect.writers[type(event)](event, members.room, listener))
        size = self._deliver(members, event, skip, None if sender is None else sender.outbox, listener)
        if self._brokers.any:  # saves a call on a lone server
            self._brokers.publish(members.room, members.protocol, event)
        return size

    def emit_except(
        self, members: Members, event: Message | Variable, sender: Client, listener: bytes = b""
    ) -> int:
        """Send an event to all members of a room except those in `event.left_out`.

        Args:
            members: As in `emit`.
            event: The event.
            sender: The client that caused it; it gets a copy unless it is in `event.left_out`.
            listener: JSON text of the sender's echo tag, which only its own copy carries; empty for none.

        Returns:
            Bytes queued for all members in this process, counting omitted members.
        """
        skips = self._outboxes(event.left_out)
        if listener and sender.outbox not in skips:
            own = sender.dialect.writers[type(event)](event, members.room, listener)
            self._delivery.send(sender.outbox, own)
            skips[sender.outbox] = None
        size = self._deliver_except(members, event, skips, sender.outbox)
        self._brokers.publish(members.room, members.protocol, event)
        return size

    def emit_to(self, room: str, protocol: Schema, event: Event) -> int:
        """Send an event without a sender to all members of a room, which may have no members in this process.

        Returns:
            Bytes queued, over all recipients.
        """
        size = self.deliver(room, protocol, event)
        self._brokers.publish(room, protocol, event)
        return size

    def deliver(self, room: str, protocol: Schema, event: Event, sender: Outbox | None = None) -> int:
        """Send an event to the members of a room that are connected to this process.

        Events from other processes use this method, so that they are not published again.

        Args:
            room: The room's name.
            protocol: The protocol's schema class.
            event: The event.
            sender: Stands for whoever caused it, so that it cannot fill the backlog of a slow reader; None for the server.

        Returns:
            Bytes queued, over all recipients.
        """
        members = self._rooms.members(room, protocol)
        if members is not None:
            # Most events are variables: `isinstance` is slow for classes with a metaclass, unless it finds the very class.
            if isinstance(event, (Variable, Message)) and event.left_out:
                return self._deliver_except(members, event, self._outboxes(event.left_out), None)
            return self._deliver(members, event, None, sender)
        self._tell_subscribers(room, protocol, event, None)
        return 0

    def _deliver(
        self,
        members: Members,
        event: Event,
        skip: Outbox | None,
        sender: Outbox | None = None,
        listener: bytes = b"",
    ) -> int:
        size = 0
        room = members.room
        kind = type(event)
        is_deferrable = kind.deferrable
        for dialect, audience in members.audiences.items():
            frame = dialect.writers[kind](event, room)  # `dialect.write`, inlined
            if frame:
                size += len(frame) * len(audience.outboxes)
                if is_deferrable:
                    self._delivery.broadcast_deferred(audience, frame, skip)
                else:
                    self._delivery.broadcast(
                        audience, frame, skip, sender if dialect.may_miss else None, listener
                    )
        if kind in self._subscribers:
            self._tell_subscribers(room, members.protocol, event, skip)
        return size

    def _deliver_except(
        self, members: Members, event: Event, skips: Collection[Outbox], sender: Outbox | None
    ) -> int:
        size = 0
        for dialect, audience in members.audiences.items():
            frame = dialect.writers[type(event)](event, members.room)
            size += len(frame) * len(audience.outboxes)
            self._delivery.broadcast_except(audience, frame, skips)
        self._tell_subscribers(members.room, members.protocol, event, sender if sender in skips else None)
        return size

    def _outboxes(self, ids: Iterable[str]) -> dict[Outbox, None]:
        """Return the outboxes of those users that are connected to this process."""
        clients = map(self._clients.snowflakes.get, ids)
        return {client.outbox: None for client in clients if client is not None}

    def _tell_subscribers(
        self, room: str, protocol: Schema | None, event: Event, skip: Outbox | None
    ) -> None:
        for subscriber in tuple(self._subscribers.get(type(event), ())):
            try:
                subscriber(room, protocol, event, skip)
            except Exception:  # the event is delivered, and other subscribers must still get it
                logger.exception("A subscriber of %s events failed.", type(event).__name__)

    # To users.

    def refusal(self, copies: Iterable[tuple[str, User]], event: Event) -> str:
        """Return why an event cannot be sent to one of its recipients, empty if it can be sent to all."""
        for _, user in copies:
            if user.node and (why := self._brokers.refusal(user, event)):
                return why
        return ""

    def send(
        self,
        copies: Iterable[tuple[str, User]],
        event: Event,
        sender: Client | None = None,
        listener: bytes = b"",
    ) -> int:
        """Send an event to users; it is written once per dialect and room unless it holds the recipient's name.

        Args:
            copies: A room and a recipient for each copy; the room is empty for events outside rooms.
            event: The event.
            sender: The client that caused it, None for the server itself.
            listener: JSON text of the echo tag for the answer to the sender if a copy is dropped.

        Returns:
            Number of copies sent. Recipients whose dialect cannot express the event get none.
        """
        sent = 0
        kind = type(event)
        frames: dict[Hashable, bytes] = {}
        for room, user in copies:
            client = self._clients.snowflakes.get(user.id)
            if client is None:
                if user.node:
                    self._brokers.send(user, room, event)
                    sent += 1
                continue
            dialect: Any = client.dialect
            key = (dialect, room, user.id) if kind in dialect.names_recipient else (dialect, room)
            frame = frames.get(key)
            if frame is None:
                frame = dialect.writers[kind](event, room, b"", user)
                if sender is not None:
                    frame = self._delivery.sign(frame, sender.outbox, listener)
                frames[key] = frame
            if frame:
                self._delivery.send(client.outbox, frame)
                sent += 1
        if kind in self._subscribers:
            self._tell_subscribers("", None, event, None)
        return sent
