"""A WebSocket client over TCP that keeps every frame in the order of its arrival.

It checks the server's handshake and framing with the protocol engine of `websockets`. It never sleeps: `barrier` pings and
waits for the pong, which the server sends after everything that it had to send before.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from tests.support.inbox import Inbox


class SocketClient(asyncio.Protocol, Inbox):
    """A WebSocket client that keeps frames exactly in the order in which they arrive, pongs included."""

    def __init__(self, uri: str, headers: dict[str, str]) -> None:
        Inbox.__init__(self)
        self.websocket = ClientProtocol(parse_uri(uri), max_size=None)
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.arrived = asyncio.Event()  # set whenever a message has come
        self._headers = headers
        self._pongs: dict[bytes, asyncio.Future[None]] = {}
        self._leaving = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        request = self.websocket.connect()
        for name, value in self._headers.items():
            request.headers[name] = value
        self.websocket.send_request(request)
        self._write()

    def data_received(self, data: bytes) -> None:
        self.websocket.receive_data(data)
        self._progress()

    def eof_received(self) -> None:
        self.websocket.receive_eof()
        self._progress()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.websocket.state is not State.CLOSED:
            self.websocket.receive_eof()
        self._progress()
        if not self._leaving:
            close = self.websocket.close_rcvd
            self.closed = (close.code, close.reason) if close else (1006, "")
        for future in (self.opened, self.gone, *self._pongs.values()):
            if not future.done():
                future.set_result(None)

    def _progress(self) -> None:
        for event in self.websocket.events_received():
            if isinstance(event, Response):
                if not self.opened.done():
                    self.opened.set_result(None)
            elif isinstance(event, Frame):
                self._frame(event)
        self._write()

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PONG:
            pong = self._pongs.pop(bytes(frame.data), None)
            if pong is not None and not pong.done():
                pong.set_result(None)
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            whole_text = frame.opcode is Opcode.TEXT and frame.fin
            self.frames.append(bytes(frame.data).decode() if whole_text else f"not a text frame: {frame}")
            self.arrived.set()

    def _write(self) -> None:
        for data in self.websocket.data_to_send():
            if data:
                self.transport.write(data)
            elif self.transport.can_write_eof() and not self.transport.is_closing():
                self.transport.write_eof()

    def send(self, data: bytes, *, binary: bool) -> None:
        (self.websocket.send_binary if binary else self.websocket.send_text)(data)
        self._write()

    async def iter_frames(self):
        """Yield what arrives until the connection ends."""
        self.gone.add_done_callback(lambda _: self.arrived.set())
        while not self.gone.done():
            self.arrived.clear()
            await self.arrived.wait()
            for frame in self.take():
                yield frame

    async def barrier(self) -> None:
        """Return when everything has arrived that the server sent up to now, or the end of the connection."""
        if self.websocket.state is not State.OPEN:
            await self.gone
            return
        data = struct.pack("!I", len(self._pongs) + 1)
        pong = self._pongs[data] = asyncio.get_running_loop().create_future()
        self.websocket.send_ping(data)
        self._write()
        await pong
        if self.websocket.state is not State.OPEN:
            await self.gone

    async def leave(self) -> None:
        """Say good-bye and wait for the end of the connection."""
        self._leaving = True
        if self.websocket.state is State.OPEN:
            self.websocket.send_close(1000)
            self._write()
        await self.gone

    def reset(self) -> None:
        """Drop the connection as a crashed machine's router does: by a TCP reset."""
        self._leaving = True
        linger_for_no_time = struct.pack("ii", 1, 0)
        self.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger_for_no_time
        )
        self.transport.abort()
