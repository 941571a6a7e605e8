"""The lines in which `cloudlink client` reports events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink import jsontext
from cloudlink.client import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.client.events import Connected, Event, StatusCode, User


def line_of(event: Event) -> str:
    """Return the line that reports an event; empty if the event adds nothing new.

    The line may contain any characters that strangers have sent.
    """
    teller = _TELLERS.get(type(event))
    return "" if teller is None else teller(event)


def people(users: Iterable[User], room: str) -> str:
    """Return the line that says who is in a room."""
    return f"* In {room}: {', '.join(map(str, users)) or 'nobody with a name'}."


def _connected(event: Connected) -> str:
    name = f" as {event.user.username}" if event.user.username else ""
    return f"* {'Back' if event.again else 'Connected'}{name}, in {', '.join(event.rooms)}."


def _status(event: StatusCode) -> str:
    details = f": {_text(event.details)}" if event.details else ""
    return "" if event.ok else f"! {event.code}{details}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else jsontext.dumps(value).decode()


_TELLERS: dict[type[Event], Callable[[Any], str]] = {
    events.Connected: _connected,
    events.Disconnected: lambda event: f"* {event.reason} Trying again.",
    events.MessageOfTheDay: lambda event: f"* {event.text}",
    events.GlobalMessage: lambda event: f"[{event.room}] {_text(event.value)}",
    events.GlobalVariable: lambda event: f"[{event.room}] {event.name} = {_text(event.value)}",
    events.PrivateMessage: lambda event: f"({event.sender}) {_text(event.value)}",
    events.PrivateVariable: lambda event: f"({event.sender}) {event.name} = {_text(event.value)}",
    events.DirectMessage: lambda event: f"({event.sender}, direct) {_text(event.value)}",
    events.UserList: lambda event: people(event.users, event.room),
    events.UserJoined: lambda event: f"* {event.user} joined {event.room}.",
    events.UserLeft: lambda event: f"* {event.user} left {event.room}.",
    events.StatusCode: _status,
    events.OtherPacket: lambda event: f"* {_text(event.packet)}",
    events.Unreadable: lambda event: f"! The server sent something that is not a packet: {event.text}",
}
