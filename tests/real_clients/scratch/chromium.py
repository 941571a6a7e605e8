"""A headless Chromium, driven through the DevTools protocol: as much of it as is needed to play a Scratch project."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import shutil
from typing import TYPE_CHECKING, Any, Self

import websockets

from tests.real_clients.environment import unavailable
from tests.real_clients.scratch.server import HOST

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TIME_LIMIT = 30.0  # seconds, for one thing to happen
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowDown": 40}
"""Keys that are no characters, and their codes."""
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The shell has no window at all, and so takes half of what the others do."""
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    # A page that nobody looks at plays as fast as one in front.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HOST}",
    "--remote-debugging-port=0",
)


def chromium() -> str:
    """The path of the browser; skips the test, or fails it in CI, where there is none."""
    for name in NAMES:
        if program := shutil.which(name):
            return program
    return unavailable("Chromium is not installed (on Debian: apt install chromium-headless-shell)")


class Browser:
    """One browser process with an empty profile in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(chromium(), *FLAGS, f"--user-data-dir={self._folder}"),
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(TIME_LIMIT):
                address = await self._address()
                self._wire = await websockets.connect(address, max_size=None, proxy=None)
        except BaseException:
            self._process.kill()
            await self._process.wait()
            raise
        self._tasks = [
            asyncio.create_task(self._receive()),
            asyncio.create_task(self._process.stderr.read()),
        ]
        return self

    async def __aexit__(self, *_error: object) -> None:
        try:
            with contextlib.suppress(websockets.ConnectionClosed, ConnectionError):
                await self.call("Browser.close")
            async with asyncio.timeout(TIME_LIMIT):
                await self._process.wait()
        finally:
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
            await self._wire.close()
            await asyncio.gather(*self._tasks)

    async def open(self, address: str) -> Page:
        """Open the address as a new player does: with cookies and a window of its own."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        target = await self.call(
            "Target.createTarget", url="about:blank", browserContextId=context, newWindow=True
        )
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        await page.call("Runtime.enable")
        await page.call("Page.enable")
        await page.call("Network.enable")
        await page.call("Page.navigate", url=address)
        await page.until(lambda: page.loaded, f"{address} is loaded")
        return page

    async def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol and return its result, or raise TimeoutError."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        await self._wire.send(json.dumps(message | ({"sessionId": session} if session else {})))
        async with asyncio.timeout(TIME_LIMIT):
            return await answer

    async def _address(self) -> str:
        said = ""
        async for line in self._process.stderr:
            said += line.decode()
            if match := re.search(r"DevTools listening on (ws://\S+)", said):
                return match[1]
        raise AssertionError(f"Chromium did not start:\n{said}")

    async def _receive(self) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for text in self._wire:
                message = json.loads(text)
                if "id" not in message:
                    if page := self._pages.get(message.get("sessionId", "")):
                        await page.take(message["method"], message["params"])
                elif not (answer := self._answers.pop(message["id"])).done():
                    if "error" in message:
                        answer.set_exception(RuntimeError(message["error"]["message"]))
                    else:
                        answer.set_result(message["result"])
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError("Chromium has ended"))


class Page:
    """One player's window."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self._news = asyncio.Condition()
        self.loaded = False
        self.console: list[str] = []
        """What the page has logged, one line each."""
        self.errors: list[str] = []
        """What it has thrown and not caught."""
        self.frames: list[str] = []
        """What came in over its WebSockets, frame by frame."""
        self.sent: list[str] = []
        """What it sent over them."""
        self.requests: list[str] = []
        """The addresses that it has asked for anything."""

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol on this page and return its result."""
        return await self._browser.call(method, self._session, **parameters)

    async def evaluate(self, expression: str) -> Any:
        """Run JavaScript in the page, wait for the promise that it may be, and return what comes of it."""
        done = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in done:
            raise AssertionError(json.dumps(done["exceptionDetails"]))
        return done["result"].get("value")

    async def press(self, key: str) -> None:
        """Press a key and let go of it; `key` is a character, or one of `KEYS`."""
        text = "\r" if key == "Enter" else "" if key in KEYS else key
        code = KEYS.get(key, ord(key[0].upper()))
        for kind in ("keyDown", "keyUp"):
            typed = {"text": text} if kind == "keyDown" and text else {}
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **typed)

    async def type(self, text: str) -> None:
        """Type into what has the focus."""
        await self.call("Input.insertText", text=text)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until `condition` holds; it is looked at whenever the browser tells something of this page."""
        try:
            async with asyncio.timeout(TIME_LIMIT), self._news:
                await self._news.wait_for(condition)
        except TimeoutError:
            raise AssertionError(f"Not in {TIME_LIMIT:g} s: {what}. {self.errors=} {self.console=}") from None

    async def take(self, method: str, parameters: dict[str, Any]) -> None:
        """Take an event that the browser tells of this page."""
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(part.get("value", "")) for part in parameters["args"]))
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.requests.append(parameters["url"])
        elif method == "Network.webSocketFrameReceived":
            self.frames.append(parameters["response"]["payloadData"])
        elif method == "Network.webSocketFrameSent":
            self.sent.append(parameters["response"]["payloadData"])
        async with self._news:
            self._news.notify_all()
