"""What a socket hands its messages to."""

from __future__ import annotations

from typing import Protocol


class Receiver(Protocol):
    """Whoever owns a socket."""

    def received(self, text: str) -> None:
        """Take one whole message."""
        ...

    def ponged(self) -> None:
        """Take note that the peer has answered a ping, and so has read all that was sent before it."""
        ...

    def connection_lost(self, code: int, reason: str) -> None:
        """Take note that the connection is gone; called once.

        Args:
            code: The close code of the peer, 1006 if the connection just broke.
            reason: The reason in its close frame.
        """
        ...
