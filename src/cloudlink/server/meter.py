"""Measures how much one client sends.

This module does no I/O; the session decides how to respond to a packet that exceeds a limit.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudlink.buckets import Bucket

from .limits import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .limits import Limits

_ANSWER_INTERVAL = 1.0
"""Seconds between two answers to a client that sends too much."""
_CALM = 2.0
"""Seconds without a refusal after which a client counts as well-behaved again."""


_NEVER = -math.inf
"""A time before all others; one object for all clients."""


class Meter:
    """Measures what one client sends, what it may still send, and for how long it has exceeded the limits.

    It is a single object to save memory, because each client has one.

    Attributes:
        owner: The subscriber, None for one to which no limits per address apply.
        packets: Limits packets.
        bytes: Limits their bytes.
    """

    __slots__ = (
        "_answered_at",
        "_clock",
        "_extra_bytes",
        "_extra_messages",
        "_identity",
        "_limits",
        "_refused_at",
        "_refusing_since",
        "_user_lists",
        "bytes",
        "owner",
        "packets",
    )

    def __init__(
        self, limits: Limits, clock: Callable[[], float] = time.monotonic, owner: str | None = None
    ) -> None:
        """Set up the meter of a new client, with full bursts.

        Args:
            limits: The limits in effect.
            clock: Returns the time, in seconds.
            owner: The subscriber, None for one to which no limits per address apply.
        """
        self.owner = owner
        self._limits = limits
        self._clock = clock
        self.packets = Bucket(limits.packet_rate, limits.packet_burst, clock)
        # One object for the time of both.
        self.bytes = Bucket(limits.byte_rate, limits.byte_burst, clock, self.packets.filled_at)
        # Most clients never need these.
        self._identity: Bucket | None = None
        self._user_lists: Bucket | None = None
        # What was received is what was taken from the buckets and these.
        self._extra_messages = self._extra_bytes = 0
        self._refusing_since = self._refused_at = self._answered_at = _NEVER

    # What the client may still send.

    @property
    def identity(self) -> Bucket:
        """The bucket that limits changes of name and rooms."""
        if self._identity is None:
            limits = self._limits
            self._identity = Bucket(limits.identity_rate, limits.identity_burst, self._clock)
        return self._identity

    @property
    def user_lists(self) -> Bucket:
        """The bucket that limits the bytes of user lists that the client causes."""
        if self._user_lists is None:
            limits = self._limits
            self._user_lists = Bucket(limits.user_list_rate, limits.user_list_burst, self._clock)
        return self._user_lists

    @property
    def level(self) -> float:
        """How full the emptiest bucket is: 1 for full, 0 for empty, below 0 for a debt."""
        return min(bucket.level for bucket in self._buckets())

    def update(self) -> None:
        """Apply changed limits; what the client has already used remains used."""
        limits = self._limits
        self.packets.change(limits.packet_rate, limits.packet_burst)
        self.bytes.change(limits.byte_rate, limits.byte_burst)
        if self._identity is not None:
            self._identity.change(limits.identity_rate, limits.identity_burst)
        if self._user_lists is not None:
            self._user_lists.change(limits.user_list_rate, limits.user_list_burst)

    def restart(self) -> None:
        """Prepare for another client, which takes over only what is left in the buckets."""
        for bucket in self._buckets():
            bucket.restart_count()
        self._extra_messages = self._extra_bytes = 0
        self._refusing_since = self._refused_at = self._answered_at = _NEVER

    def _buckets(self) -> Iterator[Bucket]:
        for bucket in (self.packets, self.bytes, self._identity, self._user_lists):
            if bucket is not None:
                yield bucket

    # What it sends.

    def admit(self, size: int) -> bool:
        """Return whether a packet of `size` bytes may be processed."""
        packets, volume = self.packets, self.bytes
        # The usual case, without two calls; with floats, which Python compares and subtracts faster than a float and an int.
        if packets.tokens > 0.0 and volume.tokens > 0.0:
            packets.tokens -= 1.0
            volume.tokens -= size
            return True
        return packets.take() and volume.take(size)

    def admit_packet(self) -> bool:
        """Return whether another packet may be processed whose bytes were already admitted with an earlier one."""
        return self.packets.take()

    def charge_bytes(self, size: int) -> bool:
        """Charge extra bytes to an admitted packet; return False if over the limit."""
        if not self.bytes.take(size):
            return False
        self._extra_bytes -= size
        return True

    def count_free(self, size: int) -> None:
        """Count a packet of `size` bytes that was processed without charge."""
        self._extra_messages += 1
        self._extra_bytes += size

    @property
    def received(self) -> Traffic:
        """The traffic that was admitted so far; frames that are not whole messages, such as pings, count as messages."""
        messages, size = self.tally()
        return Traffic(round(messages), round(size))

    def tally(self) -> tuple[float, float]:
        """Return the same as `received`, not rounded; this is quick, because it is added up over all clients."""
        return self.packets.used() + self._extra_messages, self.bytes.used() + self._extra_bytes

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
