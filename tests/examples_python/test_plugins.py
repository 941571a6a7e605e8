"""The plugins in examples/plugins: each in memory, and once by `cloudlink serve` as docs/examples.md says."""

import asyncio
import contextlib
import os
import re
import sys
from pathlib import Path

import pytest

from cloudlink import testing
from cloudlink.client import connect

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "examples" / "plugins"
PAGE = ROOT / "docs" / "examples.md"


def plugin(name):
    return testing.server(str(PLUGINS / name))


def test_word_filter():
    async def scenario():
        async with plugin("word_filter.py") as s:
            alice = await s.connect("alice")
            for sent, arrives in (
                ("oh DARN it", "oh **** it"),
                (["heck", {"deep": "gosh!"}, 5], ["****", {"deep": "****!"}, 5]),
                ("checkered darning", "checkered darning"),
                (2**70, 2**70),
            ):
                assert (await alice.request({"cmd": "gmsg", "val": sent}))["val"] == arrives
            await alice.send({"cmd": "pmsg", "id": "alice", "val": "darn"})
            assert (await alice.receive("pmsg"))["val"] == "****"
            nobody = await s.connect()
            refused = await nobody.request({"cmd": "setid", "val": "Darn you"})
            assert (refused["code_id"], refused["details"]) == (108, "This name is not allowed here.")
            assert (await alice.request({"cmd": "gmsg"}))["code_id"] == 101
            await alice.send("no JSON")
            assert (await alice.receive("statuscode"))["code_id"] == 100  # of the private message
            assert (await alice.receive("statuscode"))["code_id"] == 114

    asyncio.run(scenario())


def test_lobby_codes():
    async def scenario():
        async with plugin("lobby_codes.py") as s:
            alice, bob, nobody = await s.connect("alice"), await s.connect("bob"), await s.connect()
            code = (await alice.request({"cmd": "lobby_open"}))["val"]
            assert re.fullmatch("[B-Z]{4}", code)
            found = await bob.request({"cmd": "lobby_find", "val": code.lower()})
            assert found["val"] == {"room": code, "players": []}
            await alice.request({"cmd": "link", "val": code})
            found = await bob.request({"cmd": "lobby_find", "val": code})
            assert found["val"] == {"room": code, "players": ["alice"]}
            assert (await bob.request({"cmd": "lobby_find", "val": "AAAA"}))["code_id"] == 103
            assert (await bob.request({"cmd": "lobby_find"}))["code_id"] == 103
            assert (await nobody.request({"cmd": "lobby_open"}))["code_id"] == 111

    asyncio.run(scenario())


def test_welcome_message():
    async def scenario():
        async with plugin("welcome_message.py") as s:
            alice, bob = await s.connect(), await s.connect()
            await alice.send({"cmd": "setid", "val": "alice"})
            assert (await alice.receive("direct"))["val"] == "Welcome, alice! You are the first here."
            assert (await bob.request({"cmd": "setid", "val": ""}))["code_id"] == 108
            await bob.send({"cmd": "setid", "val": "bob"})
            assert (await bob.receive("direct"))["val"] == "Welcome, bob! Also here: alice."
            assert (await bob.request({"cmd": "setid", "val": "again"}))["code_id"] == 107
            await s.idle()
            assert [packet for packet in bob.unread if packet["cmd"] == "direct"] == []

    asyncio.run(scenario())


@contextlib.asynccontextmanager
async def serving(*plugins, folder):
    """`cloudlink serve` with plugins on a free port; yields its address."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("CLOUDLINK_")}
    words = ["serve", "--no-storage", *(f"--plugin={PLUGINS / name}" for name in plugins)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cloudlink", *words),
        stderr=asyncio.subprocess.PIPE,
        env=surroundings | {"HOST": "127.0.0.1", "PORT": "0"},
        cwd=folder,
    )
    try:
        while not (found := re.search(rb"ws://127\.0\.0\.1:\d+", line := await process.stderr.readline())):
            assert line, "the server ended"
        yield found[0].decode()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def test_all_of_them_as_served(tmp_path):
    names = [path.name for path in sorted(PLUGINS.glob("*.py"))]

    async def scenario():
        async with (
            asyncio.timeout(30),
            serving(*names, folder=tmp_path) as url,
            connect(url, username="alice") as alice,
        ):
            assert (await alice.request("gmsg", val="darn")).value == "****"
            assert re.fullmatch("[B-Z]{4}", (await alice.request("lobby_open")).value)

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["bot.py", *(path.name for path in sorted(PLUGINS.glob("*.py")))])
def test_the_page_lists_them(name):
    assert name in PAGE.read_text(encoding="utf-8")
