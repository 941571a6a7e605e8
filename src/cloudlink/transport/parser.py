"""picows' parser, fed in portions.

picows takes whatever the socket holds in one go and doubles its read buffer, for good, each time it gets
full: a peer that sends megabytes of tiny frames would hold up everybody else while they are dealt with,
and keep the memory. In portions the others get their turn in between, and the buffer grows only to hold
one frame.
"""

from __future__ import annotations

from picows.picows import WSProtocol  # type: ignore[attr-defined]  # its stub leaves it out

PORTION = 1 << 14
"""Bytes taken from a socket at a time."""
SMALL_PORTION = 1 << 10
"""Bytes taken at a time from a peer that has once sent too much."""

_get_buffer = WSProtocol.get_buffer


class Parser(WSProtocol):  # type: ignore[misc]  # see the import
    """The asyncio protocol of one connection.

    Attributes:
        portion: Most bytes to take from the socket at a time.
        heard: Whether the peer has sent anything, be it a part of a frame, since this was set to False.
    """

    __slots__ = ("heard", "portion")

    def __init__(self, *options: object) -> None:
        """Args: options: those of picows' class."""
        super().__init__(*options)
        self.portion = PORTION
        self.heard = True

    def get_buffer(self, size_hint: int) -> memoryview:
        """Return where the next bytes from the socket go; asked for when some are there."""
        self.heard = True
        free: memoryview = _get_buffer(self, size_hint)
        return free if len(free) <= self.portion else free[: self.portion]
