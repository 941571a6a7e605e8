"""The base of all kinds of bridges: their state, their counters and their log lines."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from cloudlink.buckets import Bucket
from cloudlink.logthrottle import LogThrottle
from cloudlink.text import printable

from .sharing import entries_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.bridgesections import BridgeSection
    from cloudlink.server.events import Event, Message, User, Variable

    from .ledger import Entry
    from .site import Site

logger = logging.getLogger("cloudlink.bridge")

_LINES_AT_ONCE = 20
_LINES_PER_SECOND = 1 / 30
"""How many lines about going up and down may be logged: another server could connect again and again."""

GONE_AFTER = 3.0
"""Seconds after which the users of a bridge that is down are removed."""


class Bridge(ABC):
    """One bridge of this server, whatever is at its other side.

    Attributes:
        name: Its name.
        section: Its settings.
        site: This server.
        is_paused: Whether an operator has paused it.
        received: How many records or packets of the other side were taken in.
        sent: How many were sent there.
        dropped: How many were dropped, in both directions.
        reason: Why it is down, empty while it is up or was never tried.
    """

    def __init__(
        self, name: str, section: BridgeSection, site: Site, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.section = section
        self.site = site
        self.is_paused = False
        self.received = 0
        self.sent = 0
        self.dropped = 0
        self.reason = ""
        self.wake: Callable[[], None] = lambda: None
        self._clock = clock
        self._throttle = LogThrottle(clock=clock)
        self._lines = Bucket(_LINES_PER_SECOND, _LINES_AT_ONCE, clock)

    @property
    def local_rooms(self) -> list[str]:
        """The rooms here that it shares."""
        return [local for local, _ in entries_of(self.section.rooms)]

    @property
    def local_projects(self) -> list[str]:
        """The projects here that it shares."""
        return [local for local, _ in entries_of(self.section.projects)]

    @property
    @abstractmethod
    def is_up(self) -> bool:
        """Whether it is connected and both sides have each other's users."""

    @property
    @abstractmethod
    def users(self) -> int:
        """The number of users of the other side that are shown here."""

    @property
    @abstractmethod
    def has_waiting(self) -> bool:
        """Whether something waits for the rate to allow it, so that `tick` should be called soon."""

    @abstractmethod
    def tick(self) -> None:
        """Let through what had to wait; called often."""

    @abstractmethod
    def close(self, reason: str) -> None:
        """End the connections and remove the users."""

    # From this server. The room or project is one that the bridge shares.

    def message(self, room: str, event: Message) -> None:  # noqa: B027  # some kinds carry nothing of it
        """Carry a gmsg."""

    def variable(self, room: str, name: str, entry: Entry, event: Variable) -> None:  # noqa: B027  # some kinds carry nothing of it
        """Carry a gvar."""

    def cloud_variable(self, project: str, name: str, entry: Entry) -> None:  # noqa: B027  # some kinds carry nothing of it
        """Carry a cloud variable."""

    def show(self, user: User, room: str) -> None:  # noqa: B027  # some kinds carry nothing of it
        """Note that a named user is in a room, or has another name."""

    def hide(self, user_id: str, room: str) -> None:  # noqa: B027  # some kinds carry nothing of it
        """Note that a user has left a room."""

    def rooms_of(self, user_id: str) -> list[str]:  # noqa: ARG002  # for subclasses
        """Return the rooms in which the other side sees a user of this server."""
        return []

    def refusal(self, event: Event) -> str:  # noqa: ARG002  # for subclasses
        """Return why an event cannot be sent to a user of the other side, empty if it can."""
        return f"Private messages do not cross the bridge {self.name}."

    def private(self, user: User, room: str, event: Event) -> None:  # noqa: B027  # some kinds carry nothing of it
        """Carry an event to a user of the other side."""

    # Log lines.

    def _log_up(self, details: str) -> None:
        self.reason = ""
        if self._lines.take():
            logger.info("Bridge %s is up: %s.", self.name, details, extra={"event": "bridge_up"})

    def log_down(self, why: str, then: str) -> None:
        """Log that the bridge is down, and what happens next."""
        self.reason = printable(why).rstrip(".")
        if self._lines.take():
            text = "Bridge %s is down: %s; %s."
            logger.warning(text, self.name, self.reason, then, extra={"event": "bridge_down"})

    def count_dropped(self, count: int = 1, *, theirs: bool = True) -> None:
        """Count dropped records, and log that once a minute.

        Args:
            count: How many.
            theirs: Whether the other side sends too much, or something wrong; otherwise this side has too much to
                send.
        """
        self.dropped += count
        if self._throttle.should_log(theirs):
            text = (
                "Bridge %s sends too much; messages are dropped."
                if theirs
                else "Bridge %s carries less than is sent here; messages are dropped."
            )
            logger.warning(text, self.name, extra={"event": "bridge_dropped"})
