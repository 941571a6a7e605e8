"""The examples, played: TurboWarp's own VM in headless Chromium, with the extension and a real server."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from pathlib import Path

import pytest

from sb3 import build
from tests.examples_scratch.players import EXAMPLES, Player
from tests.real_clients.scratch.chromium import Browser, chromium
from tests.real_clients.scratch.packaged import package, packager
from tests.real_clients.scratch.player import ASKED
from tests.real_clients.scratch.server import HOST, CloudServer

pytestmark = pytest.mark.timeout(300)  # the packager may have to be installed first


class Gathering:
    """A server, and the players on it."""

    def __init__(self, lab, server):
        self.server = server
        self._lab = lab
        self._players = []

    async def opens(self, example, sandbox="unsandboxed"):
        """One more player."""
        self._players.append(await Player.opens(self._lab, example, self.server, sandbox))
        return self._players[-1]

    async def ends(self):
        """Send everybody home; nothing may have been thrown in any page."""
        for player in self._players:
            await player.page.call("Page.close")
        assert [player.page.errors for player in self._players] == [[] for _ in self._players]


@pytest.fixture
def played(lab):
    """Run a scenario with a server and players of its own."""

    def play(scenario, *flags):
        async def main():
            async with lab.another_server(*flags) as server:
                gathering = Gathering(lab, server)
                try:
                    await scenario(gathering)
                finally:
                    await gathering.ends()

        lab.run(main())

    return play


BOT = Path(__file__).parents[2] / "examples" / "bot.py"
FIRST_GAME = Path(__file__).parents[2] / "docs" / "first-game.md"
SOMEBODY_ELSE = """new Promise((kept) => {
  const look = () => vm.runtime.targets.some((target) => target.sprite.name === 'Others' && target.visible)
    ? kept() : requestAnimationFrame(look);
  look();
})"""
SANDBOX = pytest.mark.parametrize("sandbox", ["unsandboxed", "worker"])


@SANDBOX
def test_a_chat_with_a_private_message_and_a_list_of_who_is_here(played, sandbox):
    async def scenario(gathering):
        ann, bob, carl = [await gathering.opens("chat", sandbox) for _ in range(3)]
        await ann.answers("Ann", "")
        await ann.sees("valueOf('who is here').join() === 'Ann'")
        await bob.answers("Ann")
        await bob.sees("valueOf('chat')[0] === 'Ann is here already. Take another name.'")
        await bob.answers("Bob", "")
        await ann.sees("valueOf('chat')[0] === 'Bob has come.'")
        await carl.answers("Carl", "another room")
        await carl.sees("valueOf('who is here').join() === 'Carl'")

        await ann.answers('a "line" [of] {everything}: 007')
        for player in (ann, bob):
            await player.sees("valueOf('chat')[0] === 'Ann: a \"line\" [of] {everything}: 007'")
        await bob.answers("@Ann just between us", "@Carl are you there?")
        await ann.sees("valueOf('chat')[0] === 'Bob to you alone: just between us'")
        await bob.sees("valueOf('chat')[0] === 'Carl is not here.'")
        assert (await bob.value("chat"))[1] == "to Ann alone: just between us"
        assert await ann.value("who is here") == ["Ann", "Bob"]
        # What is said elsewhere stays there.
        assert not [line for line in await carl.value("chat") if "Ann:" in line or "alone:" in line]

        await bob.do("closeSocket")
        await ann.sees("valueOf('chat')[0] === 'Bob has left.' && valueOf('who is here').join() === 'Ann'")

    played(scenario)


def test_a_chat_goes_on_after_the_server_was_gone(played):
    async def scenario(gathering):
        ann, bob = players = [await gathering.opens("chat") for _ in range(2)]
        await ann.answers("Ann", "attic")
        await bob.answers("Bob", "attic")
        await bob.sees("valueOf('who is here').length === 2")
        for player in players:
            await player.evaluate("hurry(10)")
        await gathering.server.kill()
        for player in players:
            await player.sees("valueOf('chat').includes('The server does not answer. Trying again...')")
        await ann.answers("said while nobody could hear it")
        await gathering.server.start()
        for player in players:
            await player.sees("valueOf('chat').includes('Connected again.')")
            await player.sees("valueOf('who is here').length === 2")
        await bob.answers("here I am")
        await ann.sees("valueOf('chat').includes('Bob: here I am')")
        assert "Ann: said while nobody could hear it" in await ann.value("chat")

    played(scenario)


@SANDBOX
def test_players_see_each_other_move_collect_and_vanish(played, sandbox):
    async def scenario(gathering):
        ann, bob, another = [await gathering.opens("game", sandbox) for _ in range(3)]
        await ann.answers("Ann")
        await bob.answers("Bob")
        await another.answers("Bob")  # two may have the same name
        await ann.sees_others("Bob: 0", "Bob: 0")
        await another.sees_others("Ann: 0", "Bob: 0")

        await another.evaluate("me().setXY(150, 100)")  # far from all coins: players begin anywhere
        await ann.evaluate("me().setXY(-100, 0)")
        before, since = len(ann.page.sent), time.monotonic()
        await ann.holds("ArrowRight")
        await bob.sees("others().some(({says, x}) => says === 'Ann: 0' && x > 100)")
        await ann.lets_go("ArrowRight")
        place = await ann.evaluate("[Math.round(me().x), Math.round(me().y)]")
        await bob.sees(f"others().some(({{x, y}}) => Math.hypot(x - {place[0]}, y - {place[1]}) < 1)")
        await bob.evaluate("me().setXY(-200, -140)")  # onto the coin
        await ann.sees_others("Bob: 0", "Bob: 1")
        await bob.sees("valueOf('score') == 1")
        await another.sees("valueOf('coin') == 1")
        if sandbox == "unsandboxed":  # what a worker sends, the browser does not tell
            moves, seconds = ann.page.sent[before:], time.monotonic() - since  # told a little later
            assert {json.loads(frame)["cmd"] for frame in moves} == {"gvar"}
            assert len(moves) <= 15 * seconds + 2
            quiet = len(bob.page.sent)
            await bob.evaluate("frames(60)")
            assert len(bob.page.sent) == quiet  # who stands still sends nothing

        await another.do("closeSocket")
        await ann.sees_others("Bob: 1")
        await bob.sees_others("Ann: 0")

    played(scenario)


def test_players_are_back_after_the_server_was_gone(played):
    async def scenario(gathering):
        ann, bob = players = [await gathering.opens("game") for _ in range(2)]
        await ann.answers("Ann")
        await bob.answers("Bob")
        await ann.sees_others("Bob: 0")
        for player in players:
            await player.evaluate("hurry(10)")
        await gathering.server.kill()
        await ann.sees_others()
        await gathering.server.start()
        await ann.sees_others("Bob: 0")
        await bob.sees_others("Ann: 0")

    played(scenario)


@pytest.mark.parametrize("pointer", ["mouse", "finger"])
def test_a_mouse_or_finger_leads_the_player(played, pointer):
    async def scenario(gathering):
        player = await gathering.opens("game")
        await player.answers("Ann")
        await player.sees("me().visible")
        left, top, width, height = await player.evaluate(
            "(({left, top, width, height}) => [left, top, width, height])(runtime.renderer.canvas.getBoundingClientRect())"
        )
        place = {"x": left + width * 0.75, "y": top + height * 0.25}
        if pointer == "mouse":
            await player.page.call(
                "Input.dispatchMouseEvent", type="mousePressed", button="left", clickCount=1, **place
            )
        else:
            await player.page.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[place])
        await player.sees("Math.hypot(me().x - 120, me().y - 90) < 5")

    played(scenario)


# What docs/first-game.md tells to do.


def test_a_packaged_game_works_as_a_file_and_on_a_page_of_the_server(lab, played, tmp_path):
    packager()

    async def scenario(gathering):
        address = f"ws://{HOST}:{gathering.server.port}/"
        game = build(EXAMPLES / "game", address, address.replace("ws:", "http:") + "extension.js")
        file = await asyncio.to_thread(package, tmp_path, "game", address, game)
        page = f"http://{HOST}:{gathering.server.port}/{file.rpartition('/')[2]}"
        ann, bob = players = [await lab.browser.open(each) for each in (file, page)]
        for name, player in zip(("Ann", "Bob"), players, strict=True):
            await player.evaluate(ASKED)
            await player.type(name)
            await player.press("Enter")
        for player in (ann, bob):
            await player.evaluate(SOMEBODY_ELSE)
        for player in players:
            await player.call("Page.close")
            assert player.errors == []

    played(scenario, "--pages-folder", str(tmp_path))


def test_the_server_throws_dice_in_the_chat(played, tmp_path):
    [source] = re.findall(
        r"^```python\n(.*?)^```", FIRST_GAME.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    plugin = tmp_path / "dice.py"
    plugin.write_text(source, encoding="utf-8")

    async def scenario(gathering):
        ann, bob = [await gathering.opens("chat") for _ in range(2)]
        await ann.answers("Ann", "attic")
        await bob.answers("Bob", "attic")
        await ann.sees("valueOf('who is here').length === 2")
        await bob.answers("!dice")
        await ann.sees("/^Dice: [1-6]$/.test(valueOf('chat')[0])")
        assert (await ann.value("chat"))[1] == "Bob: !dice"

    played(scenario, "--plugin", str(plugin))


def test_the_bot_answers_private_messages_in_the_chat(played):
    async def scenario(gathering):
        address = f"ws://{HOST}:{gathering.server.port}/"
        bot = await asyncio.create_subprocess_exec(
            sys.executable, BOT, address, "--name", "robo", "--room", "attic"
        )
        try:
            ann = await gathering.opens("chat")
            await ann.answers("Ann", "attic")
            await ann.sees("valueOf('who is here').includes('robo')")
            await ann.answers("@robo !coin")
            await ann.sees("/^robo to you alone: .*(heads|tails)/i.test(valueOf('chat')[0])")
        finally:
            bot.terminate()
            await bot.wait()

    played(scenario)


# Cloud variables.


VALUES = "Object.fromEntries(Object.values(vm.runtime.getTargetForStage().variables).map(({name, value}) => [name, value]))"
SHOWN = """new Promise((kept, broken) => {
  const before = performance.now();
  const look = () => {
    const values = VALUES;
    if (CONDITION) kept();
    else if (performance.now() - before > 10000) broken(new Error(JSON.stringify(values)));
    else requestAnimationFrame(look);
  };
  look();
})""".replace("VALUES", VALUES)


class Catcher:
    """Somebody who plays the packaged score table."""

    def __init__(self, page):
        self.page = page

    @classmethod
    async def joins(cls, browser, address, name):
        catcher = cls(await browser.open(address))
        await catcher.page.until(
            lambda: any(line.startswith("WebSocket connected") for line in catcher.page.console), "connected"
        )
        await catcher.page.evaluate(ASKED)
        await catcher.page.type(name)
        await catcher.page.press("Enter")
        return catcher

    async def sees(self, condition):
        await self.page.evaluate(SHOWN.replace("CONDITION", condition))

    async def sees_list(self, *entries):
        await self.sees(
            f"JSON.stringify(values['top list']) === '{json.dumps(entries, separators=(',', ':'))}'"
        )

    async def sets(self, name, value):
        await self.page.evaluate(
            "Object.values(vm.runtime.getTargetForStage().variables)"
            f".find(({{name}}) => name === {json.dumps(name)}).value = {json.dumps(value)}"
        )

    async def clicks_the_balloon(self):
        before = (await self.page.evaluate(VALUES))["score"]
        x, y = await self.page.evaluate("""(() => {
          const {x, y} = vm.runtime.getSpriteTargetByName('Balloon');
          const {left, top, width, height} = vm.runtime.renderer.canvas.getBoundingClientRect();
          return [left + (x + 240) * width / 480, top + (180 - y) * height / 360];
        })()""")
        for kind in ("mousePressed", "mouseReleased"):
            await self.page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        await self.sees(f"values.score > {before}")


def test_scores_stay_when_the_server_has_restarted(tmp_path):
    chromium()
    packager()
    table = build(EXAMPLES / "score-table", "", "")

    async def main():
        async with CloudServer(tmp_path) as server, Browser(tmp_path / "profile") as browser:
            address = await asyncio.to_thread(
                package, tmp_path, "table", f"ws://{HOST}:{server.port}/", table
            )
            ann = await Catcher.joins(browser, address, "Ann 7")
            bob = await Catcher.joins(browser, address, "Émile_Zola the second")
            await ann.sees("values['my name'] === 'ann 7'")
            await bob.sees("values['my name'] === 'mile_zola th'")  # what there are digits for
            for _ in range(3):
                await ann.clicks_the_balloon()
            await ann.sets("seconds left", 1)
            await bob.sees_list("3 ann 7")
            await bob.sets("my best", 12)
            await ann.sees_list("12 mile_zola th", "3 ann 7")

            # Two who write at the same moment: whoever is missing writes again.
            await ann.sets("my best", 20)
            await bob.sets("my best", 30)
            await ann.sees_list("30 mile_zola th", "20 ann 7")
            await server.stop()
            await server.start()
            late = await Catcher.joins(browser, address, "Late")
            await late.sees_list("30 mile_zola th", "20 ann 7")
            # Of many, the best five stay; whoever was better before keeps that.
            for name, best in (("b", 40), ("c", 10), ("d", 5), ("b", 1), ("e", 7)):
                await late.sets("my name", name)
                await late.sets("my best", best)
                if best > 1:
                    await late.sees(f"values['top list'].includes('{best} {name}')")
            await ann.sees_list("40 b", "30 mile_zola th", "20 ann 7", "10 c", "7 e")
            assert [catcher.page.errors for catcher in (ann, bob, late)] == [[], [], []]

    asyncio.run(main())
