"""Somebody who plays the packaged project in a browser: presses its keys and reads its stage."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.real_clients.scratch.project import READY

if TYPE_CHECKING:
    from tests.real_clients.scratch.chromium import Browser, Page

# A promise that is kept when the box of a variable shows a value.
SHOWN = """new Promise((kept) => {
  const look = () => {
    for (const box of document.querySelectorAll('.sc-monitor-root')) {
      const [label, value] = ['.sc-monitor-label', '.sc-monitor-value'].map((part) => box.querySelector(part));
      if (label && value && label.textContent === NAME && value.textContent === VALUE) {
        observer.disconnect();
        kept();
      }
    }
  };
  const observer = new MutationObserver(look);
  observer.observe(document, {subtree: true, childList: true, characterData: true});
  look();
})"""

# A promise that is kept when the project has asked its question and waits for the answer.
ASKED = """new Promise((kept) => {
  const look = () => {
    if (document.activeElement.matches('.sc-question-input')) kept();
    else requestAnimationFrame(look);
  };
  look();
})"""


class Player:
    """A player in a page of its own."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @classmethod
    async def joins(cls, browser: Browser, address: str) -> Player:
        """Open the project and wait until it plays and has reached its cloud host."""
        player = cls(await browser.open(address))
        await player.reads(READY, "1")
        await player.connected()
        return player

    async def connected(self, times: int = 1) -> None:
        """Wait until the project has reached its cloud host so many times."""
        await self._logged("WebSocket connected", times)

    async def disconnected(self) -> None:
        """Wait until the project has noticed that its cloud host is gone."""
        await self._logged("Connection lost", 1)

    async def press(self, key: str) -> None:
        """Press one of the project's keys."""
        await self.page.press(key)

    async def answer(self, text: str) -> None:
        """Have the project ask for a text, and type it."""
        await self.press("a")
        await self.page.evaluate(ASKED)
        await self.page.type(text)
        await self.page.press("Enter")

    async def reads(self, name: str, value: str) -> None:
        """Wait until the stage shows this value of a variable."""
        script = SHOWN.replace("NAME", json.dumps(name)).replace("VALUE", json.dumps(value))
        try:
            await self.page.evaluate(script)
        except TimeoutError:
            shown = await self.page.evaluate("document.body.innerText")
            raise AssertionError(
                f"{name} has not become {value}. The stage shows: {shown!r}. "
                f"{self.page.frames=} {self.page.console=}"
            ) from None

    async def forgets(self, variable_id: str) -> None:
        """Make a variable 0 in this page alone, so that only the cloud can bring its value back."""
        await self.page.evaluate(
            f"vm.runtime.getTargetForStage().variables[{json.dumps(variable_id)}].value = 0"
        )

    async def _logged(self, beginning: str, times: int) -> None:
        await self.page.until(
            lambda: sum(line.startswith(beginning) for line in self.page.console) >= times,
            f"{beginning} ({times} times)",
        )
