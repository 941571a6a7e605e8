"""Two ways of talking to a server in a conversation: in memory, and over a real WebSocket.

Neither sleeps. In memory everything is done when the tasks of plugins are done; over a socket each client pings and
waits for the pong, which the server sends after everything that it had to send before.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import UserDict
from typing import Any

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

TIME_LIMIT = 10.0  # seconds; reached only when something is wrong


class Line:
    """What one client has received, and how its connection ended if the server ended it."""

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.closed: tuple[int, str] | None = None

    def take(self) -> list[str]:
        frames, self.frames = self.frames, []
        return frames


# --------------------------------------------------------------------------------------------------- memory


class Headers(UserDict[str, str]):
    """Request headers, whose names ignore case."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in headers.items()})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())


class MemoryConnection(Line):
    """The connection that a session is given: it takes WebSocket frames apart and keeps them."""

    congested = False

    def __init__(self, path: str = "/", headers: dict[str, str] | None = None, port: int = 50000) -> None:
        super().__init__()
        self.remote_address: tuple[str, int] | None = ("127.0.0.1", port)
        self.address = "127.0.0.1"
        self.headers = Headers(headers or {})
        self.path = path
        self.congested = False
        self.slowed_down = 0

    def write(self, frames: list[bytes]) -> None:
        data = b"".join(frames)
        assert not data or self.closed is None, f"written after the connection was closed: {data!r}"
        while data:
            text, data = _first_frame(data)
            self.frames.append(text)

    def close(self, code: int, reason: str) -> None:
        assert self.closed is None, "closed twice"
        self.closed = (code, reason)

    def slow_down(self) -> None:
        self.slowed_down += 1


def _first_frame(data: bytes) -> tuple[str, bytes]:
    """The text of the first WebSocket frame in `data` (RFC 6455, section 5.2), and the rest."""
    assert data[0] == 0x81, f"not an unfragmented text frame: {data[:20]!r}"
    size, start = data[1], 2
    assert size < 0x80, "a server must not mask"
    if size >= 126:
        start = 4 if size == 126 else 10
        size = int.from_bytes(data[2:start], "big")
    assert len(data) >= start + size, "a frame was cut"
    return data[start : start + size].decode(), data[start + size :]


class InMemory:
    """Hands messages to sessions and reads the frames that they write."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.connections: dict[str, MemoryConnection] = {}
        self.sessions: dict[str, Any] = {}

    async def connect(self, who: str, path: str = "/", headers: dict[str, str] | None = None) -> None:
        connection = MemoryConnection(path, headers, port=50000 + len(self.connections))
        self.connections[who] = connection
        self.sessions[who] = self.server.open_session(connection)
        await asyncio.sleep(0)  # a client's first message is never read in the turn of its upgrade request

    async def send(self, who: str, data: bytes, *, binary: bool = False) -> None:
        session = self.sessions[who]
        (session.receive_binary if binary else session.receive)(data)

    async def disconnect(self, who: str) -> None:
        self.sessions.pop(who).connection_lost()

    async def drop(self, who: str) -> None:
        self.sessions.pop(who).connection_lost()

    async def settle(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for _ in range(200):  # a plugin's handler that never ends must not keep us
            await asyncio.sleep(0)
            if all(task.done() for task in tasks | (asyncio.all_tasks() - {asyncio.current_task()})):
                break
        self.server.delivery.flush()
        closed = [who for who in self.sessions if self.connections[who].closed is not None]
        for who in closed:
            self.sessions.pop(who).connection_lost()
        if closed:
            await self.settle()

    def take(self, who: str) -> list[str]:
        return self.connections[who].take()

    def closed(self, who: str) -> tuple[int, str] | None:
        return self.connections[who].closed


# --------------------------------------------------------------------------------------------------- socket


class SocketClient(asyncio.Protocol, Line):
    """A WebSocket client that keeps frames exactly in the order in which they arrive, pongs included."""

    def __init__(self, uri: str, headers: dict[str, str]) -> None:
        Line.__init__(self)
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


class OverSocket:
    """Talks to a server through TCP on this machine.

    `rounds` is how often every client pings until all is thought to have arrived: the first round proves that the
    server has read what was sent, the second one that everybody has received what came of it.
    """

    def __init__(self, host: str, port: int, *, rounds: int = 2) -> None:
        self.host = host
        self.port = port
        self.rounds = rounds
        self.clients: dict[str, SocketClient] = {}
        self.present: set[str] = set()

    async def connect(self, who: str, path: str = "/", headers: dict[str, str] | None = None) -> None:
        uri = f"ws://{self.host}:{self.port}{path}"
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(TIME_LIMIT):
            _, client = await loop.create_connection(
                lambda: SocketClient(uri, headers or {}), self.host, self.port
            )
            await client.opened
        if client.websocket.handshake_exc is not None:
            raise InvalidHandshake(f"{who} could not connect") from client.websocket.handshake_exc
        self.clients[who] = client
        self.present.add(who)

    async def send(self, who: str, data: bytes, *, binary: bool = False) -> None:
        self.clients[who].send(data, binary=binary)

    async def disconnect(self, who: str) -> None:
        self.present.discard(who)
        async with asyncio.timeout(TIME_LIMIT):
            await self.clients[who].leave()

    async def drop(self, who: str) -> None:
        self.present.discard(who)
        self.clients[who].reset()

    async def settle(self) -> None:
        async with asyncio.timeout(TIME_LIMIT):
            for _ in range(self.rounds):
                await asyncio.gather(*(self.clients[who].barrier() for who in self.present))

    def take(self, who: str) -> list[str]:
        return self.clients[who].take()

    def closed(self, who: str) -> tuple[int, str] | None:
        return self.clients[who].closed

    async def leave_all(self) -> None:
        await asyncio.gather(*(self.disconnect(who) for who in sorted(self.present)))
