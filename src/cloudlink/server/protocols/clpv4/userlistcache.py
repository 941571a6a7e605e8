"""Caches the encoded user list of one room, in the form of each dialect.

If the list were encoded from scratch for each newcomer, the cost of many clients joining at once would grow
with the square of their number. The JSON text of the user objects is therefore extended as users join.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dialects import user_object

if TYPE_CHECKING:
    from cloudlink.server.events import User
    from cloudlink.server.presence import Presence

    from .dialects import Dialect


class UserListCache:
    """The frames of one room's user list, valid until the list changes.

    Attributes:
        presence: The users in the room.
    """

    __slots__ = ("_frames", "_length", "_objects", "_seen", "_version", "presence")

    def __init__(self, presence: Presence) -> None:
        self.presence = presence
        self._frames: dict[str, bytes] = {}  # by the dialects' `list_form`
        self._objects = bytearray()
        self._seen = 0  # number of users whose objects are in the text
        self._version, self._length = presence.version, 0  # of the list that was encoded

    def frame(self, dialect: Dialect, room: str) -> bytes:
        """Return the frame of the room's user list in a dialect."""
        self._refresh()
        frame = self._frames.get(dialect.list_form)
        if frame is None:
            frame = self._frames[dialect.list_form] = dialect.user_list(room, self)
        return frame

    def users(self) -> list[User]:
        """Return the users, in the order in which they joined."""
        return self.presence.listed()

    def objects(self) -> bytearray:
        """Return the user objects as JSON texts, separated by commas; do not modify the result."""
        listed = self.presence.listed()
        if self._seen < len(listed):
            added = b",".join(map(user_object, listed[self._seen :]))
            self._objects += b"," + added if self._objects else added
            self._seen = len(listed)
        return self._objects

    def _refresh(self) -> None:
        version, length = self.presence.version, len(self.presence.listed())
        if version != self._version:
            self._objects = bytearray()
            self._seen = 0
        if (version, length) != (self._version, self._length):
            self._frames.clear()
            self._version, self._length = version, length
