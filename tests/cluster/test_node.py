"""Single rules of the protocol between nodes, with a network of lists and a clock that the tests move."""

from __future__ import annotations

import logging

import pytest

from cloudlink.cluster.carriers import MAX_BATCH_BYTES
from cloudlink.cluster.node import Node
from cloudlink.cluster.records import (
    Gone,
    Hello,
    Part,
    Private,
    RoomVariable,
    Row,
    Stamp,
    decode_all,
    encode,
    seal,
    unseal,
)
from cloudlink.cluster.variables import Variables
from tests.support.clock import FakeClock

IDS = [f"{number:016x}" for number in range(1, 6)]


class Net:
    """Joins carriers; nothing moves before `settle`."""

    def __init__(self):
        self.clock = FakeClock()
        self.peers = []

    def add(self, name, **options):
        peer = Peer(self, IDS[len(self.peers)], name, **options)
        self.peers.append(peer)
        peer.node.start()
        return peer

    def settle(self):
        while any(peer.inbox for peer in self.peers):
            for peer in self.peers:
                inbox, peer.inbox = peer.inbox, []
                for batch in inbox:
                    peer.node.on_batch(batch)
            for peer in self.peers:
                peer.node.flush()

    def wait(self, seconds, step=0.1):
        for _ in range(round(seconds / step)):
            self.clock.now += step
            for peer in self.peers:
                if peer.is_running:
                    peer.node.tick()
            self.settle()


class Peer:
    """A node with its carrier and its host; it notes what it is told."""

    clients = 0

    def __init__(self, net, node, name, *, echoes=False, **options):
        self.net = net
        self.id = node
        self.echoes = echoes
        self.inbox = []
        self.told = []
        self.batches = []
        self.is_running = True
        self.is_cut_off = False
        self.is_full = False
        self.node = Node(node, name, self, self, now=net.clock, wall=net.clock, **options)

    # The carrier.

    def start(self, node, receiver):
        pass

    def hello(self, batch):
        for peer in self.net.peers:
            if (peer is not self or self.echoes) and peer.is_running and not self.is_cut_off:
                peer.inbox.append(batch)

    def send(self, node, batch):
        if self.is_full:
            return False
        self.batches.append(batch)
        for peer in self.net.peers:
            if peer.id == node and peer.is_running and not self.is_cut_off:
                peer.inbox.append(batch)
        return True

    def forget(self, node):
        self.told.append(("forget", node))

    def close(self):
        pass

    # The host.

    def schedule_flush(self):
        pass

    def is_shared(self, protocol, room, node):
        return True

    def __getattr__(self, name):
        if not name.startswith(("on_", "dismiss")):
            raise AttributeError(name)
        return lambda *arguments: self.told.append((name, *arguments))

    def heard(self, *names):
        """What was told since the last call, of some kinds or of all."""
        told, self.told = self.told, []
        return [each for each in told if not names or each[0] in names]


@pytest.fixture
def net():
    return Net()


@pytest.fixture
def pair(net):
    one, two = net.add("n1"), net.add("n2")
    net.wait(1)
    for peer in (one, two):
        peer.heard()
    return one, two


def seen(peer):
    return [link.name for link in peer.node.others]


def test_nodes_meet_at_once_and_tell_of_all_users(net):
    one = net.add("n1")
    one.node.joined("1", "u1", "alice", "cl4", "arena")
    one.node.joined("1", "u1", "alice", "cl4", "lobby")
    two = net.add("n2")
    net.wait(0.5)
    assert (seen(one), seen(two)) == (["n2"], ["n1"])
    ((_, node, rows),) = two.heard("on_users")
    assert node == one.id
    assert [(row.username, row.rooms) for row in rows.values()] == [("alice", ["arena", "lobby"])]


def test_a_starting_node_waits_for_the_users_of_others(net):
    one = net.add("n1")
    net.wait(0.2)
    assert not one.node.is_ready
    net.wait(0.2)
    assert one.heard("on_ready") == [("on_ready", 0)]
    two = net.add("n2")
    net.wait(0.6)
    assert two.heard("on_ready", "on_users")[-1] == ("on_ready", 1)


