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
from cloudlink.logthrottle import LogThrottle

from .tallies import LocalTallies

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.addresses import RealAddress
    from cloudlink.settings import Settings

    from .tallies import Tallies

logger = logging.getLogger("cloudlink.transport")

_FORGET_INTERVAL = 60.0
_PAGES = " pages"
"""Suffix of the bucket key for the pages of an address."""
_GUARDED = " guarded"
"""Suffix of the bucket key for the connections of an address while the server is guarded."""
_HANDSHAKES = " handshakes"
"""Suffix of the bucket key for the TLS handshakes of an address."""
_WAITING = " waiting"
"""Suffix of the key for the connections of an address without a request."""


class ConnectionLimiter:
    """Counts connections per address."""

    def __init__(
        self,
        settings: Settings,
        real_address: RealAddress,
        clock: Callable[[], float] = time.monotonic,
        refused: Counter[str] | None = None,
        tallies: Tallies | None = None,
    ) -> None:
        """Set up the limiter of one port.

        Args:
            settings: The server's settings, read at each call.
            real_address: Knows which addresses are exempt.
            clock: Returns the time, in seconds.
            refused: Counts refused connections, by `rate` and `addresses`; None for nobody.
            tallies: The counts of addresses, None for those of this process alone.
        """
        self._refused: Counter[str] = Counter() if refused is None else refused
        self._settings = settings
        self._real_address = real_address
        self._clock = clock
        self._tallies = LocalTallies(clock) if tallies is None else tallies
        self._throttle = LogThrottle(clock=clock)
        self._forgot_at = clock()

    def connection_refusal(self, address: str, guard: tuple[int, float] | None = None) -> str | None:
        """Return why an address may not open another connection now, None if it may.

        Args:
            address: The address.
            guard: How many connections it may have, and open in a second, if these are less than the settings say.
        """
        settings = self._settings
        if self._is_exempt(address):
            return None
        self._forget()
        key = subscriber(address)
        most, rate = settings.max_connections_per_address, settings.connection_rate_per_address
        burst, bucket = settings.connection_burst_per_address, key
        if guard is not None:
            most, rate = min(most, guard[0]), min(rate, guard[1])
            burst, bucket = most, key + _GUARDED
        if self._tallies.held(key) >= most:
            self._refused["addresses"] += 1
            return self._refuse(address, f"more than {most} connections at a time")
        if not self._tallies.take(bucket, rate, burst):
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
        if self._tallies.take(
            subscriber(address) + _PAGES,
            self._settings.connection_rate_per_address,
            self._settings.connection_burst_per_address,
        ):
            return None
        return self._refuse(
            address, f"more than {self._settings.connection_rate_per_address:g} pages a second"
        )

    def handshake_refusal(self, address: str) -> str | None:
        """Return why an address may not begin another TLS handshake now, None if it may.

        A handshake costs more time than all else until a connection is open. Pages and clients both need one, so the limit is
        the sum of theirs.
        """
        if self._is_exempt(address):
            return None
        self._forget()
        rate = 2 * self._settings.connection_rate_per_address
        burst = 2 * self._settings.connection_burst_per_address
        if self._tallies.take(subscriber(address) + _HANDSHAKES, rate, burst):
            return None
        self._refused["rate"] += 1
        return self._refuse(address, f"more than {rate:g} TLS handshakes a second")

    def acquire(self, address: str) -> None:
        """Count a connection of an address."""
        self._tallies.acquire(subscriber(address))

    def release(self, address: str) -> None:
        """Note that a counted connection has ended."""
        self._tallies.release(subscriber(address))

    def begin(self, address: str) -> bool:
        """Count a connection that has sent no request yet; return False if there are too many."""
        key = subscriber(address) + _WAITING
        self._tallies.acquire(key)
        most = self._settings.max_connections_per_address
        if self._tallies.held(key) <= most or self._is_exempt(address):
            return True
        self._refused["addresses"] += 1
        self._refuse(address, f"more than {most} connections without a request")
        return False

    def end(self, address: str) -> None:
        """Note that a connection counted by `begin` has sent its request or has ended."""
        self._tallies.release(subscriber(address) + _WAITING)

    def should_log(self, address: str) -> bool:
        """Return whether to log a line about an address's subscriber: at most one a minute."""
        return self._throttle.should_log(subscriber(address))

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
        self._tallies.forget()
