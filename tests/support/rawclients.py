"""Clients that write bytes to a socket and read frames from it, with nothing checked for them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import weakref

from cloudlink.server.app import Server
from cloudlink.server.protocols.clpv4 import Clpv4
from cloudlink.settings import Settings

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, section 1.3

UPGRADE = {
    "Host": "127.0.0.1:3000",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}

# What browsers really send, in their order and spelling.
CHROME = {
    "Host": "127.0.0.1:3000",
    "Connection": "Upgrade",
    "Pragma": "no-cache",
    "Cache-Control": "no-cache",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Upgrade": "websocket",
    "Origin": "https://turbowarp.org",
    "Sec-WebSocket-Version": "13",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
}
FIREFOX = {
    "Host": "127.0.0.1:3000",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "*/*",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Sec-WebSocket-Version": "13",
    "Origin": "https://turbowarp.org",
    "Sec-WebSocket-Extensions": "permessage-deflate",
    "Sec-WebSocket-Key": KEY,
    "DNT": "1",
    "Connection": "keep-alive, Upgrade",
    "Sec-Fetch-Dest": "empty",
    "Sec-Fetch-Mode": "websocket",
    "Sec-Fetch-Site": "cross-site",
    "Pragma": "no-cache",
    "Cache-Control": "no-cache",
    "Upgrade": "websocket",
}
SAFARI = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Host": "127.0.0.1:3000",
    "Origin": "https://turbowarp.org",
    "Pragma": "no-cache",
    "Cache-Control": "no-cache",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Extensions": "x-webkit-deflate-frame",
    "User-Agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
}

_peers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, list[RawClient]] = weakref.WeakKeyDictionary()

TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A


def frame(data: bytes, first_byte: int = TEXT) -> bytes:
    """A client's frame; its mask is zero, which leaves the payload readable."""
    size = len(data)
    if size < 126:
        header = bytes((first_byte, 0x80 | size))
    elif size < 1 << 16:
        header = bytes((first_byte, 0x80 | 126)) + struct.pack("!H", size)
    else:
        header = bytes((first_byte, 0x80 | 127)) + struct.pack("!Q", size)
    return header + bytes(4) + data


class RawClient:
    """A client that writes any bytes, and reads frame by frame."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    def send(self, *messages):
        self.writer.write(b"".join(frame(message.encode()) for message in messages))

    async def receive(self):
        """The next frame's first byte and payload."""
        first, size = await self.reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first, await self.reader.readexactly(size)

    async def receive_close(self):
        """Skip to the close frame and return its code and reason."""
        while True:
            first, payload = await self.receive()
            if first == CLOSE:
                return struct.unpack("!H", payload[:2])[0], payload[2:].decode()

    async def at_end(self):
        """Wait until the server has closed the socket."""
        with contextlib.suppress(ConnectionError):
            await self.reader.read()

    def leave(self):
        self.writer.transport.abort()


def request(headers, path="/"):
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


async def connect(port, headers=UPGRADE, path="/", ssl=None, receive_buffer=None):
    """Open a WebSocket by raw bytes."""
    peer = await open_socket(port, ssl=ssl, receive_buffer=receive_buffer)
    peer.writer.write(request(headers, path))
    head = await peer.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101"), head
    assert f"Sec-WebSocket-Accept: {ACCEPT}".encode() in head
    return peer


async def open_socket(port, ssl=None, receive_buffer=None):
    """Connect; with a `receive_buffer` of so many bytes, little is read ahead of what is asked for."""
    name = "localhost" if ssl else None
    if receive_buffer is None:
        streams = await asyncio.open_connection("127.0.0.1", port, ssl=ssl, server_hostname=name)
    else:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        streams = await asyncio.open_connection(
            sock=sock, ssl=ssl, server_hostname=name, limit=receive_buffer
        )
    peer = RawClient(*streams)
    _peers.setdefault(asyncio.get_running_loop(), []).append(peer)
    return peer


async def ask(port, raw, ssl=None):
    """Send raw bytes and return everything that comes until the server closes."""
    peer = await open_socket(port, ssl=ssl)
    peer.writer.write(raw)
    answer = await peer.reader.read()
    peer.leave()
    return answer.decode()


@contextlib.asynccontextmanager
async def running(server=None, **settings):
    """A server on a free port: the given one, or one with these settings."""
    if server is None:
        server = Server(Settings(**{"admin_storage": "", **settings}))
        Clpv4(server)
    await server.start("127.0.0.1", 0)
    try:
        yield server
    finally:
        for peer in _peers.pop(asyncio.get_running_loop(), ()):
            peer.leave()
        await server.stop()
        await asyncio.sleep(0)  # the sockets of the peers are closed in the loop's next turn
