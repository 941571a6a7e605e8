"""The bridges of one server: builds them from the settings, and carries the server's events to them.

This is a broker of the hub. When the settings are read again, bridges come and go. What came over a bridge carries the
bridge's name (`via`), and its users have a node of their own; neither leaves over any bridge, so nothing loops, however
many servers share a room.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cloudlink import jsontext
from cloudlink.client.socket import Options
from cloudlink.closecodes import CloseCode
from cloudlink.counters import BridgeCondition
from cloudlink.server.broker import VIA
from cloudlink.server.events import Message, Variable
from cloudlink.server.protocols.scratch.rules import Violation
from cloudlink.version import __version__

from .calls import PATIENCE, Call
from .clients import CloudBridge, UpstreamBridge
from .dialer import TIMEOUT, Dialer
from .engine import BridgeEngine, Schema
from .ledger import Entry, Ledger, wall_clock
from .lines import PeerLine
from .link import PROJECT, ROOM
from .nodes import Nodes
from .notices import Status
from .peer import PAUSED, REPLACED, PeerBridge
from .serversite import ServerSite
from .site import NODE_PREFIX, is_of_bridge
from .tunnels import MOVING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cloudlink.bridgesections import BridgeSection
    from cloudlink.reloading import Changes
    from cloudlink.server.app import Server
    from cloudlink.server.background import BackgroundTask
    from cloudlink.server.events import Event, User
    from cloudlink.server.protocols import Clpv4, Scratch
    from cloudlink.server.protocols.scratch.cloudroom import CloudRoom

    from .base import Bridge
    from .site import Wire

logger = logging.getLogger("cloudlink.bridge")

_SOON = 0.01
"""Seconds that records may wait for others to share a message."""
_AGAIN = 0.05
"""Seconds between two looks at what the rate did not allow."""
_OWN = ("", VIA)
"""The `via` of events of players here, and of those of other nodes; what a bridge has brought has another one."""


class Bridges:
    """All bridges; a server has them if its settings name any.

    In a cluster every node has them, and one of the nodes runs them (`nodes`).

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
        self._entered: dict[str, CloudRoom] = {}
        self._opening: set[str] = set()  # projects whose values other nodes have not told yet
        self._calls: list[Call] = []  # that no node has taken yet
        self._tasks: dict[str, list[BackgroundTask]] = {}
        self._is_wake_due = False
        self._has_timers = False
        self._nodes = Nodes(self, server.cluster, self._ledger, server.later, clock)
        for name, section in server.settings.bridges.items():
            self._add(name, section)
        self._index()
        server.hooks.engines[Schema] = BridgeEngine(server, self)
        server.hooks.health["bridges"] = self.health
        server.hooks.bridges = self
        server.counters.bridges = self.conditions
        server.federation.add_broker(self)
        server.cluster.share_bridges(self)
        server.hooks.protocol_tick.append(self.tick)
        server.reloader.done.append(self._reload)
        server.on_start(self._start)
        server.on_stop(self._stop)

    # The settings.

    def _add(self, name: str, section: BridgeSection) -> Bridge:
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
        return bridge

    def _index(self) -> None:
        """Note which bridges share each room and each project."""
        self._rooms, self._projects = {}, {}
        for bridge in self.bridges.values():
            for room in bridge.local_rooms:
                self._rooms.setdefault(room, []).append(bridge)
            for project in bridge.local_projects:
                self._projects.setdefault(project, []).append(bridge)

    def _reload(self, changes: Changes) -> None:
        """Make the bridges those of the settings, which have been read again; unchanged ones stay connected."""
        names = changes.sections("bridges")
        if not names:
            return
        added: list[Bridge] = []
        for name in names:
            former = self.bridges.pop(name, None)
            section = self._server.settings.bridges.get(name)
            if former is not None:
                self._hang_up(former)
                former.close("The bridge is removed" if section is None else "The settings have changed")
            if section is not None:
                added.append(self._add(name, section))
                added[-1].is_paused = former is not None and former.is_paused
        self._index()
        for bridge in added:
            self._server.create_task(self._prepare(bridge))
        self._nodes.decide()
        if self._nodes.is_here:
            self._open_projects()
            if self._opening:
                self._connect_all()

    async def _prepare(self, bridge: Bridge) -> None:
        """Start a bridge of a server that already runs; its players do not wait for the key."""
        if isinstance(bridge, PeerBridge):
            await asyncio.to_thread(lambda: bridge.key)
        if self.bridges.get(bridge.name) is bridge:
            self._dial(bridge)

    # Starting and stopping.

    def _start(self) -> None:
        for bridge in self.bridges.values():
            if isinstance(bridge, PeerBridge):
                bridge.key  # noqa: B018  # computed now, so that no caller has to wait for it
        self._has_timers = True
        self.begin()

    def begin(self) -> None:
        """Take part in deciding which node runs the bridges; a lone server runs them from now on.

        Without an event loop, whoever drives the server calls `tick` often.
        """
        self._nodes.start()

    def _stop(self) -> None:
        self._nodes.stop()
        self._has_timers = False

    def take_over(self) -> None:
        """Run the bridges from now on; see `nodes.Host`."""
        self._open_projects()
        self._connect_all()

    def _connect_all(self) -> None:
        """Connect when the values of the shared projects are known, which other nodes may have to tell first."""
        cloud = self._server.cluster.cloud
        if not self._nodes.is_here:
            return
        if cloud is not None:
            self._opening = {project for project in self._opening if not cloud.is_ready(project)}
        if self._opening:
            if self._has_timers:
                self._server.later(_AGAIN, self._connect_all)
            return
        for bridge in self.bridges.values():
            self._dial(bridge)
        self.place_calls()
        self._nodes.announce()  # calls that arrive at other nodes are taken from now on

    def give_up(self) -> None:
        """Stop running the bridges; see `nodes.Host`."""
        reason = MOVING if self._nodes.runner else "The server is shutting down"
        for bridge in self.bridges.values():
            self._hang_up(bridge)
            bridge.close(reason)
        self._opening = set()
        self._leave_projects(self._entered)

    def connect_again(self) -> None:
        """Connect those bridges that are down; see `nodes.Host`."""
        for bridge in self.bridges.values():
            if not bridge.is_up:
                self._hang_up(bridge)
                self._dial(bridge)

    def _open_projects(self) -> None:
        """Keep the shared projects in memory, so that they have values to share."""
        if self._scratch is None:
            return
        self._leave_projects([project for project in self._entered if project not in self._projects])
        for project in self._projects:
            if project in self._entered:
                continue
            try:
                self._entered[project] = self._scratch.projects.enter(project)
            except Violation as violation:
                logger.warning("The project %.100r is not shared: %s.", project, violation.reason)
                continue
            if self._server.cluster.cloud is not None:
                self._opening.add(project)

    def _leave_projects(self, projects: Iterable[str]) -> None:
        for project in tuple(projects):
            room = self._entered.pop(project)
            if self._scratch is not None and self._scratch.projects.rooms.get(project) is room:
                self._scratch.projects.leave(room)

    def _dial(self, bridge: Bridge) -> None:
        """Connect a bridge, unless it is connected, paused, or run by another node."""
        can_dial = self._nodes.is_here and not self._opening and not bridge.is_paused
        if can_dial and bridge.name not in self._tasks:
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

    # Calls of other servers: `engine.CalledBridges`.

    @property
    def waiting(self) -> dict[str, PeerBridge]:
        """The bridges that wait to be called, by name."""
        return {
            name: bridge
            for name, bridge in self.bridges.items()
            if isinstance(bridge, PeerBridge) and not bridge.section.url and bridge.has_key
        }

    def connect(self, bridge: PeerBridge, wire: Wire, answer: Callable[[], None]) -> Call:
        """Begin to use a connection whose other side has proved the secret, here or on the node that runs the bridges.

        Args:
            bridge: The bridge whose secret it is.
            wire: The connection.
            answer: Sends the proof of this side; called when a node takes the call.
        """
        for waiting in self._calls:
            if waiting.bridge is bridge and not (waiting.is_answered or waiting.is_over):
                waiting.close(CloseCode.TRY_AGAIN_LATER, REPLACED)
        call = Call(bridge, wire, answer, self._clock())
        self._calls.append(call)
        self.place_calls()
        return call

    def place_calls(self) -> None:
        """Have the waiting calls taken here or by the node that runs the bridges; see `nodes.Host`."""
        for call in tuple(self._calls):
            if not (call.is_answered or call.is_over):
                self._place(call)
        self._calls = [call for call in self._calls if not (call.is_answered or call.is_over)]

    def _place(self, call: Call) -> None:
        bridge = call.bridge
        if self.waiting.get(bridge.name) is not bridge:
            call.close(CloseCode.TRY_AGAIN_LATER, "The settings have changed")
        elif bridge.is_paused:
            call.close(CloseCode.TRY_AGAIN_LATER, PAUSED)
        elif self.waiting_for_call(bridge.name) is bridge:
            call.take()
        elif self._clock() - call.since >= PATIENCE:
            call.close(CloseCode.TRY_AGAIN_LATER, MOVING)
        elif call.entrance is None and self._nodes.runner and not self._nodes.is_here:
            self._nodes.tunnels.open(self._nodes.runner, call)

    def waiting_for_call(self, name: str) -> PeerBridge | None:
        """Return a bridge that can accept a connection now; see `nodes.Host`."""
        return self.waiting.get(name) if self._nodes.is_here and not self._opening else None

    # Time.

    def tick(self) -> None:
        """Let every bridge do what is due; called at least once a second."""
        self._nodes.tick()
        if self._opening:
            self._connect_all()
        self.place_calls()
        self._tick_bridges()

    def _tick_bridges(self) -> None:
        for bridge in self.bridges.values():
            bridge.tick()

    def _wake(self) -> None:
        if self._has_timers and self._nodes.is_here and not self._is_wake_due:
            self._is_wake_due = True
            self._server.later(_SOON, self._run_due)

    def _run_due(self) -> None:
        self._is_wake_due = False
        if not self._nodes.is_here:
            return
        self._tick_bridges()
        if any(bridge.has_waiting for bridge in self.bridges.values()):
            self._is_wake_due = True
            self._server.later(_AGAIN, self._run_due)

    # The broker.

    def carries(self, node: str) -> bool:
        """Return whether the users of a node are on the other side of a bridge."""
        return node.startswith(NODE_PREFIX)

    def publish(self, room: str, protocol: type | None, event: Event) -> None:
        """Carry an event of this server to the bridges that share its room or project."""
        if not self._nodes.is_here:
            return
        if protocol is self._clpv4.schema:
            bridges = self._rooms.get(room)
            if bridges is not None:
                self._carry(bridges, room, event)
        elif self._scratch is not None and protocol is self._scratch.schema:
            bridges = self._projects.get(room)
            if bridges is not None and isinstance(event, Variable) and event.via in _OWN:
                self._carry_cloud(bridges, room, event)

    def _carry_cloud(self, bridges: list[Bridge], project: str, event: Variable) -> None:
        name = jsontext.loads(event.name)
        if event.via:
            # Nodes tell each other values that a bridge has brought, too, and those from before the start.
            known = self._ledger.get((PROJECT, project), name)
            if project in self._opening or (known is not None and known.val == event.val):
                return
        entry = self._ledger.set_here((PROJECT, project), name, event.val)
        for bridge in bridges:
            bridge.cloud_variable(project, name, entry)

    def _carry(self, bridges: list[Bridge], room: str, event: Event) -> None:
        if isinstance(event, Message):
            if event.via in _OWN:
                for bridge in bridges:
                    bridge.message(room, event)
        elif isinstance(event, Variable) and event.via in _OWN:
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
        bridge = self.bridges.get(user.bridge)
        if bridge is not None:
            bridge.private(user, room, event)

    def refusal(self, user: User, event: Event) -> str:
        """Return why an event cannot be sent to a user, empty if it can."""
        return self.refusal_for(user.bridge, event)

    def joined(self, user: User, room: str, protocol: type | None) -> None:
        """Show a user of this server at the other side of the bridges that share a room."""
        if protocol is self._clpv4.schema and not is_of_bridge(user):
            for bridge in self._rooms.get(room, ()):
                bridge.show(user, room)

    def left(self, user: User, room: str) -> None:
        """Stop showing a user in a room."""
        for bridge in self._rooms.get(room, ()):
            bridge.hide(user.id, room)

    def renamed(self, user: User) -> None:
        """Show a user by its new name."""
        if is_of_bridge(user):
            return
        for room in self._server.directory.rooms_of(user):
            presence = self._server.directory.presence(room, self._clpv4.schema)
            if presence is not None and user.id in presence.users:
                for bridge in self._rooms.get(room, ()):
                    if user.username is None:
                        bridge.hide(user.id, room)
                    else:
                        bridge.show(user, room)

    def gone(self, user: User) -> None:
        """Stop showing a user in any room."""
        for bridge in self.bridges.values():
            for room in bridge.rooms_of(user.id):
                bridge.hide(user.id, room)

    # The cluster: `cloudlink.server.sharing.BridgesOfNode`.

    def listener(self, protocol: type | None, room: str) -> str:
        """Return the other node that has to hear of a room even without users there, empty for none."""
        return self._nodes.listens(room) if protocol is self._clpv4.schema else ""

    def carry(self, room: str, protocol: type, event: Event) -> None:
        """Carry an event of another node."""
        if self._nodes.is_here and protocol is self._clpv4.schema:
            bridges = self._rooms.get(room)
            if bridges is not None:
                self._carry(bridges, room, event)

    def refusal_for(self, bridge: str, event: Event) -> str:
        """Return why an event cannot be sent to a user on the other side of a bridge, empty if it can."""
        found = self.bridges.get(bridge)
        return found.refusal(event) if found is not None else ""

    def node_arrived(self, node: str) -> None:
        """Note that another node is there."""
        self._nodes.arrived(node)

    def node_departed(self, node: str) -> None:
        """Note that another node is gone."""
        self._nodes.departed(node)

    def node_fell_silent(self, node: str) -> None:
        """Note that another node may have died."""
        self._nodes.fell_silent(node)

    def was_absent(self) -> None:
        """Note that another node may have taken over, because this process did not run."""
        self._nodes.was_absent()

    @property
    def has_any(self) -> bool:
        """Whether the settings have any bridge."""
        return bool(self.bridges)

    @property
    def shared_rooms(self) -> Iterable[str]:
        """The rooms that the bridges share."""
        return self._rooms

    # For operators. Every node says how the bridges are on the node that runs them.

    def statuses(self) -> list[Status]:
        """Return the state of each bridge."""
        return [self._status(bridge) for bridge in self.bridges.values()]

    def _status(self, bridge: Bridge) -> Status:
        if not self._nodes.is_here and (known := self._nodes.status(bridge.name)) is not None:
            return known
        return Status(
            bridge.name,
            bridge.is_up,
            bridge.is_paused,
            bridge.users,
            bridge.received,
            bridge.sent,
            bridge.dropped,
            bridge.reason,
        )

    def health(self) -> dict[str, object]:
        """Return the state of each bridge for `/health`."""
        return {
            status.name: {"up": status.is_up, "users": status.users, "dropped": status.dropped}
            for status in self.statuses()
        }

    def conditions(self) -> dict[str, BridgeCondition]:
        """Return the state of each bridge for the metrics."""
        return {
            status.name: BridgeCondition(status.is_up, status.users, status.dropped)
            for status in self.statuses()
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
                "up": status.is_up,
                "paused": bridge.is_paused,
                "reason": status.reason,
                "users": status.users,
                "received": status.received,
                "sent": status.sent,
                "dropped": status.dropped,
                "rooms": list(bridge.section.rooms),
                "projects": list(bridge.section.projects),
                "rate": bridge.section.rate,
                "byte_rate": bridge.section.byte_rate,
            }
            for name, bridge in self.bridges.items()
            for status in (self._status(bridge),)
        ]

    def pause(self, name: str) -> bool:
        """Take a bridge down until `resume`; return False if it is paused already. Raises `KeyError`."""
        return self._pause_everywhere(name, is_paused=True)

    def resume(self, name: str) -> bool:
        """Let a paused bridge connect again; return False if it is not paused. Raises `KeyError`."""
        return self._pause_everywhere(name, is_paused=False)

    def _pause_everywhere(self, name: str, *, is_paused: bool) -> bool:
        if self.bridges[name].is_paused == is_paused:
            return False
        self.set_paused(name, is_paused=is_paused)
        self._nodes.tell_paused(name, is_paused=is_paused)
        logger.info("Bridge %s is %s.", name, "paused" if is_paused else "resumed")
        return True

    def set_paused(self, name: str, *, is_paused: bool) -> None:
        """Pause or resume a bridge on this node; see `nodes.Host`."""
        bridge = self.bridges.get(name)
        if bridge is None or bridge.is_paused == is_paused:
            return
        bridge.is_paused = is_paused
        if is_paused:
            self._hang_up(bridge)
            bridge.close(PAUSED)
        else:
            self._dial(bridge)


def _without_secrets(url: str) -> str:
    """Return an address without a password or a query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if url else ""


def _line_maker(bridge: UpstreamBridge | CloudBridge, place: str) -> Callable[[], Any]:
    return lambda: bridge.new_line(place)
