"""One timer that checks all connections.

A connection that has been silent for the interval is pinged; one that stays silent for the time-out
after that is dropped. Anything a peer sends counts as a sign of life, even a part of a frame. Both
times are multiplied by the patience of the connection. One timer for all connections costs far
less than one task per connection.

A peer that keeps sending but reads nothing is dropped too: frames for it would wait
for ever.

A round looks after a few connections at a time and spreads these portions over its time, so that no round delays the
messages of thousands of players by more than some milliseconds.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection import WebSocketConnection

logger = logging.getLogger("cloudlink.transport")

_ROUNDS = 10
"""Rounds within the shorter of interval and time-out; more rounds keep the times more exactly."""
_LONGEST_STEP = 1.0
"""Most seconds between two rounds."""
_PORTION = 0.0005
"""Seconds that a round may take at a time."""
_BATCH = 50
"""Connections after which the time is checked; pinging all of them takes less than half a millisecond."""


class Keepalive:
    """Pings silent connections and drops dead ones, within (interval + time-out) · patience, and those that are stuck."""

    def __init__(
        self,
        interval: float,
        timeout: float,
        stalled_timeout: float,
        on_round: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Check the connections that `add` adds, until they have ended.

        Args:
            interval: Seconds of silence after which a peer is pinged.
            timeout: Seconds of further silence after which its connection is dropped.
            stalled_timeout: Seconds for which a peer may read nothing while frames wait for it.
            on_round: Called at the beginning of every round, at least once a second.
            clock: Returns the time in seconds.
        """
        self._on_round = on_round
        self._clock = clock
        # Each round goes through the queue once. A copy would touch every connection in one turn, which takes milliseconds for
        # thousands of them.
        self._queue: deque[WebSocketConnection] = deque()
        self._elapsed = 0.0  # seconds of all rounds; one object for all connections that were last heard in the same round
        self._count_left = 0
        self._round_ends = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.set_times(interval, timeout, stalled_timeout)

    def set_times(self, interval: float, timeout: float, stalled_timeout: float) -> None:
        """Change the times given to the constructor; they apply from the next round on."""
        self._step = min(interval, timeout, stalled_timeout, _ROUNDS * _LONGEST_STEP) / _ROUNDS
        self._interval = interval
        self._timeout = timeout
        # Silence is counted in rounds and may have begun right after the previous round; the same holds for the other times.
        # Half a step more, because steps such as 0.2 do not add up exactly: just below a limit, another round would pass.
        self._margin = 1.5 * self._step
        self._stalled_after = stalled_timeout - self._margin

    def add(self, connection: WebSocketConnection) -> None:
        """Check a new connection from the next round on."""
        connection.quiet_since = self._elapsed
        self._queue.append(connection)

    def connections(self) -> list[WebSocketConnection]:
        """Return the connections that have not ended."""
        return [connection for connection in self._queue if not connection.has_ended]

    def start(self) -> None:
        """Start the timer on the running loop."""
        self._call_later(self._step, self._round)

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _call_later(self, delay: float, callback: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay, callback)

    def _round(self) -> None:
        self._round_ends = self._clock() + self._step
        self._elapsed += self._step
        self._count_left = len(self._queue)
        try:
            self._on_round()
        finally:
            self._portion()

    def _portion(self) -> None:
        """Look after some of the connections that are left, and schedule the next portion, or the next round."""
        began, before = self._clock(), self._count_left
        try:
            self._look_at_some()
        finally:  # whatever fails
            now = self._clock()
            pause, following = self._round_ends - now, self._round
            if self._count_left > 0:
                portions = math.ceil(self._count_left / (before - self._count_left))
                pause, following = pause / portions - (now - began), self._portion
            self._call_later(max(pause, 0.0), following)

    def _look_at_some(self) -> None:
        until = self._clock() + _PORTION
        queue = self._queue
        while self._count_left > 0:
            count = min(_BATCH, self._count_left)
            self._count_left -= count
            for _ in range(count):
                connection = queue.popleft()
                if not connection.has_ended:
                    queue.append(connection)
                    self._look_at(connection)
            if self._clock() >= until:
                return

    def _look_at(self, connection: WebSocketConnection) -> None:
        if connection.congested and self._is_stalled(connection):
            logger.warning("Dropping a connection that takes nothing of what is sent to it.")
            connection.cause = "stalled"
            connection.abort()
            return
        if connection.take_heard():
            connection.quiet_since = self._elapsed
            connection.pinged = False
            return
        silent_for = self._elapsed - connection.quiet_since
        if not connection.pinged:
            if silent_for >= self._interval * connection.patience - self._margin:
                connection.ping()
                connection.pinged = True
                connection.quiet_since = self._elapsed
        elif silent_for >= self._timeout * connection.patience - self._margin:
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
