"""A browser, a server and people who play, for the tests of the Scratch extension.

Every page runs TurboWarp's own VM, which loads the extension from the server, unless a test asks for Scratch's. One
browser serves the whole test run.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import http.server
import json
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import websockets

from tests.extension.project import sb3
from tests.real_clients.scratch.chromium import Browser, chromium
from tests.real_clients.scratch.packaged import packager
from tests.real_clients.scratch.server import HOST, CloudServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

HERE = Path(__file__).parent
EXTENSION = Path(__file__).parents[2] / "extension" / "cloudlink.js"

# All that Scratch's own VM gives to an extension.
PLAIN = """
for (const name of Object.keys(Scratch)) {
  if (!['ArgumentType', 'BlockType', 'TargetType', 'extensions'].includes(name)) delete Scratch[name];
}
for (const name of Object.keys(Scratch.BlockType)) {
  if (['LABEL', 'XML'].includes(name)) delete Scratch.BlockType[name];
}
"""

# In a sandbox a hat stays true for a tenth of a second. A busy machine may not poll it in that time; by this clock it
# stays true for a second.
SLOW_CLOCK = """{
  const now = Date.now.bind(Date);
  const start = now();
  Date.now = () => start + Math.floor((now() - start) / 10);
}
"""


class User:
    """Somebody with a page of their own, whose project has the extension."""

    def __init__(self, lab: Lab, page: Any) -> None:
        self.lab = lab
        self.page = page

    async def load(
        self,
        scripts: list | None = None,
        *,
        address: str | None = None,
        by_hand: bool = True,
        **contents: Any,
    ) -> None:
        """Load a project, which leaves nothing of the one before.

        Args:
            scripts: Its scripts.
            address: Where the extension is, if not at the server.
            by_hand: Whether the extension is loaded before the project, which may not use it.
            contents: More of what is in the project.
        """
        address = address or f"http://{HOST}:{self.lab.server.port}/extension.js"
        project = base64.b64encode(sb3(scripts or [], **contents)).decode()
        await self.page.evaluate(f"load({json.dumps(project)}, {json.dumps(address)}, {json.dumps(by_hand)})")

    async def close(self) -> None:
        """Close the page."""
        await self.page.call("Page.close")

    async def do(self, opcode: str, **arguments: Any) -> None:
        """Run a command block."""
        await self.page.evaluate(f"run({json.dumps(opcode)}, {json.dumps(arguments)})")

    async def get(self, opcode: str, **arguments: Any) -> Any:
        """What a reporter block reports."""
        return await self.page.evaluate(f"get({json.dumps(opcode)}, {json.dumps(arguments)})")

    async def until(self, wanted: Any, opcode: str, **arguments: Any) -> None:
        """Wait until a reporter block reports `wanted`."""
        await self.page.evaluate(
            f"until({json.dumps(opcode)}, {json.dumps(arguments)}, {json.dumps(wanted)})"
        )

    async def variable(self, name: str, wanted: Any) -> None:
        """Wait until a variable or list of the project is `wanted`."""
        await self.page.evaluate(f"untilVariable({json.dumps(name)}, {json.dumps(wanted)})")

    async def broadcast(self, message: str) -> None:
        """Start the scripts that wait for a broadcast."""
        fields = json.dumps({"BROADCAST_OPTION": message})
        started = await self.page.evaluate(
            f"runtime.startHats('event_whenbroadcastreceived', {fields}).length"
        )
        assert started > 0

    async def evaluate(self, script: str) -> Any:
        """Run JavaScript in the page."""
        return await self.page.evaluate(script)

    async def joins(self, name: str = "", address: str = "") -> None:
        """Connect and, if it is given, set a username."""
        await self.do("openSocket", IP=address or self.lab.address)
        await self.until("2", "returnLinkData")
        if name:
            await self.do("setMyName", NAME=name)
            await self.until(name, "returnUsernameDataNew")


class Lab:
    """The state that the tests share."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._stack = contextlib.AsyncExitStack()
        self._users: list[User] = []

    def open(self) -> None:
        chromium()
        modules = packager()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        self._web = _serve(Path(modules) / "@turbowarp" / "packager" / "dist" / "scaffolding")
        self._stack.callback(self._web.server_close)
        self._stack.callback(self._web.shutdown)
        self._runner.run(self._open())

    async def _open(self) -> None:
        self.server = await self._stack.enter_async_context(CloudServer(self.folder, "--motd", "Welcome!"))
        self.browser = await self._stack.enter_async_context(Browser(self.folder / "profile"))

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()

    @property
    def plain_extension(self) -> str:
        """Where the extension is for a sandbox that offers only what Scratch's own VM does."""
        return f"http://{HOST}:{self._web.server_port}/plain.js"

    @property
    def address(self) -> str:
        return f"ws://{HOST}:{self.server.port}/"

    def run(self, scenario: Any) -> Any:
        """Run a scenario with pages of its own; nothing in them may have thrown."""

        async def main() -> Any:
            try:
                done = await scenario
                assert [user.page.errors for user in self._users] == [[] for _ in self._users]
                return done
            finally:
                for user in self._users:
                    for told in (user.page.errors, user.page.console, user.page.frames, user.page.sent):
                        told.clear()

        return self._runner.run(main())

    async def users(self, count: int, scripts: list | None = None, **contents: Any) -> list[User]:
        """So many users with this project each, not connected."""
        while len(self._users) < count:
            self._users.append(await self.newcomer())
        await asyncio.gather(*(user.load(scripts, **contents) for user in self._users))
        return self._users[:count]

    async def compiling(self) -> None:
        """Have every page compile its projects, as is usual."""
        for user in self._users:
            await user.evaluate("vm.setCompilerOptions({enabled: true})")

    async def newcomer(self, page: str = "/") -> User:
        """A user in a new page, without a project."""
        return User(self, await self.browser.open(f"http://{HOST}:{self._web.server_port}{page}"))

    def publish(self, path: str, file: Path) -> None:
        """Serve a file in addition to the pages."""
        _Files.files[path] = file

    @contextlib.asynccontextmanager
    async def another_server(self, *flags: str) -> AsyncIterator[CloudServer]:
        """A server that the test may treat as it likes."""
        with tempfile.TemporaryDirectory() as folder:
            async with CloudServer(Path(folder), *flags) as server:
                yield server


