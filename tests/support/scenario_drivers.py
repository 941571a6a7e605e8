"""Two ways of playing a scenario against a server: in memory, and over real WebSockets.

Neither sleeps. In memory everything is done when the tasks of plugins are done; over sockets each client pings and waits
for the pong. `scenario_play` describes what a driver must offer.
"""

from __future__ import annotations

import asyncio
from typing import Any

from websockets.exceptions import InvalidHandshake

from tests.support.memoryclients import MemoryConnection
from tests.support.socketclient import SocketClient

TIME_LIMIT = 50.0  # seconds; reached only when something is wrong


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
