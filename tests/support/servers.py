"""The server under test: with protocols and plugins as a test asks, in memory, at a port, or restarted at one port."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudlink.server.app import Server
from cloudlink.server.protocols import Bridge, Clpv4, Scratch
from cloudlink.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

HOST = "127.0.0.1"
TESTS = Path(__file__).parents[1]
_PROTOCOL = "_clpv4"
"""The attribute of a server that holds the protocol of its plugins."""


def build(settings: dict[str, Any] | None = None, plugins: Iterable[str] = ()) -> Server:
    """A server with its protocols, and with the plugins at these places, as `load_plugin` knows them.

    Cloud variables and the administration are kept in memory unless the settings name files. `protocol_of` returns what plugins get as
    `protocol`.
    """
    server = Server(Settings(**{"storage": "", "admin_storage": "", **(settings or {})}))
    server.fair_share.clock = lambda: 0.0  # on a busy machine, packets would wait for a later turn
    # A dictionary of servers and protocols elsewhere would keep all servers for ever.
    protocol = vars(server)[_PROTOCOL] = Clpv4(server)
    if server.settings.cloud:
        scratch = Scratch(server)
        if server.settings.cloud_bridge:
            Bridge(protocol, scratch)
    for plugin in plugins:
        load_plugin(plugin)(server, protocol)
    return server


def protocol_of(server: Server) -> Clpv4:
    """The CloudLink 4 of a server that `build` made."""
    protocol: Clpv4 = vars(server)[_PROTOCOL]
    return protocol


def load_plugin(place: str) -> Callable[[Any, Any], object]:
    """The class that `file.py:Class` names; the file is below `tests`."""
    file, _, name = place.partition(":")
    spec = importlib.util.spec_from_file_location(file.removesuffix(".py").replace("/", "_"), TESTS / file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


@contextlib.asynccontextmanager
async def listening(server: Server) -> AsyncIterator[int]:
    """Run `server` in this event loop and yield its port."""
    await server.start(HOST, 0)
    try:
        yield server.port
    finally:
        await server.stop()


class RestartableServer:
    """This project's server on one port, which it keeps over restarts."""

    def __init__(self, settings):
        self._settings = settings
        self.server = None
        self.port = 0

    @property
    def url(self):
        return f"ws://{HOST}:{self.port}/"

    async def start(self):
        self.server = build(self._settings)
        await self.server.start(HOST, self.port)
        self.port = self.server.port

    async def stop(self):
        await self.server.stop()

    def drop_everybody(self):
        """Break all connections without a word, as a network does."""
        for connection in tuple(self.server._endpoint.connections):
            connection.abort()


@contextlib.asynccontextmanager
async def restartable_server(**settings):
    """Our server, started."""
    host = RestartableServer(settings)
    await host.start()
    try:
        yield host
    finally:
        await host.stop()
