"""The page about bridges: its two schools really share a lobby, with the settings and commands that it shows."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path

from cloudlink.cli import main
from cloudlink.cli.flags import Source
from cloudlink.cli.serve import build
from cloudlink.client import PrivateMessage, connect
from tests.bridge.servers import in_loop, names, next_of, until

PAGE = (Path(__file__).parents[2] / "docs" / "bridges.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n# cloudlink.toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [shlex.split(line) for line in re.findall(r"^cloudlink .*$", PAGE, re.MULTILINE)]


def school(folder, text):
    """A server with the settings of a block, in a folder of its own."""
    folder.mkdir()
    path = folder / "cloudlink.toml"
    path.write_text(text + 'storage = ""\n' if "[" not in text else f'storage = ""\n{text}')
    source = Source(str(path), {"plugins_folder": ""})
    return path, build(source.read(), source)


def test_two_schools_share_a_lobby(tmp_path, capsys):
    @in_loop
    async def scenario():
        _, north = school(tmp_path / "north", BLOCKS[0].replace("port = 3000", "port = 0"))
        await north.start()
        here = BLOCKS[1].replace("port = 3001", "port = 0").replace(":3000/", f":{north.port}/")
        path, south = school(tmp_path / "south", here)
        await south.start()
        clients = [words for words in COMMANDS if words[1] == "client"]
        (alice_name, bob_name) = (words[words.index("--name") + 1] for words in clients)
        try:
            async with (
                connect(f"ws://127.0.0.1:{north.port}/", username=alice_name, rooms=["lobby"]) as alice,
                connect(f"ws://127.0.0.1:{south.port}/", username=bob_name, rooms=["lobby"]) as bob,
            ):
                await until(lambda: names(alice, "lobby") == ["alice", "south/bob"])
                await until(lambda: names(bob, "lobby") == ["bob", "north/alice"])
                await alice.pmsg("south/bob", "hello", rooms="lobby")
                assert (await next_of(bob, PrivateMessage)).sender.username == "north/alice"
                (test,) = (words for words in COMMANDS if words[1] == "bridge")
                assert await asyncio.to_thread(main, [*test[1:], "--config", str(path)]) == 0
        finally:
            await south.stop()
            await north.stop()

    scenario()
    assert capsys.readouterr().out.endswith("All is well.\n")
