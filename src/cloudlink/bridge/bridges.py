"""The bridges of one server: builds them from the settings, and carries the server's events to them.

This is a broker of the hub. What came over a bridge carries the bridge's name (`via`), and its users have a node
of their own; neither leaves over any bridge, so nothing loops, however many servers share a room.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cloudlink import jsontext
from cloudlink.client.socket import Options
from cloudlink.counters import BridgeCondition
from cloudlink.server.events import Message, Variable
from cloudlink.server.protocols.scratch.rules import Violation
from cloudlink.version import __version__

from .called import CalledEngine, Schema
from .clients import CloudBridge, UpstreamBridge
from .dialer import TIMEOUT, Dialer
from .ledger import Entry, Ledger, wall_clock
from .lines import PeerLine
from .link import PROJECT, ROOM
from .peer import PAUSED, PeerBridge
from .serversite import ServerSite
from .site import NODE_PREFIX, is_of_bridge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cloudlink.bridgesections import BridgeSection
    from cloudlink.server.app import Server
    from cloudlink.server.background import BackgroundTask
    from cloudlink.server.events import Event, User
    from cloudlink.server.protocols import Clpv4, Scratch

    from .base import Bridge

logger = logging.getLogger("cloudlink.bridge")

_SOON = 0.01
"""Seconds that records may wait for others to share a message."""
_AGAIN = 0.05
"""Seconds between two looks at what the rate did not allow."""


class Bridges:
    """All bridges; a server has them if its settings name any.

    Attributes:
        bridges: The bridges by name.
    """

    def __init__(
        self,
        server: Server,
        clpv4: Clpv4,
        scratch: Scratch | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = wall_clock,
    ) -> None:
        """Set up the bridges of `server.settings.bridges`; they connect when the server starts.

        Args:
            server: The server.
            clpv4: Its CloudLink 4.
            scratch: Its cloud variables, None for none.
            clock: Returns the time in seconds.
            wall: Returns milliseconds since 1970.
        """
        self.bridges: dict[str, Bridge] = {}
        self._server = server
        self._clpv4 = clpv4
        self._scratch = scratch
        self._clock = clock
        self._ledger = Ledger(wall)
        self._rooms: dict[str, list[Bridge]] = {}
        self._projects: dict[str, list[Bridge]] = {}
        self._tasks: dict[str, list[BackgroundTask]] = {}
        self._is_wake_due = False
        self._is_running = False
        for name, section in server.settings.bridges.items():
            self._add(name, section)
        waiting = {
            name: bridge
            for name, bridge in self.bridges.items()
            if isinstance(bridge, PeerBridge) and not bridge.section.url
        }
        if waiting:
            server.hooks.engines[Schema] = CalledEngine(server, waiting)
        if self.bridges:
            server.hooks.health["bridges"] = self.health
            server.hooks.bridges = self
            server.counters.bridges = self.conditions
            server.federation.add_broker(self)
            server.hooks.protocol_tick.append(self.tick)
            server.on_start(self._start)
            server.on_stop(self._stop)

    def _add(self, name: str, section: BridgeSection) -> None:
        site = ServerSite(self._server, self._clpv4, self._scratch, name)
        bridge: Bridge
        if section.kind == "cloudlink":
            bridge = PeerBridge(name, section, site, self._ledger, self._clock)
        elif section.kind == "upstream":
            bridge = UpstreamBridge(name, section, site, self._clock)
        else:
            bridge = CloudBridge(name, section, site, self._clock)
        bridge.wake = self._wake
        self.bridges[name] = bridge
        for room in bridge.local_rooms:
            self._rooms.setdefault(room, []).append(bridge)
        for project in bridge.local_projects:
            self._projects.setdefault(project, []).append(bridge)

    # Starting and stopping.

    def _start(self) -> None:
        self._is_running = True
        if self._scratch is not None:
            self._open_projects(self._scratch)
        for bridge in self.bridges.values():
            if isinstance(bridge, PeerBridge):
                bridge.key  # noqa: B018  # computed now, so that no caller has to wait for it
            if not bridge.is_paused:
                self._dial(bridge)

    def _open_projects(self, scratch: Scratch) -> None:
        """Keep the shared projects in memory, so that they have values to share."""
        for project in self._projects:
            try:
                scratch.projects.enter(project)
            except Violation as violation:
                logger.warning("The project %.100r is not shared: %s.", project, violation.reason)

    def _stop(self) -> None:
        self._is_running = False
        for bridge in self.bridges.values():
            self._hang_up(bridge)
            bridge.close("The server is shutting down")

    def _dial(self, bridge: Bridge) -> None:
        self._tasks[bridge.name] = [
            self._server.create_task(dialer.run()) for dialer in self._dialers(bridge)
        ]

    def _dialers(self, bridge: Bridge) -> Iterator[Dialer]:
        url = bridge.section.url
        if isinstance(bridge, PeerBridge):
            if url:
                yield Dialer(url, lambda: PeerLine(bridge), bridge.log_down, private_only=True)
        elif isinstance(bridge, (UpstreamBridge, CloudBridge)):
            contact = f" ({bridge.section.contact})" if bridge.section.contact else ""
            options = Options(headers={"User-Agent": f"CloudLink/{__version__}{contact}"}, timeout=TIMEOUT)
            for place in bridge.places:
                yield Dialer(url, _line_maker(bridge, place), bridge.log_down, options)

    def _hang_up(self, bridge: Bridge) -> None:
        for task in self._tasks.pop(bridge.name, ()):
            task.cancel()

    # Time.

    def tick(self) -> None:
        """Let every bridge do what is due; called at least once a second."""
        for bridge in self.bridges.values():
            bridge.tick()

    def _wake(self) -> None:
        if self._is_running and not self._is_wake_due:
            self._is_wake_due = True
            self._server.later(_SOON, self._run_due)

    def _run_due(self) -> None:
        self._is_wake_due = False
        if not self._is_running:
            return
        self.tick()
        if any(bridge.has_waiting for bridge in self.bridges.values()):
            self._is_wake_due = True
            self._server.later(_AGAIN, self._run_due)

    # The broker.

    def carries(self, node: str) -> bool:
        """Return whether the users of a node are on the other side of a bridge."""
        return node.startswith(NODE_PREFIX)

    def publish(self, room: str, protocol: type | None, event: Event) -> None:
        """Carry an event of this server to the bridges that share its room or project."""
        if protocol is self._clpv4.schema:
            bridges = self._rooms.get(room)
            if bridges is not None:
                self._carry(bridges, room, event)
        elif self._scratch is not None and protocol is self._scratch.schema:
            bridges = self._projects.get(room)
            if bridges is not None and isinstance(event, Variable) and not event.via:
                name = jsontext.loads(event.name)
                entry = self._ledger.set_here((PROJECT, room), name, event.val)
                for bridge in bridges:
                    bridge.cloud_variable(room, name, entry)

    def _carry(self, bridges: list[Bridge], room: str, event: Event) -> None:
        if isinstance(event, Message):
            if not event.via:
                for bridge in bridges:
                    bridge.message(room, event)
        elif isinstance(event, Variable) and not event.via:
            name = jsontext.loads(event.name)
            sender = event.origin.id if event.origin is not None else ""
            if any(user_id != sender for user_id in event.left_out):
                entry = Entry(0, "", event.val, "")  # not for all: nobody keeps it
            else:
                entry = self._ledger.set_here((ROOM, room), name, event.val)
            for bridge in bridges:
                bridge.variable(room, name, entry, event)

    def send(self, user: User, room: str, event: Event) -> None:
        """Carry an event to one user on the other side of a bridge."""
        bridge = self._bridge_of(user)
        if bridge is not None:
            bridge.private(user, room, event)

    def refusal(self, user: User, event: Event) -> str:
        """Return why an event cannot be sent to a user, empty if it can."""
        bridge = self._bridge_of(user)
        return bridge.refusal(event) if bridge is not None else ""

    def _bridge_of(self, user: User) -> Bridge | None:
        return self.bridges.get(user.node.removeprefix(NODE_PREFIX)) if is_of_bridge(user) else None

    def joined(self, user: User, room: str, protocol: type | None) -> None:
        """Show a user of this server at the other side of the bridges that share a room."""
        if protocol is self._clpv4.schema:
            for bridge in self._rooms.get(room, ()):
                bridge.show(user, room)

    def left(self, user: User, room: str) -> None:
        """Show a user no longer in a room."""
        for bridge in self._rooms.get(room, ()):
            bridge.hide(user.id, room)

    def renamed(self, user: User) -> None:
        """Show a user by its new name."""
        for room in self._server.directory.rooms_of(user):
            presence = self._server.directory.presence(room, self._clpv4.schema)
            if presence is not None and user.id in presence.users:
                for bridge in self._rooms.get(room, ()):
                    if user.username is None:
                        bridge.hide(user.id, room)
                    else:
                        bridge.show(user, room)

    def gone(self, user: User) -> None:
        """Show a user no longer at all."""
        for bridge in self.bridges.values():
            for room in bridge.rooms_of(user.id):
                bridge.hide(user.id, room)

    # For operators.

    def health(self) -> dict[str, object]:
        """Return the state of each bridge for `/health`."""
        return {
            name: {"up": bridge.is_up, "users": bridge.users, "dropped": bridge.dropped}
            for name, bridge in self.bridges.items()
        }

    def conditions(self) -> dict[str, BridgeCondition]:
        """Return the state of each bridge for the metrics."""
        return {
            name: BridgeCondition(bridge.is_up, bridge.users, bridge.dropped)
            for name, bridge in self.bridges.items()
        }

    def __contains__(self, name: object) -> bool:
        return name in self.bridges

    def list(self) -> list[dict[str, Any]]:
        """Return what an operator sees of each bridge; no secret is among it."""
        return [
            {
                "name": name,
                "kind": bridge.section.kind,
                "url": _without_secrets(bridge.section.url),
                "up": bridge.is_up,
                "paused": bridge.is_paused,
                "reason": bridge.reason,
                "users": bridge.users,
                "received": bridge.received,
                "sent": bridge.sent,
                "dropped": bridge.dropped,
                "rooms": list(bridge.section.rooms),
                "projects": list(bridge.section.projects),
                "rate": bridge.section.rate,
                "byte_rate": bridge.section.byte_rate,
            }
            for name, bridge in self.bridges.items()
        ]

    def pause(self, name: str) -> bool:
        """Take a bridge down until `resume`; return False if it is paused already. Raises `KeyError`."""
        bridge = self.bridges[name]
        if bridge.is_paused:
            return False
        bridge.is_paused = True
        self._hang_up(bridge)
        bridge.close(PAUSED)
        logger.info("Bridge %s is paused.", name)
        return True

    def resume(self, name: str) -> bool:
        """Let a paused bridge connect again; return False if it is not paused. Raises `KeyError`."""
        bridge = self.bridges[name]
        if not bridge.is_paused:
            return False
        bridge.is_paused = False
        logger.info("Bridge %s is resumed.", name)
        if self._is_running:
            self._dial(bridge)
        return True


def _without_secrets(url: str) -> str:
    """Return an address without a password or a query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if url else ""


def _line_maker(bridge: UpstreamBridge | CloudBridge, place: str) -> Callable[[], Any]:
    return lambda: bridge.new_line(place)
