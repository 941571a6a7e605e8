"""Rate limits: how much one client may send.

This module does no I/O; the session decides how to respond to a packet that exceeds a limit.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, NamedTuple

from cloudlink.buckets import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.settings import Settings

_ANSWER_INTERVAL = 1.0
"""Seconds between two answers to a client that sends too much."""
_CALM = 2.0
"""Seconds without a refusal after which a client counts as well-behaved again."""


@dataclass(slots=True)
class Limits:
    """The limits in effect; all are infinite if limits are disabled.

    Each server has one object. `update` changes it in place, so that code on the hot path reads plain
    attributes and still sees the current settings.
    """

    packet_rate: float = math.inf
    packet_burst: float = math.inf
    byte_rate: float = math.inf
    byte_burst: float = math.inf
    identity_rate: float = math.inf
    identity_burst: float = math.inf
    user_list_rate: float = math.inf
    user_list_burst: float = math.inf
    flood_patience: float = math.inf
    max_rooms_per_client: float = math.inf
    room_name_max_length: float = math.inf
    variable_name_max_length: float = math.inf
    max_names_per_packet: float = math.inf
    max_copies_per_packet: float = math.inf
    max_handlers_per_client: float = math.inf
    max_handlers: float = math.inf
    most_packets: float = field(default=math.inf, metadata={"setting": False})
    """A bound on `packet_rate` that the server sets itself while it is guarded."""

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Return the limits that the settings define."""
        limits = cls()
        limits.update(settings)
        return limits

    def update(self, settings: Settings) -> None:
        """Apply the current settings."""
        for name in LIMITS:
            setattr(self, name, getattr(settings, name) if settings.limits else math.inf)
        self.packet_rate = min(self.packet_rate, self.most_packets)


LIMITS = frozenset(one.name for one in fields(Limits) if one.metadata.get("setting", True))
"""The names of the settings whose values `Limits` holds."""


class Traffic(NamedTuple):
    """What clients have sent.

    Attributes:
        messages: The number of messages.
        bytes: Their bytes.
    """

    messages: int = 0
    bytes: int = 0

    def plus(self, other: Traffic) -> Traffic:
        """Return the sum of both."""
        return Traffic(self.messages + other.messages, self.bytes + other.bytes)


class Meter:
    """Measures what one client sends, and for how long it has exceeded the limits."""

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
    )

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._packets = Bucket(limits.packet_rate, limits.packet_burst, clock)
        self._bytes = Bucket(limits.byte_rate, limits.byte_burst, clock)
        # What was received is what was taken from the buckets and these.
        self._extra_messages = self._extra_bytes = 0
        self._limits = limits
        self._clock = clock
        self._refusing_since = self._refused_at = self._answered_at = -math.inf

    def update(self) -> None:
        """Apply changed limits; what the client has already used remains used."""
        limits = self._limits
        self._packets.change(limits.packet_rate, limits.packet_burst)
        self._bytes.change(limits.byte_rate, limits.byte_burst)

    def admit(self, size: int) -> bool:
        """Return whether a packet of `size` bytes may be processed."""
        return self._packets.take() and self._bytes.take(size)

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
