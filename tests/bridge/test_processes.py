"""Bridges of servers of several processes: two workers, and two nodes joined by NATS."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from cloudlink.cli import main
from cloudlink.client import GlobalMessage, PrivateMessage
from tests.bridge.servers import SECRET, BridgedServer, in_loop, names, next_of, player, running, until
from tests.support.natsserver import NatsServer
from tests.support.nodes import Place, children, nats_nodes, workers
from tests.support.servers import HOST
from tests.support.socketclient import SocketClient

if sys.platform != "linux":
    pytest.skip("several processes need Linux", allow_module_level=True)

pytestmark = pytest.mark.timeout(150)  # several servers start, on a machine that may be busy

SECTION = {"secret": SECRET, "rooms": ["arena"]}
MOVED = 25.0
"""Seconds for a move on a machine that is busy with other things; otherwise it takes up to 3."""


def settings_file(folder, **keys):
    """A settings file with a bridge `z`."""
    path = folder / "cloudlink.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in {**SECTION, **keys}.items()]
    admin = json.dumps(str(folder / "admin.db"))
    path.write_text("\n".join([f"admin_storage = {admin}", "[bridges.z]", *lines]))
    return str(path)


class PlayerAt:
    """A player at a chosen process; it reads what has arrived when it is asked."""

    def __init__(self, name, client):
        self.name = name
        self._client = client
        self._heard = []
        self._listed = {}
        self._values = {}

    @property
    def port(self):
        return self._client.transport.get_extra_info("sockname")[1]

    def say(self, packet):
        self._client.send(json.dumps(packet).encode(), binary=False)

    @property
    def heard(self):
        self._read()
        return self._heard

    @property
    def listed(self):
        self._read()
        return sorted(self._listed.values())

    @property
    def values(self):
        self._read()
        return self._values

    def _read(self):
        for packet in map(json.loads, self._client.frames):
            if packet["cmd"] in ("gmsg", "pmsg"):
                self._heard.append(packet["val"])
            elif packet["cmd"] == "gvar":
                self._values[packet["name"]] = packet["val"]
            elif packet["cmd"] == "ulist" and packet["rooms"] == "arena":
                self._change_list(packet["mode"], packet["val"])
        self._client.frames.clear()

    def _change_list(self, mode, val):
        if mode == "set":
            self._listed = {user["id"]: user["username"] for user in val}
        elif mode == "add":
            assert val["id"] not in self._listed
            self._listed[val["id"]] = val["username"]
        else:
            self._listed.pop(val["id"], None)


@contextlib.asynccontextmanager
async def player_at(place, name):
    """A player at a chosen process, in the room `arena`."""
    loop, uri = asyncio.get_running_loop(), f"ws://{HOST}:{place.port}/"
    _, client = await loop.create_connection(lambda: SocketClient(uri, {}), sock=await place.open())
    await client.opened
    found = PlayerAt(name, client)
    found.say({"cmd": "handshake"})
    found.say({"cmd": "setid", "val": name})
    found.say({"cmd": "link", "val": ["arena"]})
    try:
        yield found
    finally:
        client.transport.abort()


def own_connections_to(port):
    """The local ports of this process's connections to a port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {
        int(words[1].partition(":")[2], 16)
        for words in lines
        if words[2].endswith(f":{port:04X}") and words[3] == "01"
    }


def connections_with(process, port):
    """How many connections a process has with a port of another process."""
    files = {str(link.readlink()) for link in Path(f"/proc/{process}/fd").iterdir() if link.is_symlink()}
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        found += words[2].endswith(f":{port:04X}") and words[3] == "01" and f"socket:[{words[9]}]" in files
    return found


def runner_of(processes, port):
    """The process whose bridge is connected to a port."""
    (found,) = (process for process in processes if connections_with(process, port))
    return found


async def all_meet(zoe, *others):
    """Wait until the lists of all players are complete, have everybody say something, and count what arrives."""
    ours = [each.name for each in others]
    await until(lambda: names(zoe) == sorted(["zoe", *(f"w/{name}" for name in ours)]))
    for each in others:
        await until(lambda each=each: sorted(each.listed) == sorted([*ours, "z/zoe"]))
    said = [f"{name} speaks" for name in ("zoe", *ours)]
    await zoe.send(said[0], rooms="arena")
    for each, text in zip(others, said[1:], strict=True):
        each.say({"cmd": "gmsg", "val": text, "rooms": "arena"})
    for _ in said:
        said_there = await next_of(zoe, GlobalMessage)
        assert said_there.value in said
    for each in others:
        await until(lambda each=each: sorted(each.heard) == sorted(said))
        each.heard.clear()


