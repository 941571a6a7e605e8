"""Limits on the number of connections of one address and on how fast it opens them.

Pure: addresses in, decisions out. Loopback addresses, which are this machine, are exempt unless proxies are
trusted: then the addresses are those of clients, and only the proxies themselves are exempt.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

from cloudlink.addresses import for_log, subscriber
from cloudlink.buckets import Bucket
from cloudlink.logthrottle import LogThrottle

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.addresses import RealAddress
    from cloudlink.settings import Settings

logger = logging.getLogger("cloudlink.transport")

_FORGET_INTERVAL = 60.0
_PAGES = " pages"
"""Suffix of the bucket key for the pages of an address."""


class ConnectionLimiter:
    """Counts connections per address."""

    def __init__(
        self,
        settings: Settings,
        real_address: RealAddress,
        clock: Callable[[], float] = time.monotonic,
        refused: Counter[str] | None = None,
    ) -> None:
        """Set up the limiter of one port.

        Args:
            settings: The server's settings, read at each call.
            real_address: Knows which addresses are exempt.
            clock: Returns the time, in seconds.
            refused: Counts refused connections, by `rate` and `addresses`; None for nobody.
        """
        self._refused: Counter[str] = Counter() if refused is None else refused
        self._settings = settings
        self._real_address = real_address
        self._clock = clock
        self._held: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()
        self._buckets: dict[str, Bucket] = {}
        self._throttle = LogThrottle(clock=clock)
        self._forgot_at = clock()

    def connection_refusal(self, address: str) -> str | None:
        """Return why an address may not open another connection now, None if it may."""
        settings = self._settings
        if self._is_exempt(address):
            return None
        self._forget()
        key = subscriber(address)
        most, rate = settings.max_connections_per_address, settings.connection_rate_per_address
        if self._held[key] >= most:
            self._refused["addresses"] += 1
            return self._refuse(address, f"more than {most} connections at a time")
        if not self._bucket(key).take():
            self._refused["rate"] += 1
            return self._refuse(address, f"more than {rate:g} new connections a second")
        return None

    def page_refusal(self, address: str) -> str | None:
        """Return why an address may not request another page now, None if it may.

        Pages are counted separately: viewing many does not keep anyone from playing.
        """
        if self._is_exempt(address):
            return None
        self._forget()
        if self._bucket(subscriber(address) + _PAGES).take():
            return None
        return self._refuse(
            address, f"more than {self._settings.connection_rate_per_address:g} pages a second"
        )

    def acquire(self, address: str) -> None:
        """Count a connection of an address."""
        self._held[subscriber(address)] += 1

    def release(self, address: str) -> None:
        """Note that a counted connection has ended."""
        _decrease(self._held, subscriber(address))

    def begin(self, address: str) -> bool:
        """Count a connection that has sent no request yet; return False if there are too many."""
        key = subscriber(address)
        self._waiting[key] += 1
        most = self._settings.max_connections_per_address
        if self._waiting[key] <= most or self._is_exempt(address):
            return True
        self._refused["addresses"] += 1
        self._refuse(address, f"more than {most} connections without a request")
        return False

    def end(self, address: str) -> None:
        """Note that a connection counted by `begin` has sent its request or has ended."""
        _decrease(self._waiting, subscriber(address))

    def should_log(self, address: str) -> bool:
        """Return whether to log a line about an address's subscriber: at most one a minute."""
        return self._throttle.should_log(subscriber(address))

    def _bucket(self, key: str) -> Bucket:
        if key not in self._buckets:
            settings = self._settings
            rate, burst = settings.connection_rate_per_address, settings.connection_burst_per_address
            self._buckets[key] = Bucket(rate, burst, self._clock)
        return self._buckets[key]

    def _is_exempt(self, address: str) -> bool:
        return not self._settings.limits or self._real_address.is_exempt(address)

    def _refuse(self, address: str, why: str) -> str:
        if self.should_log(address):
            shown = for_log(address, self._settings.log_addresses)
            logger.warning("Refusing connections from %s: %s.", shown, why)
        return why

    def _forget(self) -> None:
        """Drop the buckets of addresses that have been quiet for long."""
        now = self._clock()
        if now - self._forgot_at < _FORGET_INTERVAL:
            return
        self._forgot_at = now
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if not bucket.full}


def _decrease(counter: Counter[str], key: str) -> None:
    if counter[key] > 1:
        counter[key] -= 1
    else:
        del counter[key]
