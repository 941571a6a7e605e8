"""One timer that checks all connections.

A connection that has been silent for the interval is pinged; one that stays silent for the time-out
after that is dropped. Anything a peer sends counts as a sign of life, even a part of a frame. Both
times are multiplied by the patience of the connection. One timer for all connections costs far
less than one task per connection.

A peer that keeps sending but reads nothing is dropped too: frames for it would wait
for ever.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from .connection import WebSocketConnection

logger = logging.getLogger("cloudlink.transport")

_ROUNDS = 10
"""Rounds within the shorter of interval and time-out; more rounds keep the times more exactly."""
_LONGEST_STEP = 1.0
"""Most seconds between two rounds."""


class Keepalive:
    """Pings silent connections and drops dead ones, within (interval + time-out) · patience, and those that are stuck."""

    def __init__(
        self,
        connections: Collection[WebSocketConnection],
        interval: float,
        timeout: float,
        stalled_timeout: float,
        on_round: Callable[[], None],
    ) -> None:
        """Check the connections in a collection that may change.

        Args:
            connections: The connections to check.
            interval: Seconds of silence after which a peer is pinged.
            timeout: Seconds of further silence after which its connection is dropped.
            stalled_timeout: Seconds for which a peer may read nothing while frames wait for it.
            on_round: Called in every round, at least once a second.
        """
        self._connections = connections
        self._on_round = on_round
        self._timer: asyncio.TimerHandle | None = None
        self.set_times(interval, timeout, stalled_timeout)

    def set_times(self, interval: float, timeout: float, stalled_timeout: float) -> None:
        """Change the times given to the constructor; they apply from the next round on."""
        self._step = min(interval, timeout, stalled_timeout, _ROUNDS * _LONGEST_STEP) / _ROUNDS
        self._interval = interval
        self._timeout = timeout
        # Silence is counted in rounds and may have begun right after the previous round; the same holds for the other times.
        self._stalled_after = stalled_timeout - self._step

    def start(self) -> None:
        """Start the timer on the running loop."""
        self._timer = asyncio.get_running_loop().call_later(self._step, self._round)

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _round(self) -> None:
        try:
            for connection in tuple(self._connections):
                self._look_at(connection)
            self._on_round()
        finally:
            self.start()  # first, so that another round follows whatever fails in this one

    def _look_at(self, connection: WebSocketConnection) -> None:
        if connection.congested and self._is_stalled(connection):
            logger.warning("Dropping a connection that takes nothing of what is sent to it.")
            connection.cause = "stalled"
            connection.abort()
            return
        if connection.take_heard():
            connection.silent_for = 0.0
            connection.pinged = False
            return
        connection.silent_for += self._step
        if not connection.pinged:
            if connection.silent_for >= self._interval * connection.patience - self._step:
                connection.ping()
                connection.pinged = True
                connection.silent_for = 0.0
        elif connection.silent_for >= self._timeout * connection.patience - self._step:
            logger.info("Dropping a connection that no longer answers.")
            connection.cause = "timeout"
            connection.abort()

    def _is_stalled(self, connection: WebSocketConnection) -> bool:
        unsent = connection.unsent
        if unsent < connection.left_unsent:
            connection.stalled_for = 0.0
        else:
            connection.stalled_for += self._step
        connection.left_unsent = unsent
        return connection.stalled_for >= self._stalled_after
