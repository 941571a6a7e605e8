"""A bridge to another server of this kind: the users of its other side, over all its connections.

`link` is one connection; this module keeps what outlives it.
"""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

from cloudlink.buckets import Bucket
from cloudlink.closecodes import CloseCode
from cloudlink.server.events import Direct
from cloudlink.text import counted

from .base import GONE_AFTER, Bridge, logger
from .guests import Guests, Seats
from .link import PeerLink, shares_message
from .pacing import PacedQueue
from .proof import key_of
from .records import LONGEST_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.bridgesections import BridgeSection
    from cloudlink.server.events import Event, Message, User, Variable

    from .ledger import Entry, Ledger
    from .records import Record
    from .site import Site, Wire

REPLACED = "Another connection has proved the same secret"
PAUSED = "The bridge is paused"


class PeerBridge(Bridge):
    """A bridge of the kind `cloudlink`.

    Attributes:
        guests: The users of the other side.
        ledger: The variables of everything that this server shares.
        outbound: What is to be sent.
        inbound: What has come and the rate did not allow yet.
        reading: How many bytes may be read.
    """

    def __init__(
        self,
        name: str,
        section: BridgeSection,
        site: Site,
        ledger: Ledger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name, section, site, clock)
        self.ledger = ledger
        self.guests = Guests(site, name, Seats())
        self.outbound: PacedQueue[Record] = PacedQueue(section.rate, section.byte_rate, clock)
        self.inbound: PacedQueue[Record] = PacedQueue(section.rate, section.byte_rate, clock)
        self.reading = Bucket(section.byte_rate, max(section.byte_rate, 2 * LONGEST_MESSAGE), clock)
        self._link: PeerLink | None = None
        self._lost_at: float | None = None

    @cached_property
    def key(self) -> bytes:
        """The key of its secret, which takes a moment to compute."""
        return key_of(self.section.secret)

    @property
    def has_key(self) -> bool:
        """Whether the key of its secret is computed."""
        return "key" in vars(self)

    @property
    def is_up(self) -> bool:
        """Whether the other side is connected and has sent its users."""
        return self._link is not None and self._link.is_up

    @property
    def users(self) -> int:
        """The number of users of the other side that are shown here."""
        return len(self.guests)

    @property
    def has_waiting(self) -> bool:
        """Whether records wait for the rate to allow them."""
        return self._link is not None and self._link.has_waiting

    def connected(self, wire: Wire) -> PeerLink | None:
        """Begin to use a connection whose other side has proved the secret; an older one is closed.

        Returns:
            The link, which gets the messages; None, with the connection closed, while the bridge is paused.
        """
        if self.is_paused:
            wire.close(CloseCode.TRY_AGAIN_LATER, PAUSED)
            return None
        if self._link is not None:
            former = self._link
            self.disconnected(former)
            former.close(CloseCode.POLICY_VIOLATION, REPLACED)
        self._lost_at = None
        self._link = PeerLink(self, wire, self._clock)
        self._link.start()
        return self._link

    def answer_trial(self, wire: Wire) -> None:
        """Answer a caller that only tries whether all is well; the bridge itself is not touched."""
        if self.is_paused:
            wire.close(CloseCode.TRY_AGAIN_LATER, PAUSED)
        else:
            wire.send(shares_message(self.section, self.ledger))
            wire.close(CloseCode.NORMAL, "The trial is complete")

    def disconnected(self, link: PeerLink) -> bool:
        """Note that a connection has ended; return False if another one has taken its place."""
        if link is not self._link:
            return False
        self._link = None
        self._lost_at = self._clock()
        self.guests.lose()
        return True

    def ended(self, link: PeerLink) -> None:
        """Note that a connection on which the other side called has ended, and log it."""
        if self.disconnected(link):
            self.log_down(link.close_reason or "the connection broke", "it waits to be called")

    def tick(self) -> None:
        """Let through what had to wait, and remove the users of a bridge that stays down."""
        if self._link is not None:
            self._link.tick()
        elif self._lost_at is not None and self._clock() - self._lost_at >= GONE_AFTER:
            self._lost_at = None
            self.guests.clear()

    def close(self, reason: str) -> None:
        """End the connection and remove the users."""
        link, self._link, self._lost_at = self._link, None, None
        self.guests.lose()
        self.guests.clear()
        if link is not None:
            link.close(CloseCode.GOING_AWAY, reason)

    # From this server.

    def message(self, room: str, event: Message) -> None:
        """Carry a gmsg."""
        if self._link is not None and room in self._link.rooms:
            self._link.send_message(room, event)

    def variable(self, room: str, name: str, entry: Entry, event: Variable) -> None:
        """Carry a gvar."""
        if self._link is not None and room in self._link.rooms:
            self._link.send_variable(room, name, entry, event)

    def cloud_variable(self, project: str, name: str, entry: Entry) -> None:
        """Carry a cloud variable."""
        if self._link is not None and project in self._link.projects:
            self._link.send_cloud_variable(project, name, entry)

    def show(self, user: User, room: str) -> None:
        """Show a user of this server at the other side."""
        if self._link is not None:
            self._link.show(user, room)

    def hide(self, user_id: str, room: str) -> None:
        """Stop showing a user of this server at the other side."""
        if self._link is not None:
            self._link.hide(user_id, room)

    def rooms_of(self, user_id: str) -> list[str]:
        """Return the rooms in which the other side sees a user of this server."""
        return self._link.rooms_of(user_id) if self._link is not None else []

    def refusal(self, event: Event) -> str:
        """Return why an event cannot be sent to a user of the other side, empty if it can."""
        return f"Direct messages do not cross the bridge {self.name}." if isinstance(event, Direct) else ""

    def private(self, user: User, room: str, event: Event) -> None:
        """Carry a pmsg or pvar."""
        if self._link is None:
            self.count_dropped(theirs=False)
        else:
            self._link.send_private(user, room, event)

    # From the link.

    def link_is_up(self, link: PeerLink) -> None:
        """Log what is shared."""
        shared = [counted(len(link.rooms), "room")] if link.rooms or not link.projects else []
        if link.projects:
            shared.append(counted(len(link.projects), "project"))
        self._log_up(f"{', '.join(shared)}, {counted(self.users, 'user')}")
        if link.unshared:
            logger.warning(
                "Bridge %s: the other side does not share %s; both servers have to name it.",
                self.name,
                ", ".join(link.unshared),
            )

    def link_drops(self, *, theirs: bool) -> None:
        """Count a dropped record."""
        self.count_dropped(theirs=theirs)
