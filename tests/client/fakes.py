"""Servers for tests of clients: ours in this process, which can be stopped and started again, and wicked small ones."""

from __future__ import annotations

import asyncio
import contextlib
import json

import websockets.asyncio.server

from tests.hosting import HOST, build

GREETING = (
    {"cmd": "server_version", "val": "0.2.0"},
    {"cmd": "client_obj", "val": {"id": "1", "uuid": "u"}},
)


class Ours:
    """This project's server on one port, which it keeps over restarts."""

    def __init__(self, settings):
        self._settings = settings
        self.server = None
        self.port = 0

    @property
    def url(self):
        return f"ws://{HOST}:{self.port}/"

    async def start(self):
        self.server = build(self._settings)
        await self.server.start(HOST, self.port)
        self.port = self.server.port

    async def stop(self):
        await self.server.stop()

    def drop_everybody(self):
        """Break all connections without a word, as a network does."""
        for connection in tuple(self.server._endpoint.connections):
            connection.abort()


@contextlib.asynccontextmanager
async def ours(**settings):
    """Our server, started."""
    host = Ours(settings)
    await host.start()
    try:
        yield host
    finally:
        await host.stop()


@contextlib.asynccontextmanager
async def scripted(handler):
    """A WebSocket server that runs `handler(socket)` for each client; yields its address."""
    async with websockets.asyncio.server.serve(handler, HOST, 0) as server:
        yield f"ws://{HOST}:{server.sockets[0].getsockname()[1]}/"


@contextlib.asynccontextmanager
async def raw(handler):
    """A TCP server that runs `handler(reader, writer)` for each client; yields host and port."""
    tasks = set()

    async def run(reader, writer):
        tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(run, HOST, 0)
    try:
        yield f"{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def greet(socket):
    """Answer a handshake as a server does."""
    handshake = json.loads(await socket.recv())
    for packet in (*GREETING, ok(handshake)):
        await socket.send(json.dumps(packet))


def ok(request, **more):
    return {
        "cmd": "statuscode",
        "code": "I:100 | OK",
        "code_id": 100,
        "listener": request["listener"],
        **more,
    }
