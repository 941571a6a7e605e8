"""Every plugin of the documentation and of the examples, asked with `request` of the Python client."""

import asyncio
import re
from pathlib import Path

import pytest

from cloudlink.client import (
    DisconnectedError,
    GlobalMessage,
    GlobalVariable,
    OtherPacket,
    RequestError,
    StatusCode,
    WaitTimeoutError,
    connect,
    connect_cloud,
)
from cloudlink.server.app import Server
from cloudlink.server.plugins import load_all
from cloudlink.server.protocols import Clpv4, Scratch
from cloudlink.settings import Settings
from tests.support.servers import HOST, listening

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(# plugins/(\w+)\.py\n.*?)^```$", re.DOTALL | re.MULTILINE)


def found():
    """The text of each plugin, by the page or folder and its name."""
    plugins = {}
    for page in sorted((ROOT / "docs").glob("*.md")):
        for text, name in BLOCK.findall(page.read_text(encoding="utf-8")):
            plugins[f"{page.stem}/{name}"] = text
    for file in sorted((ROOT / "examples" / "plugins").glob("*.py")):
        plugins[f"examples/{file.stem}"] = file.read_text(encoding="utf-8")
    return plugins


async def value_of(c, cmd, **keys):
    """The `val` of an answer, whatever kind of packet it is."""
    answer = await c.request(cmd, **keys)
    return answer.packet["val"] if isinstance(answer, OtherPacket) else answer.value


async def refused(c, code_id, cmd, **keys):
    with pytest.raises(RequestError) as caught:
        await c.request(cmd, **keys)
    assert caught.value.status.code_id == code_id


async def hello(c, _):
    assert await value_of(c, "hello") == "Hello, alice!"


async def coin(c, _):
    assert await value_of(c, "coin") in ("heads", "tails")
    assert await value_of(c, "flip") in ("heads", "tails")


async def quiet(c, _):
    await refused(c, 108, "gmsg", val="psst")


async def broken(c, _):
    assert await value_of(c, "divide", val=[6, 3]) == 2
    await refused(c, 105, "divide", val=[6, 0])


async def slow(c, _):
    assert await value_of(c, "double", val=21) == 42


async def visitors(c, _):
    assert await value_of(c, "visitors") == ["alice"]


async def game_dice(c, _):
    assert await value_of(c, "gmsg", val="!dice") == "!dice"
    # The dice are a message to the room, which has no listener.
    while not isinstance(event := await anext(c), GlobalMessage):
        pass
    assert re.fullmatch("Dice: [1-6]", event.value)


async def announce(c, url):
    async with connect(url) as bob:
        assert (await bob.request("setid", val="bob")).value["username"] == "bob"


async def strict(c, _):
    await refused(c, 109, "nonsense")
    with pytest.raises(DisconnectedError, match=r"4001 \(What is nonsense\?\)"):
        await c.request("ping")


async def kick(c, url):
    await refused(c, 103, "kick", val="bob")
    async with connect(url, username="bob") as bob:
        assert (await c.request("kick", val="bob")).ok
        with pytest.raises(DisconnectedError, match=r"4004 \(You were kicked: too loud\)"):
            await bob.request("ping")


async def scores(c, _):
    # It tells the room, by a gvar that is not an answer: it has no listener.
    with pytest.raises(WaitTimeoutError):
        await c.request("score", val=5, timeout=0.2)
    while not isinstance(event := await anext(c), GlobalVariable):
        pass
    assert event == GlobalVariable("best", 5, "default")


async def dice(c, _):
    assert await value_of(c, "dice", val=6) in range(1, 7)
    await refused(c, 101, "dice", val="six")


async def gatekeeper(c, url):
    assert (await c.request("ping")).ok
    with pytest.raises(DisconnectedError, match=r"4004 \(This project is not played here\)"):
        async with connect_cloud(url, 666, "alice") as cloud:
            await anext(cloud)


async def untouched(c, _):
    assert isinstance(await c.request("ping"), StatusCode)


async def square(c, _):
    assert await value_of(c, "square", val=12) == 144
    await refused(c, 105, "square", val="twelve")


async def lobby_codes(c, _):
    code = await value_of(c, "lobby_open")
    assert await value_of(c, "lobby_find", val=code) == {"room": code, "players": []}


async def calm(c, _):
    assert await value_of(c, "gmsg", val="HELLO") == "hello"
    await refused(c, 108, "gmsg", val="spam")


async def champion(c, _):
    await c.command("score", val=5)
    assert (await c.request("ping")).ok


async def word_filter(c, _):
    assert await value_of(c, "gmsg", val="darn") == "****"


async def classroom(c, _):
    await refused(c, 108, "teacher", val="guess")


CHECKS = {
    "classroom/classroom": classroom,
    "first-game/dice": game_dice,
    "http/scores": untouched,
    "migrating/square": square,
    "plugin-reference/announce": announce,
    "plugins/bans": untouched,
    "plugins/broken": broken,
    "plugins/calculator": untouched,
    "plugins/calm": calm,
    "plugins/champion": champion,
    "plugins/coin": coin,
    "plugin-reference/dice": dice,
    "plugins/gatekeeper": gatekeeper,
    "plugins/greeter": untouched,
    "plugins/hello": hello,
    "plugin-reference/kick": kick,
    "plugin-reference/players": untouched,
    "plugins/quiet": quiet,
    "plugins/rounds": untouched,
    "plugin-reference/scores": scores,
    "plugins/slow": slow,
    "plugin-reference/spectator": untouched,
    "plugin-reference/strict": strict,
    "plugins/visitors": visitors,
    "examples/lobby_codes": lobby_codes,
    "examples/welcome_message": announce,
    "examples/word_filter": word_filter,
}


def test_every_plugin_is_asked():
    assert sorted(CHECKS) == sorted(found())


@pytest.mark.parametrize("name", CHECKS)
def test_a_plugin_answers_a_request(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some plugins keep a file
    file = tmp_path / f"{name.partition('/')[2]}.py"
    file.write_text(found()[name], encoding="utf-8")

    async def scenario():
        server = Server(Settings(storage="", plugins=[str(file)], plugins_folder=""))
        protocol = Clpv4(server)
        Scratch(server)
        load_all(server, protocol, server.settings, server.logger)
        async with asyncio.timeout(30), listening(server) as port:
            url = f"ws://{HOST}:{port}/"
            async with connect(url, username="alice") as c:
                await CHECKS[name](c, url)

    asyncio.run(scenario())
