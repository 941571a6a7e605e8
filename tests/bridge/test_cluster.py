"""Bridges of a cluster, in memory: one node runs them, and the players of all nodes meet those of the other server."""

from __future__ import annotations

import json
import logging

import pytest

from cloudlink.bridge import Bridges
from cloudlink.bridge.tunnels import LOST, MOVING, WINDOW
from cloudlink.reloading import Changes
from cloudlink.server.app import Server
from cloudlink.server.protocols import Clpv4, Scratch
from cloudlink.settings import Settings
from tests.bridge.memory import Host, MemoryWire, Player, a_wire
from tests.bridge.servers import SECRET
from tests.support.clusters import MemoryCarrier, MemoryCluster
from tests.support.memoryclients import MemoryClient, codes

SECTION = {"secret": SECRET, "rooms": ["arena", "lobby"], "projects": ["104"]}


class Node:
    """A server of the cluster."""

    def __init__(self, cluster, sections):
        self.server = Server(Settings(storage="", admin_storage="", allow_rename=True))
        self.server.settings.set("bridges", sections)
        # A task would begin with the loop of the server, which this one does not have; nobody is called here.
        self.server.create_task = lambda coroutine: coroutine.close()
        self.clpv4 = Clpv4(self.server)
        self.scratch = Scratch(self.server)
        clock = cluster.clock
        self.server.cluster.join(
            MemoryCarrier(cluster),
            name="cloudlink",
            node_name=f"n{len(cluster.servers)}",
            clock=clock,
            wall=clock,
        )
        self.bridges = Bridges(self.server, self.clpv4, self.scratch, clock, lambda: int(clock.now * 1000))
        for bridge in self.bridges.bridges.values():
            bridge.key = bytes(32)  # nobody proves anything here
        for start in self.server.hooks.protocol_start:
            start(lambda call, *arguments: call(*arguments))
        self.server.cluster.node.start()

    @property
    def is_running(self):
        return self.bridges._nodes.is_here

    def names(self, room="arena"):
        presence = self.server.directory.presence(room, self.clpv4.schema)
        return sorted(user.username or "" for user in presence.listed()) if presence else []


class Cluster(MemoryCluster):
    """Nodes with a bridge, and the server on its other side, which calls it `z`."""

    def __init__(self, count=3, sections=None):
        self.sections = sections or {"z": SECTION}
        self.nodes = []
        super().__init__(count=count)
        self.host = Host("z", "a", self.clock)
        self.wires = []
        self.links = []
        self.wait(3)

    def add(self, settings=None, plugins=()):
        self.nodes.append(Node(self, self.sections))
        self.servers.append(self.nodes[-1].server)
        self.wait(0.5)  # a server begins when it knows the others
        self.nodes[-1].bridges.begin()

    @property
    def alive(self):
        ids = {carrier.id for carrier in self.carriers}
        return [node for node in self.nodes if getattr(node.server.cluster.node, "id", None) in ids]

    @property
    def runner(self):
        (found,) = (node for node in self.alive if node.is_running)
        return found

    @property
    def others(self):
        return [node for node in self.alive if not node.is_running]

    def call(self, node):
        """The other server calls; its connection arrives at a node."""
        ours, theirs = a_wire()
        self.wires = [ours, theirs]
        bridge = node.bridges.waiting["z"]
        self.links = [node.bridges.connect(bridge, ours), self.host.bridges.bridges["a"].connected(theirs)]
        self.wait(1)

    def settle(self):
        super().settle()
        while any(wire.arrived for wire in getattr(self, "wires", ())):
            for wire, link in zip(self.wires, self.links, strict=True):
                while wire.arrived and not wire.is_held:
                    link.received(wire.arrived.popleft())
                if wire.is_held:
                    return
            super().settle()

    def wait(self, seconds):
        for _ in range(round(seconds / 0.1)):
            super().wait(0.1)
            for bridges in (*(node.bridges for node in self.alive), *self._others_side()):
                bridges.tick()
            self.settle()

    def _others_side(self):
        return [self.host.bridges] if hasattr(self, "host") else []


@pytest.fixture
def cluster():
    return Cluster()


def player(cluster, node, name, *rooms):
    found = Player(node.server, name)
    found.say({"cmd": "link", "val": list(rooms or ["arena"])})
    cluster.wait(0.5)
    return found


def heard(cluster, *players):
    """What players got as messages, after everything has arrived."""
    cluster.wait(1)
    return [[each["val"] for each in one.heard() if each["cmd"] in ("gmsg", "pmsg")] for one in players]


