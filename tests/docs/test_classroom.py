"""A class behind one address, with the settings of the page about classrooms."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from pathlib import Path

import pytest

from cloudlink.server.app import Server
from cloudlink.server.protocols import Clpv4, Scratch
from cloudlink.sources import load
from tests.support.rawclients import connect
from tests.support.servers import listening

PAGE = Path(__file__).parents[2] / "docs" / "classroom.md"
PUPILS = 30
TABLES = 8


@pytest.fixture
def server(tmp_path):
    """A server for which this computer is an address like any other."""
    [text] = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    file = tmp_path / "cloudlink.toml"
    file.write_text(text, encoding="utf-8")
    # Connections from the server's own computer are counted only where a proxy elsewhere is trusted.
    flags = {"real_ip_header": "X-Forwarded-For", "trusted_proxies": ["192.0.2.1"]}
    settings = load(toml=file, environ={}, flags=flags)
    server = Server(settings)
    Clpv4(server)
    Scratch(server)
    return server


async def answer(peer, **packet):
    """Send a packet and return the status code that answers it."""
    peer.send(json.dumps(packet | {"listener": packet["cmd"]}))
    while True:
        message = json.loads((await peer.receive())[1])
        if message["cmd"] == "statuscode" and message.get("listener") == packet["cmd"]:
            return message["code_id"]


async def heard(peer):
    """Return the messages to everybody until the answer to a ping comes."""
    peer.send('{"cmd":"ping","listener":"end"}')
    messages = []
    while True:
        message = json.loads((await peer.receive())[1])
        if message.get("listener") == "end":
            return messages
        if message["cmd"] == "gmsg":
            messages.append(message["val"])


@contextlib.asynccontextmanager
async def lesson(server):
    """A class, two windows for each pupil, whose first windows have names and tables."""
    async with listening(server) as port, asyncio.timeout(30):
        windows = await asyncio.gather(*(connect(port) for _ in range(2 * PUPILS)))
        pupils = windows[:PUPILS]
        names = [answer(pupil, cmd="setid", val=f"pupil-{number}") for number, pupil in enumerate(pupils)]
        assert set(await asyncio.gather(*names)) == {100}
        tables = [answer(pupil, cmd="link", val=f"table {n % TABLES}") for n, pupil in enumerate(pupils)]
        assert set(await asyncio.gather(*tables)) == {100}
        try:
            yield windows
        finally:
            for window in windows:
                window.leave()
            await asyncio.sleep(0)


def test_a_class_behind_one_address_gets_in_and_each_table_is_among_itself(server):
    async def main():
        async with lesson(server) as windows:
            windows[0].send('{"cmd":"gmsg","val":"Our turn!","rooms":"table 0"}')
            heard_at = [number for number in range(PUPILS) if await heard(windows[number])]
            assert heard_at == [number for number in range(PUPILS) if number % TABLES == 0]

    asyncio.run(main())


def test_nobody_takes_the_name_of_another_or_writes_in_private(server):
    async def main():
        async with lesson(server) as windows:
            assert await answer(windows[-1], cmd="setid", val="pupil-7") == 112
            assert await answer(windows[0], cmd="pmsg", id="pupil-1", val="psst") == 110

    asyncio.run(main())


def test_the_teacher_can_be_at_all_tables(server):
    async def main():
        async with lesson(server) as windows:
            teacher = windows[-1]
            assert await answer(teacher, cmd="setid", val="teacher") == 100
            tables = [f"table {number}" for number in range(TABLES)]
            assert await answer(teacher, cmd="link", val=tables) == 100

    asyncio.run(main())
