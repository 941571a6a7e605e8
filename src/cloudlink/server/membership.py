"""Joins the cluster that the settings ask for: over NATS, or over the sockets between the workers of one server."""

from __future__ import annotations

import asyncio
import logging
import platform
import time
from typing import TYPE_CHECKING

from cloudlink.transport.tallies import LocalTallies

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.carriers.natsbus import NatsBus
    from cloudlink.carriers.natsstore import NatsStore
    from cloudlink.settings import Settings
    from cloudlink.transport.tallies import Tallies

    from .cluster import Cluster
    from .nodetallies import NodeTallies
    from .part import Part

logger = logging.getLogger("cloudlink.cluster")

_SAVE_TIMEOUT = 5.0
"""Seconds that cloud variables may take to be saved when the server stops."""
_SAVE_POLL = 0.02


class Membership:
    """The membership of a server in a cluster, from its start to its end."""

    def __init__(
        self, cluster: Cluster, settings: Settings, part: Part | None, health: dict[str, Callable[[], object]]
    ) -> None:
        """Set up; `join` acts.

        Args:
            cluster: The server's cluster, which nothing has joined yet.
            settings: The server's settings.
            part: What this process is of a server of several processes, None for a server of one.
            health: The functions that return the keys of the health check.
        """
        self._health = health
        self._cluster = cluster
        self._settings = settings
        self._part = part
        self._bus: NatsBus | None = None
        self._store: NatsStore | None = None
        self._tallies: NodeTallies | None = None

    def tallies(self) -> Tallies | None:
        """Return what counts the connections of addresses for the server as a whole, None for a lone process."""
        counts = None if self._part is None else self._part.counts
        if not self._settings.cluster:
            return counts
        from .nodetallies import NodeTallies  # noqa: PLC0415  # only a cluster needs it

        secret = self._settings.cluster_secret.encode()
        if counts is None:
            self._tallies = NodeTallies(self._cluster, LocalTallies(), secret)
        else:
            self._tallies = NodeTallies(self._cluster, counts, secret, machine=counts.key)
        return self._tallies

    def tick(self) -> None:
        """Tell other nodes what they may have missed; called about once a second."""
        if self._tallies is not None:
            self._tallies.tick()

    async def join(self) -> None:
        """Join the cluster, if there is one, and meet the other nodes.

        Raises:
            StartError: NATS cannot be used; the sentence says why.
        """
        settings, part = self._settings, self._part
        if settings.cluster:
            await self._join_by_nats()
        elif part is not None:
            self._cluster.join(
                part.carrier, name=settings.cluster_name, node_name=self._node_name, number=part.number
            )
        await self._cluster.start()

    async def leave(self) -> None:
        """Save what others might miss, and say goodbye."""
        cloud, deadline = self._cluster.cloud, time.monotonic() + _SAVE_TIMEOUT
        while cloud is not None and not cloud.close_all():
            if time.monotonic() > deadline:
                logger.error("Cloud variables of the last moment are lost: NATS does not save them.")
                break
            await asyncio.sleep(_SAVE_POLL)
        await self.drop()

    async def drop(self) -> None:
        """Leave at once."""
        self._cluster.stop()
        if self._store is not None:
            self._store.close()
        if self._bus is not None:
            self._bus.close()
            await self._bus.closed()
        self._store = self._bus = self._cluster.records = None

    async def _join_by_nats(self) -> None:
        from cloudlink.carriers.nats import NatsCarrier  # noqa: PLC0415  # only a cluster needs them
        from cloudlink.carriers.natsbus import NatsBus  # noqa: PLC0415
        from cloudlink.carriers.natsrecords import NatsRecords  # noqa: PLC0415
        from cloudlink.carriers.natsstore import NatsStore  # noqa: PLC0415

        settings = self._settings
        bus = self._bus = NatsBus(settings.cluster)
        is_successor = self._part is not None and self._part.is_successor
        await bus.connect(must_answer=not is_successor)  # others serve already, so this one can go on alone
        if settings.cloud and settings.storage:
            self._store = NatsStore(bus, settings.cluster_name)
            if not is_successor:
                await self._store.check()
        self._cluster.records = NatsRecords(bus, settings.cluster_name, settings.cluster_secret.encode())
        self._cluster.join(
            NatsCarrier(bus, settings.cluster_name),
            name=settings.cluster_name,
            node_name=self._node_name,
            secret=settings.cluster_secret.encode(),
            store=self._store,
        )
        self._health["status"] = lambda: "degraded" if self._is_cut_off else "ok"
        self._health["cluster"] = self._describe

    @property
    def _is_cut_off(self) -> bool:
        return self._cluster.node is not None and self._cluster.node.is_cut_off

    def _describe(self) -> dict[str, str | int]:
        node = self._cluster.node
        return {
            "name": self._cluster.name,
            "node": self._cluster.node_name,
            "nodes": len(self._cluster.nodes),
            "clients_here": self._cluster.clients_here,
            "bus": "down" if self._is_cut_off else "up",
            "dropped": node.counts["dropped"] if node is not None else 0,
        }

    @property
    def _node_name(self) -> str:
        name = self._settings.node_name or platform.node() or "node"
        return name if self._part is None else f"{name}-{self._part.number + 1}"
