"""Small servers for tests of clients, which answer as each test scripts them. `servers` has the real one."""

from __future__ import annotations

import asyncio
import contextlib
import json

import websockets.asyncio.server

from tests.support.servers import HOST

GREETING = (
    {"cmd": "server_version", "val": "0.2.0"},
    {"cmd": "client_obj", "val": {"id": "1", "uuid": "u"}},
)


@contextlib.asynccontextmanager
async def websocket_server(handler):
    """A WebSocket server that runs `handler(socket)` for each client; yields its address."""
    async with websockets.asyncio.server.serve(handler, HOST, 0) as server:
        yield f"ws://{HOST}:{server.sockets[0].getsockname()[1]}/"


@contextlib.asynccontextmanager
async def tcp_server(handler):
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
        for _ in range(5):  # connections that were accepted a moment ago begin, and can be ended in order
            await asyncio.sleep(0)
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