@pytest.fixture(params=["at the node that runs the bridges", "at another node"])
def joined(request, cluster):
    """A cluster with a player on each of two nodes, and one on the other server: alice here, carol elsewhere, zoe there."""
    cluster.call(cluster.runner if request.param.startswith("at the node") else cluster.others[0])
    alice = player(cluster, cluster.runner, "alice")
    carol = player(cluster, cluster.others[1], "carol")
    zoe = cluster.host.join("zoe", "arena")
    cluster.wait(1)
    for each in (alice, carol, zoe):
        each.heard()
    return cluster, alice, carol, zoe


def test_one_node_runs_the_bridges(cluster):
    assert sum(node.is_running for node in cluster.nodes) == 1
    assert {node.bridges._nodes.runner for node in cluster.nodes} == {cluster.runner.server.cluster.node.id}


def test_users_are_seen_from_everywhere(joined):
    cluster, *_ = joined
    for node in cluster.nodes:
        assert node.names() == ["alice", "carol", "z/zoe"]
    assert cluster.host.names("arena") == ["a/alice", "a/carol", "zoe"]
    for node in cluster.nodes:
        assert node.bridges.health() == {"z": {"up": True, "users": 1, "dropped": 0}}
        assert node.bridges.list()[0]["users"] == 1


def test_messages_cross_once_for_players_of_every_node(joined):
    cluster, alice, carol, zoe = joined
    alice.ask({"cmd": "gmsg", "val": "of alice"})
    carol.ask({"cmd": "gmsg", "val": "of carol"})
    zoe.ask({"cmd": "gmsg", "val": "of zoe"})
    for got in heard(cluster, alice, carol, zoe):
        assert sorted(got) == ["of alice", "of carol", "of zoe"]


def test_private_messages_cross_for_players_of_every_node(joined):
    cluster, alice, carol, zoe = joined
    for each in (alice, carol):
        each.ask({"cmd": "pmsg", "id": "z/zoe", "val": f"from {each.name}"})
    zoe.ask({"cmd": "pmsg", "id": "a/carol", "val": "for carol"})
    assert heard(cluster, alice, carol, zoe) == [[], ["for carol"], ["from alice", "from carol"]]
    direct = MemoryClient.ask(carol, {"cmd": "direct", "id": "z/zoe", "val": 1})
    assert codes(direct) == [108]


def test_everybody_but_some_works_across_nodes_and_the_bridge(joined):
    cluster, alice, carol, zoe = joined
    carol.ask({"cmd": "gmsg", "val": 1, "id": {"except": ["z/zoe"]}})
    zoe.ask({"cmd": "gmsg", "val": 2, "id": {"except": ["a/carol"]}})
    assert heard(cluster, alice, carol, zoe) == [[1, 2], [1], [2]]


def test_variables_agree_on_all_servers(joined):
    cluster, alice, carol, zoe = joined
    for round_ in range(3):
        for each in (alice, carol, zoe):
            each.ask({"cmd": "gvar", "name": "x", "val": f"{each.name} {round_}"})
        cluster.wait(1)
    for each in (alice, carol, zoe):
        each.listen()
    assert len({each.values["arena", "x"] for each in (alice, carol, zoe)}) == 1


def test_variables_of_an_empty_room_are_kept_for_the_other_side(cluster):
    carol = player(cluster, cluster.others[1], "carol", "lobby")
    carol.ask({"cmd": "gvar", "name": "x", "val": 7})
    cluster.wait(1)
    zoe = cluster.host.join("zoe", "lobby")
    cluster.call(cluster.others[0])
    zoe.listen()
    assert zoe.values["lobby", "x"] == 7


def test_cloud_variables_agree_on_all_servers(joined):
    cluster, *_ = joined
    here = [
        MemoryClient(node.server, {"method": "handshake", "project_id": "104", "user": "u"})
        for node in cluster.nodes
    ]
    cluster.wait(3)
    here[0].say({"method": "set", "name": "☁ x", "value": 1})
    cluster.wait(1)
    here[1].say({"method": "set", "name": "☁ x", "value": 2})
    cluster.wait(1)
    assert cluster.host.scratch.variables("104") == {"☁ x": b"2"}
    cluster.host.cloud.say({"method": "set", "name": "☁ x", "value": 3})
    cluster.wait(1)
    for node in cluster.nodes:
        assert node.scratch.variables("104") == {"☁ x": b"3"}


