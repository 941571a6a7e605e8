"""Admin sockets that arrive at another process than the one that has the accounts and sessions.

Of several workers, the first one administers. The others pass the messages of their admin sockets on to it, over a Unix
socket with an abstract name (workers need Linux). Its other end checks that it talks to a process of the same user.
Each message is one frame: its kind (one byte), its length (four bytes), and its content.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import struct
from dataclasses import asdict
from typing import TYPE_CHECKING

from cloudlink.admin.callers import Peer
from cloudlink.admin.wire import FLOODING
from cloudlink.buckets import Bucket
from cloudlink.closecodes import CloseCode
from cloudlink.delivery import text_frame

from .sockets import FRAME_BURST, FRAME_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloudlink.admin.wire import Socket, Wire
    from cloudlink.transport.connection import WebSocketConnection

logger = logging.getLogger("cloudlink.admin")

_HEAD = struct.Struct("!cI")
_PEER, _TEXT, _BINARY, _CLOSE = b"P", b"T", b"B", b"C"
_CREDENTIALS = struct.Struct("3i")
_MOST_WAITING = 1 << 20
"""Bytes that may wait for the first process before nothing more is read from a browser."""
_GONE = "The administration cannot be reached"


def address() -> str:
    """Return the abstract name of the Unix socket; the workers of one server have the same parent."""
    return f"\0cloudlink-admin-{os.getppid()}"


class _Frames:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the kind and the content of each frame that is complete."""
        self._data += data
        while len(self._data) >= _HEAD.size:
            kind, size = _HEAD.unpack_from(self._data)
            end = _HEAD.size + size
            if len(self._data) < end:
                return
            content = bytes(self._data[_HEAD.size : end])
            del self._data[:end]
            yield kind, content


def _frame(kind: bytes, content: bytes) -> bytes:
    return _HEAD.pack(kind, len(content)) + content


class RelayServer:
    """The side of the process that administers."""

    def __init__(self, wire: Wire) -> None:
        """Listen: connections wait until `start`. Raises `OSError`."""
        self._wire = wire
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(address())
        self._socket.listen()
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Incoming(self._wire), sock=self._socket)

    def close(self) -> None:
        """Accept nothing more."""
        if self._server is not None:
            self._server.close()
        self._socket.close()


class _Incoming(asyncio.Protocol):
    """One relayed admin socket; it carries the texts of the `Socket`."""

    def __init__(self, wire: Wire) -> None:
        self.congested = False
        self._wire = wire
        self._frames = _Frames()
        self._transport: asyncio.Transport | None = None
        self._admin_socket: Socket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Check who is there."""
        if not isinstance(transport, asyncio.Transport):  # Unix sockets have such transports only
            return
        raw = transport.get_extra_info("socket").getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
        )
        if _CREDENTIALS.unpack(raw)[1] != os.getuid():
            transport.abort()
        else:
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand messages on."""
        for kind, content in self._frames.add(data):
            if kind == _PEER and self._admin_socket is None:
                self._admin_socket = self._wire.open(self, Peer(**json.loads(content)))
            elif self._admin_socket is not None and kind == _TEXT:
                self._admin_socket.receive(content)
            elif self._admin_socket is not None:
                self._admin_socket.receive_binary()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Note that the browser, or the other process, is gone."""
        self._transport = None
        if self._admin_socket is not None:
            self._admin_socket.lost()

    def pause_writing(self) -> None:
        """Note that the browser reads too slowly."""
        self.congested = True

    def resume_writing(self) -> None:
        """Note that it reads again."""
        self.congested = False
        if self._admin_socket is not None:
            self._admin_socket.writable()

    def send(self, data: bytes) -> None:
        """Send one text message."""
        if self._transport is not None:
            self._transport.write(_frame(_TEXT, data))

    def close(self, code: int, reason: str) -> None:
        """Close the connection after everything that was sent."""
        if self._transport is not None:
            self._transport.write(_frame(_CLOSE, json.dumps([code, reason]).encode()))
            self._transport.close()


class RelayReceiver(asyncio.Protocol):
    """The side of another process: the receiver of a WebSocket, which passes everything on."""

    def __init__(self, connection: WebSocketConnection, peer: Peer) -> None:
        self._connection = connection
        self._pings = Bucket(FRAME_RATE, FRAME_BURST)
        self._frames = _Frames()
        self._transport: asyncio.Transport | None = None
        self._waiting = [_frame(_PEER, json.dumps(asdict(peer)).encode())]
        self._is_over = False
        self._task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: self, address())
        except OSError as error:
            logger.warning("The process that administers cannot be reached: %s.", error.strerror or error)
            self._end(CloseCode.TRY_AGAIN_LATER, _GONE)

    # Called by the WebSocket.

    def receive(self, data: bytes) -> None:
        """Pass one text message on."""
        self._pass_on(_frame(_TEXT, data))

    def receive_binary(self, data: bytes) -> None:  # noqa: ARG002  # the transport's signature
        """Pass on that there was a binary message, which is never right."""
        self._pass_on(_frame(_BINARY, b""))

    def admit(self, size: int) -> bool:  # noqa: ARG002  # the transport's signature
        """Return whether to handle a frame that is not a whole message."""
        if self._pings.take():
            return True
        self.close(FLOODING, "Too many frames")
        return False

    def grown(self, size: int) -> None:
        """Do nothing: messages of administrators are short."""

    def send_frame(self, frame: bytes) -> None:
        """Send a pong."""
        self._connection.write([frame])

    def writable(self) -> None:
        """Go on: the browser has read everything."""
        if self._transport is not None:
            self._transport.resume_reading()

    def close(self, code: int, reason: str) -> None:
        """Close the connection."""
        self._end(code, reason)

    def connection_lost(self, exc: Exception | None = None) -> None:  # noqa: ARG002  # asyncio's signature
        """Note that one of the two connections has ended, and end the other."""
        self._end(CloseCode.TRY_AGAIN_LATER, _GONE)

    def _pass_on(self, frame: bytes) -> None:
        if self._is_over:
            return
        if self._transport is None:
            self._waiting.append(frame)
        else:
            self._transport.write(frame)
            if self._transport.get_write_buffer_size() > _MOST_WAITING:
                self._connection.slow_down()

    # Called by the Unix socket; it also calls `connection_lost`.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say who is there, and what was said meanwhile."""
        if not isinstance(transport, asyncio.Transport):  # Unix sockets have such transports only
            return
        if self._is_over:
            transport.abort()
            return
        self._transport = transport
        transport.write(b"".join(self._waiting))
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        """Pass messages on to the browser."""
        for kind, content in self._frames.add(data):
            if kind == _CLOSE:
                self._end(*json.loads(content))
            elif not self._is_over:
                self._connection.write([text_frame(content)])
        if self._connection.congested and self._transport is not None:
            self._transport.pause_reading()

    def _end(self, code: int, reason: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._transport is not None:  # otherwise `connection_made` ends it
            self._transport.close()
        self._connection.close(code, reason)
