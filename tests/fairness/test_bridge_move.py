"""The bridges of a cluster work again within three seconds after their node was killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time

import pytest

from cloudlink.client import GlobalMessage
from tests.bridge.servers import BridgedServer, player, running
from tests.bridge.test_processes import SECTION, all_meet, player_at, settings_file
from tests.support.natsserver import NatsServer
from tests.support.nodes import nats_nodes
from tests.support.servers import HOST

if sys.platform != "linux":
    pytest.skip("several processes need Linux", allow_module_level=True)

pytestmark = pytest.mark.timeout(240)

MOVED = 3.0
"""Seconds from the end of the node until messages cross again: what is promised."""
ATTEMPTS = 3
TIME_LIMIT = 60.0
RUNS = "This node runs the bridges now."


class Balancer:
    """Passes connections on to the first of some ports that accepts them."""

    def __init__(self):
        self.ports = []
        self.port = 0
        self._tasks = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._begin, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, reader, writer):
        self._tasks.append(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader, writer):
        with contextlib.ExitStack() as stack:
            stack.callback(writer.close)
            for port in self.ports:
                with contextlib.suppress(OSError):
                    other_reader, other_writer = await asyncio.open_connection(HOST, port)
                    stack.callback(other_writer.close)
                    await asyncio.gather(pump(reader, other_writer), pump(other_reader, writer))
                    return


async def pump(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def move(folder, *, is_called):
    """How long messages do not cross, in seconds, when the node that runs the bridge is killed."""
    async with asyncio.timeout(TIME_LIMIT), contextlib.AsyncExitStack() as stack:
        nats = stack.enter_context(NatsServer(folder / "nats"))
        balancer = await stack.enter_async_context(Balancer())
        other = BridgedServer(
            {"w": {**SECTION, "url": f"ws://{HOST}:{balancer.port}/"} if is_called else SECTION}
        )
        await stack.enter_async_context(running(other))
        config = settings_file(folder) if is_called else settings_file(folder, url=other.url)
        servers, places = stack.enter_context(nats_nodes(2, nats.url, "--config", config))
        balancer.ports = [place.port for place in places]
        zoe = await stack.enter_async_context(player(other, "zoe", "arena"))
        ours = [
            await stack.enter_async_context(player_at(place, name))
            for place, name in zip(places, ("alice", "bob"), strict=True)
        ]
        await all_meet(zoe, *ours)
        (killed,) = (server for server in servers if any(RUNS in line for line in server.lines))
        survivor = next(each for server, each in zip(servers, ours, strict=True) if server is not killed)
        os.kill(killed.process.pid, signal.SIGKILL)
        killed_at = time.monotonic()
        await _speak_until_heard(zoe, survivor)
        return time.monotonic() - killed_at


async def _speak_until_heard(zoe, survivor):
    """Have a player on each side speak until both have heard the other."""
    heard_there = asyncio.ensure_future(_next_of(zoe, survivor.name))
    try:
        while not (heard_there.done() and any(str(said).startswith("zoe") for said in survivor.heard)):
            now = time.monotonic()
            await zoe.send(f"zoe at {now}", rooms="arena")
            survivor.say({"cmd": "gmsg", "val": f"{survivor.name} at {now}", "rooms": "arena"})
            await asyncio.sleep(0.05)
    finally:
        heard_there.cancel()


async def _next_of(client, name):
    async for event in client:
        if isinstance(event, GlobalMessage) and str(event.value).startswith(f"{name} at"):
            return


@pytest.mark.parametrize("is_called", [False, True], ids=["it calls", "it is called"])
def test_messages_cross_again_within_three_seconds(tmp_path, is_called):
    seconds = []
    for attempt in range(ATTEMPTS):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        seconds.append(asyncio.run(move(folder, is_called=is_called)))
        if seconds[-1] <= MOVED:
            return
    raise AssertionError(seconds)