def test_the_bridge_moves_at_once_when_its_node_dies(joined):
    cluster, _alice, carol, zoe = joined
    carol.ask({"cmd": "gvar", "name": "x", "val": "before"})
    cluster.wait(1)
    dead = cluster.runner
    cluster.kill(dead.server)
    cluster.settle()
    assert cluster.runner is not dead
    assert all(node.names() == ["carol"] for node in cluster.alive)
    cluster.host.bridges.bridges["a"].disconnected(cluster.links[1])

    zoe.ask({"cmd": "gvar", "name": "y", "val": "meanwhile"})
    carol.ask({"cmd": "gvar", "name": "x", "val": "later"})
    cluster.wait(1)
    cluster.call(cluster.others[0])
    for node in cluster.alive:
        assert node.names() == ["carol", "z/zoe"]
    zoe.listen()
    carol.listen()
    assert zoe.values["arena", "x"] == carol.values["arena", "x"] == "later"
    assert carol.values["arena", "y"] == "meanwhile"


def test_the_next_node_knows_what_the_dead_one_had_recorded(joined):
    """Without that, an old value of the other side would come back."""
    cluster, alice, carol, zoe = joined
    zoe.ask({"cmd": "gvar", "name": "x", "val": "old"})
    cluster.wait(1)
    cluster.host.bridges.bridges["a"].disconnected(cluster.links[1])
    cluster.wires, cluster.links = [], []
    alice.ask({"cmd": "gvar", "name": "x", "val": "new"})
    cluster.wait(1)
    cluster.kill(cluster.runner.server)
    cluster.wait(0.5)
    cluster.call(cluster.runner)
    for each in (carol, zoe):
        each.listen()
        assert each.values["arena", "x"] == "new"


def test_a_node_that_stops_hands_the_bridge_over(joined):
    cluster, *_ = joined
    stopping = cluster.runner
    stopping.bridges._stop()
    cluster.settle()
    assert not stopping.is_running
    assert cluster.runner is not stopping
    assert cluster.wires[0].closed is not None


def test_a_node_that_starts_moves_nothing_and_learns_everything(joined):
    cluster, alice, *_ = joined
    alice.ask({"cmd": "gvar", "name": "x", "val": 1})
    cluster.wait(1)
    before = cluster.runner
    cluster.add()
    cluster.wait(3)
    assert cluster.runner is before
    new = cluster.nodes[-1]
    assert new.names() == ["alice", "carol", "z/zoe"]
    assert [name for (_, name) in new.bridges._ledger.everything()] == ["x"]
    assert new.bridges.health()["z"]["up"]


def test_two_halves_that_did_not_see_each_other_have_one_runner_again():
    cluster = Cluster(count=2)
    carrier = cluster.carrier_of(cluster.servers[1])
    carrier.is_cut_off = True
    cluster.wait(6)
    assert [node.is_running for node in cluster.nodes] == [True, True]
    carrier.is_cut_off = False
    cluster.wait(4)
    assert sum(node.is_running for node in cluster.nodes) == 1


def test_users_of_a_bridge_never_leave_over_another_one():
    cluster = Cluster(sections={"z": SECTION, "y": {**SECTION, "secret": SECRET + "!"}})
    cluster.call(cluster.others[0])
    y = MemoryWire(), MemoryWire()
    y[0].other, y[1].other = y[1], y[0]
    link = cluster.others[1].bridges.connect(cluster.others[1].bridges.waiting["y"], y[0])
    shares = {"type": "shares", "val": {"rooms": [["arena"]]}, "at": int(cluster.clock.now * 1000)}
    link.received(json.dumps([shares, {"type": "ping"}]).encode())
    zoe = cluster.host.join("zoe", "arena")
    carol = player(cluster, cluster.others[1], "carol")
    zoe.ask({"cmd": "gmsg", "val": "of zoe"}, {"cmd": "gvar", "name": "x", "val": 1})
    carol.ask({"cmd": "gmsg", "val": "of carol"})
    cluster.wait(2)
    records = [record for text in y[1].arrived for record in json.loads(text)]
    assert [each["name"] for each in records if each["type"] == "user"] == ["carol"]
    assert [each["val"] for each in records if each["type"] == "gmsg"] == ["of carol"]
    assert [each for each in records if each["type"] == "gvar"] == []


def test_a_pause_holds_on_every_node_and_outlives_a_move(joined):
    cluster, *_ = joined
    node = cluster.others[0]
    assert node.bridges.pause("z")
    assert not node.bridges.pause("z")
    cluster.wait(0.5)
    assert all(each.bridges.list()[0]["paused"] for each in cluster.nodes)
    assert cluster.wires[0].closed is not None
    cluster.kill(cluster.runner.server)
    cluster.wait(2)
    wire = MemoryWire()
    assert cluster.runner.bridges.connect(cluster.runner.bridges.waiting["z"], wire) is None
    assert wire.closed == (1013, "The bridge is paused")
    assert cluster.others[0].bridges.resume("z")
    cluster.wait(0.5)
    assert not cluster.runner.bridges.list()[0]["paused"]


