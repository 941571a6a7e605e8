"""Carries the texts of an admin socket over a WebSocket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink.admin.wire import FLOODING
from cloudlink.buckets import Bucket
from cloudlink.delivery import text_frame

if TYPE_CHECKING:
    from cloudlink.admin.callers import Peer
    from cloudlink.admin.wire import Socket, Wire
    from cloudlink.transport.connection import WebSocketConnection

FRAME_RATE, FRAME_BURST = 20.0, 100
"""Pings and fragments of messages, a second and at once."""


class AdminReceiver:
    """Hands the messages of a WebSocket to an admin socket, and what the socket says to the WebSocket."""

    def __init__(self, wire: Wire, connection: WebSocketConnection, peer: Peer) -> None:
        self._connection = connection
        self._frames = Bucket(FRAME_RATE, FRAME_BURST)
        self._socket: Socket | None = None  # which may say something as soon as it is opened
        self._socket = wire.open(self, peer)

    # Called by the transport.

    def receive(self, data: bytes) -> None:
        """Take one text message of valid UTF-8."""
        if self._socket is not None:
            self._socket.receive(data)

    def receive_binary(self, data: bytes) -> None:  # noqa: ARG002  # the transport's signature
        """Take one binary message."""
        if self._socket is not None:
            self._socket.receive_binary()

    def admit(self, size: int) -> bool:  # noqa: ARG002  # the transport's signature
        """Return whether to handle a frame that is not a whole message."""
        if self._frames.take():
            return True
        if self._socket is not None:
            self._socket.close(FLOODING, "Too many frames")
        return False

    def grown(self, size: int) -> None:
        """Do nothing: messages of administrators are short."""

    def send_frame(self, frame: bytes) -> None:
        """Send a pong."""
        self._connection.write([frame])

    def writable(self) -> None:
        """Note that the peer has read everything."""
        if self._socket is not None:
            self._socket.writable()

    def connection_lost(self) -> None:
        """Note that the connection has ended."""
        if self._socket is not None:
            self._socket.lost()

    # Called by the admin socket; `close` by both.

    @property
    def congested(self) -> bool:
        """Whether the peer does not read what was written."""
        return self._connection.congested

    def send(self, data: bytes) -> None:
        """Send one text message."""
        self._connection.write([text_frame(data)])

    def close(self, code: int, reason: str) -> None:
        """Close the connection."""
        self._connection.close(code, reason)
        if self._socket is not None:
            self._socket.lost()
