"""Players that come, play for a while and go, and note how long messages take and what they should not be told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from random import Random

from tests.support.servers import HOST
from tests.support.socketclient import SocketClient

_HANDSHAKE = {"cmd": "handshake", "val": {"language": "Python", "version": "0.2.0"}}
_PACE = 2.0
"""Seconds between two messages of a player."""
_ROOM = 10
"""Players of a room."""
_CLOUD_SHARE = 5
"""One player of so many uses cloud variables."""


class Crowd:
    """The players of one server.

    Attributes:
        visits: How often somebody has come.
        messages: How many messages have arrived.
        delays: When messages arrived, and how long they had taken, in seconds.
        mistakes: What somebody should not have been told.
    """

    def __init__(self, port, context, count, seed, stay):
        self.visits = 0
        self.messages = 0
        self.delays = []
        self.mistakes = []
        self._port = port
        self._context = context
        self._chance = Random(seed)
        self._stay = stay
        self._is_over = False
        self._tasks = [asyncio.create_task(self._player(number)) for number in range(count)]

    async def go(self):
        """Let everybody leave."""
        self._is_over = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _player(self, number):
        await asyncio.sleep(self._chance.uniform(0, 5))
        while not self._is_over:
            visit = self._cloud_visit if number % _CLOUD_SHARE == 0 else self._visit
            client = await self._connect(cloud=visit == self._cloud_visit)
            if client is None:
                await asyncio.sleep(1)
                continue
            self.visits += 1
            seconds = self._chance.expovariate(1 / self._stay)
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await visit(client, number)
                        self.mistakes.append(f"player {number} was disconnected: {client.closed}")
            finally:
                await self._part(client)

    async def _part(self, client):
        """Leave as half of all players do, with a close frame, or as the others do, without."""
        if self._chance.random() < 0.5 and not self._is_over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await client.leave()
        client.transport.abort()

    async def _connect(self, *, cloud):
        scheme, name = ("ws", None) if self._context is None else ("wss", "localhost")
        headers = {"User-Agent": "soak"} if cloud else {}
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(20):
                _, client = await loop.create_connection(
                    lambda: SocketClient(f"{scheme}://{name or HOST}:{self._port}/", headers),
                    HOST,
                    self._port,
                    ssl=self._context,
                    server_hostname=name,
                )
                await client.opened
                if client.websocket.handshake_exc is None:
                    return client
        self.mistakes.append("somebody was not let in")
        return None

    async def _visit(self, client, number):
        room, name = f"room {number // _ROOM}", f"player {number} {self.visits}"
        users, numbers = {}, {}
        for packet in (
            _HANDSHAKE,
            {"cmd": "setid", "val": name},
            {"cmd": "link", "val": [room], "listener": "in"},
        ):
            self._send(client, packet)
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(self._talk(client, room, number, name))
            async for frame in client.iter_frames():
                self._hear(json.loads(frame), room, users, numbers)
            sending.cancel()

    async def _talk(self, client, room, number, name):
        for count in itertools.count():
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * _PACE)
            message = [time.monotonic(), name, count, "x" * 50]
            self._send(client, {"cmd": "gmsg", "val": message, "rooms": room})
            self._send(
                client, {"cmd": "gvar", "name": f"x{number}", "val": self._chance.random(), "rooms": room}
            )

    def _hear(self, packet, room, users, numbers):
        self.messages += 1
        command = packet["cmd"]
        if command == "gmsg":
            now = time.monotonic()
            sent, sender, number, _ = packet["val"]
            self.delays.append((now, now - sent))
            if number != numbers.get(sender, number):
                self.mistakes.append(f"message {number} of {sender} came instead of {numbers[sender]}")
            numbers[sender] = number + 1
        elif command == "ulist" and packet["rooms"] == room:
            self._hear_list(packet["mode"], packet["val"], users)
        elif command == "statuscode" and packet["code_id"] not in (100, 102):
            self.mistakes.append(f"a status code: {packet}")

    def _hear_list(self, mode, value, users):
        if mode == "set":
            users.clear()
            users.update((user["id"], user["username"]) for user in value)
        elif mode == "add":
            if value["id"] in users:
                self.mistakes.append(f"{value['username']} was added twice")
            users[value["id"]] = value["username"]
        elif users.pop(value["id"], None) is None:
            self.mistakes.append(f"{value['username']} was removed and was not there")

    async def _cloud_visit(self, client, number):
        project = str(100 + number // (_ROOM * _CLOUD_SHARE))
        keys = {"user": f"player{number}", "project_id": project}
        self._send(client, {"method": "handshake", **keys}, "\n")
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(self._set(client, number, keys))
            async for frame in client.iter_frames():
                for line in frame.splitlines():
                    self.messages += 1
                    if json.loads(line)["method"] != "set":
                        self.mistakes.append(f"a cloud player got {line}")
            sending.cancel()

    async def _set(self, client, number, keys):
        while True:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * _PACE)
            value = self._chance.randrange(10**9)
            self._send(client, {"method": "set", "name": f"☁ {number % 10}", "value": value, **keys}, "\n")

    @staticmethod
    def _send(client, packet, end=""):
        with contextlib.suppress(Exception):  # the connection has just ended, which `iter_frames` reports
            client.send((json.dumps(packet) + end).encode(), binary=False)
