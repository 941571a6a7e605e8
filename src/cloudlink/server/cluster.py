"""The cluster that a server belongs to: joining it, what is shared with the other nodes, and messages of plugins to them.

A lone server has a `Cluster`, too, which does nothing, so that plugins and protocols need not ask.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import TYPE_CHECKING, Any

from cloudlink import jsontext

from .sharing import Shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.carriers.natsrecords import NatsRecords
    from cloudlink.cluster.carriers import Carrier
    from cloudlink.cluster.cloud import Cloud, ProjectStore
    from cloudlink.cluster.node import Node

    from .background import Background
    from .client import Schema
    from .clusterbroker import ClusterBroker, Server
    from .sharing import BridgesOfNode, StateOfRoom

logger = logging.getLogger("cloudlink.cluster")

_TICK = 0.1
"""Seconds between two looks at what is due."""


class Cluster:
    """A cluster, seen from one of its nodes.

    Attributes:
        name: The name of the cluster, empty for a lone server.
        node: This node; None for a lone server.
        store: Keeps cloud projects for all nodes; None if the server's own storage does.
        records: Keeps what the administration shares with all nodes; None if no other machine needs it.
    """

    def __init__(self, server: Server, background: Background, *, unique_names: Callable[[], bool]) -> None:
        self.name = ""
        self.node: Node | None = None
        self.store: ProjectStore | None = None
        self.records: NatsRecords | None = None
        self._server = server
        self._background = background
        self._unique_names = unique_names
        self._shared = Shared()
        self._broker: ClusterBroker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ready = asyncio.Event()

    # For plugins.

    @property
    def node_name(self) -> str:
        """The name of this node, empty for a lone server."""
        return self.node.name if self.node is not None else ""

    @property
    def nodes(self) -> list[str]:
        """The names of this node and of those that it sees; empty for a lone server."""
        if self.node is None:
            return []
        return sorted([self.node.name, *(link.name for link in self.node.others)])

    @property
    def clients_here(self) -> int:
        """The number of clients of this node."""
        return len(self._server.clients_manager)

    @property
    def clients(self) -> int:
        """The number of clients of all nodes, at most a second old."""
        others = self.node.others if self.node is not None else ()
        return self.clients_here + sum(link.clients for link in others)

    def publish(self, topic: str, value: Any) -> None:
        """Send a value to the handlers of a topic on all other nodes; see `on_cluster_message`.

        Args:
            topic: The name of the topic, such as `chess/moves`; nobody but your plugin should use it.
            value: Any JSON value.

        Raises:
            TypeError: `topic` is not text, or `value` is not a JSON value.
            ValueError: `topic` begins with a colon, as those of the server do.
        """
        check_topic(topic)
        encoded = jsontext.dumps(value)
        if self.node is not None:
            self.node.publish_topic(topic, encoded)

    # For the server and its protocols.

    @property
    def others(self) -> dict[str, str]:
        """The names of the other nodes that this one sees, by id; empty for a lone server."""
        return {} if self.node is None else {link.id: link.name for link in self.node.others}

    @property
    def rooms_elsewhere(self) -> set[str]:
        """The rooms and the cloud projects with users of other nodes."""
        rooms = self._server.directory.remote.rooms_of(self.others)
        return rooms if self.cloud is None else {*rooms, *self.cloud.projects_elsewhere}

    def publish_record(self, topic: str, record: bytes) -> None:
        """Send a record to the handler of a topic on all other nodes; a lone server does nothing.

        Args:
            topic: A topic that begins with a colon.
            record: Any bytes.
        """
        if self.node is not None:
            self.node.publish_topic(topic, record)

    def send_record(self, node: str, topic: str, record: bytes) -> None:
        """Send a record to the handler of a topic on one node; see `publish_record`."""
        if self.node is not None:
            self.node.send_topic(node, topic, record)

    def be_responsible(self, *, is_responsible: bool) -> None:
        """Say whether this node does something for all nodes, so that they notice within two seconds if it dies."""
        if self.node is not None:
            self.node.is_responsible = is_responsible

    @property
    def is_absent(self) -> bool:
        """Whether another node may have taken over what this one does for all, because it did not run for a while."""
        return self.node is not None and self.node.is_absent

    def drop_visitors(self, node: str) -> None:
        """Remove the users on the other side of bridges that a node ran and another one has taken over."""
        if self._broker is not None:
            self._broker.drop_visitors(node)

    def on_record(self, topic: str, handler: Callable[[str, bytes], None]) -> None:
        """Call `handler(node, record)` for each record of a topic, which begins with a colon.

        The records of one node arrive in order. Those that are sent while nodes do not see each other are lost.
        """
        self._shared.topics[topic] = handler

    def add_handler(self, topic: str, handler: Callable[..., Any]) -> None:
        """Call a plugin's handler with the values of a topic."""
        event, known = f"on_cluster_message({topic!r})", self._shared.topics.get(topic)

        def run(node: str, value: bytes) -> None:
            if known is not None:
                known(node, value)
            self._background.run(handler, event, jsontext.loads(value))

        self._shared.topics[topic] = run

    def share(self, protocol: Schema, name: str) -> None:
        """Share the users and rooms of a protocol with the other nodes, under a name that is the same on all."""
        self._shared.protocols[name] = protocol
        self._shared.names[protocol] = name

    def share_room_state(self, state: StateOfRoom) -> None:
        """Send nodes that open a room the variables that are kept of it here."""
        self._shared.room_state = state

    def share_bridges(self, bridges: BridgesOfNode) -> None:
        """Have the bridges, which one node runs for all, hear of what happens on the others."""
        self._shared.bridges = bridges

    @property
    def cloud(self) -> Cloud | None:
        """The cloud projects of all nodes; None for a lone server."""
        return self.node.cloud if self.node is not None else None

    # Joining and leaving.

    def join(
        self,
        carrier: Carrier,
        *,
        name: str,
        node_name: str,
        secret: bytes = b"",
        number: int | None = None,
        store: ProjectStore | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Make the server a node of a cluster. It must not have clients, and must not have been started.

        Args:
            carrier: Moves batches between the nodes.
            name: The name of the cluster.
            node_name: The name of this node, unlike those of others.
            secret: Authenticates batches; empty where nobody else can reach the carrier.
            number: The worker number in snowflakes where it is known to be unique; None agrees on one with the others.
            store: Keeps cloud projects for all nodes; None if the server's own storage does, being one file for all.
            clock: Returns the time, in seconds; never goes back.
            wall: Returns the seconds since the Unix epoch.
        """
        # A lone server does not load them.
        from cloudlink.cluster.node import Node  # noqa: PLC0415

        from .clusterbroker import ClusterBroker  # noqa: PLC0415

        self.name = name
        self.store = store
        self._broker = ClusterBroker(self._server, self._shared, self._on_ready)
        self.node = self._broker.node = Node(
            secrets.token_hex(8),
            node_name,
            self._broker,
            carrier,
            secret=secret,
            unique_names=self._unique_names(),
            number=number,
            now=clock,
            wall=wall,
        )
        self._broker.on_number(self.node.number)
        self._server.federation.add_broker(self._broker)

    async def start(self) -> None:
        """Meet the other nodes; return when their users are known, after a few seconds at the latest."""
        if self.node is None:
            return
        self._loop = asyncio.get_running_loop()
        self._ready.clear()
        self.node.start()
        self._tick()
        await self._ready.wait()

    def stop(self) -> None:
        """Say goodbye to the other nodes."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop = None
        if self.node is not None and self._broker is not None:
            self.node.stop()
            self._server.federation.remove_broker(self._broker)
            self.node = self._broker = None

    def _tick(self) -> None:
        if self._loop is not None and self.node is not None:
            self._timer = self._loop.call_later(_TICK, self._tick)
            self.node.tick()

    def _on_ready(self, others: int) -> None:
        self._ready.set()
        if self.node is not None:
            text = "This is node %s of the cluster %s; it sees %d others."
            logger.log(self.node.log_level, text, self.node_name, self.name, others)


def check_topic(topic: str) -> None:
    """Check the name of a plugin's topic. Raises `TypeError`, `ValueError`."""
    if not isinstance(topic, str):
        raise TypeError(f"a topic is text, not {type(topic).__name__}")
    if topic.startswith(":"):
        raise ValueError(
            f"the topic {topic!r} begins with a colon, as those of the server do; use another name"
        )
