"""How many handlers of plugins may be unfinished at a time, for one client and for all.

Without a bound, a client that floods a slow command would fill the memory with waiting tasks. Pure counting: what is
done about a handler that is one too many is the business of `hooks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .limits import Limits

if TYPE_CHECKING:
    from .clients import Client

_OWN = "Too many of your requests are unfinished; this packet was dropped."
_ALL = "Too many requests are unfinished on this server; this packet was dropped."


class Workload:
    """Counts the unfinished handlers of each client."""

    def __init__(self, limits: Limits | None = None) -> None:
        """Args: limits: how many handlers may be unfinished, read at each call; None for any number."""
        self._limits = limits or Limits()
        self._of_client: dict[Client, int] = {}
        self.total = 0

    def refusal(self, client: Client) -> str:
        """Return what to tell a client for which no more handlers may start; empty where one may."""
        if self._of_client.get(client, 0) >= self._limits.max_handlers_per_client:
            return _OWN
        return _ALL if self.total >= self._limits.max_handlers else ""

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
