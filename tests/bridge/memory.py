"""Bridged servers in memory: no sockets, no event loop, and a clock that only the test moves."""

from __future__ import annotations

import json
from collections import deque
from itertools import combinations
from typing import Any

from cloudlink.bridge import Bridges
from cloudlink.server.app import Server
from cloudlink.server.protocols import Clpv4, Scratch
from cloudlink.settings import Settings
from tests.bridge.servers import SECRET
from tests.support.clock import FakeClock
from tests.support.memoryclients import MemoryClient

STEP = 0.05
"""Seconds between two looks of the bridges at what is due."""


class MemoryWire:
    """One end of a connection; what is sent waits in `arrived` of the other end until the test delivers it."""

    def __init__(self) -> None:
        self.other: MemoryWire
        self.arrived: deque[bytes] = deque()
        self.closed: tuple[int, str] | None = None
        self.is_congested = False
        self.is_held = False

    def send(self, text: bytes) -> None:
        self.other.arrived.append(text)

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def hold(self) -> None:
        self.is_held = True

    def release(self) -> None:
        self.is_held = False


def a_wire() -> tuple[MemoryWire, MemoryWire]:
    """The two ends of a connection."""
    one, other = MemoryWire(), MemoryWire()
    one.other, other.other = other, one
    return one, other


class Player(MemoryClient):
    """A client that keeps its user lists and the values of variables, as a project does."""

    def __init__(self, server: Server, name: str) -> None:
        super().__init__(server)
        self.name = name
        self.lists: dict[str, dict[str, str]] = {}
        self.values: dict[tuple[str, str], Any] = {}
        self.say({"cmd": "handshake"}, {"cmd": "setid", "val": name})

    def say(self, *messages: Any) -> None:
        self.ask(*messages)
        self.listen()

    def ask(self, *messages: Any) -> list[Any]:
        for message in messages:
            self.session.receive(json.dumps(message).encode())
        return []

    def listen(self) -> None:
        """Take what has arrived into account."""
        for packet in self.heard():
            room = packet.get("rooms")
            if packet["cmd"] == "gvar":
                self.values[room, packet["name"]] = packet["val"]
            elif packet["cmd"] == "ulist" and packet["mode"] == "set":
                self.lists[room] = {user["id"]: user["username"] for user in packet["val"]}
            elif packet["cmd"] == "ulist" and packet["mode"] == "add":
                user = packet["val"]
                assert user["id"] not in self.lists[room], "added twice"
                self.lists[room][user["id"]] = user["username"]
            elif packet["cmd"] == "ulist":
                self.lists[room].pop(packet["val"]["id"], None)


class Host:
    """One server of the ring."""

    def __init__(self, name: str, others: str, clock: FakeClock, skew: int = 0, **keys: Any) -> None:
        self.name = name
        self.server = Server(Settings(storage="", allow_rename=True, identity_burst=10_000))
        sections = {
            other: {"secret": SECRET, "rooms": ["arena", "lobby"], "projects": ["104"], **keys}
            for other in others
        }
        self.server.settings.set("bridges", sections)
        self.clpv4 = Clpv4(self.server)
        self.scratch = Scratch(self.server)
        self.cloud = MemoryClient(self.server, {"method": "handshake", "project_id": "104", "user": "zoe"})
        self.bridges = Bridges(
            self.server, self.clpv4, self.scratch, clock, lambda: int(clock.now * 1000) + skew
        )
        self.bridges.begin()
        self.players: list[Player] = []

    def join(self, name: str, *rooms: str) -> Player:
        player = Player(self.server, name)
        if rooms:
            player.say({"cmd": "link", "val": list(rooms)})
        self.players.append(player)
        return player

    def names(self, room: str) -> list[str]:
        """The names of the users that the server lists in a room."""
        presence = self.server.directory.presence(room, self.clpv4.schema)
        return sorted(user.username or "" for user in presence.listed()) if presence else []

    def values(self, room: str) -> dict[str, bytes]:
        return {name: entry.val for name, entry in self.bridges._ledger.of(("room", room))}


class World:
    """Servers, each of which has a bridge to each other one."""

    def __init__(self, names: str = "abc", **keys: Any) -> None:
        self.clock = FakeClock()
        self.hosts = {
            name: Host(name, names.replace(name, ""), self.clock, 1000 * index, **keys)
            for index, name in enumerate(names)
        }
        self.pairs = list(combinations(names, 2))
        self.wires: dict[tuple[str, str], tuple[MemoryWire, MemoryWire]] = {}
        self.links: dict[tuple[str, str], tuple[Any, Any]] = {}

    def connect(self, pair: tuple[str, str]) -> None:
        """Connect two servers unless they are."""
        if pair in self.wires:
            return
        one, other = pair
        self.wires[pair] = a_wire()
        self.links[pair] = (
            self.hosts[one].bridges.bridges[other].connected(self.wires[pair][0]),
            self.hosts[other].bridges.bridges[one].connected(self.wires[pair][1]),
        )

    def cut(self, pair: tuple[str, str]) -> None:
        """Break a connection; what is on its way is lost."""
        if pair in self.wires:
            one, other = pair
            first, second = self.links.pop(pair)
            del self.wires[pair]
            self.hosts[one].bridges.bridges[other].disconnected(first)
            self.hosts[other].bridges.bridges[one].disconnected(second)

    def deliver(self, pair: tuple[str, str], most: int = 1_000_000) -> None:
        """Deliver what is on its way between two servers."""
        for wire, link in zip(self.wires.get(pair, ()), self.links.get(pair, ()), strict=True):
            for _ in range(most):
                if not wire.arrived or wire.is_held:
                    break
                link.received(wire.arrived.popleft())

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and everything arrive meanwhile."""
        until = self.clock.now + seconds
        while self.clock.now < until:
            self.clock.now += STEP
            for host in self.hosts.values():
                host.bridges.tick()
            for pair in self.pairs:
                self.deliver(pair)
            for pair, wires in tuple(self.wires.items()):
                if any(wire.closed for wire in wires):
                    self.cut(pair)
        for host in self.hosts.values():
            for player in host.players:
                player.listen()
