"""CloudLink's own Python clients of four eras, and one of today, meet in one room of our server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import pytest
import websockets

from tests.real_clients.environment import python_with
from tests.support.eras import opening
from tests.support.servers import HOST, build, listening

PLAYER = Path(__file__).with_name("old_player.py")
TIME_LIMIT = 30.0  # seconds

OF_2020 = ("websocket-server==0.6.4", "websocket-client==1.8.0")
OF_2022 = ("websockets==10.4",)
PINS = {
    "0.1.5": ("cloudlink==0.1.5.2", *OF_2020),
    "0.1.7": ("cloudlink==0.1.7.4", *OF_2020),
    "0.1.8": ("cloudlink==0.1.8.6", *OF_2022),
    "0.1.9": ("cloudlink==0.1.9.1", *OF_2022, "websocket-client==1.8.0"),
}

pytestmark = pytest.mark.timeout(600)  # the environments may have to be built first


class Player:
    """Somebody in the room, and all that was heard."""

    def __init__(self, send, receive):
        self.send = send
        self._receive = receive
        self.heard = []

    async def until(self, is_it):
        """Listen until a packet is the one, unless it was heard before; return it.

        Clients that handle each packet in a thread of its own tell of two in any order.
        """
        for packet in self.heard:
            if is_it(packet):
                return packet
        while True:
            packet = await self._receive()
            self.heard.append(packet)
            if is_it(packet):
                return packet


@pytest.fixture(scope="module")
def pythons():
    """A Python for each version, built before anything is timed."""
    return {
        version: python_with(f"cloudlink-{version}", pins, f"CloudLink's Python client {version}")
        for version, pins in PINS.items()
    }


@contextlib.asynccontextmanager
async def old_player(python, version, name, address):
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        python, PLAYER, version, name, address, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
    )

    async def send(packet):
        process.stdin.write(json.dumps(packet).encode() + b"\n")
        await process.stdin.drain()

    async def receive():
        line = await process.stdout.readline()
        assert line, f"the client of {version} has stopped"
        return json.loads(line)

    try:
        yield Player(send, receive)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@contextlib.asynccontextmanager
async def modern_player(name, address):
    async with websockets.connect(address) as connection:

        async def send(packet):
            await connection.send(json.dumps(packet))

        async def receive():
            return json.loads(await connection.recv())

        for message in opening("CL4 0.2.0", name):
            await connection.send(message)
        yield Player(send, receive)


def lists(name):
    """Tell whether a packet is a user list, in whichever era's words, that has this name."""
    return lambda packet: packet["cmd"] == "ulist" and f'"{name}' in json.dumps(packet).replace(";", '"')


def _is(cmd, value):
    """Tell a message or variable by its value."""
    return lambda packet: packet["cmd"] == cmd and packet.get("val") == value


def _name_of(origin):
    return origin["username"] if isinstance(origin, dict) else origin


def test_five_eras_in_one_room(pythons):
    async def main():
        async with (
            listening(build({"undecided_clients": "cl3"})) as port,
            asyncio.timeout(TIME_LIMIT),
            contextlib.AsyncExitStack() as stack,
        ):
            address = f"ws://{HOST}:{port}/"
            players = {"today": await stack.enter_async_context(modern_player("today", address))}
            for version, python in pythons.items():
                name = f"of-{version}"
                players[name] = await stack.enter_async_context(old_player(python, version, name, address))
                for player in players.values():
                    await player.until(lists(name))
            await _everybody_talks_to_everybody(players)

    asyncio.run(main())


async def _everybody_talks_to_everybody(players):
    for name, player in players.items():
        await player.send({"cmd": "gmsg", "val": f"hello from {name}"})
        await player.send({"cmd": "gvar", "name": "score", "val": f"score of {name}"})
        for other in players.values():
            await other.until(_is("gmsg", f"hello from {name}"))
            variable = await other.until(_is("gvar", f"score of {name}"))
            assert variable["name"] == "score"
    for name, player in players.items():
        for other_name, other in players.items():
            if other is not player:
                text = f"from {name} to {other_name}"
                # Only 0.1.5 looks at what a client says of its origin, and only whether it says anything.
                claim = {"origin": "somebody else"} if name == "of-0.1.5" else {}
                await player.send({"cmd": "pmsg", "id": other_name, "val": text, **claim})
                message = await other.until(_is("pmsg", text))
                assert _name_of(message["origin"]) == name
                await player.send({"cmd": "pvar", "id": other_name, "name": "hp", "val": text, **claim})
                variable = await other.until(_is("pvar", text))
                assert (_name_of(variable["origin"]), variable["name"]) == (name, "hp")
