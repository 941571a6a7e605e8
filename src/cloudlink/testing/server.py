"""The server under test: the real one with plugins of your choice, and no port."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from cloudlink.server.app import Server
from cloudlink.server.plugins import load_plugin, start_plugin
from cloudlink.server.protocols import Clpv4, Scratch
from cloudlink.settings import Settings

from .client import TIMEOUT, MemoryClient, NotReceivedError
from .connection import MemoryConnection, MemoryEndpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

_TURNS = 30
"""Turns of the event loop until a message reaches its handler, even with an overridden `message_processor`."""


class MemoryServer:
    """A running server in memory.

    Attributes:
        server: The server, as plugins know it.
        protocol: CloudLink 4 on it.
        plugins: The objects that the plugins returned; for classes, their instances.
        errors: The errors that handlers raised. A test that expects them clears the list.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Create the server and its protocols; nothing is read from the environment.

        Raises:
            StartError: A setting does not exist, or its value is not allowed.
        """
        chosen = Settings(storage="", admin_storage="")
        for name, value in settings.items():
            chosen.set(name, value)
        chosen.workers = 1  # everything runs in the test's own process
        self.server: Server = _ServerWithoutPort(chosen)
        self.protocol = Clpv4(self.server)
        if chosen.cloud:
            Scratch(self.server)
        self.plugins: list[object] = []
        self.errors: list[BaseException] = []

    def add_plugin(self, plugin: Callable[..., object] | str) -> None:
        """Load and start a plugin, given as a callable or as text in the format of `--plugin`.

        Raises:
            PluginError: It cannot be found or loaded, or it raises.
        """
        label = plugin if isinstance(plugin, str) else getattr(plugin, "__qualname__", repr(plugin))
        for one in load_plugin(plugin) if isinstance(plugin, str) else [plugin]:
            self.plugins.append(start_plugin(label, one, self.server, self.protocol))

    async def connect(
        self,
        name: str = "",
        *,
        rooms: str | Iterable[str] = (),
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        address: str = "127.0.0.1",
        handshake: bool = True,
    ) -> MemoryClient:
        """Connect a client.

        Packets that arrive meanwhile are dropped, unless the server disconnects the client.

        Args:
            name: The username to set; empty for none.
            rooms: The room or rooms to link to, which requires a name; none for `default`.
            path: The path of its request, such as `/?room=5`.
            headers: Headers of its request.
            address: Its address.
            handshake: Whether it sends a CloudLink 4 handshake first; a client of another protocol sends its own.

        Raises:
            AssertionError: The server refuses its name or rooms.
        """
        connection = MemoryConnection(path, headers or {}, address)
        client = MemoryClient(self.server.open_session(connection), connection, self.errors)
        await asyncio.sleep(0)
        packets: list[dict[str, Any]] = [{"cmd": "handshake"}] if handshake else []
        if name:
            packets.append({"cmd": "setid", "val": name})
        if rooms:
            packets.append({"cmd": "link", "val": rooms if isinstance(rooms, str) else list(rooms)})
        for packet in packets:
            if client.closed is None:
                await self._request_ok(client, packet)
        if client.closed is None:
            client.unread.clear()
        return client

    async def idle(self, timeout: float = TIMEOUT) -> None:
        """Wait until all `async` handlers of packets and events have finished, and their packets have arrived.

        Raises:
            NotReceivedError: Some have not finished in time; the message names them.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        turns = 0
        while turns < _TURNS or self.server.hooks.unfinished:
            await asyncio.sleep(0 if turns < _TURNS else 0.001)
            turns += 1
            if asyncio.get_running_loop().time() > deadline:
                names = ", ".join(self.server.supervisor.unfinished())
                raise NotReceivedError(f"Handlers have not finished within {timeout:g} s: {names}.")
        self.server.delivery.flush()

    async def _request_ok(self, client: MemoryClient, packet: dict[str, Any]) -> None:
        try:
            answer = await client.request(packet)
        except NotReceivedError:
            if client.closed is None:
                raise
            return
        if answer.get("code_id") != self.protocol.statuscodes.ok[1]:
            raise AssertionError(f"{packet} was refused: {answer}")


@contextlib.asynccontextmanager
async def server(*plugins: Callable[..., object] | str, **settings: Any) -> AsyncIterator[MemoryServer]:
    """Run a server in memory with plugins and settings, and stop it at the end.

    Args:
        plugins: Classes or functions, or texts in the format of `--plugin`.
        settings: Settings by name.

    Raises:
        PluginError: A plugin cannot be loaded.
        StartError: A setting is wrong.
        AssertionError: At the end, handlers had raised errors and the test had not cleared `errors`.
    """
    memory = MemoryServer(settings)
    for plugin in plugins:
        memory.add_plugin(plugin)
    collector = _Collector(memory.errors)
    memory.server.logger.addHandler(collector)
    try:
        await memory.server.start()
        try:
            yield memory
        finally:
            await memory.server.stop()
    finally:
        memory.server.logger.removeHandler(collector)
    if memory.errors:
        raise AssertionError(
            f"handlers raised {', '.join(map(repr, memory.errors))}; "
            "a test that expects this clears the list errors of the server"
        ) from memory.errors[0]


class _ServerWithoutPort(Server):
    _endpoint_class = MemoryEndpoint


class _Collector(logging.Handler):
    """Collects the errors that the server logs with a traceback."""

    def __init__(self, errors: list[BaseException]) -> None:
        super().__init__(logging.ERROR)
        self._errors = errors

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the error of a record."""
        if record.exc_info and record.exc_info[1] is not None:
            self._errors.append(record.exc_info[1])
