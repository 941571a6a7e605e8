"""What happens to a server of several processes, each as a function that causes it once; and what must be true afterwards.

Players are in rooms on all nodes and send all the time, and others play with cloud variables. `Scene.check` raises
`AssertionError` unless, within five seconds, every list shows exactly who is there, and variables are equal everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from random import Random

from tests.chaos.players import CloudPlayer, Player
from tests.chaos.servers import Bridged, Cluster, DirectCluster, Workers

_PATIENCE = 5.0
"""Seconds after which everything must be well again."""
_COMEBACK = 40.0
"""Seconds in which players must be let in again, on a machine that may be busy; then the five seconds begin."""
_CONNECTING = 5.0
"""Seconds that a player tries to connect."""
_FOR_EACH = 0.02
"""Seconds that are added to both for each player: all of them share the machine with the servers."""
_ROOM_SIZE = 20
"""Players of a room; there are two rooms at least."""
_PROJECT = "4711"
_PLAYERS = 12
_GROWTH = 1.2
"""Most memory that a server may have in the end, compared with the beginning."""


class Scene:
    """The servers, the players on them, and the noise that they make."""

    def __init__(self, servers, chance, players=_PLAYERS):
        self.servers = servers
        self.chance = chance
        ports = servers.ports
        self.rooms = [f"room {number}" for number in range(max(2, players // _ROOM_SIZE))]
        self.players = [
            Player(
                f"player {number}",
                self.rooms[number % len(self.rooms)],
                ports[number // len(self.rooms) % len(ports)],
                _CONNECTING + _FOR_EACH * players,
            )
            for number in range(players)
        ]
        self.cloud = [CloudPlayer(f"cloud{number}", _PROJECT, port) for number, port in enumerate(ports * 2)]
        self._noise = asyncio.ensure_future(self._make_noise())
        self._count = 0

    async def stop(self):
        self._noise.cancel()
        await asyncio.gather(*(player.stop() for player in (*self.players, *self.cloud)))

    async def settle(self):
        """Wait until everybody is in."""
        await _until(
            lambda: all(player.is_in for player in (*self.players, *self.cloud)),
            _COMEBACK + _FOR_EACH * len(self.players),
            self._absent,
        )

    async def check(self):
        """Check that within five seconds all is as it should be."""
        await self.settle()
        self._noise.cancel()
        # A variable may miss a newcomer on another node until that newcomer is listed.
        await _until(lambda: not self._wrong_lists(), _PATIENCE, self._wrong_lists)
        for room in self.rooms:
            self._member(room).say({"cmd": "gvar", "name": "last", "val": self._next(), "rooms": [room]})
        self.chance.choice(self.cloud).set("☁ last", self._next())
        await _until(lambda: not self._differences(), _PATIENCE, self._differences)
        mistakes = [mistake for player in self.players for mistake in player.mistakes]
        assert not mistakes, mistakes[:5]
        assert not any(server.tracebacks() for server in self.servers.servers), (
            "there is a traceback in a log"
        )
        await self._check_newcomer()
        await self._check_count()
        self._noise = asyncio.ensure_future(self._make_noise())

    async def _check_newcomer(self):
        """A player who comes late gets all cloud variables."""
        expected = self.cloud[0].values
        newcomer = CloudPlayer("newcomer", _PROJECT, self.chance.choice(self.servers.ports))
        try:
            await _until(lambda: newcomer.values == expected, _PATIENCE, lambda: (newcomer.values, expected))
        finally:
            await newcomer.stop()

    async def _check_count(self):
        """No server counts a connection whose client is gone."""
        expected, counted = len(self.players) + len(self.cloud), 0
        deadline = time.monotonic() + _PATIENCE
        while counted != expected:
            assert time.monotonic() < deadline, f"the servers count {counted} clients, not {expected}"
            await asyncio.sleep(0.02)
            with contextlib.suppress(OSError):  # one is too busy to answer
                counted = await asyncio.to_thread(self.servers.clients)

    def _wrong_lists(self):
        found = []
        for room in self.rooms:
            inside = [player for player in self.players if player.room == room]
            found += [
                f"{viewer.name} sees {sorted(viewer.users.values())} in {room}"
                for viewer in inside
                if sorted(viewer.users.values())
                != sorted(self.servers.shown(player, viewer) for player in inside)
            ]
        return found

    def _differences(self):
        found = self._wrong_lists()
        for room in self.rooms:
            inside = [player for player in self.players if player.room == room]
            values = {player.name: player.variables.get("last") for player in inside}
            if len(set(values.values())) > 1:
                found.append(f"the variable of {room} is {values}")
        clouds = {str(sorted(player.values.items())) for player in self.cloud}
        if len(clouds) > 1:
            found.append(f"the cloud is {clouds}")
        return found

    def _absent(self):
        return [player.name for player in (*self.players, *self.cloud) if not player.is_in]

    def _member(self, room):
        return self.chance.choice([player for player in self.players if player.room == room])

    def _next(self):
        self._count += 1
        return self._count

    async def _make_noise(self):
        while True:
            for room in self.chance.sample(self.rooms, 2):
                player = self._member(room)
                player.say({"cmd": "gmsg", "val": self._next(), "rooms": [room]})
                name = f"v{self.chance.randrange(5)}"
                player.say({"cmd": "gvar", "name": name, "val": self._next(), "rooms": [room]})
            # Each has a variable of its own: what two set at once, they may see in another order than the others.
            number = self.chance.randrange(len(self.cloud))
            self.cloud[number].set(f"☁ v{number}", self._next())
            await asyncio.sleep(0.02)


# What happens to workers.


async def worker_killed(scene):
    """A worker is killed under load: the others see its users leave within a second, and it comes back."""
    victim = scene.chance.choice(scene.servers.workers)
    os.kill(victim, signal.SIGKILL)
    await _until(
        lambda: victim not in scene.servers.workers and len(scene.servers.workers) == 3, _COMEBACK, str
    )


async def worker_stopped(scene):
    """A worker does not run for 5 seconds."""
    victim = scene.chance.choice(scene.servers.workers)
    os.kill(victim, signal.SIGSTOP)
    try:
        await asyncio.sleep(5)
    finally:
        os.kill(victim, signal.SIGCONT)


async def workers_restarted_in_turn(scene):
    """All workers are stopped and started again, one after the other."""
    for victim in scene.servers.workers:
        os.kill(victim, signal.SIGTERM)
        await _until(
            lambda victim=victim: victim not in scene.servers.workers and len(scene.servers.workers) == 3,
            _COMEBACK,
            str,
        )
        await scene.settle()


# What happens to nodes.


async def node_killed(scene):
    """A node is killed under load, and started again."""
    victim = scene.chance.choice(scene.servers.servers)
    victim.kill()
    await asyncio.sleep(scene.chance.uniform(0, 5))
    victim.start()
    await victim.answering()


async def node_stopped(scene):
    """A node does not run for 5 seconds."""
    victim = scene.chance.choice(scene.servers.servers)
    victim.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(5)
    finally:
        victim.send_signal(signal.SIGCONT)


async def nodes_restarted_in_turn(scene):
    """All nodes are stopped and started again, one after the other."""
    for server in scene.servers.servers:
        await server.terminate()
        server.start()
        await server.answering()
        await scene.settle()


async def nats_killed(scene):
    """NATS is killed, and started again at once or after some seconds."""
    scene.servers.nats.kill()
    await asyncio.sleep(scene.chance.choice((0.0, 0.5, 6.0)))
    await asyncio.to_thread(scene.servers.nats.start)


async def nats_stopped_shortly(scene):
    """NATS does not run for 2 seconds."""
    await _stop_nats(scene, 2)


async def nats_stopped_long(scene):
    """NATS does not run for 10 seconds."""
    await _stop_nats(scene, 10)


async def cut_shortly(scene):
    """The network of a node is cut for a second."""
    await _cut(scene, 1, "up", "down")


async def cut_long(scene):
    """The network of a node is cut for 10 seconds."""
    await _cut(scene, 10, "up", "down")


async def cut_one_way(scene):
    """A node hears the others but cannot speak, or the reverse, for 5 seconds."""
    await _cut(scene, 5, scene.chance.choice(("up", "down")))


async def everybody_returns(scene):
    """All connections break at once, and all players come back."""
    for player in scene.players:
        player.drop()
    await asyncio.sleep(0.1)


async def _stop_nats(scene, seconds):
    scene.servers.nats.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        scene.servers.nats.send_signal(signal.SIGCONT)


async def _cut(scene, seconds, *directions):
    proxy = scene.chance.choice(scene.servers.proxies)
    proxy.cut(*directions)
    await asyncio.sleep(seconds)
    proxy.mend()


# What happens to two servers with a bridge between them.


async def bridged_server_killed(scene):
    """One of the servers is killed under load, and started again."""
    await node_killed(scene)
    await scene.servers.joined()


async def bridged_server_stopped(scene):
    """One of the servers does not run for 5 seconds."""
    await node_stopped(scene)
    await scene.servers.joined()


async def bridge_cut(scene):
    """The network between the servers is cut for a second, or for so long that both give the connection up."""
    await _cut(scene, scene.chance.choice((1, 10, 20)), "up", "down")
    await scene.servers.joined()


async def bridge_cut_one_way(scene):
    """One of the servers hears the other but cannot speak, for 5 seconds."""
    await cut_one_way(scene)
    await scene.servers.joined()


CHAOS = {
    "worker killed": (Workers, worker_killed),
    "worker stopped for 5 s": (Workers, worker_stopped),
    "workers restarted in turn": (Workers, workers_restarted_in_turn),
    "workers: everybody returns": (Workers, everybody_returns),
    "node killed": (Cluster, node_killed),
    "node stopped for 5 s": (Cluster, node_stopped),
    "nodes restarted in turn": (Cluster, nodes_restarted_in_turn),
    "NATS killed": (Cluster, nats_killed),
    "NATS stopped for 2 s": (Cluster, nats_stopped_shortly),
    "NATS stopped for 10 s": (Cluster, nats_stopped_long),
    "network cut for 1 s": (Cluster, cut_shortly),
    "network cut for 10 s": (Cluster, cut_long),
    "network cut one way": (Cluster, cut_one_way),
    "nodes: everybody returns": (DirectCluster, everybody_returns),
    "bridged server killed": (Bridged, bridged_server_killed),
    "bridged server stopped for 5 s": (Bridged, bridged_server_stopped),
    "bridge cut": (Bridged, bridge_cut),
    "bridge cut one way": (Bridged, bridge_cut_one_way),
}
RETURNING = ("workers: everybody returns", "nodes: everybody returns")


async def rounds(name, folder, count, seed, returning):
    """Let one thing happen `count` times to the same servers; yield what went wrong in each round, empty for nothing.

    Args:
        name: A key of `CHAOS`.
        folder: An empty folder.
        count: How often.
        seed: The seed of chance.
        returning: How many players there are where everybody returns at once.
    """
    kind, happen = CHAOS[name]
    async with kind(folder) as servers:
        scene = Scene(servers, Random(f"{name} {seed}"), returning if name in RETURNING else _PLAYERS)
        try:
            await scene.check()
            before = _memory(servers)
            for number in range(count):
                try:
                    await happen(scene)
                    await scene.check()
                    if number == count - 1:
                        _check_memory(before, _memory(servers))
                except AssertionError as error:
                    yield str(error)
                else:
                    yield ""
        finally:
            await scene.stop()


def _memory(servers):
    return sum(server.memory() for server in servers.servers)


def _check_memory(before, after):
    assert after < _GROWTH * before, f"the servers took {before >> 20} MB before and {after >> 20} MB now"


async def _until(condition, seconds, describe):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds:g} s: {str(describe())[:600]}"
        await asyncio.sleep(0.02)
