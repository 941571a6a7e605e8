"""The interface of a store of variables.

The interface is small so that a store on another machine can implement it: `save` and `delete` return at once
and work in the background, and changes of others arrive through `watch`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cloudlink.counters import StoreCondition

Watcher = Callable[[str, str, bytes | None], None]
"""Called with a room, a name, and the new value, or None if the variable was deleted."""


class VariableStore(Protocol):
    """Keeps the variables of rooms.

    Names of rooms and variables are any text, including NUL and halves of surrogate pairs. A value is
    JSON text, such as `b'5'` or `b'"10"'`, and is kept byte for byte. All methods are called on the
    server's thread.
    """

    @property
    def condition(self) -> StoreCondition:
        """Whether changes can be saved, and how many wait. Returns at once."""

    def start(self, call_soon: Callable[..., object]) -> None:
        """Start to work in the background.

        Args:
            call_soon: Takes a function and its arguments, from any thread, and has the function called
                on the server's thread, as `loop.call_soon_threadsafe` does.
        """

    def load(self, room: str) -> dict[str, bytes]:
        """Return all variables of a room, including values that were saved a moment ago.

        If they cannot be read now, this returns the known ones, and the watchers get the others as
        soon as they can be read.
        """

    def has_place(self, room: str, name: str, value: bytes | None, writer: str | None) -> bool:
        """Return whether a value, or with None a deletion, can be accepted now. Returns at once.

        The result is False while so many values of the same writer wait that other writers would find no room. The server
        calls this before it accepts a change, because an accepted change is never dropped.

        Args:
            room: The room.
            name: The variable's name.
            value: The value; None to delete the variable.
            writer: The origin of the value, such as a client's address; None for no one in particular.
        """

    def save(self, room: str, name: str, value: bytes, writer: str | None = None) -> None:
        """Keep a value; it is safe within a second. Returns at once and never fails. For `writer` see `has_place`."""

    def offer(self, room: str, name: str, value: bytes, writer: str | None) -> bool:
        """Keep a value as `save` does if `has_place` allows it; return whether it did. One call for the usual case."""

    def delete(self, room: str, name: str) -> None:
        """Forget a variable, if it exists. Returns at once and never fails."""

    def touch(self, room: str) -> None:
        """Note that a room is in use, for stores that delete unused rooms. Returns at once."""

    def unload(self, room: str) -> None:
        """Note that a room's variables are not in use any more. A store without a file forgets them. Returns at once."""

    def watch(self, changed: Watcher) -> None:
        """Register a function to call on the server's thread with changes that others made to the store.

        Changes made through this store are not reported, and neither are changes that a newer value given to
        this store has overtaken.
        """

    def limit(self, max_size: int | None, keep_days: float) -> None:
        """Change the limits that the store was opened with. Returns at once.

        Args:
            max_size: Most bytes in the store; None for no limit.
            keep_days: Days after which an unused room is deleted; 0 for never.
        """

    def close(self) -> None:
        """Write waiting values, and stop; this may take a few seconds. Idempotent."""
