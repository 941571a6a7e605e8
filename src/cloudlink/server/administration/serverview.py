"""The server as the methods of the administration see it."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol, cast

from cloudlink import jsontext
from cloudlink.admin.actors import AdminError
from cloudlink.admin.host import Away
from cloudlink.admin.serverview import Sample
from cloudlink.errors import StartError
from cloudlink.server.handlers import code_of, describe, shown_path
from cloudlink.settings import OPTIONS, TABLES
from cloudlink.text import printable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator

    from cloudlink.admin.host import Player
    from cloudlink.admin.sanctions import Sanctions
    from cloudlink.counters import Counters
    from cloudlink.delivery import Delivery
    from cloudlink.server.client import Client
    from cloudlink.server.clients import ClientsManager
    from cloudlink.server.cluster import Cluster
    from cloudlink.server.directory import Directory
    from cloudlink.server.enforcement import Enforcement
    from cloudlink.server.fairshare import FairShare
    from cloudlink.server.hooks import Hooks
    from cloudlink.server.hub import Hub
    from cloudlink.server.loopdelay import LoopDelay
    from cloudlink.server.metrics import MetricsPage
    from cloudlink.server.part import Part
    from cloudlink.server.reloader import Reloader
    from cloudlink.server.remoteusers import RemoteUser
    from cloudlink.server.rooms import RoomsManager
    from cloudlink.server.supervisor import Supervisor
    from cloudlink.settings import Settings
    from cloudlink.slices import Slices

_SHOWN_ROOMS = 5
"""Rooms of a client that a list shows."""
_SHOWN_LENGTH = 100
"""Characters of a room's name there."""
_MOST_ROOMS = 1000
_LONGEST_ORIGIN = 300


class CloudEngine(Protocol):
    """The protocol of Scratch cloud variables, as far as it is administered."""

    projects: Any

    def variables(self, project: str) -> dict[str, bytes]:
        """Return a project's variables, name to JSON text; empty if it has none."""
        ...

    def put(self, project: str, name: str, value: bytes) -> str:
        """Set a variable; return why that is impossible, empty if it is done."""
        ...

    def remove(self, project: str, name: str) -> bool:
        """Delete a variable; return whether there was one."""
        ...


class AdministeredServer(Protocol):
    """The parts of a server that are administered."""

    settings: Settings
    counters: Counters
    hooks: Hooks
    delivery: Delivery
    clients_manager: ClientsManager
    rooms_manager: RoomsManager
    directory: Directory
    cluster: Cluster
    hub: Hub
    enforcement: Enforcement
    sanctions: Sanctions
    supervisor: Supervisor
    reloader: Reloader
    fair_share: FairShare
    loop_delay: LoopDelay
    metrics_page: MetricsPage
    not_ready: str

    def later(self, delay: float, callback: Callable[[], None]) -> None:
        """Call a function after some seconds."""
        ...


