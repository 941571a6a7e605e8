"""Measures how much one client sends.

This module does no I/O; the session decides how to respond to a packet that exceeds a limit.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .allowances import Allowance
from .limits import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from .limits import Limits

_ANSWER_INTERVAL = 1.0
"""Seconds between two answers to a client that sends too much."""
_CALM = 2.0
"""Seconds without a refusal after which a client counts as well-behaved again."""


class Meter:
    """Measures what one client sends, and for how long it has exceeded the limits.

    Attributes:
        allowance: What the client may still send.
    """

    __slots__ = (
        "_answered_at",
        "_bytes",
        "_clock",
        "_extra_bytes",
        "_extra_messages",
        "_limits",
        "_packets",
        "_refused_at",
        "_refusing_since",
        "allowance",
    )

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        allowance: Allowance | None = None,
    ) -> None:
        """Set up the meter of a new client.

        Args:
            limits: The limits in effect.
            clock: Returns the time, in seconds.
            allowance: What the client may send, None for full bursts.
        """
        self.allowance = Allowance(limits, clock=clock) if allowance is None else allowance
        self._packets, self._bytes = self.allowance.packets, self.allowance.bytes  # for the hot path
        # What was received is what was taken from the buckets and these.
        self._extra_messages = self._extra_bytes = 0
        self._limits = limits
        self._clock = clock
        self._refusing_since = self._refused_at = self._answered_at = -math.inf

    def update(self) -> None:
        """Apply changed limits; what the client has already used remains used."""
        self.allowance.update()

    def admit(self, size: int) -> bool:
        """Return whether a packet of `size` bytes may be processed."""
        packets, volume = self._packets, self._bytes
        if packets.tokens > 0 and volume.tokens > 0:  # as nearly always; spared two calls
            packets.tokens -= 1
            volume.tokens -= size
            return True
        return packets.take() and volume.take(size)

    def admit_packet(self) -> bool:
        """Return whether another packet may be processed whose bytes were already admitted with an earlier one."""
        return self._packets.take()

    def charge_bytes(self, size: int) -> bool:
        """Charge extra bytes to an admitted packet; return False if over the limit."""
        if not self._bytes.take(size):
            return False
        self._extra_bytes -= size
        return True

    def count_free(self, size: int) -> None:
        """Count a packet of `size` bytes that was processed without charge."""
        self._extra_messages += 1
        self._extra_bytes += size

    @property
    def received(self) -> Traffic:
        """What was admitted so far; frames that are not whole messages, such as pings, count as messages."""
        messages, size = self.tally()
        return Traffic(round(messages), round(size))

    def tally(self) -> tuple[float, float]:
        """Return the same as `received`, not rounded; this is quick, because it is added up over all clients."""
        return self._packets.used() + self._extra_messages, self._bytes.used() + self._extra_bytes

    def refuse_packet(self, *, answerable: bool = True) -> Verdict:
        """Record a refused packet and return what to do.

        Args:
            answerable: Whether the packet can be answered; if not, the next one that can gets the answer.
        """
        now = self._clock()
        is_new = now - self._refused_at > _CALM
        if is_new:
            self._refusing_since = now
        self._refused_at = now
        is_answer_due = answerable and self.take_answer()
        return Verdict(
            first=is_new,
            answer=is_answer_due,
            close=now - self._refusing_since >= self._limits.flood_patience,
        )

    def take_answer(self) -> bool:
        """Return whether a refusal may be answered now: at most once a second, for all kinds of refusals."""
        now = self._clock()
        is_due = now - self._answered_at >= _ANSWER_INTERVAL
        if is_due:
            self._answered_at = now
        return is_due


@dataclass(frozen=True, slots=True)
class Verdict:
    """The required response to a refused packet.

    Attributes:
        first: Whether it is the first refusal in a while and should be logged.
        answer: Whether to answer the client; not every packet is answered, because answers cost time, too.
        close: Whether to close the connection, because the client has exceeded the limits for too long.
    """

    first: bool
    answer: bool
    close: bool
