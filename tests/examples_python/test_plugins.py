"""The plugins in examples/plugins, each loaded by `cloudlink serve` as docs/examples.md says."""

import asyncio
import contextlib
import os
import re
import sys
from pathlib import Path

import pytest

from cloudlink.client import (
    NameRefusedError,
    OtherPacket,
    PrivateMessage,
    RequestError,
    connect,
)

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "examples.md"


@contextlib.asynccontextmanager
async def serving(plugin, folder):
    """`cloudlink serve` with a plugin on a free port; yields its address."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("CLOUDLINK_")}
    words = ("serve", "--plugin", str(ROOT / "examples" / "plugins" / plugin), "--no-storage")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cloudlink", *words),
        stderr=pipe,
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


async def until(c, kind):
    async for event in c:
        if isinstance(event, kind):
            return event
    raise AssertionError("the events ended")


def run(scenario):
    async def limited():
        async with asyncio.timeout(30):
            await scenario()

    asyncio.run(limited())


def test_word_filter(tmp_path):
    async def scenario():
        async with serving("word_filter.py", tmp_path) as url, connect(url, username="alice") as alice:
            for sent, arrives in (
                ("oh DARN it", "oh **** it"),
                (["heck", {"deep": "gosh!"}, 5], ["****", {"deep": "****!"}, 5]),
                ("checkered darning", "checkered darning"),
                (2**70, 2**70),
            ):
                echo = await alice.request("gmsg", val=sent)
                assert echo.value == arrives
            await alice.pmsg("alice", "darn")
            assert (await until(alice, PrivateMessage)).value == "****"
            with pytest.raises(NameRefusedError, match="friendlier"):
                await connect(url, username="Darn you").__aenter__()
            with pytest.raises(RequestError, match="E:101"):
                await alice.request("gmsg")

    run(scenario)


def test_lobby_codes(tmp_path):
    async def scenario():
        async with (
            serving("lobby_codes.py", tmp_path) as url,
            connect(url, username="alice") as alice,
            connect(url, username="bob") as bob,
            connect(url) as nobody,
        ):
            code = (await alice.request("lobby_open")).value
            assert re.fullmatch("[B-Z]{4}", code)
            assert (await bob.request("lobby_find", val=code.lower())).value == {"room": code, "players": []}
            await alice.link(code)
            found = (await bob.request("lobby_find", val=code)).value
            assert found == {"room": code, "players": ["alice"]}
            await bob.link(found["room"])
            assert {user.username for user in bob.users[code]} == {"alice", "bob"}
            with pytest.raises(RequestError, match="E:103"):
                await bob.request("lobby_find", val="AAAA")
            with pytest.raises(RequestError, match="E:103"):
                await bob.request("lobby_find")
            with pytest.raises(RequestError, match="E:111"):
                await nobody.request("lobby_open")

    run(scenario)


def test_welcome_message(tmp_path):
    async def scenario():
        async with serving("welcome_message.py", tmp_path) as url, connect(url) as alice:
            await alice.set_username("alice")
            # It comes from the server, so it has no origin.
            assert (await until(alice, OtherPacket)).packet[
                "val"
            ] == "Welcome, alice! You are the first here."
            async with connect(url) as bob:
                with pytest.raises(NameRefusedError):
                    await bob.set_username("")
                await bob.set_username("bob")
                assert (await until(bob, OtherPacket)).packet["val"] == "Welcome, bob! Also here: alice."
                with pytest.raises(NameRefusedError):
                    await bob.set_username("again")
                assert (await bob.request("ping")).ok
                assert bob.waiting == 0

    run(scenario)


@pytest.mark.parametrize("name", ["bot.py", "word_filter.py", "lobby_codes.py", "welcome_message.py"])
def test_the_page_lists_them(name):
    assert name in PAGE.read_text(encoding="utf-8")
