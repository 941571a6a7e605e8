"""The server as the methods of the administration see it."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from cloudlink.admin.serverview import Sample

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from cloudlink.admin.host import Player
    from cloudlink.counters import Counters
    from cloudlink.delivery import Delivery
    from cloudlink.server.clients import Client, ClientsManager
    from cloudlink.server.hooks import Hooks
    from cloudlink.server.rooms import RoomsManager
    from cloudlink.settings import Settings

_SHOWN_ROOMS = 5
"""Rooms of a client that a list shows."""
_SHOWN_LENGTH = 100
"""Characters of a room's name there."""
_MOST_ROOMS = 1000
_KICKED = 4004
_LONGEST_ORIGIN = 300


class AdministeredServer(Protocol):
    """The parts of a server that are administered."""

    settings: Settings
    counters: Counters
    hooks: Hooks
    delivery: Delivery
    clients_manager: ClientsManager
    rooms_manager: RoomsManager


class ServerView:
    """Implements `cloudlink.admin.serverview.ServerView`.

    Attributes:
        loop: The event loop, None while the server does not run.
        latest_delay: Seconds by which the event loop ran late, at most, since the last sample.
    """

    def __init__(self, server: AdministeredServer) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.latest_delay = 0.0
        self._server = server

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call a function in the server's thread, from any thread."""
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(callback)

    def sample(self) -> Sample:
        """Return the state of the server now."""
        server = self._server
        received = server.clients_manager.received().values()
        delay, self.latest_delay = self.latest_delay, 0.0
        return Sample(
            clients=len(server.clients_manager),
            rooms=len(server.rooms_manager.rooms),
            messages_in=sum(traffic.messages for traffic in received),
            bytes_in=sum(traffic.bytes for traffic in received),
            frames_out=server.delivery.sent_frames,
            bytes_out=server.delivery.sent_bytes,
            memory=_memory(),
            loop_delay=delay,
        )

    # Clients.

    def players(self, *, room: str | None = None, protocol: str | None = None) -> Iterable[Client]:
        """Return the connected clients, the earliest first."""
        manager = self._server.clients_manager
        if room is None:
            found: Iterable[Client] = manager.snowflakes.values()
        else:
            known = self._server.rooms_manager.rooms.get(room)
            members = [client for part in known.members.values() for client in part.clients] if known else []
            found = sorted(members, key=lambda client: int(client.snowflake))
        if protocol is None:
            return found
        return [client for client in found if self.label(client) == protocol]

    def label(self, client: Client) -> str:
        """Return the word for a client's protocol: `cl4`, `scratch`, `other` or `unidentified`."""
        if client.protocol is None:
            return "unidentified"
        return self._server.hooks.engines[client.protocol].label

    def count_players(self) -> int:
        """Return the number of connected clients."""
        return len(self._server.clients_manager)

    def player(self, client_id: str) -> Client | None:
        """Return the client of that id, None if it is not connected."""
        return self._server.clients_manager.snowflakes.get(client_id)

    def describe(self, player: Player, *, in_full: bool) -> dict[str, Any]:
        """Return what is known about a client."""
        client = self._server.clients_manager.snowflakes[player.snowflake]
        received = client.session.received
        rooms = list(client.joined)
        shown = {
            "id": client.snowflake,
            "uuid": client.uuid,
            "name": client.username,
            "protocol": self.label(client),
            "dialect": "" if client.dialect is None else str(client.dialect),
            "rooms": rooms[:_MOST_ROOMS]
            if in_full
            else [name[:_SHOWN_LENGTH] for name in rooms[:_SHOWN_ROOMS]],
            "rooms_total": len(rooms),
            "since": round(time.time() - (time.monotonic() - client.birth_time)),
            "messages_in": received.messages,
            "bytes_in": received.bytes,
            "queued_bytes": _queued(client),
            "address": client.address,
        }
        if in_full:
            shown["origin"] = client.request_headers.get("Origin", "")[:_LONGEST_ORIGIN]
        return shown

    def kick(self, player: Player, reason: str) -> None:
        """Disconnect a client; the reason is shown to it."""
        client = self._server.clients_manager.snowflakes[player.snowflake]
        text = f"You were kicked: {reason}" if reason else "You were kicked"
        client.session.close(_KICKED, text, "kicked")


def _queued(client: Client) -> int:
    outbox = client.outbox
    backlog = outbox.backlog.size if outbox.backlog is not None else 0
    return sum(map(len, outbox)) + backlog + getattr(outbox.connection, "unsent", 0)


def _memory() -> int:
    """Return the memory of this process in bytes, 0 if the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123  # `Path` takes longer, each second
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return _peak_memory()


def _peak_memory() -> int:
    """Return the most memory that this process has had, for systems without `/proc`."""
    try:
        import resource  # noqa: PLC0415  # not on Windows
    except ImportError:
        return 0
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
