"""Counts the unfinished plugin handlers, per client and in total, and enforces their limits.

Without a limit, a client that floods a slow command would fill the memory with waiting tasks. This module
only counts; `hooks` decides what to do if a handler must not start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .limits import Limits

if TYPE_CHECKING:
    from .client import Client

_OWN = "Too many of your requests are unfinished; this packet was dropped."
_ALL = "Too many requests are unfinished on this server; this packet was dropped."


class Workload:
    """Counts the unfinished handlers of each client."""

    def __init__(self, limits: Limits | None = None) -> None:
        """Args: limits: The maximum numbers of unfinished handlers, read at each call; None for no limit."""
        self._limits = limits or Limits()
        self._of_client: dict[Client, int] = {}
        self.total = 0

    def refusal(self, client: Client) -> str:
        """Return the refusal text for a client if no further handler may start for it; empty if one may."""
        if self._of_client.get(client, 0) >= self._limits.max_handlers_per_client:
            return _OWN
        return _ALL if self.total >= self._limits.max_handlers else ""

    def of(self, client: Client) -> int:
        """Return the number of unfinished handlers of a client."""
        return self._of_client.get(client, 0)

    def begin(self, client: Client) -> None:
        """Count a handler that starts."""
        self.total += 1
        self._of_client[client] = self._of_client.get(client, 0) + 1

    def end(self, client: Client) -> None:
        """Count a handler that has finished."""
        self.total -= 1
        left = self._of_client[client] - 1
        if left:
            self._of_client[client] = left
        else:
            del self._of_client[client]
