"""The servers that chaos happens to: workers behind one port, three nodes with NATS and proxies between, or two bridged ones."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

from tests.support.lastingserver import LastingServer
from tests.support.natsserver import NatsServer
from tests.support.nodes import SECRET, children
from tests.support.servers import HOST

_JOIN_LIMIT = 60.0
"""Seconds in which a bridge must be up again after both servers answer: it tries at least once a minute."""


class Proxy:
    """A TCP proxy to a port; it can be cut, both ways or in one direction."""

    def __init__(self, target):
        self._target = target
        self._pairs = set()
        self._open = {"up": asyncio.Event(), "down": asyncio.Event()}
        for event in self._open.values():
            event.set()
        self._server = None
        self.port = 0

    async def start(self):
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self, *directions):
        """Let nothing through in some directions, `up` to the port and `down` from it, without closing anything."""
        for direction in directions:
            self._open[direction].clear()

    def mend(self):
        for event in self._open.values():
            event.set()

    async def stop(self):
        self.mend()
        self._server.close()
        for writer in tuple(self._pairs):
            writer.close()

    async def _serve(self, reader, writer):
        try:
            other_reader, other_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.close()
            return
        self._pairs |= {writer, other_writer}
        await asyncio.gather(self._pump("up", reader, other_writer), self._pump("down", other_reader, writer))
        self._pairs -= {writer, other_writer}

    async def _pump(self, direction, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._open[direction].wait()
                writer.write(data)
                await writer.drain()
        writer.close()


class Servers:
    """Servers that end with the block in which they are used, even if one of them does not start.

    Attributes:
        servers: The servers.
        proxies: The proxies between them, in the same order where each has one.
    """

    def __init__(self, folder):
        self._folder = Path(folder)
        self.proxies = []
        self.servers = []

    async def __aenter__(self):
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_error):
        await self._end()

    async def _end(self):
        await asyncio.gather(*(asyncio.to_thread(server.end) for server in self.servers))
        for proxy in self.proxies:
            await proxy.stop()

    @property
    def ports(self):
        return [server.port for server in self.servers]

    def clients(self):
        """How many clients the servers believe to have."""
        return sum(_clients(server.health()) for server in self.servers)

    def shown(self, player, _viewer):
        """The name by which a player is in the lists of another one."""
        return player.name


class Cluster(Servers):
    """Three nodes, NATS, and a proxy for each node.

    Attributes:
        nats: The NATS server.
    """

    nats = None

    async def _start(self):
        self.nats = NatsServer(self._folder / "jetstream")
        for number in range(3):
            port = await self._way_to_nats()
            arguments = (
                *("--cluster", f"nats://{HOST}:{port}", "--cluster-name", "chaos"),
                *("--node-name", f"n{number + 1}", "--storage", "cloudlink.db"),
            )
            folder = self._folder / f"n{number + 1}"
            folder.mkdir()
            self.servers.append(
                LastingServer(folder, f"n{number + 1}", arguments, {"CLOUDLINK_CLUSTER_SECRET": SECRET})
            )
        await asyncio.gather(*(server.answering() for server in self.servers))

    async def _way_to_nats(self):
        """Return the port at which the next node reaches NATS."""
        proxy = Proxy(self.nats.port)
        await proxy.start()
        self.proxies.append(proxy)
        return proxy.port

    async def _end(self):
        try:
            await super()._end()
        finally:
            if self.nats is not None:
                self.nats.__exit__()


class DirectCluster(Cluster):
    """The same without proxies, for crowds: thousands of players in this process would delay proxies in it."""

    async def _way_to_nats(self):
        return self.nats.port


class Bridged(Servers):
    """Two servers that share all rooms and projects over a bridge, through a proxy."""

    async def _start(self):
        called = self._add("a", "b")
        self.proxies = [Proxy(called.port)]
        await self.proxies[0].start()
        self._add("b", "a", f'url = "ws://{HOST}:{self.proxies[0].port}/"')
        await self.joined()

    def _add(self, name, other, *lines):
        folder = self._folder / name
        folder.mkdir()
        rooms = [f"room {number}" for number in range(2)]
        keys = (
            f'secret = "{SECRET}"',
            f"rooms = {rooms}",
            'projects = ["4711"]',
            "rate = 1000",
            "byte_rate = 1e6",
        )
        (folder / "cloudlink.toml").write_text("\n".join([f"[bridges.{other}]", *keys, *lines]))
        self.servers.append(LastingServer(folder, name, ("--storage", "cloudlink.db"), {}))
        return self.servers[-1]

    async def joined(self):
        """Wait until the bridge is up; after an interruption, that takes a while, because the attempts become rarer."""
        for server in self.servers:
            await server.answering()
            deadline = time.monotonic() + _JOIN_LIMIT
            while not await asyncio.to_thread(_is_bridged, server):
                assert time.monotonic() < deadline, f"the bridge of {server.name} does not come back"
                await asyncio.sleep(0.1)

    def clients(self):
        """How many clients the servers believe to have; the bridge counts as a client of the server that it calls."""
        return super().clients() - 1

    def shown(self, player, viewer):
        """The name by which a player is in the lists of another one."""
        if player.port == viewer.port:
            return player.name
        return f"{'a' if player.port == self.servers[0].port else 'b'}/{player.name}"


def _is_bridged(server):
    return all(bridge["up"] for bridge in server.health()["bridges"].values())


def _clients(health):
    """Return the number of clients of one server; of a node, only those that are connected to it."""
    return health["cluster"]["clients_here"] if "cluster" in health else health["clients"]


class Workers(Servers):
    """A server of three workers."""

    async def _start(self):
        arguments = ("--workers", "3", "--storage", "cloudlink.db")
        self.servers = [LastingServer(self._folder, "server", arguments, {})]
        await self.servers[0].logged("(3 workers)")

    @property
    def workers(self):
        """The process ids of the workers."""
        return children(self.servers[0].pid)
