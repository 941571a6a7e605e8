"""The user list of one room as it was last written, in each form that some dialect has.

Made anew for each newcomer, a list would cost a crowd that comes at once the square of its number. So the JSON text
of the user objects grows at its end while users come one after another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dialects import user_object

if TYPE_CHECKING:
    from cloudlink.server.events import User
    from cloudlink.server.presence import Presence

    from .dialects import Dialect


class UserListCache:
    """The frames of one room's user list, valid for as long as the list stays the same.

    Attributes:
        presence: Who is in the room.
    """

    __slots__ = ("_frames", "_length", "_objects", "_seen", "_version", "presence")

    def __init__(self, presence: Presence) -> None:
        self.presence = presence
        self._frames: dict[str, bytes] = {}  # by the dialects' `list_form`
        self._objects = bytearray()
        self._seen = 0  # users whose objects are in the text
        self._version, self._length = presence.version, 0  # of the list that frames and text are of

    def frame(self, dialect: Dialect, room: str) -> bytes:
        """Return the room's user list in a dialect's words."""
        self._refresh()
        frame = self._frames.get(dialect.list_form)
        if frame is None:
            frame = self._frames[dialect.list_form] = dialect.user_list(room, self)
        return frame

    def users(self) -> list[User]:
        """Return the users, in the order they joined."""
        return self.presence.listed()

    def objects(self) -> bytearray:
        """Return the users' objects as JSON texts with commas between them; the text is this object's own."""
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
