"""The interface through which a socket delivers messages to its owner."""

from __future__ import annotations

from typing import Protocol


class Receiver(Protocol):
    """The owner of a socket."""

    def received(self, text: str) -> None:
        """Handle one whole message."""
        ...

    def ponged(self) -> None:
        """Handle a pong: the peer has read everything that was sent before the ping."""
        ...

    def connection_lost(self, code: int, reason: str) -> None:
        """Handle the end of the connection; called once.

        Args:
            code: The close code of the peer, 1006 if the connection ended without a close frame.
            reason: The reason in its close frame.
        """
        ...
