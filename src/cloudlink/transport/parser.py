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

_get_buffer = WSProtocol.get_buffer


class Parser(WSProtocol):  # type: ignore[misc]  # see the import
    """The asyncio protocol of one connection.

    Attributes:
        portion: Most bytes to read from the socket at a time.
        heard: Whether the peer has sent anything, even part of a frame, since this was set to False.
    """

    __slots__ = ("heard", "portion")

    def __init__(self, *options: object) -> None:
        """Args: options: The arguments of picows' class."""
        super().__init__(*options)
        self.portion = PORTION
        self.heard = True

    def get_buffer(self, size_hint: int) -> memoryview:
        """Return where the next bytes from the socket go; called when some have arrived."""
        self.heard = True
        free: memoryview = _get_buffer(self, size_hint)
        return free if len(free) <= self.portion else free[: self.portion]
