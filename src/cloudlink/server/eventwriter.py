"""What the hub asks of a dialect: to write events as frames."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .events import Event, User

    Writer = Callable[[Any, str, bytes, User | None], bytes]


class EventWriter:
    """Writes events for all clients who are sent the very same bytes.

    Attributes:
        writers: The function that writes an event, by the event's class. It takes what `write` takes; the last two
            arguments may be left out. Classes that are not in it have no words.
        may_miss: Whether a recipient that reads slowly may miss events of a sender that sends much, who is told;
            otherwise the recipient is disconnected.
        names_recipient: Events whose frames hold the recipient's name, and so differ from one recipient to another.
    """

    may_miss = True
    names_recipient: frozenset[type[Event]] = frozenset()

    def __init__(self, writers: dict[type[Event], Any]) -> None:
        self.writers: dict[type[Event], Any] = defaultdict(lambda: _write_nothing, writers)

    def write(self, event: Event, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """Return an event as a frame, empty where there are no words for it.

        Args:
            event: The event.
            room: The name of the room it happened in, empty for none.
            listener: JSON text of the echo tag in the sender's own copy, empty in all others.
            recipient: To whom it is sent, None for everybody in the room.
        """
        frame: bytes = self.writers[type(event)](event, room, listener, recipient)
        return frame


def _write_nothing(
    _event: Event, _room: str, _listener: bytes = b"", _recipient: User | None = None
) -> bytes:
    return b""
