"""picows' parser, given the bytes in portions.

picows reads everything the socket holds at once, and permanently doubles its read buffer each time it is
full: a peer that sends megabytes of tiny frames would delay all other clients while they are handled,
and keep the memory. With portions, the other clients take turns, and the buffer grows only to hold
one frame.
"""

from __future__ import annotations

from picows.picows import WSProtocol  # type: ignore[attr-defined]  # its stub leaves it out

PORTION = 1 << 14
"""Bytes read from a socket at a time."""
SMALL_PORTION = 1 << 10
"""Bytes read at a time from a peer that has once sent too much."""

LARGE = 1 << 16
"""Bytes of a read buffer, or of parts of a message, from which they count as memory that is kept."""

_get_buffer = WSProtocol.get_buffer


class Parser(WSProtocol):  # type: ignore[misc]  # see the import
    """The asyncio protocol of one connection.

    Attributes:
        portion: Most bytes to read from the socket at a time.
        heard: Whether the peer has sent anything, even part of a frame, since this was set to False.
        room: The most bytes that the read buffer had room for, 0 if it was never large; picows does not make it smaller.
    """

    __slots__ = ("heard", "portion", "room")

    def __init__(self, *options: object) -> None:
        """Args: options: The arguments of picows' class."""
        super().__init__(*options)
        self.portion = PORTION
        self.heard = True
        self.room = 0

    def get_buffer(self, size_hint: int) -> memoryview:
        """Return where the next bytes from the socket go; called when some have arrived."""
        self.heard = True
        free: memoryview = _get_buffer(self, size_hint)
        size = len(free)
        if size <= self.portion:
            return free
        if size > self.room and size > LARGE:
            self.room = size
            self.listener.grown(size)
        return free[: self.portion]
