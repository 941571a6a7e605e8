"""Somebody who opens an example in a browser and plays it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sb3 import build
from tests.extension.lab import User, address_of
from tests.real_clients.scratch.player import ASKED

if TYPE_CHECKING:
    from tests.extension.lab import Lab
    from tests.real_clients.scratch.server import CloudServer

EXAMPLES = Path(__file__).parents[2] / "examples" / "scratch"
NOT_YET = 10_000  # milliseconds after which something has not happened
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}

TOOLS = """
window.me = () => runtime.getSpriteTargetByName('Me');
window.others = () => runtime.targets
  .filter((target) => target.sprite.name === 'Others' && !target.isOriginal && target.visible)
  .map((target) => ({x: target.x, y: target.y, says: target.getCustomState('Scratch.looks').text}));
window.sees = async (holds) => {
  const before = performance.now();
  await everyFrame(() => holds() || performance.now() - before > NOT_YET);
  if (holds()) return;
  const variables = Object.values(runtime.getTargetForStage().variables).map(({name, value}) => [name, value]);
  throw new Error(`Not so: ${holds}. ${JSON.stringify([...variables, ...others()])}`);
};
""".replace("NOT_YET", str(NOT_YET))


class Player(User):
    """A player with a page of their own, in which TurboWarp's VM plays one of the examples."""

    @classmethod
    async def opens(
        cls, lab: Lab, example: str, server: CloudServer | None = None, sandbox: str = "unsandboxed"
    ) -> Player:
        """Open a page, load the example, and click the green flag."""
        player = cls(lab, (await lab.newcomer()).page)
        address = address_of(server or lab.server)
        extension = address.replace("ws:", "http:") + "extension.js"
        project = base64.b64encode(build(EXAMPLES / example, address, extension)).decode()
        await player.evaluate(
            f"window.sandbox = {json.dumps(sandbox)}; {TOOLS} load({json.dumps(project)}, {json.dumps(extension)})"
        )
        return player

    async def answers(self, *texts: str) -> None:
        """Answer the project's next questions."""
        for text in texts:
            await self.evaluate(ASKED)
            await self.page.type(text)
            await self.page.press("Enter")
            await self.evaluate("frames(1)")

    async def holds(self, key: str) -> None:
        """Press a key and keep it down."""
        await self.page.call(
            "Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=KEYS[key]
        )

    async def lets_go(self, key: str) -> None:
        await self.page.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=KEYS[key])

    async def sees(self, condition: str) -> None:
        """Wait for a frame after which a condition, in JavaScript, holds."""
        await self.evaluate(f"sees(() => {condition})")

    async def sees_others(self, *says: str) -> None:
        """Wait until the game shows just these other players, who say their names and scores."""
        wanted = json.dumps(json.dumps(sorted(says), separators=(",", ":")))
        await self.sees(f"JSON.stringify(others().map(({{says}}) => says).sort()) === {wanted}")

    async def value(self, name: str) -> Any:
        """The value of a variable or list of the stage."""
        return await self.evaluate(f"valueOf({json.dumps(name)})")
