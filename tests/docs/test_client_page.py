"""The programs of docs/client.md, run as they stand there, against our server."""

import asyncio
import contextlib
import re
import sys
from pathlib import Path

from cloudlink.client import CloudChange, GlobalMessage, PrivateMessage, UserJoined, connect, connect_cloud
from tests.support.programs import running_program, until
from tests.support.servers import restartable_server

client_package = sys.modules["cloudlink.client"]  # the attribute of that name is the class
PAGE = Path(__file__).parents[2] / "docs" / "client.md"
PROGRAMS = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))


@contextlib.asynccontextmanager
async def running(name, host, folder):
    """A program of the page in a process of its own, with the address of the server."""
    text = PROGRAMS[name]
    assert text.count("ws://127.0.0.1:3000/") == 1
    file = folder / f"{name}.py"
    file.write_text(text.replace("ws://127.0.0.1:3000/", host.url), encoding="utf-8")
    async with running_program("-u", file) as process:
        yield process


def run(scenario):
    async def limited():
        async with asyncio.timeout(20):
            await scenario()

    asyncio.run(limited())


def test_the_page_has_these_programs():
    assert list(PROGRAMS) == ["greeter", "patient", "counter", "old_bot"]


def test_greeter(tmp_path):
    async def scenario():
        async with (
            restartable_server() as host,
            connect(host.url, username="watcher", rooms="lobby") as watcher,
            running("greeter", host, tmp_path),
        ):
            await until(watcher, lambda event: isinstance(event, UserJoined))
            async with connect(host.url, username="alice", rooms="lobby") as alice:
                await until(alice, lambda event: event == GlobalMessage("Welcome, alice!", "lobby"))
                await alice.send("!time")
                await until(alice, lambda event: event == GlobalMessage("It is late.", "lobby"))

    run(scenario)


def test_patient(tmp_path):
    async def scenario():
        async with restartable_server() as host:
            await host.stop()
            async with running("patient", host, tmp_path) as process:
                warning = await process.stderr.readline()
                assert warning.startswith(b"Nothing listens at")
                await host.start()
                assert (await process.stdout.readline()).startswith(b"Connected(")
                assert await process.stdout.readline() == b"UserList(users=(), room='default')\n"
                assert b"'Here I am.'" in await process.stdout.readline()

    run(scenario)


def test_counter(tmp_path):
    async def scenario():
        async with restartable_server() as host, connect_cloud(host.url, 104, "watcher") as cloud:
            async with running("counter", host, tmp_path) as process:
                assert await anext(cloud) == CloudChange("☁ visits", 1)
                await cloud.set("☁ other", 5)
                assert await process.stdout.readline() == "☁ other 5\n".encode()
            async with running("counter", host, tmp_path):
                assert await anext(cloud) == CloudChange("☁ visits", 2)

    run(scenario)


def test_old_bot(tmp_path):
    async def scenario():
        async with (
            restartable_server() as host,
            connect(host.url, username="alice") as alice,
            running("old_bot", host, tmp_path) as process,
        ):
            await until(alice, lambda event: event == GlobalMessage("Hello!", "default"))
            assert b"'listener': 'mine'" in await process.stdout.readline()
            await alice.pmsg("bot", "well done")
            thanks = await until(alice, lambda event: isinstance(event, PrivateMessage))
            assert (thanks.value, thanks.sender.username) == ("Thank you.", "bot")

    run(scenario)


def test_the_page_names_all_events_and_errors():
    text = PAGE.read_text(encoding="utf-8")
    names = [name for name in client_package.__all__ if name[0].isupper()]
    unnamed = [name for name in names if not re.search(rf"`{name}\b", text)]
    assert unnamed == ["Client", "CloudConnection", "Connection", "Event"]
