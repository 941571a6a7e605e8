"""The limits on what one client may send, and counts of what was sent."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cloudlink.settings import Settings


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
    """The messages that clients have sent.

    Attributes:
        messages: The number of messages.
        bytes: Their bytes.
    """

    messages: int = 0
    bytes: int = 0

    def plus(self, other: Traffic) -> Traffic:
        """Return the sum of both."""
        return Traffic(self.messages + other.messages, self.bytes + other.bytes)
