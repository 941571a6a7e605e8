"""Draws docs/pictures/game.png, the picture of the README: two windows of the example game.

`examples/picture` runs this. Three people play in TurboWarp's VM in Chromium; the picture shows the windows of two.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tests.examples_scratch.players import Player
from tests.extension.lab import Lab

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "game.png"
PLACES = {"Ann": (-140, 20), "Bob": (60, -90), "Carl": (120, 60)}

FRAME = """<!doctype html>
<meta charset="utf-8">
<style>
body { margin: 0; padding: 24px; width: max-content; display: flex; gap: 24px; background: #fff;
       font: 15px system-ui, sans-serif }
figure { margin: 0; border: 1px solid #b8c4d0; border-radius: 10px; overflow: hidden; box-shadow: 0 3px 10px #0002 }
figcaption { padding: 7px 14px; background: #e8eef4; color: #1d2733 }
img { display: block; width: 480px; height: 360px }
</style>
"""


async def _draw(lab: Lab) -> None:
    async with lab.another_server() as server:
        players = {name: await Player.opens(lab, "game", server) for name in PLACES}
        for name, player in players.items():
            await player.answers(name)
        for player in players.values():
            await player.sees("others().length === 2")
        for name, (x, y) in PLACES.items():
            await players[name].evaluate(f"me().setXY({x}, {y})")
        for player in players.values():
            for x, y in PLACES.values():
                arrived = f"Math.hypot(each.x - {x}, each.y - {y}) < 5"
                await player.sees(f"[me(), ...others()].some((each) => {arrived})")
        windows = {name: await _photograph(players[name].page, "#stage") for name in ("Ann", "Bob")}
        page = await lab.browser.open("about:blank")
        figures = "".join(
            f"<figure><figcaption>{name}&rsquo;s window</figcaption><img src='data:image/png;base64,{picture}'></figure>"
            for name, picture in windows.items()
        )
        await page.evaluate(f"document.write({json.dumps(FRAME + figures)}); document.close()")
        await page.evaluate("Promise.all([...document.images].map((image) => image.decode()))")
        PICTURE.write_bytes(base64.b64decode(await _photograph(page, "body")))


async def _photograph(page: Any, selector: str) -> str:
    """Return the picture of an element as a PNG file in base64."""
    clip = await page.evaluate(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
    clip = {"scale": 1} | {side: clip[side] for side in ("x", "y", "width", "height")}
    shot = await page.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
    return str(shot["data"])


def main() -> None:
    """Draw the picture again."""
    lab = Lab()
    lab.open()
    try:
        lab.run(_draw(lab))
    finally:
        lab.close()


if __name__ == "__main__":
    main()