def scenario(test: Callable[[Lab], Awaitable[None]]) -> Callable[[Lab], None]:
    """Make a test of a coroutine that is given the laboratory."""

    @functools.wraps(test)
    def run(lab: Lab) -> None:
        lab.run(test(lab))

    return run


def address_of(server: CloudServer) -> str:
    return f"ws://{HOST}:{server.port}/"


@contextlib.asynccontextmanager
async def saying(
    *frames: str | bytes, answers: Callable[[str], list[str]] | None = None
) -> AsyncIterator[str]:
    """The address of a server that sends these frames to each new client, and then `answers` its packets."""

    async def say(socket: websockets.ServerConnection) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            for frame in frames:
                await socket.send(frame)
            async for told in socket:
                for frame in answers(told) if answers else []:
                    await socket.send(frame)

    async with websockets.serve(say, HOST, 0, max_size=None) as server:
        yield f"ws://{HOST}:{server.sockets[0].getsockname()[1]}/"


class _Files(http.server.SimpleHTTPRequestHandler):
    """The pages and the files of the packager; the extension, after scripts that prepare its sandbox."""

    files: ClassVar = {
        "/": HERE / "turbowarp.html",
        "/official": HERE / "official.html",
        "/blocks.js": HERE / "blocks.js",
    }
    extensions: ClassVar = {"/plain.js": PLAIN, "/cloudlink": SLOW_CLOCK}

    def do_GET(self) -> None:
        if preamble := self.extensions.get(self.path):
            self._answer("text/javascript; charset=utf-8", preamble.encode() + EXTENSION.read_bytes())
        elif file := self.files.get(self.path):
            kind = "html" if file.suffix == ".html" else "javascript"
            self._answer(f"text/{kind}; charset=utf-8", file.read_bytes())
        else:
            super().do_GET()

    def _answer(self, content_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


def _serve(folder: Path) -> http.server.ThreadingHTTPServer:
    handler = functools.partial(_Files, directory=str(folder))
    server = http.server.ThreadingHTTPServer((HOST, 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
