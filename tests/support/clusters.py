"""Servers that are one server to their users, in one process: joined by a carrier in memory, with a clock of the tests."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.clock import FakeClock
from tests.support.scenario_drivers import InMemory
from tests.support.servers import build

_STEP = 0.1  # seconds of the fake clock between two ticks


class MemoryCarrier:
    """A carrier to the other servers of a `MemoryCluster`."""

    echoes = False

    def __init__(self, cluster):
        self.cluster = cluster
        self.id = ""
        self.receiver = None
        self.inbox: list[bytes] = []
        self.is_cut_off = False
        self.is_stopped = False

    def start(self, node, receiver):
        self.id, self.receiver = node, receiver
        self.cluster.carriers.append(self)

    def hello(self, batch):
        for other in self.cluster.carriers:
            if other is not self:
                self._move(other, batch)

    def send(self, node, batch):
        for other in self.cluster.carriers:
            if other.id == node:
                self._move(other, batch)
        return True

    def _move(self, other, batch):
        if not (self.is_cut_off or other.is_cut_off):
            other.inbox.append(batch)

    def forget(self, node):
        pass

    def close(self):
        if self in self.cluster.carriers:
            self.cluster.carriers.remove(self)


class MemoryCluster:
    """Some servers, of which each sees the others; `settle` moves what they tell each other."""

    def __init__(self, settings: dict[str, Any] | None = None, plugins=(), count: int = 2):
        self.clock = FakeClock()
        self.carriers: list[MemoryCarrier] = []
        self.servers: list[Any] = []
        for _ in range(count):
            self.add(settings, plugins)
        self.wait(1.0)

    def add(self, settings=None, plugins=()):
        """Add a server."""
        server = build(settings, plugins)
        server.cluster.join(
            MemoryCarrier(self),
            name="cloudlink",
            node_name=f"n{len(self.servers) + 1}",
            clock=self.clock,
            wall=self.clock,
        )
        server.cluster.node.start()
        self.servers.append(server)
        return server

    def settle(self):
        """Deliver everything that is under way."""
        while any(carrier.inbox for carrier in self._running):
            for carrier in self._running:
                inbox, carrier.inbox = carrier.inbox, []
                for batch in inbox:
                    carrier.receiver.on_batch(batch)

    def wait(self, seconds: float):
        """Let time pass."""
        for _ in range(round(seconds / _STEP)):
            self.clock.now += _STEP
            for carrier in self._running:
                carrier.receiver.tick()
            self.settle()

    @property
    def _running(self) -> list[MemoryCarrier]:
        return [carrier for carrier in self.carriers if not carrier.is_stopped]

    def carrier_of(self, server) -> MemoryCarrier:
        """The carrier of a server."""
        return next(each for each in self.carriers if each.id == server.cluster.node.id)

    def kill(self, server):
        """End a server as `kill -9` does: it says nothing any more."""
        carrier = self.carrier_of(server)
        carrier.close()
        for other in self.carriers:
            other.receiver.on_lost(carrier.id)

    def vanish(self, server):
        """End a server so that the others notice only its silence, as those of other machines do."""
        self.carrier_of(server).close()

    def stop(self, server):
        """Suspend a server, as SIGSTOP does; what is sent to it waits."""
        self.carrier_of(server).is_stopped = True

    def resume(self, server):
        """Resume a suspended server."""
        self.carrier_of(server).is_stopped = False


class InMemoryCluster:
    """Plays a scenario with its clients on the servers of a cluster in turn."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self.cluster = cluster
        self.drivers = [InMemory(server) for server in cluster.servers]
        self.places: dict[str, InMemory] = {}

    async def connect(self, who: str, path: str = "/", headers: dict[str, str] | None = None) -> None:
        await self.settle()
        driver = self.places.setdefault(who, self.drivers[len(self.places) % len(self.drivers)])
        await driver.connect(who, path, headers)

    async def send(self, who: str, data: bytes, *, binary: bool = False) -> None:
        await self.places[who].send(who, data, binary=binary)

    async def disconnect(self, who: str) -> None:
        await self.places[who].disconnect(who)

    async def drop(self, who: str) -> None:
        await self.places[who].drop(who)

    async def settle(self) -> None:
        for _ in range(2):  # what arrives may be answered
            for driver in self.drivers:
                await driver.settle()
            self.cluster.settle()
            await asyncio.sleep(0)
        for driver in self.drivers:
            await driver.settle()

    def take(self, who: str) -> list[str]:
        return self.places[who].take(who)

    def closed(self, who: str) -> tuple[int, str] | None:
        return self.places[who].closed(who)
