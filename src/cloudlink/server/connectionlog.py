"""Bounds the lines in the log about the coming and going of clients, for each address.

An address may open 50 connections a second for ever. With three lines for each, it would fill the disk of a small server
within days.

This module does no I/O: the clock is passed in.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from cloudlink.addresses import subscriber
from cloudlink.buckets import Buckets
from cloudlink.logthrottle import LogThrottle

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("cloudlink.server")

_RATE, _BURST = 1.0, 500
"""Lines of one address: a second in the long run, and at once. A class of 150 can come at once."""
_FORGET_INTERVAL = 60.0


class ConnectionLog:
    """Counts the lines of each address."""

    def __init__(
        self,
        shown: Callable[[str], str] = lambda _: "One address",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up the counts of one server.

        Args:
            shown: Returns an address in the form that may be logged.
            clock: Returns the time, in seconds.
        """
        self._shown = shown
        self._clock = clock
        self._buckets = Buckets(clock)
        self._throttle = LogThrottle(clock=clock)
        self._forgot_at = clock()

    def should_log(self, address: str) -> bool:
        """Return whether to log that a client of an address comes, gets a name or leaves."""
        key = subscriber(address)
        self._forget()
        if self._buckets.take(key, _RATE, _BURST):
            return True
        if self._throttle.should_log(key):
            logger.info("%s connects so often that only a part of it is logged.", self._shown(address))
        return False

    def _forget(self) -> None:
        """Drop the buckets of addresses that have been quiet for long."""
        now = self._clock()
        if now - self._forgot_at >= _FORGET_INTERVAL:
            self._forgot_at = now
            self._buckets.forget()
