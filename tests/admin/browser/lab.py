"""A browser, and hosts and servers for the tests of the dashboard. One browser serves the whole test run."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.real_clients.scratch.chromium import Browser, chromium

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.real_clients.scratch.chromium import Page

HELPERS = Path(__file__).with_name("page.js").read_text(encoding="utf-8")
OWN = re.compile(r"(?:http|ws)://127\.0\.0\.1:\d+/admin|about:blank$")
"""Addresses that the dashboard may ask for anything."""
PASSWORD = "quick otter paints clouds"
OWNER = "mia"


class Visitor:
    """Somebody who has the dashboard open: reads it, and uses it by what they read."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @classmethod
    async def opens(cls, browser: Browser, address: str, *, size: tuple[int, int] = (1280, 900)) -> Visitor:
        """Open the dashboard in a window of that size."""
        page = await browser.open("about:blank")
        visitor = cls(page)
        await page.call("Page.addScriptToEvaluateOnNewDocument", source=HELPERS)
        await visitor.resize(*size)
        await visitor.goes(address)
        return visitor

    async def goes(self, address: str) -> None:
        """Go to an address."""
        self.page.loaded = False
        await self.page.call("Page.navigate", url=address)
        await self.page.until(lambda: self.page.loaded, f"{address} is loaded")

    async def reloads(self) -> None:
        """Load the page again."""
        self.page.loaded = False
        await self.page.call("Page.reload")
        await self.page.until(lambda: self.page.loaded, "the page is loaded again")

    async def chooses(self, name: str) -> None:
        """Go to a page of the dashboard."""
        await self.evaluate(f"void (location.hash = {json.dumps(name)})")

    async def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        await self.page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def prefers(self, **features: str) -> None:
        """Set preferences of the system, such as `prefers_color_scheme="dark"`."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        await self.page.call("Emulation.setEmulatedMedia", features=wanted)

    async def evaluate(self, expression: str) -> Any:
        """Run JavaScript in the page."""
        return await self.page.evaluate(expression)

    async def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        await self._do("until", f"() => {expression}", json.dumps(expression))

    async def sees(self, *texts: str) -> None:
        """Wait until the page shows these texts."""
        for text in texts:
            await self._do("see", json.dumps(text))

    async def sees_no_more(self, text: str) -> None:
        """Wait until the page does not show a text any more."""
        await self._do("gone", json.dumps(text))

    async def clicks(self, label: str, within: str | None = None) -> None:
        """Click what has this label, in the dialog if there is one.

        Args:
            label: The label.
            within: The name in the row of a list to which it belongs; `notes` for the notes of what was done.
        """
        await self._do("click", json.dumps(label), json.dumps(within))

    async def fills(self, label: str, value: str = "") -> None:
        """Enter a value into the control with this label, or tick it."""
        await self._do("fill", json.dumps(label), json.dumps(value))

    async def labels(self) -> list[str]:
        """Return the labels of all that can be used."""
        return await self.evaluate("lab.labels()")

    async def presses(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            await self.page.press(key)

    async def tabs_to(self, label: str) -> None:
        """Press Tab until what has this label has the focus."""
        for _ in range(100):
            await self.page.press("Tab")
            if await self.evaluate("lab.focused()") == label:
                return
        raise AssertionError(f"{label} cannot be reached with Tab")

    async def sets_up(self, name: str = OWNER) -> None:
        """Make the first account, from the setup link."""
        await self.sees("Welcome")
        await self.fills("Name", name)
        await self.fills("Password", PASSWORD)
        await self.clicks("Become the owner")
        await self.sees("Newest players")

    async def logs_in(self, name: str = OWNER, password: str = PASSWORD) -> None:
        """Log in."""
        await self.sees("Log in")
        await self.fills("Name", name)
        await self.fills("Password", password)
        await self.clicks("Log in")

    async def is_too_wide(self) -> bool:
        """Return whether the page can be scrolled sideways."""
        return await self.evaluate("document.scrollingElement.scrollWidth > innerWidth")

    async def _do(self, what: str, *arguments: str) -> None:
        await self.evaluate(f"lab.{what}({', '.join(arguments)}).then(() => null)")


class Lab:
    """The browser, and the event loop of everything."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._stack = contextlib.AsyncExitStack()
        self.visitors: list[Visitor] = []

    def open(self) -> None:
        """Start the browser; skips the test where there is none."""
        chromium()
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._stack.enter_context(folder)
        self._runner.run(self._open(Path(folder.name)))

    async def _open(self, folder: Path) -> None:
        self.browser = await self._stack.enter_async_context(Browser(folder / "profile"))

    def close(self) -> None:
        """End the browser."""
        self._runner.run(self._stack.aclose())
        self._runner.close()

    async def visitor(self, address: str, **window: Any) -> Visitor:
        """Somebody who opens an address, in a window of their own."""
        visitor = await Visitor.opens(self.browser, address, **window)
        self.visitors.append(visitor)
        return visitor

    def run(self, scenario: Awaitable[None]) -> None:
        """Run a scenario; no page may have thrown, and none may have asked for anything from elsewhere."""

        async def main() -> None:
            await scenario
            for visitor in self.visitors:
                assert visitor.page.errors == []
                assert [place for place in visitor.page.requests if not OWN.match(place)] == []

        try:
            self._runner.run(main())
        finally:
            for visitor in self.visitors:
                self._runner.run(visitor.page.call("Page.close"))
            self.visitors.clear()


def scenario(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a test of a coroutine that is given the laboratory."""

    @functools.wraps(test)
    def run(lab: Lab, **arguments: Any) -> None:
        lab.run(test(lab, **arguments))

    return run
