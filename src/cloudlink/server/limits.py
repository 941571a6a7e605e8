"""How much one client may send, so that it cannot take from the others.

Pure. What is done about a packet that is too much is the session's business.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from cloudlink.buckets import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.settings import Settings

_ANSWER_INTERVAL = 1.0
"""Seconds between two answers to a client that sends too much."""
_CALM = 2.0
"""Seconds without a refusal after which a client counts as behaving again."""


@dataclass(slots=True)
class Limits:
    """The limits in effect; each is infinite where limits are switched off.

    There is one object for each server. `update` changes it in place, so that who holds it reads plain attributes on
    the hot path and still goes by the settings of now.
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

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Return the limits that settings ask for."""
        limits = cls()
        limits.update(settings)
        return limits

    def update(self, settings: Settings) -> None:
        """Take over what settings ask for now."""
        for name in LIMITS:
            setattr(self, name, getattr(settings, name) if settings.limits else math.inf)


LIMITS = frozenset(field.name for field in fields(Limits))
"""The settings of which `Limits` holds the values."""


class Meter:
    """Measures what one client sends, and how long it has been sending too much."""

    __slots__ = (
        "_answered_at",
        "_bytes",
        "_clock",
        "_limits",
        "_packets",
        "_refused_at",
        "_refusing_since",
    )

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._packets = Bucket(limits.packet_rate, limits.packet_burst, clock)
        self._bytes = Bucket(limits.byte_rate, limits.byte_burst, clock)
        self._limits = limits
        self._clock = clock
        self._refusing_since = self._refused_at = self._answered_at = -math.inf

    def update(self) -> None:
        """Go by the limits as they are now; what has been used of them stays used."""
        limits = self._limits
        self._packets.change(limits.packet_rate, limits.packet_burst)
        self._bytes.change(limits.byte_rate, limits.byte_burst)

    def admit(self, size: int) -> bool:
        """Tell whether a packet of `size` bytes may be processed."""
        return self._packets.take() and self._bytes.take(size)

    def admit_packet(self) -> bool:
        """Tell whether one more packet may be processed, of bytes that were admitted with an earlier one."""
        return self._packets.take()

    def charge_bytes(self, size: int) -> bool:
        """Tell whether a packet that was admitted may count for so many bytes more than it has."""
        return self._bytes.take(size)

    def refuse_packet(self, *, answerable: bool = True) -> Verdict:
        """Take note of a refused packet and say what to do.

        Args:
            answerable: Whether it can be answered; what cannot leaves the answer to the next that can.
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
        """Tell whether the client may be told of a refusal now: once a second, whatever was refused."""
        now = self._clock()
        is_due = now - self._answered_at >= _ANSWER_INTERVAL
        if is_due:
            self._answered_at = now
        return is_due


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do about a refused packet.

    Attributes:
        first: It is the first in a while: worth a line in the log.
        answer: The client is to be told; not every time, or answering would be the harm.
        close: It has gone on for too long.
    """

    first: bool
    answer: bool
    close: bool
