"""A plain broadcaster: the path of the connection is the room, and what a client sends goes to everybody in it.

It gets the very same packets as CloudLink, but does not read them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.load.job import Client
from bench.protocols.base import Protocol
from bench.protocols.cloudlink import say

if TYPE_CHECKING:
    from bench.protocols.base import Kind


class Broadcast(Protocol):
    """Rooms by path, nothing else."""

    def client(self, number: int, room: str, kind: Kind) -> Client:
        """Enter by connecting."""
        return Client(f"/{room}", (), say(number, room, kind))