@in_loop
async def test_two_workers_call_and_the_bridge_moves_when_its_worker_is_killed(tmp_path):
    other = BridgedServer({"w": SECTION})
    async with running(other), contextlib.AsyncExitStack() as stack:
        config = settings_file(tmp_path, url=other.url)
        _, places = stack.enter_context(workers(2, "--config", config))
        zoe = await stack.enter_async_context(player(other, "zoe", "arena"))
        alice, bob = [
            await stack.enter_async_context(player_at(place, name))
            for place, name in zip(places, ("alice", "bob"), strict=True)
        ]
        await all_meet(zoe, alice, bob)

        bob.say({"cmd": "pmsg", "id": "z/zoe", "val": "psst", "rooms": "arena"})
        assert (await next_of(zoe, PrivateMessage)).sender.username == "w/bob"
        await zoe.pmsg("w/alice", "for alice", rooms="arena")
        await until(lambda: "for alice" in alice.heard)
        alice.heard.clear()
        alice.say({"cmd": "gvar", "name": "x", "val": 1, "rooms": "arena"})
        await until(lambda: bob.values.get("x") == 1)
        await zoe.gvar("x", 2, rooms="arena")
        await until(lambda: alice.values["x"] == bob.values["x"] == 2)

        killed = runner_of([place.process for place in places], other.server.port)
        survivor = bob if killed == places[0].process else alice
        os.kill(killed, signal.SIGKILL)
        await until(lambda: names(zoe) == sorted(["zoe", f"w/{survivor.name}"]), MOVED)
        await all_meet(zoe, survivor)


@in_loop
async def test_a_call_that_arrives_at_any_worker_reaches_the_bridge(tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        server, places = stack.enter_context(workers(2, "--config", settings_file(tmp_path)))
        other = BridgedServer({"w": {**SECTION, "url": f"ws://127.0.0.1:{server.port}/"}})
        await stack.enter_async_context(running(other))
        zoe = await stack.enter_async_context(player(other, "zoe", "arena"))
        alice, bob = [
            await stack.enter_async_context(player_at(place, name))
            for place, name in zip(places, ("alice", "bob"), strict=True)
        ]
        arrived = set()
        while len(arrived) < 2:  # the kernel chooses the worker
            await all_meet(zoe, alice, bob)
            (port,) = own_connections_to(server.port) - {alice.port, bob.port}
            arrived.add(runner_of([place.process for place in places], port))
            other.bridges.pause("w")
            await until(lambda: names(zoe) == ["zoe"])
            other.bridges.resume("w")
        await all_meet(zoe, alice, bob)


@in_loop
async def test_two_nodes_and_the_bridge_moves_when_its_node_is_killed(tmp_path):
    other = BridgedServer({"w": SECTION})
    async with running(other), contextlib.AsyncExitStack() as stack:
        nats = stack.enter_context(NatsServer(tmp_path / "nats"))
        config = settings_file(tmp_path, url=other.url)
        servers, places = stack.enter_context(nats_nodes(2, nats.url, "--config", config))
        zoe = await stack.enter_async_context(player(other, "zoe", "arena"))
        alice, bob = [
            await stack.enter_async_context(player_at(place, name))
            for place, name in zip(places, ("alice", "bob"), strict=True)
        ]
        await all_meet(zoe, alice, bob)

        killed = runner_of([server.process.pid for server in servers], other.server.port)
        survivor = bob if killed == servers[0].process.pid else alice
        os.kill(killed, signal.SIGKILL)
        await until(lambda: names(zoe) == sorted(["zoe", f"w/{survivor.name}"]), MOVED)
        await all_meet(zoe, survivor)


@in_loop
async def test_a_reload_through_the_administration_reaches_every_worker(tmp_path):
    other = BridgedServer({"w": SECTION})
    async with running(other), contextlib.AsyncExitStack() as stack:
        config = settings_file(tmp_path, url="ws://127.0.0.1:1/")
        file = str(tmp_path / "admin.db")
        server, places = stack.enter_context(workers(2, "--config", config, "--admin-storage", file))
        zoe = await stack.enter_async_context(player(other, "zoe", "arena"))
        alice, bob = [
            await stack.enter_async_context(player_at(place, name))
            for place, name in zip(places, ("alice", "bob"), strict=True)
        ]
        settings_file(tmp_path, url=other.url)
        arguments = ["admin", "reload", "--config", config]
        assert await asyncio.to_thread(main, arguments) == 0
        await all_meet(zoe, alice, bob)

        settings_file(tmp_path, url=other.url, rooms=["hall"])
        server.process.send_signal(signal.SIGHUP)
        await until(lambda: alice.listed == bob.listed == ["alice", "bob"])

        # A worker that is started later has the settings that were read last.
        settings_file(tmp_path, url=other.url)
        assert await asyncio.to_thread(main, arguments) == 0
        await all_meet(zoe, alice, bob)
        killed = runner_of([place.process for place in places], other.server.port)
        os.kill(killed, signal.SIGKILL)
        survivor = bob if killed == places[0].process else alice
        await until(lambda: names(zoe) == sorted(["zoe", f"w/{survivor.name}"]), MOVED)
        await until(lambda: len(children(server.process.pid)) == 2, MOVED)
        new = next(
            each for each in children(server.process.pid) if each not in [place.process for place in places]
        )
        late = await stack.enter_async_context(player_at(Place(server.port, new), "late"))
        await all_meet(zoe, *sorted((survivor, late), key=lambda each: each.name))
