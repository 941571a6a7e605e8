"""The interface between the hub and dialects: writing events as frames."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .events import Event, User

    Writer = Callable[[Any, str, bytes, User | None], bytes]


class EventWriter:
    """Writes events for all clients that get identical bytes.

    Attributes:
        writers: Functions that write an event, by the event's class. They take the arguments of `write`; the
            last two may be omitted. The dialect cannot express classes that are missing here.
        may_miss: Whether events of a busy sender may be dropped for a slow recipient, with a notice to the
            sender; otherwise the recipient is disconnected.
        names_recipient: Events whose frames hold the recipient's name and so differ for each recipient.
    """

    may_miss = True
    names_recipient: frozenset[type[Event]] = frozenset()

    def __init__(self, writers: dict[type[Event], Any]) -> None:
        self.writers: dict[type[Event], Any] = defaultdict(lambda: _write_nothing, writers)

    def write(self, event: Event, room: str, listener: bytes = b"", recipient: User | None = None) -> bytes:
        """Return an event as a frame, empty if the dialect cannot express it.

        Args:
            event: The event.
            room: The name of the room it happened in, empty for none.
            listener: JSON text of the echo tag in the sender's own copy, empty in all others.
            recipient: The recipient, None for all members of the room.
        """
        frame: bytes = self.writers[type(event)](event, room, listener, recipient)
        return frame


def _write_nothing(
    _event: Event, _room: str, _listener: bytes = b"", _recipient: User | None = None
) -> bytes:
    return b""
