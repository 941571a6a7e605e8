"""Players who may moderate for a while: each grant is bound to one connection and gone with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_MINUTES = 720


class Grants:
    """The grants of one server."""

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        """Args: wall_clock: Returns the Unix time in seconds."""
        self._clock = wall_clock
        self._until: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def give(self, client_id: str, minutes: float) -> int:
        """Let a client moderate; return the Unix time at which that ends."""
        until = self._clock() + minutes * 60
        self._until[client_id] = until
        return round(until)

    def revoke(self, client_id: str) -> bool:
        """End a grant; return whether there was one."""
        return self.holds(client_id) and self._until.pop(client_id, None) is not None

    def holds(self, client_id: str) -> bool:
        """Return whether a client may moderate now."""
        until = self._until.get(client_id)
        return until is not None and self._clock() < until

    def keep(self, is_connected: Callable[[str], bool]) -> None:
        """Forget grants that have ended, and those of clients that are gone; to be called once a second."""
        if self._until:
            self._until = {
                client: until
                for client, until in self._until.items()
                if self.holds(client) and is_connected(client)
            }
