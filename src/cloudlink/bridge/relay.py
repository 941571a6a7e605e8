"""The base of a connection to a server of another kind: its session, its rates, and what waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from cloudlink.buckets import Bucket

from .pacing import PacedQueue
from .records import LONGEST_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.bridgesections import BridgeSection
    from cloudlink.client.cloudsession import CloudSession
    from cloudlink.client.errors import ClientError
    from cloudlink.client.session import Session

S = TypeVar("S", bound="Session | CloudSession")
Outbound = TypeVar("Outbound")
Inbound = TypeVar("Inbound")


class Relay(Generic[S, Outbound, Inbound]):
    """One connection, which relays in both directions. Subclasses say what.

    Attributes:
        outgoing: Texts to send, in order; the sender empties it.
        relayed, sent, dropped: How many items were taken in, sent and dropped; the owner sets them to 0.
    """

    def __init__(
        self,
        session: S,
        section: BridgeSection,
        clock: Callable[[], float],
        *,
        rate: float,
        messages_at_once: int,
    ) -> None:
        """Set up the connection.

        Args:
            session: Speaks the protocol of the other server.
            section: The settings of the bridge.
            clock: Returns the time, in seconds.
            rate: Most items that are sent in a second.
            messages_at_once: How many of the longest messages may come at once.
        """
        self.outgoing: list[str] = []
        self.relayed = self.sent = self.dropped = 0
        self._session = session
        self._outbound: PacedQueue[Outbound] = PacedQueue(rate, section.byte_rate, clock)
        self._inbound: PacedQueue[Inbound] = PacedQueue(section.rate, section.byte_rate, clock)
        burst = max(section.byte_rate, messages_at_once * LONGEST_MESSAGE)
        self._reading = Bucket(section.byte_rate, burst, clock)

    @property
    def is_up(self) -> bool:
        """Whether the session is ready: in the room, or with the values of the project."""
        return self._session.ready

    @property
    def failure(self) -> ClientError | None:
        """Why the session cannot become ready; None while it can."""
        return self._session.failure

    @property
    def waiting_for(self) -> str:
        """The step that has not been answered yet, in words."""
        return self._session.waiting_for

    @property
    def is_reading_enough(self) -> bool:
        """Whether so much came that nothing more should be read for now."""
        return not self._reading.take(0)

    @property
    def has_waiting(self) -> bool:
        """Whether items wait for the rate to allow them."""
        return bool(self._outbound) or bool(self._inbound) or self.is_reading_enough

    def opened(self) -> None:
        """Send the handshake."""
        self._session.opened()
        self._move()

    def closed(self, code: int, reason: str) -> ClientError:
        """Return the error for the end of the connection."""
        return self._session.closed(code, reason)

    def _move(self) -> None:
        """Pass on what the session sends."""
        self.outgoing += self._session.outgoing
        self._session.outgoing.clear()