def test_a_starting_node_on_a_bus_waits_for_the_next_hello_of_others(net):
    one = net.add("n1", echoes=True)
    net.wait(1.0)
    assert one.heard("on_ready") == []
    net.wait(0.3)
    assert one.heard("on_ready") == [("on_ready", 0)]


def test_a_starting_node_waits_three_seconds_at_most(net):
    net.add("n1").is_cut_off = True
    two = net.add("n2")
    two.is_cut_off = True
    net.peers[0].is_cut_off = False  # it is heard, but does not hear
    net.wait(2.8)
    assert not two.node.is_ready
    net.wait(0.4)
    assert two.node.is_ready


def test_changes_of_users_arrive_in_order(pair, net):
    one, two = pair
    one.node.joined("1", "u1", None, "cl4", "arena")
    one.node.renamed("1", "alice")
    one.node.renamed("nobody", "mallory")
    one.node.left("1", "arena")
    one.node.left("1", "nowhere")
    one.node.gone("1")
    one.node.gone("1")
    net.settle()
    one.node.flush()
    net.settle()
    kinds = [(kind, *rest) for kind, node, *rest in two.heard()]
    assert [kind for kind, *_ in kinds] == ["on_user", "on_user", "on_left", "on_gone"]
    assert [row.username for kind, row in kinds[:2]] == [None, "alice"]


def test_a_silent_node_is_down_after_three_seconds(pair, net, caplog):
    caplog.set_level(logging.INFO)
    one, two = pair
    two.clients = 120
    net.wait(1)
    two.is_running = False
    net.wait(2)
    assert seen(one) == ["n2"]
    net.wait(1.2)
    assert seen(one) == []
    assert ("on_down", two.id) in one.heard()
    assert "Node n2 is gone: nothing heard for 3 s; its 120 clients are taken out." in caplog.text


def test_a_node_that_ends_is_down_at_once(pair, net):
    one, two = pair
    one.node.on_lost("nobody")
    one.node.on_lost(two.id)
    assert one.heard("on_down") == [("on_down", two.id)]
    net.wait(1.5)
    assert seen(one) == ["n2"]  # it was not true
    two.node.stop()
    net.settle()
    assert one.heard("on_down") == [("on_down", two.id)]
    net.wait(2)
    assert seen(one) == []


def test_a_node_that_is_started_again_takes_its_own_place(pair, net):
    one, two = pair
    two.is_running = False
    net.clock.now += 0.1
    again = net.add("n2")
    net.settle()
    assert one.node.counts["invalid"] == 1  # the former one may still be there
    net.wait(1.5)
    assert one.heard("on_down") == [("on_down", two.id)]
    assert [link.id for link in one.node.others] == [again.id]


def test_a_stolen_name_is_ignored(pair, net, caplog):
    one, two = pair
    thief = net.add("n2")
    net.wait(5)
    assert [link.id for link in one.node.others] == [two.id]
    assert seen(thief) == ["n1"] or seen(thief) == []
    assert caplog.text.count("Another node is called 'n2', too") >= 1
    assert one.node.counts["invalid"] > 3


def test_our_own_late_timer_takes_nobody_down(pair, net):
    one, two = pair
    net.clock.now += 10
    one.node.tick()
    assert seen(one) == ["n2"]
    two.node.tick()
    net.settle()
    net.wait(2)
    assert seen(one) == ["n2"]
    assert one.heard("on_down") == []


def test_a_node_that_may_have_died_is_reported_before_it_is_down(pair, net):
    one, two = pair
    two.node.is_responsible = True
    net.wait(2)
    died_at = net.clock.now
    two.is_running = False
    while not one.heard("on_quiet"):
        net.wait(0.1)
    assert 1.4 < net.clock.now - died_at < 2.2
    assert one.node.others[0].is_quiet
    net.wait(0.5)
    assert one.heard("on_quiet", "on_down") == []
    two.is_running = True
    net.wait(0.2)
    assert not one.node.others[0].is_quiet
    assert two.heard("on_absence") == [("on_absence",)]


