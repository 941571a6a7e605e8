"""One project on a server of Scratch cloud variables: a player that relays values between the two.

Only the latest value of each variable is sent, at most ten times a second. The protocol has no echo and no order of
its own, so a value of the other server counts only if nothing of ours was on its way there: a ping follows what is
sent, and what comes before its pong is older. Pure: texts in, texts out, and calls of `Site`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.bridgesections import DEFAULT_USERNAME
from cloudlink.client.cloudsession import CloudSession

from .records import LONGEST_RECORD
from .relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.bridgesections import BridgeSection

    from .site import Site

MOST_PER_SECOND = 10.0
"""Most values that are sent in a second."""


class CloudProject(Relay[CloudSession, "tuple[str, bytes]", "tuple[str, bytes]"]):
    """One connection to one project. Its sender sends a ping after what it takes from `outgoing`.

    Attributes:
        project: The project's id here.
    """

    def __init__(
        self,
        section: BridgeSection,
        project: str,
        remote: str,
        site: Site,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        session = CloudSession(remote, section.username or DEFAULT_USERNAME)
        rate = min(section.rate, MOST_PER_SECOND)
        super().__init__(session, section, clock, rate=rate, messages_at_once=4)
        self.project = project
        self._site = site
        self._waiting: set[str] = set()
        self._in_flight: list[set[str]] = []  # the names in each batch whose pong has not come

    def send(self, name: str, val: bytes) -> None:
        """Send a value that was set here; before the connection is up, the first values decide."""
        if not self.is_up:
            return
        size = len(name) + len(val)
        if size > LONGEST_RECORD or not self._outbound.put((name, val), size + 32, key=name):
            self.dropped += 1
        else:
            self._waiting.add(name)

    def tick(self) -> None:
        """Let through what had to wait; called often."""
        batch: set[str] = set()
        while (item := self._outbound.take()) is not None:
            name, val = item
            self._waiting.discard(name)
            batch.add(name)
            self.sent += 1
            self._session.set(name, jsontext.loads(val))
        if batch:
            self._in_flight.append(batch)
            self._move()
        while (change := self._inbound.take()) is not None:
            self.relayed += 1
            self._apply(*change)

    def received(self, text: str) -> None:
        """Handle a message: one value a line."""
        self._reading.take(len(text))
        for change in self._session.received(text):
            self._take(change.name, jsontext.dumps(change.value))
        self.tick()

    def ponged(self) -> None:
        """Handle a pong: the other server has read what was sent before its ping."""
        if self.is_up:
            if self._in_flight:
                del self._in_flight[0]
            return
        self._session.ponged()
        if self._session.ready:
            self._begin()

    def _begin(self) -> None:
        """Take over the values of the other server, and send those that only this one has."""
        theirs = dict(self._session.variables)
        for name, value in theirs.items():
            self._take(name, jsontext.dumps(value))
        for name, val in self._site.variables(self.project).items():
            if name not in theirs:
                self.send(name, val)
        self.tick()

    def _take(self, name: str, val: bytes) -> None:
        if not self._site.is_cloud_variable(name, val) or not self._inbound.put(
            (name, val), len(name) + len(val), key=name
        ):
            self.dropped += 1

    def _apply(self, name: str, val: bytes) -> None:
        if name in self._waiting or any(name in batch for batch in self._in_flight):
            return  # the other server gets ours after it
        if self._site.variables(self.project).get(name) != val and not self._site.set_variable(
            self.project, name, val
        ):
            self.dropped += 1
