"""What a store of cloud variables offers to the server.

The interface is small so that a store on another machine can implement it: whatever may take time happens
behind `save` and `delete`, which return at once, and comes back through `watch`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Watcher = Callable[[str, str, bytes | None], None]
"""Is told a room, a name, and the new value, or None when the variable is gone."""


class VariableStore(Protocol):
    """Keeps the variables of rooms.

    A room and a variable are named by any text, NUL and halves of surrogate pairs included. A value is
    JSON text, such as `b'5'` or `b'"10"'`, and is kept byte for byte. All methods are called on one
    thread, the server's.
    """

    def start(self, call_soon: Callable[..., object]) -> None:
        """Begin to work in the background.

        Args:
            call_soon: Called from any thread with a function and its arguments, has that function called
                on the server's thread, as `loop.call_soon_threadsafe` does.
        """

    def load(self, room: str) -> dict[str, bytes]:
        """Return all variables of a room, what was saved a moment ago included.

        When they cannot be read now, this returns what is known, and the watchers are told the rest as
        soon as it can be read.
        """

    def has_place(self, room: str, name: str, value: bytes | None, writer: str | None) -> bool:
        """Tell whether a value, or with None a deletion, can be accepted now. Returns at once.

        False while so much of the same writer waits to be written that others would find no place. The server asks
        this before it accepts what a client wants: what was accepted is never given up.

        Args:
            room: The room.
            name: The variable's name.
            value: The value; None to delete the variable.
            writer: Whose values they are, such as a client's address; None for nobody in particular.
        """

    def save(self, room: str, name: str, value: bytes, writer: str | None = None) -> None:
        """Keep a value; it is safe within a second. Returns at once and never fails. For `writer` see `has_place`."""

    def delete(self, room: str, name: str) -> None:
        """Forget a variable, if it exists. Returns at once and never fails."""

    def touch(self, room: str) -> None:
        """Take note that a room is in use, for stores that forget what is not. Returns at once."""

    def watch(self, changed: Watcher) -> None:
        """Have changes that others made to the store reported, on the server's thread.

        A change is not reported when this store was given a newer value in the meantime, and neither is
        what this store was given.
        """

    def close(self) -> None:
        """Write what is not written yet, and end; this may take a few seconds. Idempotent."""