def test_a_node_that_did_not_run_itself_calls_nobody_silent(pair, net):
    one, two = pair
    net.clock.now += 10
    assert one.node.is_absent
    one.node.tick()
    assert not one.node.is_absent
    assert one.heard("on_quiet") == []
    two.is_running = False
    net.wait(0.9)
    assert one.heard("on_quiet") == []
    net.wait(0.3)
    assert one.heard("on_quiet") == [("on_quiet", two.id)]


def test_a_node_that_sees_no_others_may_have_been_absent_too(net):
    one = net.add("n1")
    net.wait(2)
    assert one.heard("on_absence") == []
    net.clock.now += 10
    one.node.tick()
    assert one.heard("on_absence") == [("on_absence",)]


def test_newcomers_do_not_wait_for_the_values_of_a_silent_node(pair, net):
    one, two = pair
    two.node.cloud.open("104", lambda values: None)
    net.wait(0.5)
    two.is_running = False
    net.wait(1)
    opened = []
    one.node.cloud.open("104", opened.append)
    assert opened == []
    net.wait(1.2)
    assert opened == [{}]
    one.node.cloud.close("104")
    one.node.cloud.open("104", opened.append)
    assert opened == [{}, {}]


def test_a_link_that_only_one_side_hears_is_down(pair, net):
    one, two = pair
    two.is_cut_off = True
    net.wait(7)
    assert (seen(one), seen(two)) == ([], [])
    two.is_cut_off = False
    net.wait(1.5)
    assert (seen(one), seen(two)) == (["n2"], ["n1"])


def test_a_lost_batch_leads_to_a_snapshot(pair, net):
    one, two = pair
    one.node.joined("1", "u1", "alice", "cl4", "arena")
    one.node.flush()
    two.inbox.clear()
    net.wait(2.5)
    ((_, _, rows),) = two.heard("on_users")
    assert list(rows) == ["1"]


def test_long_records_travel_in_parts(pair, net):
    one, two = pair
    event = bytes(range(256)) * 8192
    one.node.publish([two.id], "cl4", "arena", event)
    one.node.publish([two.id], "cl4", "arena", b"short")
    one.node.flush()
    assert len(one.batches) > 2
    assert max(map(len, one.batches)) <= MAX_BATCH_BYTES
    net.settle()
    assert [record.event for _, _, record in two.heard("on_event")] == [event, b"short"]


def test_a_thousand_messages_arrive_in_order_each_once(pair, net):
    one, two = pair
    for number in range(1000):
        one.node.publish([two.id, "nobody"], "cl4", "arena", b"%d" % number)
    one.node.flush()
    net.settle()
    assert [int(record.event) for _, _, record in two.heard("on_event")] == list(range(1000))


def test_a_full_carrier_drops_messages_and_catches_up_with_users(pair, net, caplog):
    one, two = pair
    one.is_full = True
    one.node.joined("1", "u1", "alice", "cl4", "arena")
    one.node.publish([two.id], "cl4", "arena", b"lost")
    one.node.flush()
    one.node.publish([two.id], "cl4", "arena", b"lost, too")
    one.node.joined("2", "u2", "bob", "cl4", "arena")
    net.wait(1)
    assert one.node.counts["dropped"] == 3
    assert caplog.text.count("A node takes less than is sent to it") == 1
    one.is_full = False
    net.wait(0.5)
    ((_, _, rows), *_) = two.heard("on_users")
    assert {row.username for row in rows.values()} == {"alice", "bob"}


def test_the_older_bearer_of_a_name_keeps_it(net):
    one, two = net.add("n1", unique_names=True), net.add("n2", unique_names=True)
    one.node.joined("1", "u1", "alice", "cl4", "arena")
    net.clock.now += 0.01
    two.node.joined("2", "u2", "alice", "cl4", "arena")
    two.node.joined("3", "u3", "bob", "cl4", "arena")
    net.wait(1)
    assert one.heard("dismiss") == []
    assert set(two.heard("dismiss")) == {("dismiss", "2", "alice")}


