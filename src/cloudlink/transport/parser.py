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
"""Bytes of parts of a message from which they count as memory that is kept."""
_LARGE_BUFFER = 1 << 17
"""Bytes of a read buffer from which all of it counts as memory that is kept; of a smaller one, only what it holds counts."""
_SMALLEST = 1792
"""Bytes of a read buffer at first; picows doubles it when nine tenths of it are full."""
_SMALL = 1 << 11
"""Free bytes of a read buffer that may all be filled, for a buffer that is not small has more."""

_get_buffer = WSProtocol.get_buffer


class Parser(WSProtocol):  # type: ignore[misc]  # see the import
    """The asyncio protocol of one connection.

    Attributes:
        portion: Most bytes to read from the socket at a time.
        heard: Whether the peer has sent anything, even part of a frame, since this was set to False.
        room: Bytes of the read buffer, 0 if it was never larger than a portion; picows does not make it smaller.
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
            # Larger buffers are never filled to their last byte: so the free part of one that has just been doubled is
            # larger than all of it was before, and that of an empty one is not.
            return free if size <= _SMALL else free[:-1]
        if size > self.room:
            before, self.room = self.room, _size_of(size)
            if self.room > LARGE:
                self.listener.grown(self.room - before)
        return free[: self.portion]

    @property
    def kept(self) -> int:
        """Bytes of a large read buffer, or of unfinished frames in a small one."""
        unparsed = self.unparsed
        return self.room if self.room >= _LARGE_BUFFER else unparsed

    @property
    def unparsed(self) -> int:
        """Bytes in a read buffer that was larger than a portion; while a frame is handled, with those of the frame."""
        free = len(_get_buffer(self, -1))
        if free > self.room and free > self.portion:  # it has been doubled since it was read into
            self.room = _size_of(free)
        return max(0, self.room - free)


def _size_of(free: int) -> int:
    """Return the size of a read buffer that is empty or has just been doubled. Args: free: Bytes that are free."""
    size = _SMALLEST
    while size < free:
        size *= 2
    return size
