"""Clients at a chosen process of a server, which keep every packet and wait until something has come.

`until` waits for the time that is promised, times `PATIENCE`, because the machine may be busy; it returns the seconds that
it took, and prints them. On an idle machine, `CLOUDLINK_TEST_PATIENCE=1` checks the promises themselves.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time

from tests.support.eras import opening
from tests.support.servers import HOST
from tests.support.socketclient import SocketClient

PATIENCE = float(os.environ.get("CLOUDLINK_TEST_PATIENCE", "5"))
_LOOK_EVERY = 0.01
_HANDSHAKE = {"cmd": "handshake", "val": {"language": "Python", "version": "0.2.0"}}
_OPEN_LIMIT = 20.0
_numbers = itertools.count(1)


def fresh(word):
    """A name that no other test uses."""
    return f"{word}-{next(_numbers)}"


async def until(seconds, condition, what=""):
    """Wait until a condition holds, for a promised time; return the seconds that it took."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds * PATIENCE:
            raise AssertionError(f"not within {seconds:g} s: {what or condition}")
        await asyncio.sleep(_LOOK_EVERY)
    took = time.monotonic() - started
    if what:
        print(f"{what}: {took:.2f} s of {seconds:g} s")  # noqa: T201  # shown for a test that fails, and with -rP
    return took


class Visitor:
    """A WebSocket client.

    Attributes:
        frames: The texts of all frames that have come since `forget`.
        closed: Code and reason with which the server closed the connection.
    """

    def __init__(self, client):
        self.client = client

    @classmethod
    async def at(cls, place, path="/", headers=None):
        """Connect to a process. Raises `ConnectionRefusedError` if the upgrade is refused."""
        async with asyncio.timeout(_OPEN_LIMIT):
            opened = await place.open()
            uri = f"ws://{HOST}:{place.port}{path}"
            _, client = await asyncio.get_running_loop().create_connection(
                lambda: SocketClient(uri, headers or {}), sock=opened
            )
            await client.opened
        if client.websocket.handshake_exc is not None:
            raise ConnectionRefusedError(str(client.websocket.handshake_exc))
        return cls(client)

    @classmethod
    async def named(cls, place, name, *rooms):
        """A client of the newest dialect with a name, in rooms."""
        visitor = await cls.at(place)
        visitor.say(_HANDSHAKE)
        await visitor.ask({"cmd": "setid", "val": name})
        if rooms:
            await visitor.ask({"cmd": "link", "val": list(rooms)})
        visitor.forget()
        return visitor

    @classmethod
    async def of_era(cls, place, era, name):
        """A client of an older dialect."""
        visitor = await cls.at(place)
        visitor.tell(*opening(era, name))
        await visitor.client.barrier()
        return visitor

    @classmethod
    async def of_project(cls, place, project, name):
        """A client of Scratch cloud variables."""
        visitor = await cls.at(place, headers={"User-Agent": "tests"})
        visitor.say({"method": "handshake", "project_id": project, "user": name})
        return visitor

    @property
    def frames(self):
        return self.client.frames

    @property
    def closed(self):
        return self.client.closed

    @property
    def packets(self):
        """All packets, decoded; frames of cloud variables hold several."""
        return [json.loads(line) for frame in self.frames for line in frame.splitlines()]

    def of(self, cmd, **keys):
        """The packets of a command with these values."""
        wanted = {"cmd": cmd, **keys}
        return [each for each in self.packets if wanted.items() <= each.items()]

    def sets(self):
        """Names and values of the cloud variables that have come."""
        return [(each["name"], each["value"]) for each in self.packets if each.get("method") == "set"]

    def lists(self, room, mode):
        """The names in the user lists of a room that have come in a mode."""
        values = [each["val"] for each in self.of("ulist", rooms=room, mode=mode)]
        return [[user["username"] for user in val] if mode == "set" else val["username"] for val in values]

    def forget(self):
        """Drop all frames."""
        self.frames.clear()

    def say(self, *packets):
        """Send packets."""
        self.tell(*(json.dumps(packet) for packet in packets))

    def tell(self, *texts):
        """Send texts, all in one write."""
        for text in texts:
            self.client.websocket.send_text(text.encode())
        data = b"".join(self.client.websocket.data_to_send())
        self.client.transport.write(data)

    async def ask(self, packet):
        """Send a packet with a listener, and return the answer that carries it."""
        listener = fresh("listener")
        self.say({**packet, "listener": listener})
        await until(_OPEN_LIMIT, lambda: any(listener in frame for frame in self.frames))
        return next(each for each in self.packets if each.get("listener") == listener)

    async def leave(self):
        """Disconnect."""
        if not self.client.gone.done():
            await self.client.leave()


async def exchanged(*visitors, room):
    """Return when everything that some clients of a room have done before has reached all of them."""
    marks = [fresh("mark") for _ in visitors]
    for visitor, mark in zip(visitors, marks, strict=True):
        visitor.say({"cmd": "gmsg", "val": mark, "rooms": room})
    wanted = [f'"{mark}"' for mark in marks]
    for visitor in visitors:
        await until(
            _OPEN_LIMIT,
            lambda visitor=visitor: all(any(mark in frame for frame in visitor.frames) for mark in wanted),
        )
