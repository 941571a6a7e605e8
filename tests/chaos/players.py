"""Players that keep playing whatever happens to their node, and notice what they should not have been sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
from random import Random

from tests.support.servers import HOST
from tests.support.socketclient import SocketClient

_LONGEST_PAUSE = 5.0
"""Most seconds before another attempt to connect; each failure doubles the pause, as in the extension and the client."""
_HANDSHAKE = '{"cmd":"handshake","val":{"language":"Python","version":"0.2.0"}}'


class Player:
    """A client of CloudLink 4 in one room; it connects again when its connection ends.

    Attributes:
        name: Its username.
        port: The port of its server.
        users: The names in its room's list, by snowflake, as the server has told it.
        variables: The values it has seen last, by variable.
        mistakes: What it should not have been sent.
        connections: How often it has been let in.
    """

    def __init__(self, name, room, port, patience):
        """Args: patience: Seconds after which an attempt to connect is given up."""
        self.name = name
        self.room = room
        self.users = {}
        self.variables = {}
        self.mistakes = []
        self.connections = 0
        self.is_in = False
        self.port = port
        self._patience = patience
        self._client = None
        self._task = asyncio.ensure_future(self._stay())

    async def stop(self):
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if self._client is not None:
            self._client.transport.abort()

    def say(self, packet):
        if self.is_in:
            with contextlib.suppress(Exception):  # the connection has just ended
                self._client.send(json.dumps(packet).encode(), binary=False)

    def drop(self):
        """Break the connection, as a network does."""
        if self._client is not None:
            self._client.transport.abort()

    async def _stay(self):
        first_pause = pause = 0.1 + Random(self.name).random() / 5
        while True:
            with contextlib.suppress(OSError, TimeoutError):
                await self._play()
            self.drop()  # a connection that was accepted too late must not stay as another player
            pause = first_pause if self.is_in else min(2 * pause, _LONGEST_PAUSE)
            self.is_in = False
            self.users = {}
            await asyncio.sleep(pause)

    async def _play(self):
        uri = f"ws://{HOST}:{self.port}/"
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._patience):
            _, client = await loop.create_connection(lambda: SocketClient(uri, {}), HOST, self.port)
            self._client = client
            await client.opened
        if client.websocket.handshake_exc is not None:
            return
        for packet in (
            _HANDSHAKE,
            json.dumps({"cmd": "setid", "val": self.name}),
            json.dumps({"cmd": "link", "val": [self.room], "listener": "in"}),
        ):
            client.send(packet.encode(), binary=False)
        async for frame in client.iter_frames():
            self._hear(json.loads(frame))

    def _hear(self, packet):
        command = packet.get("cmd")
        if command == "ulist" and packet.get("rooms") == self.room:
            self._hear_list(packet)
        elif command == "gvar" and packet.get("rooms") == self.room:
            self.variables[packet["name"]] = packet["val"]
        elif command == "statuscode" and packet.get("listener") == "in":
            if packet["code_id"] == 100:
                self.is_in = True
                self.connections += 1
            else:
                self.mistakes.append(f"{self.name} was not let in: {packet}")

    def _hear_list(self, packet):
        mode, value = packet["mode"], packet["val"]
        if mode == "set":
            self.users = {user["id"]: user["username"] for user in value}
            if len(self.users) != len(value):
                self.mistakes.append(f"{self.name} got a list with somebody twice")
        elif mode == "add":
            if value["id"] in self.users:
                self.mistakes.append(f"{self.name} got a second add of {value['username']}")
            self.users[value["id"]] = value["username"]
        elif mode == "remove" and self.users.pop(value["id"], None) is None:
            self.mistakes.append(f"{self.name} got a remove of {value['username']}, who was not there")


class CloudPlayer:
    """A client of Scratch cloud variables; it connects again, too."""

    def __init__(self, name, project, port):
        self.name = name
        self.project = project
        self.values = {}
        self.is_in = False
        self._port = port
        self._client = None
        self._own = set()  # what it has set since it is there
        self._task = asyncio.ensure_future(self._stay())

    stop = Player.stop
    drop = Player.drop

    def set(self, name, value):
        if self.is_in:
            packet = {"method": "set", "name": name, "value": value}
            with contextlib.suppress(Exception):
                self._client.send((json.dumps(packet) + "\n").encode(), binary=False)
                self.values[name] = value
                self._own.add(name)

    async def _stay(self):
        while True:
            with contextlib.suppress(OSError, TimeoutError):
                await self._play()
            self.drop()
            self.is_in = False
            await asyncio.sleep(0.1 + Random(self.name).random() / 5)

    async def _play(self):
        uri = f"ws://{HOST}:{self._port}/"
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(5):
            _, client = await loop.create_connection(
                lambda: SocketClient(uri, {"User-Agent": "chaos"}), HOST, self._port
            )
            self._client = client
            await client.opened
        if client.websocket.handshake_exc is not None:
            return
        packet = {"method": "handshake", "project_id": self.project, "user": self.name}
        client.send((json.dumps(packet) + "\n").encode(), binary=False)
        self.values = {}
        self._own.clear()
        self.is_in = True
        is_first = True
        async for frame in client.iter_frames():
            for line in frame.splitlines():
                heard = json.loads(line)
                # What it has set before it got the first frame, which holds all values, is newer than those.
                if heard.get("method") == "set" and not (is_first and heard["name"] in self._own):
                    self.values[heard["name"]] = heard["value"]
            is_first = False