class ServerView:
    """Implements `cloudlink.admin.serverview.ServerView`.

    Attributes:
        loop: The event loop, None while the server does not run.
        latest_delay: Seconds by which the event loop ran late, at most, since the last sample.
    """

    def __init__(self, server: AdministeredServer, part: Part | None = None) -> None:
        """Set up.

        Args:
            server: The server.
            part: What this process is of a server of several, None for a server of one.
        """
        self.loop: asyncio.AbstractEventLoop | None = None
        self.latest_delay = 0.0
        self._server = server
        self._part = part
        self._switched: dict[str, bool] = {}

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call a function in the server's thread, from any thread."""
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(callback)

    def sample(self) -> Slices[Sample]:
        """Return the state of the server now."""
        server = self._server
        received = (yield from server.clients_manager.count_received()).values()
        delay, self.latest_delay = self.latest_delay, 0.0
        return Sample(
            clients=len(server.clients_manager),
            rooms=self._count_rooms(),
            messages_in=sum(traffic.messages for traffic in received),
            bytes_in=sum(traffic.bytes for traffic in received),
            frames_out=server.delivery.sent_frames,
            bytes_out=server.delivery.sent_bytes,
            memory=_memory(),
            loop_delay=delay,
        )

    def _count_rooms(self) -> int:
        here, cluster = self._server.rooms_manager.rooms, self._server.cluster
        if not cluster.others:
            return len(here)
        return len({*here, *cluster.rooms_elsewhere})

    # Clients.

    def players(self, *, after: int | None = None, reverse: bool = False) -> Iterator[Client]:
        """Yield the connected clients, the earliest first; see `cloudlink.admin.serverview.ServerView`."""
        return self._server.clients_manager.by_arrival.walk(after, reverse=reverse)

    def label(self, player: Player) -> str:
        """Return the word for a client's protocol: `cl4`, `scratch`, `other` or `unidentified`."""
        protocol = cast("Client", player).protocol
        return "unidentified" if protocol is None else self._server.hooks.engines[protocol].label

    def count_players(self) -> int:
        """Return the number of connected clients."""
        return len(self._server.clients_manager)

    def player(self, client_id: str) -> Client | None:
        """Return the client of that id, None if it is not connected."""
        return self._server.clients_manager.snowflakes.get(client_id)

    def away(self, client_id: str) -> Away | None:
        """Return the client of another process of that id, None if it is not known here."""
        found = self._server.directory.remote.ids.get(client_id)
        return _away(found) if found is not None and found.user.node in self._server.cluster.others else None

    def all_away(self) -> Iterator[Away]:
        """Yield the clients of other processes; they may come and go meanwhile."""
        for node in list(self._server.cluster.others):
            yield from map(_away, list(self._server.directory.remote.of_node(node).values()))

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
        }
        if in_full:
            shown["origin"] = client.request_headers.get("Origin", "")[:_LONGEST_ORIGIN]
        return shown

    # Rooms and cloud variables.

    def rooms(self) -> list[str]:
        """Return the names of the rooms of all protocols."""
        return list(self._server.rooms_manager.rooms)

    def count_in(self, room: str) -> int | None:
        """Return the number of clients in a room, None if there is no such room."""
        found = self._server.rooms_manager.rooms.get(room)
        return None if found is None else sum(len(part.clients) for part in found.members.values())

    def projects(self) -> list[str]:
        """Return the ids of the cloud projects in memory."""
        return [] if self._cloud is None else list(self._cloud.projects.rooms)

    def describe_project(self, project: str) -> dict[str, Any] | None:
        """Return `project clients variables bytes` of a cloud project, None if it is not in memory."""
        room = None if self._cloud is None else self._cloud.projects.rooms.get(project)
        if room is None:
            return None
        return {
            "project": project,
            "clients": room.members,
            "variables": len(room.variables),
            "bytes": room.size,
        }

    def variables(self, project: str) -> dict[str, bytes]:
        """Return the cloud variables of a project, name to JSON text; empty if it has none."""
        return {} if self._cloud is None else self._cloud.variables(project)

    def is_open(self, project: str) -> bool:
        """Return whether a cloud project is in memory."""
        return self._cloud is not None and project in self._cloud.projects.rooms

    def set_variable(self, project: str, name: str, value: str | float) -> None:
        """Set a cloud variable, also for its players. Raises `AdminError`: `invalid unavailable`."""
        problem = self._require_cloud().put(project, name, jsontext.dumps(value))
        if problem:
            raise AdminError("invalid", f"`value` cannot be set: {problem}.", {"key": "value"})

    def delete_variable(self, project: str, name: str) -> None:
        """Delete a cloud variable. Raises `AdminError`: `not_found unavailable`."""
        if not self._require_cloud().remove(project, name):
            raise AdminError("not_found", "This project has no such variable.")

    @property
    def _cloud(self) -> CloudEngine | None:
        engines: Iterable[Any] = self._server.hooks.engines.values()
        return next((engine for engine in engines if engine.label == "scratch"), None)

    def _require_cloud(self) -> CloudEngine:
        cloud = self._cloud
        if cloud is None:
            raise AdminError("unavailable", "This server has no cloud variables: the setting cloud is off.")
        return cloud

    # The server itself.

    def plugins(self) -> list[dict[str, Any]]:
        """Return `name commands events` of each plugin that has handlers."""
        found: dict[str, tuple[set[str], set[str]]] = {}
        hooks = self._server.hooks
        for commands in hooks.commands.values():
            for name, command in commands.items():
                for handler in command.handlers:
                    _of_plugin(found, handler)[0].add(name)
        for handlers in (hooks.connect, hooks.message, hooks.disconnect, hooks.error):
            for handler in handlers:
                _of_plugin(found, handler)[1].add(handlers.event)
        return [
            {"name": name, "commands": sorted(commands), "events": sorted(events)}
            for name, (commands, events) in sorted(found.items())
        ]

    def settings(self) -> list[dict[str, Any]]:
        """Return `name value unit origin` of each setting; secrets are hidden."""
        settings = self._server.settings
        shown = [
            {
                "name": name,
                "value": option.for_show(getattr(settings, name)),
                "unit": option.unit,
                "origin": settings.origins[name],
            }
            for name, option in OPTIONS.items()
        ]
        # Sections may hold passwords of plugins and bridges.
        sections = [
            {
                "name": name,
                "value": sorted(getattr(settings, name)),
                "unit": "",
                "origin": settings.origins[name],
            }
            for name in TABLES
        ]
        return shown + sections

    def reload(self) -> dict[str, Any]:
        """Read certificates and settings again; `{changed, needs_restart}`. Raises `AdminError`: `invalid`."""
        try:
            changes = self._server.reloader.reload()
        except StartError as error:
            raise AdminError("invalid", printable(str(error))) from None
        if self._part is not None:
            self._part.tell_reloaded()
        return changes.shown()

    def commands(self) -> list[dict[str, Any]]:
        """Return `name protocol disabled builtin` of each command."""
        hooks = self._server.hooks
        return [
            {
                "name": name,
                "protocol": hooks.engines[schema].label if schema in hooks.engines else "other",
                "disabled": command.disabled,
                "builtin": command.is_built_in,
            }
            for schema, commands in hooks.commands.items()
            for name, command in sorted(commands.items())
            if command.known or command.disabled
        ]

    def bridges(self) -> list[dict[str, Any]]:
        """Return `name kind url up paused reason users received sent dropped rooms projects rate byte_rate` of each bridge."""
        found = self._server.hooks.bridges
        return found.list() if found is not None else []

    def set_bridge(self, name: str, *, paused: bool) -> None:
        """Pause or resume a bridge. Raises `AdminError`: `not_found conflict`."""
        found = self._server.hooks.bridges
        if found is None or name not in found:
            raise AdminError("not_found", "There is no such bridge; bridges.list lists all.")
        if not (found.pause(name) if paused else found.resume(name)):
            raise AdminError(
                "conflict", "This bridge is paused already." if paused else "This bridge is not paused."
            )

    def set_command(self, name: str, *, disabled: bool) -> None:
        """Disable or enable a command of CloudLink 4. Raises `AdminError`: `not_found conflict`."""
        hooks = self._server.hooks
        schema = next((schema for schema, engine in hooks.engines.items() if engine.label == "cl4"), None)
        command = hooks.commands.get(schema, {}).get(name) if schema is not None else None
        if schema is None or command is None or not (command.known or command.disabled):
            raise AdminError("not_found", "There is no such command; commands.list lists all.")
        if command.disabled == disabled:
            raise AdminError("conflict", f"This command is {'disabled' if disabled else 'enabled'} already.")
        hooks.set_disabled(schema, name, disabled=disabled)
        self._switched[name] = disabled

    def switched_commands(self) -> dict[str, bool]:
        """Return the commands that `set_command` has disabled (True) or enabled (False) since the start."""
        return dict(self._switched)


def _away(remote: RemoteUser) -> Away:
    return Away(remote.user.id, remote.user.username or "", joined=remote.rooms)


def _of_plugin(found: dict[str, tuple[set[str], set[str]]], handler: Any) -> tuple[set[str], set[str]]:
    code = code_of(handler)
    name = shown_path(code.co_filename) if code else describe(handler)
    return found.setdefault(name, (set(), set()))


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
