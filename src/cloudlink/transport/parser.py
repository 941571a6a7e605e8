"""picows' parser, fed in portions.

picows takes whatever the socket holds in one go and doubles its read buffer, for good, each time it gets
full: a peer that sends megabytes of tiny frames would hold up everybody else while they are dealt with,
and keep the memory. In portions the others get their turn in between, and the buffer grows only to hold
one frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from picows.picows import WSProtocol  # type: ignore[attr-defined]  # its stub leaves it out

if TYPE_CHECKING:
    from collections.abc import Callable

PORTION = 1 << 14
"""Bytes taken from a socket at a time."""
SMALL_PORTION = 1 << 10
"""Bytes taken at a time from a peer that has once sent too much."""

_get_buffer = WSProtocol.get_buffer


class Parser(WSProtocol):  # type: ignore[misc]  # see the import
    """The asyncio protocol of one connection.

    Attributes:
        portion: Most bytes to take from the socket at a time.
        when_lost: Called when the connection is gone, upgraded or not.
    """

    __slots__ = ("portion", "when_lost")

    def __init__(self, when_lost: Callable[[], None], *options: object) -> None:
        """Set up the parser of one connection.

        Args:
            when_lost: See the class.
            options: Those of picows' class.
        """
        super().__init__(*options)
        self.portion = PORTION
        self.when_lost = when_lost

    def get_buffer(self, size_hint: int) -> memoryview:
        """Return where the next bytes from the socket go."""
        free: memoryview = _get_buffer(self, size_hint)
        return free if len(free) <= self.portion else free[: self.portion]

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the connection is gone."""
        super().connection_lost(exc)
        self.when_lost()
