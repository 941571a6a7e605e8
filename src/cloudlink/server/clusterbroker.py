"""Joins a node of a cluster with the hub, the rooms and the directory of a server.

As a broker, it passes what happens here to the other nodes; as the host of the node, it shows their users to local
clients and delivers their events. Each protocol of clients says what of it is shared.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Protocol

from msgspec.structs import force_setattr as _set

from cloudlink.closecodes import CloseCode
from cloudlink.cluster.records import UNREADABLE, Codec, InvalidBatch, Private, RoomEvent, RoomVariable
from cloudlink.delivery import Outbox

from .broker import VIA
from .events import (
    Custom,
    Direct,
    Event,
    LinkedMessage,
    Message,
    PrivateMessage,
    PrivateVariable,
    User,
    Variable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from cloudlink.cluster.node import Node
    from cloudlink.cluster.records import Row, Topic
    from cloudlink.delivery import Delivery

    from .client import Schema
    from .clients import ClientsManager
    from .directory import Directory
    from .federation import Federation
    from .hub import Hub
    from .sharing import Shared
    from .snowflakes import SnowflakeGenerator

logger = logging.getLogger("cloudlink.cluster")

_INTERVAL = 0.002
_INTERVAL_PER_NODE = 0.0002
"""Fewest seconds between two flushes. Every batch wakes another process, so records that come soon after a flush wait for
others; a record that comes alone is sent at once."""

_Crossing = Message | Variable | PrivateMessage | PrivateVariable | Direct | Custom | LinkedMessage
"""The events that cross."""
_events: Codec[Any] = Codec(_Crossing)


class Server(Protocol):
    """The part of a server that is used here."""

    delivery: Delivery
    clients_manager: ClientsManager
    directory: Directory
    hub: Hub
    federation: Federation
    gen: SnowflakeGenerator

    def later(self, delay: float, callback: Callable[[], None]) -> None:
        """Call a function after some seconds."""
        ...


class ClusterBroker:
    """The broker of a server in a cluster, and the host of its node (`cloudlink.cluster.host.Host`)."""

    def __init__(self, server: Server, shared: Shared, on_ready: Callable[[int], None]) -> None:
        self.node: Node
        self._server = server
        self._shared = shared
        self._hub = server.hub
        self._remote = server.directory.remote
        self._on_ready = on_ready
        self._flush_at = 0.0  # when records were, or will be, sent
        self._senders: dict[str, Outbox] = {}  # stand for the clients of each node

    # From this node to others: `broker.Broker`.

    def carries(self, node: str) -> bool:
        """Return whether a node belongs to the cluster."""
        return node in self._senders

    def publish(self, room: str, protocol: Schema | None, event: Event) -> None:
        """Carry a message or variable to the members of a room."""
        name = self._shared.names.get(protocol)
        if name is None:
            return
        if isinstance(event, Variable):
            # Also where no other node has members now: one that was cut off may have missed it.
            nodes = self._listening(protocol, room)
            self.node.publish_variable(nodes, name, room, event.name, _events.encode(event))
        elif isinstance(event, Message) and (nodes := self._listening(protocol, room)):
            self.node.publish(nodes, name, room, _events.encode(event))

    def send(self, user: User, room: str, event: Event) -> None:
        """Carry an event to a user of another node."""
        self.node.send(user.node, user.id, room, _events.encode(event))

    def refusal(self, user: User, event: Event) -> str:
        """Return why an event cannot be sent to a user behind a bridge of another node; its clients get all events."""
        bridges = self._shared.bridges
        return bridges.refusal_for(user.bridge, event) if user.bridge and bridges is not None else ""

    def joined(self, user: User, room: str, protocol: Schema | None) -> None:
        """Tell the other nodes of a user in a room."""
        name = self._shared.names.get(protocol)
        if name is not None:
            self.node.joined(user.id, user.uuid, user.username, name, room, user.bridge)

    def left(self, user: User, room: str) -> None:
        """Tell the other nodes that a user has left a room."""
        self.node.left(user.id, room)

    def renamed(self, user: User) -> None:
        """Tell the other nodes a user's name."""
        self.node.renamed(user.id, user.username)

    def gone(self, user: User) -> None:
        """Tell the other nodes that a user has disconnected."""
        self.node.gone(user.id)

    # From other nodes to this one: `cloudlink.cluster.host.Host`.

    @property
    def clients(self) -> int:
        """The number of clients of this node."""
        return len(self._server.clients_manager)

    def schedule_flush(self) -> None:
        """Send the collected records at the end of the turn, or later if others have just been sent."""
        now = time.monotonic()
        interval = max(_INTERVAL, _INTERVAL_PER_NODE * len(self._senders))
        self._flush_at = max(now, self._flush_at + interval)
        self._server.later(self._flush_at - now, self.node.flush)

    def on_ready(self, others: int) -> None:
        """Serve clients from now on."""
        self._on_ready(others)

    def on_number(self, number: int) -> None:
        """Make snowflakes with another worker number."""
        self._server.gen.use_process(number)

    def on_users(self, node: str, rows: dict[str, Row]) -> None:
        """Show exactly these users of a node."""
        is_new = self._meet(node)
        users = {}
        before = self._rooms_of(node)
        for row in rows.values():
            protocol = self._shared.protocols.get(row.protocol)
            if protocol is not None:
                users[row.id] = (_user(node, row), protocol, row.rooms)
        self._server.federation.replace(node, users)
        for key in self._rooms_of(node) - before:
            self._send_room_state(node, *key)
        if is_new and self._shared.bridges is not None:
            self._shared.bridges.node_arrived(node)

    def on_user(self, node: str, row: Row) -> None:
        """Show a user of a node, in more rooms or with another name."""
        self._meet(node)
        protocol = self._shared.protocols.get(row.protocol)
        if protocol is None:
            return
        opened = [room for room in row.rooms if node not in self._remote.nodes_in(protocol, room)]
        if self._server.federation.join(_user(node, row), protocol, row.rooms):
            self._server.federation.rename(row.id, row.username)
            for room in opened:
                self._send_room_state(node, protocol, room)

    def on_left(self, node: str, user: str, room: str) -> None:
        """Remove a user of a node from a room."""
        if user in self._remote.of_node(node):
            self._server.federation.leave(user, (room,))

    def on_gone(self, node: str, user: str) -> None:
        """Remove a user of a node."""
        if user in self._remote.of_node(node):
            self._server.federation.remove((user,))

    def on_down(self, node: str) -> None:
        """Remove all users of a node."""
        self._server.federation.remove_node(node)
        self._senders.pop(node, None)
        if self._shared.bridges is not None:
            self._shared.bridges.node_departed(node)

    def on_quiet(self, node: str) -> None:
        """Have another node run the bridges if this one did."""
        if self._shared.bridges is not None:
            self._shared.bridges.node_fell_silent(node)

    def on_absence(self) -> None:
        """Give the bridges up if this node runs them."""
        if self._shared.bridges is not None:
            self._shared.bridges.was_absent()

    def on_event(self, node: str, record: RoomEvent | RoomVariable | Private | Topic) -> None:
        """Deliver an event of another node. Raises `InvalidBatch` for one that cannot be read."""
        if isinstance(record, (RoomVariable, RoomEvent)):
            shared = self._shared
            protocol = shared.protocols.get(record.protocol)
            event = self._read(node, record.event)
            if protocol is not None:
                self._hub.deliver(record.room, protocol, event, self._senders.get(node))
                if shared.bridges is not None:
                    shared.bridges.carry(record.room, protocol, event)
        elif isinstance(record, Private):
            self._deliver_to(record.id, record.room, self._read(node, record.event))
        else:
            handler = self._shared.topics.get(record.topic)
            if handler is not None:
                handler(node, record.value)

    def is_shared(self, protocol: str, room: str, node: str) -> bool:
        """Return whether a node has users in a room."""
        return node in self._listening(self._shared.protocols.get(protocol), room)

    def dismiss(self, user: str, username: str) -> None:
        """Disconnect a client whose name a client of another node had before."""
        client = self._server.clients_manager.snowflakes.get(user)
        if client is not None:
            logger.info("%s is disconnected: somebody on another node has its name.", client)
            client.session.close(CloseCode.POLICY_VIOLATION, f"The username {username} is taken.", "kicked")

    def drop_visitors(self, node: str) -> None:
        """Remove the users on the other side of bridges that a node ran and another one has taken over."""
        users = self._remote.of_node(node)
        self._server.federation.remove([user for user, remote in users.items() if remote.user.bridge])

    # How it is done.

    def _meet(self, node: str) -> bool:
        """Make an outbox for a node; return whether it had none."""
        if node in self._senders:
            return False
        # It stands for all clients of the node: together they may fill a share of a slow reader's backlog.
        self._senders[node] = Outbox(_Nowhere())
        return True

    def _listening(self, protocol: Schema | None, room: str) -> Collection[str]:
        """Return the nodes that have to hear of a room: those with users there, and the one that runs its bridges."""
        nodes = self._remote.nodes_in(protocol, room)
        bridges = self._shared.bridges
        if bridges is None or not (listener := bridges.listener(protocol, room)) or listener in nodes:
            return nodes
        return (*nodes, listener)

    def _read(self, node: str, data: bytes) -> Event:
        """Return an event that another node has written, marked so that no bridge takes it for a local one.

        Its sender is as it is known here.

        Raises:
            InvalidBatch: It is not an event, or has bytes that are not UTF-8; clients would disconnect from a server
                that sends them these.
        """
        try:
            event: _Crossing = _events.decode_plain(data)
        except UNREADABLE:
            event = _events.decode(data)  # it is escaped, or this raises the proper error
        # Most texts are ASCII, and seeing that takes less time than decoding them.
        is_ascii = False
        origin: User | None
        if isinstance(event, Variable):  # as nearly all are
            origin = event.origin
            is_ascii = event.val.isascii() and event.name.isascii()
            _set(event, "via", f"{VIA}:{event.via}" if event.via else VIA)  # nobody else has seen it
        elif isinstance(event, Message):
            origin = event.origin
            is_ascii = event.val.isascii()
            _set(event, "via", f"{VIA}:{event.via}" if event.via else VIA)
        else:
            origin = getattr(event, "origin", None)
        if not is_ascii:
            _check_texts(event)
        if origin is not None:
            known = self._remote.ids.get(origin.id)
            if known is None or known.user.node != node:
                user = User(node, origin.id, origin.uuid, origin.username, origin.bridge)
            else:
                user = known.user
            _set(event, "origin", user)
        return event

    def _deliver_to(self, user_id: str, room: str, event: Event) -> None:
        client = self._server.clients_manager.snowflakes.get(user_id)
        user = client.user if client is not None else None
        if user is None and (remote := self._remote.ids.get(user_id)) and not self.carries(remote.user.node):
            user = remote.user  # of a bridge that is run here
        if user is not None:
            self._hub.send([(room, user)], event)

    def _rooms_of(self, node: str) -> set[tuple[Schema, str]]:
        users = self._remote.of_node(node).values()
        return {(each.protocol, room) for each in users for room in each.rooms}

    def _send_room_state(self, node: str, protocol: Schema, room: str) -> None:
        """Send a node that has opened a room what is kept of it; one node does, that with the lowest id."""
        state = self._shared.room_state
        if state is None or protocol not in self._shared.names:
            return
        nodes = self._remote.nodes_in(protocol, room)
        if min((each for each in nodes if each != node and self.carries(each)), default="~") < self.node.id:
            return
        name = self._shared.names[protocol]
        for variable, value in state(room):
            self.node.send_kept(node, name, room, variable, _events.encode(Variable(variable, value)))


def _check_texts(event: _Crossing) -> None:
    """Raise `InvalidBatch` if an event has bytes that are not UTF-8."""
    try:
        for field in ("name", "val", "listener"):
            getattr(event, field, b"").decode()
    except UnicodeDecodeError as error:
        raise InvalidBatch(str(error)) from None


def _user(node: str, row: Row) -> User:
    return User(node, row.id, row.uuid, row.username, row.bridge)


class _Nowhere:
    """The connection of an outbox that is never written to."""

    def __init__(self) -> None:
        self.remote_address: tuple[str, int] | None = None
        self.address = ""
        self.headers: Mapping[str, str] = {}
        self.path = ""
        self.congested = False
        self.patience = 1
        self.cause = ""
        self.kept = 0

    def write(self, frames: list[bytes]) -> None:
        """Do nothing."""

    def close(self, code: int, reason: str) -> None:
        """Do nothing."""

    def hold(self) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Do nothing."""

    def drop_soon(self) -> None:
        """Do nothing."""

    def slow_down(self) -> None:
        """Do nothing."""
