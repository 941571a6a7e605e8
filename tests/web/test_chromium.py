"""The start page's "Try it" box, and a page of one's own that the server delivers, in Chromium."""

import asyncio
import contextlib
import json
import re
import time
from pathlib import Path

import pytest

from tests.real_clients.scratch.chromium import Browser, chromium
from tests.real_clients.scratch.server import HOST, CloudServer

TEN_SECONDS = 10.0

GAME = """<!doctype html>
<title>Game</title>
<ul id="seen"></ul>
<script type="module">
import { connect } from "/client.mjs";
const c = await connect(`ws://${location.host}/`, { username: new URLSearchParams(location.search).get("name"), rooms: "game" });
c.on("globalMessage", ({ value }) => (document.getElementById("seen").textContent += value));
window.say = (text) => c.send(text);
window.ready = true;
</script>
"""


@contextlib.asynccontextmanager
async def browser_and_server(folder, *flags):
    chromium()
    server = CloudServer(folder, *flags)
    await server.start()
    try:
        async with Browser(folder / "profile") as browser:
            yield browser, server
    finally:
        await server.stop()


async def until(page, expression):
    """Wait until a JavaScript expression is true in a page."""
    script = f"""new Promise((resolve, reject) => {{
        const end = Date.now() + 15000;
        const look = () => {{
            if ({expression}) resolve(true);
            else if (Date.now() > end) reject(new Error(document.body.innerText));
            else setTimeout(look, 20);
        }};
        look();
    }})"""
    await page.evaluate(script)
    assert page.errors == []


async def drag(page, *points):
    """Press the mouse button at the first of some points of the sheet, in its own units, and release it at the last."""
    await page.evaluate("document.querySelector('canvas').scrollIntoView()")
    rect = await page.evaluate(
        "(({ left, top, width, height }) => [left, top, width, height])(document.querySelector('canvas').getBoundingClientRect())"
    )
    left, top, width, height = rect
    kinds = ["mouseMoved", "mousePressed", *["mouseMoved"] * (len(points) - 1), "mouseReleased"]
    for kind, (x, y) in zip(kinds, [points[0], *points, points[-1]], strict=True):
        where = {"x": left + x / 1000 * width, "y": top + y / 500 * height}
        buttons = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        await page.call("Input.dispatchMouseEvent", type=kind, **where, **buttons)
        await asyncio.sleep(0.1)  # the page sends a position every 50 ms


INK = "document.querySelector('canvas').getContext('2d').getImageData(0, 0, 1000, 500).data.some((part) => part > 0)"


def test_two_windows_see_each_other_ten_seconds_after_the_start(tmp_path):
    async def main():
        async with browser_and_server(tmp_path) as (browser, server):
            began = time.monotonic()
            address = f"http://{HOST}:{server.port}/"
            one, two = [await browser.open(address) for _ in range(2)]
            for page in (one, two):
                await page.evaluate("document.querySelector('#try button').click()")
                await until(page, "document.querySelector('#try p').textContent.startsWith('You are guest')")
            names = [
                await page.evaluate("document.querySelector('#try p').textContent.slice(8, 18)")
                for page in (one, two)
            ]
            for page in (one, two):
                listed = "document.querySelector('.names').textContent"
                await until(
                    page,
                    f"{listed}.includes({json.dumps(names[0])}) && {listed}.includes({json.dumps(names[1])})",
                )
            await drag(one, (200, 100), (400, 300), (500, 200))
            await until(two, f"document.querySelector('.sheet span')?.textContent === {json.dumps(names[0])}")
            await until(two, INK)
            await one.evaluate("document.querySelector('#try input').focus()")
            await one.type("<b>hello</b>")
            await one.press("Enter")
            await until(
                two,
                f"document.querySelector('.lines').textContent === {json.dumps(names[0] + ': <b>hello</b>')}",
            )
            assert time.monotonic() - began < TEN_SECONDS
            await one.call("Page.close")
            await until(two, "!document.querySelector('.sheet span')")
            await until(two, "document.querySelector('.names').textContent === 'Nobody else is here yet.'")

    asyncio.run(main())


def test_what_strangers_send_to_the_room_does_no_harm(tmp_path):
    hostile = [None, 5, "x", [], [1], [1, 2], ["a", "b"], {"x": 1}, [1e999, 1, True], ["__proto__", "x"]]

    async def main():
        import cloudlink  # noqa: PLC0415  # the browser first

        async with browser_and_server(tmp_path) as (browser, server):
            address = f"{HOST}:{server.port}/"
            page = await browser.open(f"http://{address}")
            await page.evaluate("document.querySelector('#try button').click()")
            await until(page, "document.querySelector('#try p').textContent.startsWith('You are guest')")
            name = "<img src=x onerror=alert(1)>"
            async with cloudlink.connect(f"ws://{address}", username=name, rooms="cloudlink.try") as stranger:
                for value in hostile:
                    for variable in (stranger.user.id, "constructor", "x"):
                        await stranger.command("gvar", name=variable, val=value, rooms="cloudlink.try")
                    await stranger.send(value)
                await stranger.gvar(stranger.user.id, [500, 250, False])
                await stranger.send([stranger.user.id, "the end"])
                await until(
                    page, f"document.querySelector('.lines').textContent === {json.dumps(name + ': the end')}"
                )
                assert await page.evaluate("document.querySelectorAll('#try img').length") == 0
                assert await page.evaluate("document.querySelector('.sheet span').textContent") == name

    asyncio.run(main())


def test_a_server_that_is_full_says_so_in_the_box(tmp_path):
    async def main():
        async with browser_and_server(tmp_path, "--max-clients", "1") as (browser, server):
            one, two = [await browser.open(f"http://{HOST}:{server.port}/") for _ in range(2)]
            await one.evaluate("document.querySelector('#try button').click()")
            await until(one, "document.querySelector('#try p').textContent.startsWith('You are guest')")
            await two.evaluate("document.querySelector('#try button').click()")
            await until(two, "document.querySelector('#try p').textContent.includes('Server is full!')")
            assert await two.evaluate("document.querySelector('#try button').disabled") is False

    asyncio.run(main())


@pytest.mark.parametrize("flags", [(), ("--admin", "off")])
def test_a_page_of_ones_own_and_its_server_on_one_port(tmp_path, flags):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text(GAME, encoding="utf-8")

    async def main():
        async with browser_and_server(tmp_path, "--pages-folder", str(folder), *flags) as (browser, server):
            address = f"http://{HOST}:{server.port}/?name="
            one, two = [await browser.open(address + name) for name in ("one", "two")]
            for page in (one, two):
                await until(page, "window.ready")
            await one.evaluate("say('hi')")
            for page in (one, two):
                await until(page, "document.getElementById('seen').textContent === 'hi'")

    asyncio.run(main())


def test_the_page_of_the_docs(tmp_path):
    page_of_docs = Path(__file__).parents[2] / "docs" / "javascript.md"
    [source] = re.findall(
        r"^```html\n(.*?)^```", page_of_docs.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text(source, encoding="utf-8")

    async def main():
        async with browser_and_server(tmp_path, "--pages-folder", str(folder)) as (browser, server):
            one, two = [await browser.open(f"http://{HOST}:{server.port}/") for _ in range(2)]
            for page in (one, two):
                await until(page, "document.onclick")
            await one.evaluate("document.querySelector('p').click()")
            for page in (one, two):
                await until(page, "document.querySelector('ul').textContent === 'Somebody clicked.'")

    asyncio.run(main())
