"""Bridges when the settings are read again: changed ones connect anew, removed ones go, new ones start, others stay."""

from __future__ import annotations

import contextlib
import json
import logging

import pytest

from cloudlink.cli.flags import Source
from cloudlink.cli.serve import build
from cloudlink.errors import StartError
from tests.bridge.servers import SECRET, BridgedServer, in_loop, names, player, running, until


class Reloadable:
    """A server whose settings file a test changes."""

    def __init__(self, folder, **bridges):
        self._path = folder / "cloudlink.toml"
        self.write(**bridges)
        source = Source(
            str(self._path), {"plugins_folder": "", "storage": "", "admin_storage": "", "port": 0}
        )
        self.server = build(source.read(), source)

    def write(self, **bridges):
        lines = []
        for name, keys in bridges.items():
            lines.append(f"[bridges.{name}]")
            section = {"secret": SECRET, "rooms": ["arena"], **keys}
            lines += [f"{key} = {json.dumps(value)}" for key, value in section.items()]
        self._path.write_text("\n".join(lines))

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.server.port}/"

    @property
    def bridges(self):
        return self.server.hooks.bridges

    async def until_up(self, *names):
        await until(lambda: all(self.bridges.health()[name]["up"] for name in names))


@contextlib.asynccontextmanager
async def others(*letters):
    """Other servers, each of which waits to be called and has a player named after it."""
    async with contextlib.AsyncExitStack() as stack:
        found = {
            letter: BridgedServer({"home": {"secret": SECRET, "rooms": ["arena", "hall"]}})
            for letter in letters
        }
        await stack.enter_async_context(running(*found.values()))
        for letter, other in found.items():
            await stack.enter_async_context(player(other, f"of-{letter}", "arena", "hall"))
        yield found


@in_loop
async def test_a_reload_changes_only_what_has_changed(tmp_path):
    async with others("a", "b", "c") as found, contextlib.AsyncExitStack() as stack:
        urls = {name: {"url": other.url} for name, other in found.items()}
        home = Reloadable(tmp_path, a=urls["a"], b=urls["b"], c=urls["c"])
        await stack.enter_async_context(running(home))
        alice = await stack.enter_async_context(player(home, "alice", "arena", "hall"))
        await home.until_up("a", "b", "c")
        await until(lambda: names(alice) == ["a/of-a", "alice", "b/of-b", "c/of-c"])
        kept, former = home.bridges.bridges["a"]._link, home.bridges.bridges["b"]
        seen = next(user for user in alice.users["arena"] if user.username == "a/of-a")

        home.write(a=urls["a"], b={**urls["b"], "rooms": ["hall"]}, d=urls["c"])
        changes = home.server.reload()
        assert sorted(changes.changed) == ["bridges.b", "bridges.c", "bridges.d"]
        assert changes.needs_restart == ()
        await home.until_up("a", "b", "d")
        await until(lambda: names(alice) == ["a/of-a", "alice", "d/of-c"])
        await until(lambda: names(alice, "hall") == ["alice", "b/of-b"])
        assert home.bridges.bridges["a"]._link is kept
        assert seen in alice.users["arena"]
        assert home.bridges.bridges["b"] is not former
        assert sorted(home.bridges.health()) == ["a", "b", "d"]


@in_loop
async def test_a_bridge_that_waits_to_be_called_comes_and_goes(tmp_path):
    home = Reloadable(tmp_path)
    assert home.bridges is None
    async with running(home):
        home.write(b={})
        home.server.reload()
        await until(lambda: home.bridges is not None and home.bridges.waiting)
        other = BridgedServer({"home": {"secret": SECRET, "rooms": ["arena"], "url": home.url}})
        async with running(other), player(other, "zoe", "arena"), player(home, "alice", "arena") as alice:
            await home.until_up("b")
            await until(lambda: names(alice) == ["alice", "b/zoe"])
            home.write()
            home.server.reload()
            await until(lambda: names(alice) == ["alice"])
            assert home.bridges.health() == {}
            assert not other.bridges.health()["home"]["up"]


@in_loop
async def test_a_secret_that_changes_ends_the_connection(tmp_path):
    home = Reloadable(tmp_path, b={})
    async with running(home):
        other = BridgedServer({"home": {"secret": SECRET, "rooms": ["arena"], "url": home.url}})
        async with running(other):
            await home.until_up("b")
            home.write(b={"secret": SECRET + " but another"})
            home.server.reload()
            await until(lambda: "secret is wrong" in other.bridges.bridges["home"].reason)
            assert not home.bridges.health()["b"]["up"]


@in_loop
async def test_a_changed_bridge_stays_paused(tmp_path):
    async with others("a") as found:
        home = Reloadable(tmp_path, a={"url": found["a"].url})
        async with running(home):
            await home.until_up("a")
            home.bridges.pause("a")
            home.write(a={"url": found["a"].url, "rate": 5.0})
            home.server.reload()
            assert home.bridges.list()[0]["paused"]
            assert home.bridges.resume("a")
            await home.until_up("a")


@in_loop
async def test_a_mistake_changes_nothing(tmp_path, caplog):
    async with others("a") as found:
        home = Reloadable(tmp_path, a={"url": found["a"].url})
        async with running(home):
            await home.until_up("a")
            link = home.bridges.bridges["a"]._link
            home.write(a={"url": found["a"].url}, b={"secret": "short"})
            with pytest.raises(StartError, match="The bridge b needs a secret"):
                home.server.reload()
            assert home.bridges.bridges["a"]._link is link
            home.write(a={"url": found["a"].url})
            with caplog.at_level(logging.INFO, "cloudlink.server"):
                home.server.reload()
            assert "nothing has changed" in caplog.text
            assert home.bridges.bridges["a"]._link is link


@in_loop
async def test_no_secret_is_shown_or_logged(tmp_path, caplog):
    home = Reloadable(tmp_path)
    async with running(home):
        home.write(b={})
        with caplog.at_level(logging.DEBUG):
            shown = home.server.reload().shown()
        assert shown == {"changed": {"bridges.b": [None, "(hidden)"]}, "needs_restart": []}
        assert SECRET not in caplog.text
