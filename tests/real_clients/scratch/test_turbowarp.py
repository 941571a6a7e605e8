"""TurboWarp's VM in a browser plays a project of ours, packaged by its own packager with our server as cloud host."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from tests.real_clients.scratch.chromium import Browser, chromium
from tests.real_clients.scratch.packaged import package, packager
from tests.real_clients.scratch.player import Player
from tests.real_clients.scratch.project import CODE, ROUNDS, SCORE
from tests.real_clients.scratch.server import HOST, CloudServer

pytestmark = pytest.mark.timeout(300)  # the packager may have to be installed first


class Game:
    """A server, a project that knows it, and a browser to play in."""

    def __init__(self, server, browser, address):
        self.server = server
        self.players = []
        self._browser = browser
        self._address = address

    async def joined(self):
        """One more player, whose project is connected."""
        self.players.append(await Player.joins(self._browser, self._address))
        return self.players[-1]


@pytest.fixture
def played(tmp_path):
    """Run a scenario with a game of its own, and see that it threw nothing in any page."""
    chromium()
    packager()

    def play(scenario, *flags):
        async def main():
            async with contextlib.AsyncExitStack() as stack:
                server = await stack.enter_async_context(CloudServer(tmp_path, *flags))
                address = await asyncio.to_thread(package, tmp_path, "104", f"ws://{HOST}:{server.port}/")
                browser = await stack.enter_async_context(Browser(tmp_path / "profile"))
                game = Game(server, browser, address)
                await scenario(game)
                assert [player.page.errors for player in game.players] == [[] for _ in game.players]

        asyncio.run(main())

    return play


# Closes each connection with the code that a player has typed as a value.
CLOSING = """
class Closing:
    def __init__(self, server, protocol):
        @server.on_message
        async def close(client, message):
            if message.get("name") == "☁ code":
                await client.close(int(message["value"]), "You are banned: spam")
"""


def _set(name, value):
    return {"method": "set", "name": name, "value": value}


def _sets(frames):
    """The frames of a page, each as the list of objects in it."""
    return [[json.loads(line) for line in frame.split("\n")] for frame in frames]


def test_a_variable_set_in_one_page_appears_in_the_other(played):
    async def scenario(game):
        one, other = await game.joined(), await game.joined()
        await one.press(" ")
        await other.reads(SCORE, "1")
        await other.press(" ")
        await one.reads(SCORE, "2")
        assert _sets(one.page.frames) == [[_set(SCORE, 2)]]
        assert _sets(other.page.frames) == [[_set(SCORE, 1)]]

    played(scenario)


def test_a_counter_loses_no_step(played):
    async def scenario(game):
        one, other = await game.joined(), await game.joined()
        await one.press("r")
        await other.reads(SCORE, str(ROUNDS))
        await other.press("r")
        await one.reads(SCORE, str(2 * ROUNDS))
        assert _sets(one.page.frames) == [[_set(SCORE, ROUNDS + n)] for n in range(1, ROUNDS + 1)]

    played(scenario)


def test_text_keeps_its_zeros_and_an_invalid_value_stays_with_its_sender(played):
    async def scenario(game):
        one, other = await game.joined(), await game.joined()
        for text in ("007", "hello", "-0.50"):
            await one.answer(text)
            await one.reads(CODE, text)
        await other.reads(CODE, "-0.50")
        assert _sets(other.page.frames) == [[_set(CODE, "007")], [_set(CODE, "-0.50")]]

    played(scenario)


def test_a_page_that_comes_late_gets_the_current_values_in_one_frame(played):
    async def scenario(game):
        one = await game.joined()
        await one.answer("007")
        await one.press("r")
        await one.reads(SCORE, str(ROUNDS))
        late = await game.joined()
        await late.reads(SCORE, str(ROUNDS))
        await late.reads(CODE, "007")
        [values] = _sets(late.page.frames)
        assert sorted(values, key=str) == sorted([_set(CODE, "007"), _set(SCORE, ROUNDS)], key=str)

    played(scenario)


def test_values_outlive_the_server_and_pages_find_it_again(played):
    async def scenario(game):
        one, other = await game.joined(), await game.joined()
        await one.press(" ")
        await other.reads(SCORE, "1")

        await game.server.stop()
        await asyncio.gather(one.disconnected(), other.disconnected())
        await other.forgets("score")
        await other.reads(SCORE, "0")
        await one.answer("42")  # kept by the page until it has a server again
        await game.server.start()

        await asyncio.gather(one.connected(times=2), other.connected(times=2))
        await other.reads(SCORE, "1")
        await other.reads(CODE, "42")
        await other.press(" ")
        await one.reads(SCORE, "2")
        late = await game.joined()
        await late.reads(SCORE, "2")
        await late.reads(CODE, "42")

    played(scenario)


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (4000, "Connection lost; reconnecting"),
        (4002, "Username is invalid; not reconnecting."),
        (4003, "Cloud variable server is full; not reconnecting."),
        (4004, "Project is blocked; not reconnecting."),
        (4005, "Connection lost; reconnecting"),
    ],
)
def test_what_a_packaged_project_does_after_a_close_code(played, tmp_path, code, line):
    plugin = tmp_path / "closing.py"
    plugin.write_text(CLOSING, encoding="utf-8")

    async def scenario(game):
        one = await game.joined()
        await one.answer(str(code))
        await one.page.until(lambda: any(told.startswith(line) for told in one.page.console), line)
        if line.startswith("Connection lost"):
            await one.connected(times=2)

    played(scenario, "--plugin", str(plugin))
