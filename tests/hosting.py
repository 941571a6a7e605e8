"""The server under test: built as a scenario asks, in memory or behind a port of this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import weakref
from typing import TYPE_CHECKING, Any

from cloudlink.server.app import Server
from cloudlink.server.protocols import Bridge, Clpv4, Scratch
from cloudlink.settings import Settings
from tests.conversation import HERE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

HOST = "127.0.0.1"
_protocols: weakref.WeakKeyDictionary[Server, Clpv4] = weakref.WeakKeyDictionary()


def build(settings: dict[str, Any] | None = None, plugins: Iterable[str] = ()) -> Server:
    """A server with its protocols, and with the plugins at these places, as `load_plugin` knows them.

    Cloud variables are kept in memory unless the settings name a file. `protocol_of` returns what plugins get as
    `protocol`.
    """
    server = Server(Settings(**{"storage": "", **(settings or {})}))
    protocol = _protocols[server] = Clpv4(server)
    if server.settings.cloud:
        scratch = Scratch(server)
        if server.settings.cloud_bridge:
            Bridge(protocol, scratch)
    for plugin in plugins:
        load_plugin(plugin)(server, protocol)
    return server


def protocol_of(server: Server) -> Clpv4:
    """The CloudLink 4 of a server that `build` made."""
    return _protocols[server]


def load_plugin(place: str) -> Callable[[Any, Any], object]:
    """The class that `file.py:Class` names; the file stands below `tests`."""
    file, _, name = place.partition(":")
    spec = importlib.util.spec_from_file_location(file.removesuffix(".py").replace("/", "_"), HERE / file)
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
