"""The calling side of a connection, for each kind of server; the classes implement `Line` for the dialer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

from cloudlink.closecodes import CloseCode

from .dialer import in_words, why_closed
from .proof import CallerHandshake, HandshakeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .cloudproject import CloudProject
    from .dialer import SocketWire
    from .link import PeerLink
    from .peer import PeerBridge
    from .upstream import UpstreamRoom

R = TypeVar("R", bound="UpstreamRoom | CloudProject")

REFUSED_LATER = 600.0
"""Seconds before the next attempt on a server that refused this one."""

_KICKED = range(4000, 4100)
_CLOUD_LATER_CODES = (CloseCode.CLOUD_USERNAME, CloseCode.CLOUD_OVERLOADED, CloseCode.CLOUD_PROJECT)
UNKNOWN_PROTOCOL = "Unable to identify protocol"
"""What a server answers that does not know the protocol of bridges."""


class PeerLine:
    """A connection to another server of this kind: first the proof, then the link."""

    def __init__(self, bridge: PeerBridge) -> None:
        self._bridge = bridge
        self._handshake = CallerHandshake(bridge.key)
        self._link: PeerLink | None = None
        self._wire: SocketWire | None = None
        self._mistake = ""

    @property
    def is_ready(self) -> bool:
        """Whether both sides have proved the secret."""
        return self._handshake.is_done

    @property
    def waiting_for(self) -> str:
        """The message that has not come yet."""
        return "its answer to the proof of the secret"

    def opened(self, wire: SocketWire) -> None:
        """Send the first message of the proof."""
        self._wire = wire
        wire.send(self._handshake.first.encode())

    def received(self, text: str) -> None:
        """Handle a message."""
        if self._link is not None:
            self._link.received(text.encode(errors="replace"))
        elif self._wire is not None and not self._handshake.is_done:
            self._prove(self._wire, text)

    def _prove(self, wire: SocketWire, text: str) -> None:
        try:
            answer = self._handshake.received(text)
        except HandshakeError as error:
            self._mistake = TOO_OLD if text == UNKNOWN_PROTOCOL else error.reason
            wire.close(error.code, error.reason)
            return
        if self._handshake.is_done:
            self._link = self._bridge.connected(wire)
        else:
            wire.send(answer.encode())

    def ponged(self) -> None:
        """Do nothing: the socket itself watches for silence."""

    def closed(self, code: int, reason: str) -> tuple[str, float]:
        """Return why the connection has ended."""
        if self._link is not None:
            self._bridge.disconnected(self._link)
            own = self._link.close_reason
            if own:
                return own, 0.0
        return self._mistake or why_closed(code, reason), _least_delay(code)


TOO_OLD = (
    "the other side knows no bridges: its CloudLink is too old, or none of its bridges waits to be called"
)
"""Why a server of another kind or age does not answer the proof."""


class _RelayLine(ABC, Generic[R]):
    """A connection to a server of another kind."""

    def __init__(self, core: R, changed: Callable[[], None], lost: Callable[[], None]) -> None:
        """Set up.

        Args:
            core: Relays between the two servers.
            changed: Called after each message.
            lost: Called at the end of the connection.
        """
        self._core = core
        self._changed = changed
        self._lost = lost
        self._wire: SocketWire | None = None
        self._is_held = False

    @property
    def is_ready(self) -> bool:
        """Whether the other server has let this one in."""
        return self._core.is_up

    @property
    def waiting_for(self) -> str:
        """The step that has not been answered yet."""
        return self._core.waiting_for

    def opened(self, wire: SocketWire) -> None:
        """Send the handshake."""
        self._wire = wire
        self._core.opened()
        self.flush()

    def received(self, text: str) -> None:
        """Handle a message."""
        self._core.received(text)
        self._progress()

    @abstractmethod
    def ponged(self) -> None:
        """Handle a pong."""

    @abstractmethod
    def closed(self, code: int, reason: str) -> tuple[str, float]:
        """Return why the connection has ended, and how many seconds to leave the server alone."""

    def close(self, reason: str) -> None:
        """End the connection."""
        if self._wire is not None:
            self._wire.close(CloseCode.GOING_AWAY, reason)

    def tick(self) -> None:
        """Let through what had to wait."""
        if self._wire is not None and not self._wire.is_congested:
            self._core.tick()
            self.flush()

    def flush(self) -> None:
        """Send what the core has to say, and read on or not."""
        if self._wire is None:
            return
        if self._core.outgoing:
            for text in self._core.outgoing:
                self._wire.send(text.encode())
            self._core.outgoing.clear()
            self._sent(self._wire)
        is_enough = self._core.is_reading_enough
        if is_enough and not self._is_held:
            self._wire.hold()
        elif self._is_held and not is_enough:
            self._wire.release()
        self._is_held = is_enough

    def _progress(self) -> None:
        """Send what follows from a message or a pong, and give up where the other server does not let this one in."""
        self.flush()
        if self._core.failure is not None and self._wire is not None:
            self._wire.close(CloseCode.NORMAL, "")
        self._changed()

    def _sent(self, wire: SocketWire) -> None:
        """Do what follows after sending."""


class UpstreamLine(_RelayLine["UpstreamRoom"]):
    """A connection to one room of CloudLink 0.2.0."""

    def ponged(self) -> None:
        """Do nothing: the handshake itself is answered."""

    def closed(self, code: int, reason: str) -> tuple[str, float]:
        """Return why the connection has ended, and how many seconds to leave the server alone."""
        was_up = self._core.is_up
        self._lost()
        why = why_closed(code, reason) if was_up else in_words(self._core.closed(code, reason))
        return why, _least_delay(code)


class CloudLine(_RelayLine["CloudProject"]):
    """A connection to one project of a cloud server."""

    def ponged(self) -> None:
        """Handle a pong."""
        self._core.ponged()
        self._progress()

    def closed(self, code: int, reason: str) -> tuple[str, float]:
        """Return why the connection has ended, and how many seconds to leave the server alone."""
        self._lost()
        why = in_words(self._core.closed(code, reason))
        return why, REFUSED_LATER if code in _CLOUD_LATER_CODES else 0.0

    def _sent(self, wire: SocketWire) -> None:
        """Send a ping: its pong ends the first values, and says that the other server has read ours."""
        wire.ping()


def _least_delay(code: int) -> float:
    """Return the least seconds before the next attempt: trying again soon does not help after a kick, a ban or a wrong secret."""
    return REFUSED_LATER if code == CloseCode.POLICY_VIOLATION or code in _KICKED else 0.0
