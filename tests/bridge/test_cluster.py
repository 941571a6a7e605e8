"""Bridges of a cluster, in memory: one node runs them, and the players of all nodes meet those of the other server."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudlink.bridge import Bridges
from cloudlink.bridge.calls import PATIENCE, TOO_EARLY
from cloudlink.bridge.peer import REPLACED
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
        self.wires, self.links = [ours, theirs], [None, None]

        def answered():
            self.links[1] = self.host.bridges.bridges["a"].connected(theirs)

        self.links[0] = node.bridges.connect(node.bridges.waiting["z"], ours, answered)
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
            running = [node.bridges for node in self.alive if not self.is_stopped(node)]
            for bridges in (*running, *self._others_side()):
                bridges.tick()
            self.settle()

    def is_stopped(self, node):
        return self.carrier_of(node.server).is_stopped

    @property
    def acting(self):
        """Return the nodes that would use the bridges now."""
        return [
            node
            for node in self.alive
            if node.is_running and not self.is_stopped(node) and not node.server.cluster.is_absent
        ]

    def until(self, condition):
        """Let time pass until a condition holds; return the seconds that it took."""
        started = self.clock.now
        while not condition():
            self.wait(0.1)
            assert self.clock.now < started + 20
        return self.clock.now - started

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
    waiting = cluster.others[1].bridges.waiting["y"]
    link = cluster.others[1].bridges.connect(waiting, y[0], lambda: None)
    cluster.settle()
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
    cluster.runner.bridges.connect(cluster.runner.bridges.waiting["z"], wire, pytest.fail)
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


def test_while_nobody_runs_the_bridges_a_caller_waits_and_is_then_asked_to_come_again(cluster):
    node = cluster.others[0]
    cluster.stop(cluster.runner.server)
    cluster.stop(cluster.others[1].server)
    node.bridges._nodes._placement.decide = lambda *, can_run: False
    wire = MemoryWire()
    node.bridges.connect(node.bridges.waiting["z"], wire, pytest.fail)
    cluster.wait(PATIENCE - 1)
    assert wire.closed is None
    cluster.wait(1.2)
    assert wire.closed == (1013, MOVING)


def test_a_second_call_takes_the_place_of_one_that_waits(cluster):
    cluster.vanish(cluster.runner.server)
    node = cluster.others[0]
    wires, answered = (MemoryWire(), MemoryWire()), []
    for number, wire in enumerate(wires):
        wire.other = MemoryWire()
        node.bridges.connect(node.bridges.waiting["z"], wire, lambda number=number: answered.append(number))
    assert wires[0].closed == (1013, REPLACED)
    cluster.wait(3)
    assert wires[1].closed is None
    assert answered == [1]


def test_a_caller_that_does_not_wait_for_the_answer_is_disconnected(cluster):
    cluster.vanish(cluster.runner.server)
    node = cluster.others[0]
    wire = MemoryWire()
    call = node.bridges.connect(node.bridges.waiting["z"], wire, pytest.fail)
    call.received(b"[]")
    call.ended()
    assert wire.closed == (1002, TOO_EARLY)
    cluster.wait(3)
    assert not any(each.bridges._nodes.tunnels for each in cluster.alive)


# A node that dies without a sign, and one that does not run for a moment.

MOVED = 3.0
"""Seconds in which a bridge must have moved, whatever happens to its node."""


@pytest.mark.parametrize("waited", [0.0, 0.3, 0.7, 1.1], ids=lambda waited: f"after {waited} s")
@pytest.mark.parametrize("where", [0, 1], ids=["a call at the next node", "a call at another node"])
def test_the_bridge_moves_within_three_seconds_when_its_node_falls_silent(joined, waited, where):
    cluster, _alice, carol, zoe = joined
    carol.ask({"cmd": "gvar", "name": "x", "val": 1})
    cluster.wait(1 + waited)
    died_at = cluster.clock.now
    cluster.vanish(cluster.runner.server)
    cluster.host.bridges.bridges["a"].disconnected(cluster.links[1])
    cluster.wires = []
    cluster.wait(0.5)
    # The other server, whose connection has broken, calls again after a second or two.
    nodes = sorted(cluster.alive, key=lambda node: node.server.cluster.node.id)
    cluster.call(nodes[where])
    cluster.until(
        lambda: zoe.name in cluster.host.names("arena") and cluster.host.bridges.health()["a"]["up"]
    )
    cluster.until(lambda: all("z/zoe" in node.names() for node in cluster.alive))
    assert cluster.clock.now - died_at <= MOVED
    assert len(cluster.acting) == 1
    assert [wire.closed for wire in cluster.wires] == [None, None]
    for node in cluster.alive:
        assert node.names().count("z/zoe") == 1

    cluster.wait(1.5)
    for node in cluster.alive:
        assert node.names() == ["carol", "z/zoe"]
    zoe.ask({"cmd": "gmsg", "val": "of zoe"})
    carol.ask({"cmd": "gmsg", "val": "of carol"})
    for got in heard(cluster, carol, zoe):
        assert sorted(got) == ["of carol", "of zoe"]


def test_shared_projects_do_not_delay_a_move(cluster):
    cluster.vanish(cluster.runner.server)
    assert cluster.until(lambda: any(node.bridges.waiting_for_call("z") for node in cluster.alive)) <= MOVED


def test_a_node_that_was_stopped_gives_the_bridges_up_before_it_does_anything_with_them(joined):
    cluster, alice, carol, zoe = joined
    stopped = cluster.runner
    link = stopped.bridges.bridges["z"]._link
    cluster.stop(stopped.server)
    assert 1.0 < cluster.until(lambda: cluster.acting) <= MOVED
    assert all(node.names().count("z/zoe") == 0 for node in cluster.alive if node is not stopped)

    zoe_number = next(iter(stopped.bridges.bridges["z"].guests.keys))
    late = {"type": "gmsg", "room": "arena", "user": zoe_number, "val": "late"}
    link.received(json.dumps([late]).encode())
    cluster.resume(stopped.server)
    stopped.server.cluster.node.tick()  # before it hears of the others
    assert not stopped.is_running
    cluster.wait(0.1)
    assert len(cluster.acting) == 1
    cluster.call(cluster.others[0])
    zoe.ask({"cmd": "gmsg", "val": "of zoe"})
    assert heard(cluster, alice, carol) == [["of zoe"], ["of zoe"]]
    for node in cluster.alive:
        assert node.names() == ["alice", "carol", "z/zoe"]


def test_a_short_stop_moves_nothing(joined):
    cluster, *_ = joined
    before = cluster.runner
    cluster.stop(before.server)
    cluster.wait(1.2)
    cluster.resume(before.server)
    cluster.wait(3)
    assert cluster.acting == [before]
    assert cluster.runner.names() == ["alice", "carol", "z/zoe"]


def test_when_all_nodes_were_stopped_one_runs_the_bridges_again(cluster):
    for node in cluster.nodes:
        cluster.stop(node.server)
    cluster.wait(10)
    for node in cluster.nodes:
        cluster.resume(node.server)
    cluster.wait(6)
    assert len(cluster.acting) == 1
    assert {node.bridges._nodes.runner for node in cluster.nodes} == {
        cluster.acting[0].server.cluster.node.id
    }


@pytest.mark.slow  # random histories
@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["stop", "resume"]), st.integers(0, 35)),
        min_size=1,
        max_size=20,
    )
)
def test_whichever_nodes_are_stopped_at_most_one_acts_and_in_the_end_one(steps):
    cluster = Cluster()
    for number, what, tenths in steps:
        getattr(cluster, what)(cluster.nodes[number].server)
        for _ in range(tenths):
            assert len(cluster.acting) <= 1
            cluster.wait(0.1)
    for node in cluster.nodes:
        cluster.resume(node.server)
    cluster.wait(8)
    assert len(cluster.acting) == 1


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