def test_a_bus_that_does_not_answer_is_noticed(net, caplog):
    caplog.set_level(logging.INFO)
    one, two = net.add("n1", echoes=True), net.add("n2", echoes=True)
    net.wait(1)
    one.is_cut_off = two.is_cut_off = True
    net.wait(2)
    assert not one.node.is_cut_off
    net.wait(1.5)
    assert one.node.is_cut_off
    assert "The cluster is cut off: NATS does not answer; this node goes on alone." in caplog.text
    one.is_cut_off = two.is_cut_off = False
    one.node.on_bus(True)
    two.node.on_bus(True)
    net.wait(2)
    assert not one.node.is_cut_off
    assert "The cluster is back: it sees 1 others." in caplog.text


# What strangers and faulty nodes send.


def hostile(one, two):
    """Batches that no node of this cluster would send."""
    record = encode(Gone("1"))
    hello = encode(Hello("n9", 0))
    return {
        "nothing": b"",
        "text": b"hello",
        "not a batch": encode([1, 2, 3]),
        "a hello of nothing": seal(b"", "f" * 16, 0, 1, {}, []),
        "a hello without a hello": seal(b"", "f" * 16, 0, 1, {}, [record]),
        "another type": encode([1, "f" * 16, "x", 1, {}, []]),
        "another version": encode([2, "f" * 16, 0, 1, {}, [[1, "n9", 0]]]),
        "a nested bomb": b"\x91" * 100_000,
        "a hello in a stream": seal(
            b"", two.id, two.node._streams._epoch, 99, {one.id: (one.node._streams.hello, 0, 0)}, [hello]
        ),
    }


HOSTILE = (
    "nothing",
    "text",
    "not a batch",
    "a hello of nothing",
    "a hello without a hello",
    "another type",
    "another version",
    "a nested bomb",
    "a hello in a stream",
)


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_batches_are_counted_and_harmless(pair, net, caplog, kind):
    one, two = pair
    for _ in range(1000):
        one.node.on_batch(hostile(one, two)[kind])
    assert len(caplog.records) <= 1
    net.wait(2.5)
    assert seen(one) == ["n2"]
    assert one.heard("on_down", "on_gone") == []
    if kind != "a hello in a stream":  # a gap, which costs a snapshot
        assert one.node.counts["invalid"] == 1000
    if kind == "another version":
        assert "Node 'n9' speaks cluster protocol 2, this one 1: they do not see each other." in caplog.text


def test_a_record_that_does_not_parse_costs_nothing_else(pair, net, caplog):
    one, two = pair
    outgoing = two.node.links[one.id].outgoing
    outgoing.records += [encode([99, "?"]), encode(Hello("n2", 1))]
    two.node.publish([one.id], "cl4", "arena", b"hi")
    two.node.flush()
    net.settle()
    assert [record.event for _, _, record in one.heard("on_event")] == [b"hi"]
    assert one.node.counts["invalid"] == 2
    assert "A record of node n2 was ignored" in caplog.text


def test_a_stranger_without_the_secret_is_not_heard(net, caplog):
    one, two = net.add("n1", secret=b"s" * 16), net.add("n2", secret=b"s" * 16)
    stranger = net.add("n3", secret=b"t" * 16)
    unsigned = net.add("n4")
    net.wait(2)
    assert (seen(one), seen(two), seen(stranger), seen(unsigned)) == (["n2"], ["n1"], [], [])
    one.heard()
    changed = bytearray(two.batches[-1])
    changed[-1] ^= 1
    one.node.on_batch(bytes(changed))
    assert one.heard() == []


def test_a_repeated_batch_has_no_effect(net):
    one, two = net.add("n1", secret=b"s" * 16), net.add("n2", secret=b"s" * 16)
    net.wait(1)
    two.node.publish([one.id], "cl4", "arena", b"once")
    two.node.flush()
    recorded = list(two.batches)
    net.settle()
    assert len(one.heard("on_event")) == 1
    for batch in recorded:
        one.node.on_batch(batch)
        two.node.on_batch(batch)  # also not when it is sent to somebody else
    assert one.heard("on_event", "on_users") == two.heard("on_event") == []


