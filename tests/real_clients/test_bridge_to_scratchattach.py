"""A bridge to somebody else's cloud server: that of scratchattach, unmodified, with players of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from pathlib import Path

import pytest

from cloudlink.bridge.trial import try_bridge
from cloudlink.bridgesections import BridgeSection
from cloudlink.client import connect_cloud
from tests.bridge.servers import BridgedServer, running, until
from tests.real_clients.scratch.libraries import bot, library_python
from tests.support.ports import lasting_port
from tests.support.servers import HOST

SERVER = Path(__file__).with_name("scratch") / "cloud_server.py"
TIME_LIMIT = 60.0  # seconds for a test

pytestmark = pytest.mark.timeout(300)  # the environment may have to be built first


class CloudServer:
    """The server, on a port that it keeps.

    Attributes:
        sets: Names and values that clients have set, in order.
    """

    def __init__(self):
        self.port = lasting_port()
        self.url = f"ws://{HOST}:{self.port}/"
        self.sets = []
        self._process = self._reading = None

    async def start(self, **values):
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *(library_python(), SERVER, str(self.port), json.dumps({"104": values})),
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
        )
        assert await self._process.stdout.readline() == b'"listening"\n', "the server did not start"
        self._reading = asyncio.ensure_future(self._read())

    async def stop(self):
        self._process.stdin.close()
        await self._reading
        await self._process.wait()

    async def _read(self):
        async for line in self._process.stdout:
            self.sets.append(tuple(json.loads(line)))


@contextlib.asynccontextmanager
async def bridged(**values):
    """The server with some values, ours with others, and the bridge between them."""
    library_python()
    server = CloudServer()
    await server.start(**values)
    section = {"kind": "cloud", "url": server.url, "projects": ["4711=104"], "contact": "club@north.example"}
    host = BridgedServer({"c": section})
    room = host.scratch.projects.enter("4711")
    host.scratch.projects.keep(room, "☁ both", b"1")
    host.scratch.projects.keep(room, "☁ ours", b"4")
    try:
        async with asyncio.timeout(TIME_LIMIT), running(host):
            await host.until_up("c")
            yield server, host
    finally:
        await server.stop()


def values(host):
    return host.scratch.projects.variables("4711")


def test_at_first_its_values_win_and_ours_fill_the_rest():
    async def main():
        async with bridged(both=2, theirs=3) as (server, host):
            await until(lambda: server.sets)
            assert server.sets == [("☁ ours", 4)]
            assert values(host) == {"☁ both": b"2", "☁ ours": b"4", "☁ theirs": b"3"}

    asyncio.run(main())


def test_values_cross_in_both_directions_and_nothing_is_sent_back():
    async def main():
        async with (
            bridged() as (server, host),
            connect_cloud(host.url, "4711", "alice") as alice,
            bot(library_python(), "scratchattach", server.url) as olaf,
        ):
            await until(lambda: len(server.sets) == 2)
            await olaf.says(2)  # ours, which it is given on joining or a moment later
            server.sets.clear()

            await olaf.obeys("set", "score", 5)
            await until(lambda: alice.get("☁ score") == 5)
            await alice.set("☁ score", 6)
            assert await olaf.says(2) == [["set", "☁ score", 5], ["set", "☁ score", 6]]
            assert server.sets == [("☁ score", 5), ("☁ score", 6)]

            for number in range(50):  # of many values only the latest has to arrive
                await alice.set("☁ score", number)
            await alice.set("☁ end", 1)
            await until(lambda: ("☁ end", 1) in server.sets and ("☁ score", 49) in server.sets)
            assert len(server.sets) < 40
            await until(lambda: values(host)["☁ score"] == b"49")

    asyncio.run(main())


def test_the_bridge_comes_back_when_the_server_does():
    async def main():
        async with bridged() as (server, host), connect_cloud(host.url, "4711", "alice") as alice:
            await server.stop()
            await until(lambda: not host.bridges.health()["c"]["up"])
            await alice.set("☁ ours", 7)
            server.sets.clear()
            await server.start(both=8)
            await until(lambda: host.bridges.health()["c"]["up"], TIME_LIMIT)  # the tries become rare
            await until(lambda: ("☁ ours", 7) in server.sets and alice.get("☁ both") == 8)
            await alice.set("☁ both", 9)
            await until(lambda: ("☁ both", 9) in server.sets)

    asyncio.run(main())


def test_the_test_of_the_bridge_says_what_it_has_found():
    async def main():
        async with bridged() as (_server, host):
            section = host.server.settings.bridges["c"]
            assert isinstance(section, BridgeSection)
            said = []
            assert await try_bridge("c", section, said.append) == []
            assert said[-1] == "It is a server of cloud variables, and shows 2 of the project 104."

    asyncio.run(main())