def test_a_project_that_a_reload_adds_is_shared_when_its_values_are_known(cluster):
    for node in cluster.nodes:
        node.server.settings.set("bridges", {"z": {**SECTION, "projects": ["104", "105"]}})
        node.bridges._reload(Changes({"bridges.z": (None, None)}, ()))
        node.bridges.bridges["z"].key = bytes(32)
    cluster.wait(3)
    assert cluster.runner.bridges.waiting_for_call("z") is cluster.runner.bridges.bridges["z"]
    assert [node for node in cluster.nodes if "105" in node.scratch.projects.rooms] == [cluster.runner]


# Connections that arrive at another node.


@pytest.fixture
def tunnel(cluster):
    node = cluster.others[0]
    cluster.call(node)
    return cluster, node, *cluster.wires


def test_a_caller_that_reads_slowly_holds_back_what_is_sent_to_it(tunnel):
    cluster, _node, ours, _theirs = tunnel
    (wire,) = cluster.runner.bridges._nodes.tunnels._exits.values()
    ours.is_congested = True
    wire.send(b"[]" + b" " * WINDOW)
    cluster.settle()
    assert wire.is_congested
    ours.is_congested = False
    cluster.wait(1)
    assert not wire.is_congested


def test_a_caller_that_sends_too_much_is_not_read(tunnel):
    cluster, _node, ours, _theirs = tunnel
    link = cluster.runner.bridges.bridges["z"]._link
    link.received(b"[" + b" " * 400_000 + b"]")
    while not link._is_held:
        link.received(b"[" + b" " * 400_000 + b"]")
    super(Cluster, cluster).settle()
    assert ours.is_held
    cluster.wait(40)
    assert not ours.is_held


def test_a_gap_ends_the_connection(tunnel):
    cluster, _node, ours, theirs = tunnel
    carrier = cluster.carrier_of(cluster.runner.server)
    carrier.is_cut_off = True
    theirs.send(b'[{"type":"ping"}]')
    cluster.settle()
    carrier.is_cut_off = False
    theirs.send(b'[{"type":"ping"}]')
    cluster.wait(5)
    assert ours.closed is not None
    assert not any(node.bridges._nodes.tunnels for node in cluster.nodes if node in cluster.alive)


def test_a_number_out_of_order_ends_the_tunnel(tunnel):
    cluster, _node, ours, _theirs = tunnel
    (wire,) = cluster.runner.bridges._nodes.tunnels._exits.values()
    wire._sent += 1
    wire.send(b"[]")
    cluster.settle()
    assert ours.closed == (1013, LOST)
    cluster.wait(1)
    assert not cluster.runner.bridges.health()["z"]["up"]


def test_a_caller_that_hangs_up_is_noticed_where_the_bridge_runs(tunnel, caplog):
    cluster, *_ = tunnel
    with caplog.at_level(logging.WARNING, "cloudlink.bridge"):
        cluster.links[0].ended()
        cluster.wires, cluster.links = [], []
        cluster.wait(1)
    assert caplog.messages == ["Bridge z is down: the connection broke; it waits to be called."]
    assert len(cluster.runner.bridges._nodes.tunnels) == 0


def test_the_end_of_the_node_where_the_connection_arrived_is_noticed(tunnel):
    cluster, node, *_ = tunnel
    cluster.kill(node.server)
    cluster.settle()
    assert not cluster.runner.bridges.health()["z"]["up"]


def test_while_nobody_runs_the_bridges_a_caller_is_asked_to_come_again(cluster):
    node = cluster.others[0]
    node.bridges._nodes._placement.departed(cluster.runner.server.cluster.node.id)
    wire = MemoryWire()
    assert node.bridges.connect(node.bridges.waiting["z"], wire) is None
    assert wire.closed == (1013, MOVING)


def test_what_exceeds_the_limits_of_a_client_is_counted_where_the_bridge_runs(tunnel):
    cluster, node, *_ = tunnel
    cluster.links[0].dropped()
    cluster.wait(1.5)
    assert node.bridges.health()["z"]["dropped"] == 1


def test_a_record_that_cannot_be_read_is_ignored(cluster, caplog):
    with caplog.at_level(logging.WARNING, "cloudlink.bridge"):
        cluster.servers[0].cluster.publish_record(":bridges", b"\xff")
        cluster.settle()
    assert len(caplog.messages) == 2
    assert sum(node.is_running for node in cluster.nodes) == 1