def test_recorded_hellos_do_not_bring_back_the_dead(net):
    one, two = net.add("n1"), net.add("n2")
    recorded = []
    hello = two.hello
    two.hello = lambda batch: (recorded.append(batch), hello(batch))
    net.wait(3)
    two.is_running = False
    net.wait(620)  # until it is forgotten
    assert two.id not in one.node.links
    one.heard()
    for batch in (*recorded, *two.batches):
        one.node.on_batch(batch)
    assert seen(one) == []
    assert one.heard("on_users", "on_user", "on_event") == []


def test_a_batch_survives_sealing():
    row = Row("1", "u", None, Stamp(5, "n"), "cl4", ["arena"])
    sealed = seal(b"secret", IDS[0], 3, 4, {IDS[1]: (1, 2, 3)}, [encode(row)])
    found = unseal(b"secret", sealed)
    assert (found.sender, found.epoch, found.seq, found.hears) == (IDS[0], 3, 4, {IDS[1]: (1, 2, 3)})
    assert decode_all(found.records) == [row]


def test_private_events_reach_one_node(net):
    one, two, three = net.add("n1"), net.add("n2"), net.add("n3")
    net.wait(1)
    one.node.send(two.id, "7", "arena", b"psst")
    one.node.publish_topic("score", b"1")
    one.node.flush()
    net.settle()
    assert next(type(record) for _, _, record in two.heard("on_event")) is Private
    assert [record.topic for _, _, record in three.heard("on_event")] == ["score"]


def test_records_that_cannot_be_read_are_counted_and_the_others_arrive(net):
    one, two = net.add("n1"), net.add("n2")
    net.wait(1)
    one.node.publish([two.id], "cl4", "arena", b"first")
    link = next(iter(one.node.links.values()))
    link.outgoing.records += [b"\xc0", encode(Part(encode(Part(b"", is_last=True)), is_last=True))]
    one.node.publish([two.id], "cl4", "arena", b"last")
    one.node.flush()
    net.settle()
    assert [record.event for _, _, record in two.heard("on_event")] == [b"first", b"last"]
    assert two.node.counts["invalid"] == 2


def test_texts_that_utf_8_cannot_express_pass(net):
    one, two = net.add("n1"), net.add("n2")
    net.wait(1)
    one.node.publish([two.id], "cl4", "\ud800", b"event")
    one.node.flush()
    net.settle()
    assert [record.room for _, _, record in two.heard("on_event")] == ["\ud800"]


class TestVariables:
    @pytest.fixture
    def clock(self):
        return FakeClock()

    def put(self, variables, name, time, event=b""):
        return variables.put(RoomVariable("arena", "cl4", name, Stamp(time, "n"), event))

    def test_older_values_are_refused_for_ten_seconds(self, clock):
        variables = Variables(clock)
        assert self.put(variables, b"v", 5)
        for _ in range(2):
            assert not self.put(variables, b"v", 5)
            assert not self.put(variables, b"v", 4)
            clock.now += 9.9
            variables.tick()
        assert variables.find("cl4", "arena", b"v").stamp.time == 5
        assert self.put(variables, b"v", 6)
        assert len(variables) == 1

    def test_values_are_forgotten(self, clock):
        variables = Variables(clock)
        self.put(variables, b"v", 5)
        for _ in range(2):
            clock.now += 10
            variables.tick()
        assert list(variables) == []
        assert self.put(variables, b"v", 4)

    def test_a_value_that_changes_all_the_time_is_remembered(self, clock):
        variables = Variables(clock)
        for time in range(100):
            assert self.put(variables, b"v", time)
            clock.now += 1
            variables.tick()
            assert [each.stamp.time for each in variables] == [time]

    def test_the_memory_is_bounded(self, clock):
        variables = Variables(clock, most_bytes=100_000)
        for number in range(1000):
            self.put(variables, b"%d" % number, number, bytes(500))
        assert 40 <= len(variables) <= 100
        for number in range(1000):
            self.put(variables, b"one", 1000 + number, bytes(number))
        assert variables.find("cl4", "arena", b"one").event == bytes(999)
        self.put(variables, b"one", 3000, bytes(200_000))
        self.put(variables, b"two", 3000, bytes(200_000))
        assert [each.name for each in variables] == [b"two"]
