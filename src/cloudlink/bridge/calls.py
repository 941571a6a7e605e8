"""A call of another server, from the proof of the secret to its end: answered here, or on the node that runs the bridges.

The proof of this side, the answer, is not sent before some node has taken the call. So a call that arrives while the
bridges move from one node to another waits for a moment, and no message of it can get lost. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cloudlink.closecodes import CloseCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from .link import PeerLink
    from .peer import PeerBridge
    from .site import Wire

PATIENCE = 5.0
"""Seconds for which a call waits for a node to take it; the caller itself waits for ten."""

TOO_EARLY = "Nothing may be sent before the called server has proved the secret"


class Way(Protocol):
    """Passes a call on to another node; implemented by `tunnels.Entrance`."""

    def received(self, data: bytes) -> None:
        """Pass a message of the caller on."""
        ...

    def dropped(self) -> None:
        """Report that a message of the caller exceeded the limits of a client."""
        ...

    def ended(self) -> None:
        """Report that the connection has ended."""
        ...

    def leave(self) -> None:
        """Stop passing messages on; the connection stays open."""
        ...


class Call:
    """A connection whose caller has proved the secret.

    Attributes:
        bridge: The bridge that it belongs to.
        wire: The connection.
        since: When the secret was proved.
        is_answered: Whether a node has taken it.
        is_over: Whether it has ended, or is closed.
        entrance: Passes it on to the node that runs the bridges; None if no node was asked.
    """

    def __init__(self, bridge: PeerBridge, wire: Wire, answer: Callable[[], None], since: float) -> None:
        """Args: answer: Sends the proof of this side."""
        self.bridge = bridge
        self.wire = wire
        self.since = since
        self.is_answered = self.is_over = False
        self.entrance: Way | None = None
        self._answer = answer
        self._link: PeerLink | None = None

    def answer(self) -> None:
        """Prove the secret to the caller, because a node has taken the call."""
        if not self.is_answered:
            self.is_answered = True
            self._answer()

    def take(self) -> None:
        """Take the call here, even if another node was asked to take it and has not answered."""
        if self.entrance is not None:
            self.entrance.leave()
        self.answer()
        self._link = self.bridge.connected(self.wire)

    def received(self, data: bytes) -> None:
        """Handle a message of the caller."""
        if not self.is_answered:
            self.close(CloseCode.PROTOCOL_ERROR, TOO_EARLY)
        elif self._link is not None:
            self._link.received(data)
        elif self.entrance is not None:
            self.entrance.received(data)

    def dropped(self) -> None:
        """Count a message that exceeded the limits of a client."""
        if self.entrance is not None:
            self.entrance.dropped()
        else:
            self.bridge.count_dropped()

    def ended(self) -> None:
        """Note that the connection has ended."""
        self.is_over = True
        if self.entrance is not None:
            self.entrance.ended()
        elif self._link is not None:
            self.bridge.ended(self._link)

    def close(self, code: int, reason: str) -> None:
        """End the connection."""
        self.is_over = True
        self.wire.close(code, reason)
