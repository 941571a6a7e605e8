"""The modes of a server: open, guarded against a rush of newcomers, closed to them, or about to stop.

This module only knows what holds; `cloudlink.admin.sanctions` acts.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

Mode = Literal["open", "guarded", "closed", "draining"]

GUARDED_CONNECTIONS = 10
"""Connections of one subscriber at a time in guarded mode."""
GUARDED_RATE = 1.0
"""New connections a second of one subscriber in guarded mode."""
GUARDED_PACKET_RATE = 60.0
"""Packets a second of one client in guarded mode."""
NEWCOMER_TIME = 10.0
"""Seconds for which newcomers are muted in guarded mode."""

_MESSAGES: dict[Mode, str] = {
    "closed": "This server takes no new players at the moment.",
    "draining": "This server is about to close.",
}


class Modes:
    """The mode of one server.

    Args:
        clock: Returns the time in seconds, as `Client.birth_time` does.

    Attributes:
        mode: The mode.
        message: The text for newcomers who are turned away, empty for the usual sentence.
        guarded_until: When an automatic guarded mode ends, in seconds of `clock`; None for one that a person ends.
        drained_at: When everybody is disconnected, as Unix time; None unless the server drains.
        count_newcomer: Counts a new connection, and returns how many there were in this second; those of all processes
            if they share a count.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.mode: Mode = "open"
        self.message = ""
        self.guarded_until: float | None = None
        self.drained_at: float | None = None
        self.count_newcomer: Callable[[], int] = self._count_newcomer
        self._clock = clock
        self._second = 0
        self._newcomers = 0
        self._newcomers_until = 0.0

    def set(self, mode: Mode, message: str = "", guarded_for: float | None = None) -> None:
        """Change the mode."""
        now = self._clock()
        if self.mode == "guarded" and mode != "guarded":
            self._newcomers_until = now + NEWCOMER_TIME
        self.mode = mode
        self.message = message
        self.guarded_until = None if guarded_for is None else now + guarded_for

    @property
    def refusal(self) -> str:
        """The text that newcomers read when they are turned away; empty if they may come in."""
        if self.mode in ("closed", "draining"):
            return self.message or _MESSAGES[self.mode]
        return ""

    @property
    def is_guarded(self) -> bool:
        """Whether newcomers are limited."""
        return self.mode == "guarded"

    @property
    def mutes_newcomers(self) -> bool:
        """Whether newcomers may be muted now."""
        return self.mode == "guarded" or self._clock() < self._newcomers_until

    def newcomer_wait(self, birth_time: float) -> float:
        """Return for how many more seconds a client is muted because it came in guarded mode."""
        return birth_time + NEWCOMER_TIME - self._clock() if self.mutes_newcomers else 0.0

    def _count_newcomer(self) -> int:
        second = int(self._clock())
        if second != self._second:
            self._second, self._newcomers = second, 0
        self._newcomers += 1
        return self._newcomers
