"""Servers with bridges, for the tests: at ports of their own, and the settings of both sides."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any

import cloudlink
from cloudlink.bridge import Bridges
from cloudlink.server.app import Server
from cloudlink.server.protocols import Clpv4, Scratch
from cloudlink.settings import Settings
from tests.support.servers import HOST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SECRET = "sixteen characters at least"
TIMEOUT = 30.0
"""Seconds, on a machine that may be busy."""


class BridgedServer:
    """A server with its bridges, as `cloudlink serve` builds it.

    Attributes:
        skipped: Seconds by which the clock of its bridges is ahead.
    """

    def __init__(self, bridges: dict[str, dict[str, Any]], **settings: Any) -> None:
        self.server = Server(Settings(**{"storage": "", **settings}))
        self.server.settings.set("bridges", bridges)
        self.server.settings.check()
        self.protocol = Clpv4(self.server)
        self.scratch = Scratch(self.server)
        self.skipped = 0.0
        self.bridges = Bridges(
            self.server, self.protocol, self.scratch, lambda: time.monotonic() + self.skipped
        )

    @property
    def url(self) -> str:
        return f"ws://{HOST}:{self.server.port}/"

    async def until_up(self, name: str) -> None:
        await until(lambda: self.bridges.health()[name]["up"])


async def until(condition: Callable[[], object], timeout: float = TIMEOUT) -> None:
    """Wait until something is so; the event loop runs meanwhile."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110  # what tests wait for has no event of its own
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(*hosts: BridgedServer) -> AsyncIterator[None]:
    """Run servers in this event loop."""
    async with contextlib.AsyncExitStack() as stack:
        for host in hosts:
            await host.server.start(HOST, 0)
            stack.push_async_callback(host.server.stop)
        yield


@contextlib.asynccontextmanager
async def a_pair(
    *,
    rooms: tuple[list[str], list[str]] = (["arena"], ["arena"]),
    a: dict[str, Any] | None = None,
    b: dict[str, Any] | None = None,
    **keys: Any,
) -> AsyncIterator[tuple[BridgedServer, BridgedServer]]:
    """Two servers: `a` waits to be called by `b`; both call the bridge by the other's letter."""
    first = BridgedServer({"b": {"secret": SECRET, "rooms": rooms[0], **keys}}, **(a or {}))
    async with running(first):
        second = BridgedServer(
            {"a": {"secret": SECRET, "rooms": rooms[1], "url": first.url, **keys}}, **(b or {})
        )
        async with running(second):
            await first.until_up("b")
            await second.until_up("a")
            yield first, second


@contextlib.asynccontextmanager
async def player(host: BridgedServer, name: str, *rooms: str) -> AsyncIterator[Any]:
    """A user of a server."""
    async with cloudlink.connect(host.url, username=name, rooms=list(rooms)) as client:
        yield client


def in_loop(test: Callable[..., Any]) -> Callable[..., None]:
    """Run an async test to its end, for a limited time."""

    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        async def limited() -> None:
            async with asyncio.timeout(3 * TIMEOUT):
                await test(**arguments)

        asyncio.run(limited())

    return run


async def next_of(client: Any, kind: type) -> Any:
    """The next event of a kind that a client gets; others are skipped."""
    async with asyncio.timeout(TIMEOUT):
        async for event in client:
            if isinstance(event, kind):
                return event
    raise AssertionError("the connection has ended")


def names(client: Any, room: str = "arena") -> list[str]:
    """The names in a user list, sorted."""
    return sorted(user.username for user in client.users.get(room, ()))
