"""The text of a user list, which grows at its end while clients come one after another.

Made anew for each newcomer, it would cost a crowd that comes at once the square of its number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .clients import Client


class UserListCache:
    """The JSON texts of a room's named members, in the order they joined, with commas between them.

    Whoever keeps one calls `add` when a member has a name, and `forget` when one loses it or leaves.
    """

    __slots__ = ("_added", "_last", "_text")

    def __init__(self) -> None:
        self._text: bytearray | None = None  # None: to be made anew
        self._added: list[Client] = []  # who follows what the text holds
        self._last = -1  # the place of the last one

    def forget(self) -> None:
        """Keep no text: it is too old, or has not been asked for in a while."""
        self._text = None
        self._added.clear()

    def add(self, client: Client, place: int) -> None:
        """Take note that a member has a name now.

        Args:
            client: The member.
            place: Where it stands in the order of joining.
        """
        if self._text is not None:
            if place > self._last:
                self._added.append(client)
                self._last = place
            else:
                self.forget()

    def text(self, members: Mapping[Client, int], encode: Callable[[Client], bytes]) -> bytearray:
        """Return the text; it is this object's own and grows.

        Args:
            members: All members with their places, in that order.
            encode: Returns one member's JSON text; always the same function.
        """
        text = self._text
        if text is None:
            text = self._text = bytearray()
            self._added = [client for client in members if client.username_set]
            self._last = members[self._added[-1]] if self._added else -1
        if self._added:
            added = b",".join(map(encode, self._added))
            text += b"," + added if text else added
            self._added.clear()
        return text
