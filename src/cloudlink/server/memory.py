"""The account of the memory that addresses make the server keep.

Limits on single connections do not bound what an address keeps with hundreds of them: half-received messages, long names
of many rooms, packets that wait for their turn, backlogs. Here all of it is added up by address. An address may keep as
much as it leaves for others, at most half of `max_kept_memory` (see `cloudlink.shares` for the rule). If it
comes near that, its large messages are read slowly; next, it gets no more connections and rooms; beyond its share, the
connections that keep most are closed, until the rest fits.

Nothing is counted while packets are processed. When something large is received, and once a second while much is kept,
all connections are measured. Without a rush of large messages, at most 5 % of the time is used for this. The clock and
the timer are passed in.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cloudlink.logthrottle import LogThrottle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.counters import Counters

logger = logging.getLogger("cloudlink.server")

_PAUSE = 0.05
"""Shortest time between two measurements, in seconds."""
_EASE = 20
"""Shortest time between two measurements, in times of how long the last one took."""
_URGENT = 8
"""Growth by more than this part of the memory is measured at once."""
_MANY = 32
"""While memory is scarce, addresses that keep more than this part of it are slowed down."""
_MUCH = 16
"""While less than this part of the memory is kept, nothing is measured without a reason."""
_MB = 1 << 20

FEW_ROOMS = 8
"""Rooms of a client up to which they are not counted; most have one or two."""
TOO_MUCH_KEPT = "Your address makes the server keep too much memory"
"""The reason given to clients."""


class Kept(NamedTuple):
    """The memory that the server keeps for a connection, in bytes.

    Attributes:
        messages: Received parts of messages, and the buffers into which they are read.
        packets: Messages that wait for their turn.
        backlog: Messages that wait for a client that reads slowly.
        rooms: The names of many rooms, and what the rooms themselves need.
        handlers: Unfinished handlers of plugins.
    """

    messages: int = 0
    packets: int = 0
    backlog: int = 0
    rooms: int = 0
    handlers: int = 0


class Holder(Protocol):
    """A session that makes the server keep memory."""

    @property
    def owner(self) -> str | None:
        """The subscriber, None for one to which no limits per address apply."""
        ...

    def kept(self) -> Kept:
        """Return what the session makes the server keep now."""
        ...

    def shed(self, reason: str) -> None:
        """Close the connection and free its memory."""
        ...


class MemoryAccounts:
    """The accounts of all addresses.

    Attributes:
        kept: Bytes by kind, as last measured; see `Kept`.
        shed: Number of connections that were closed.
    """

    def __init__(
        self,
        holders: Callable[[], Iterable[Holder]],
        most: Callable[[], float],
        later: Callable[[float, Callable[[], None]], None],
        clock: Callable[[], float] = time.monotonic,
        work: Callable[[], float] = time.thread_time,
        shown: Callable[[str], str] = str,
        counters: Counters | None = None,
    ) -> None:
        """Set up empty accounts.

        Args:
            holders: Returns all sessions.
            most: Returns how many bytes all of them together may keep.
            later: Calls a function after a number of seconds.
            clock: Returns the time, in seconds.
            work: Returns the CPU time of this thread, in seconds.
            shown: Returns an address in the form that may be logged.
            counters: Shows in the metrics what is kept, None for nobody.
        """
        self.kept = Kept()
        self.shed = 0
        self._holders = holders
        self._most = most
        self._later = later
        self._work = work
        self._full: set[str] = set()
        self._slowed: set[str] = set()
        self._growth = 0
        self._is_urgent = False
        self._took = 0.0
        self._is_scheduled = False
        self._is_much = False
        self._shown = shown
        self._throttle = LogThrottle(clock=clock)
        for number, kind in enumerate(Kept._fields):
            if counters is not None and kind != "backlog":  # delivery knows it at any time
                counters.kept[kind] = partial(self._kept_of, number)

    def _kept_of(self, number: int) -> int:
        return self.kept[number]

    def note(self, size: int = 0) -> None:
        """Measure soon: something large is being kept. Args: size: Bytes by which a connection grows."""
        self._growth += size
        if not self._is_urgent and self._growth * _URGENT > self._most():
            self._is_urgent = True
            self._later(0.0, self._measure_as_scheduled)
        elif not self._is_scheduled:
            self._is_scheduled = True
            self._later(max(_PAUSE, _EASE * self._took), self._measure_as_scheduled)

    def tick(self, *, is_busy: bool) -> None:
        """Measure if much is kept; called about once a second. Args: is_busy: whether packets or frames wait."""
        if is_busy or self._is_much:
            self.note()

    def is_full(self, owner: str | None) -> bool:
        """Return whether an address keeps so much that it gets no more connections and rooms."""
        return owner in self._full

    def is_slowed(self, owner: str | None) -> bool:
        """Return whether the large messages of an address are read slowly, because memory becomes scarce."""
        return owner in self._slowed

    def measure(self) -> None:
        """Measure all connections, and close the largest if an address keeps too much."""
        began = self._work()
        totals, held = Counter[str](), Counter[str | None]()
        of: dict[str | None, list[tuple[int, Holder]]] = {}
        for holder in self._holders():
            kept = holder.kept()
            size = sum(kept)
            if size:
                totals.update(kept._asdict())
                held[holder.owner] += size
                of.setdefault(holder.owner, []).append((size, holder))
        self.kept = Kept(**totals)
        most = self._most()
        self._relieve(held, of, most)
        total = held.total()
        left = most - total
        # Half of what would be too much; the own connections of this machine are never refused.
        self._full = {owner for owner, size in held.items() if owner is not None and 2 * size > left}
        is_scarce = 2 * total > most
        self._slowed = {
            owner
            for owner, size in held.items()
            if owner is not None and (3 * size > left or (is_scarce and _MANY * size > most))
        }
        self._is_much = _MUCH * total > most
        self._growth = 0
        self._took = self._work() - began

    def _measure_as_scheduled(self) -> None:
        self._is_scheduled = self._is_urgent = False
        self.measure()

    def _relieve(
        self, held: Counter[str | None], of: dict[str | None, list[tuple[int, Holder]]], most: float
    ) -> None:
        """Close connections, the largest of the largest address first, until the rest fits."""
        while (owner := _excessive(held, most)) in of:
            kept = held[owner]
            largest = sorted(of.pop(owner), key=lambda one: one[0], reverse=True)
            closed = 0
            while largest and _excessive(held, most) == owner:
                size, holder = largest.pop(0)
                if not closed:
                    self._tell(owner, kept, holder)
                held[owner] -= size
                closed += 1
                holder.shed(TOO_MUCH_KEPT)
            self.shed += closed
            if not held[owner]:
                del held[owner]
            if largest:
                of[owner] = largest

    def _tell(self, owner: str | None, kept: int, holder: Holder) -> None:
        if self._throttle.should_log(owner):
            logger.warning(
                "%s makes the server keep %d MB, which is more than its part of max_kept_memory: "
                "%s, which keeps most, is disconnected, and others of this address may be.",
                "This machine" if owner is None else self._shown(owner),
                kept // _MB,
                holder,
                extra={"event": "memory"},
            )


class _Nobody:
    """Is in no dictionary of owners."""


def _excessive(held: Counter[str | None], most: float) -> str | type[_Nobody] | None:
    """Return the address that keeps more than it may, `_Nobody` if all is well."""
    total = held.total()
    largest = max(held, key=lambda owner: (held[owner], owner is not None), default=None)
    if total > most:
        return largest
    named = max((size for owner, size in held.items() if owner is not None), default=0)
    if named > most - total:
        return next(owner for owner, size in held.items() if owner is not None and size == named)
    return _Nobody
