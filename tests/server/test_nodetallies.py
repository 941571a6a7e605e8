"""The nodes of a cluster count the connections of an address together."""

from __future__ import annotations

import pytest

from cloudlink.cluster.records import InvalidBatch
from cloudlink.server.nodetallies import TOPIC, NodeTallies
from cloudlink.transport.tallies import LocalTallies
from tests.support.clusters import MemoryCluster

SECRET = b"the secret of the tests"
SCHOOL = "198.51.100.7"


class Nodes:
    """The tallies of some servers."""

    def __init__(self, count=2, **options):
        self.cluster = MemoryCluster(count=count)
        self.tallies = [
            NodeTallies(server.cluster, LocalTallies(), SECRET, **options) for server in self.cluster.servers
        ]

    def open(self, number, times=1, key=SCHOOL):
        for _ in range(times):
            self.tallies[number].acquire(key)
        self.cluster.settle()

    def close(self, number, times=1, key=SCHOOL):
        for _ in range(times):
            self.tallies[number].release(key)
        self.cluster.settle()

    def tick(self):
        for tallies in self.tallies:
            tallies.tick()
        self.cluster.settle()

    def held(self, key=SCHOOL):
        return [tallies.held(key) for tallies in self.tallies]


@pytest.fixture
def nodes():
    return Nodes()


def test_connections_at_one_node_count_at_the_other_at_once(nodes):
    nodes.open(0, 3)
    assert nodes.held() == [3, 3]
    nodes.open(1, 2)
    assert nodes.held() == [5, 5]
    nodes.close(0, 2)
    nodes.close(1, 2)
    nodes.tick()
    assert nodes.held() == [1, 0]  # one alone is not told
    assert nodes.held("198.51.100.8") == [0, 0]


@pytest.mark.parametrize("most", [4, 40, 500])
@pytest.mark.parametrize("count", [2, 3])
def test_all_together_admit_at_most_half_more_than_the_limit(most, count):
    nodes = Nodes(count)
    admitted = 0
    for number in range(2 * count * most):
        if nodes.held()[number % count] < most:
            nodes.open(number % count)
            admitted += 1
    assert most <= admitted <= 1.5 * most


def test_few_records_are_sent_while_many_connect(nodes):
    node = nodes.cluster.servers[0].cluster.node
    before = node.counts["sent"]
    nodes.open(0, 500)
    assert node.counts["sent"] - before < 60
    assert nodes.held()[1] >= 500 * 8 / 9
    nodes.tick()
    assert nodes.held() == [500, 500]
    before = node.counts["sent"]
    for _ in range(8):
        nodes.tick()
    assert node.counts["sent"] == before


def test_the_counts_of_a_node_that_is_gone_are_dropped(nodes):
    nodes.open(0, 5)
    nodes.cluster.kill(nodes.cluster.servers[0])
    nodes.tallies[1].tick()
    assert nodes.tallies[1].held(SCHOOL) == 0


def test_a_node_that_comes_later_hears_all(nodes):
    nodes.open(0, 5)
    server = nodes.cluster.add()
    nodes.cluster.wait(1)
    nodes.tallies.append(NodeTallies(server.cluster, LocalTallies(), SECRET))
    nodes.tick()
    assert nodes.held() == [5, 5, 5]


def test_what_was_lost_is_told_again(nodes):
    carrier = nodes.cluster.carrier_of(nodes.cluster.servers[1])
    nodes.open(0, 5)
    nodes.open(0, 3, "198.51.100.8")
    nodes.tick()
    carrier.is_cut_off = True
    nodes.close(0, 5)
    nodes.close(0, 3, "198.51.100.8")
    nodes.cluster.servers[0].cluster.node.flush()
    carrier.is_cut_off = False
    nodes.open(0, 2)
    for _ in range(10):
        nodes.cluster.wait(1)
        nodes.tick()
    assert nodes.held() == [2, 2]
    assert nodes.held("198.51.100.8") == [0, 0]


def test_a_node_tells_the_addresses_with_most_connections(nodes):
    for number in range(1000):
        nodes.open(0, 2, f"203.0.113.{number}")
    nodes.open(0, 9)
    assert nodes.held() == [9, 0]
    nodes.tick()
    assert nodes.held() == [9, 9]
    assert sum(nodes.tallies[1].held(f"203.0.113.{number}") for number in range(1000)) == 2 * 999


def test_nodes_of_one_machine_that_count_together_do_not_count_twice():
    cluster = MemoryCluster(count=3)
    shared = LocalTallies()
    one, two = [NodeTallies(server.cluster, shared, SECRET, machine=b"m") for server in cluster.servers[:2]]
    elsewhere = NodeTallies(cluster.servers[2].cluster, LocalTallies(), SECRET, machine=b"n")
    for tallies in (one, one, two, two, two, elsewhere, elsewhere):
        tallies.acquire(SCHOOL)
    cluster.settle()
    assert [tallies.held(SCHOOL) for tallies in (one, two, elsewhere)] == [7, 7, 7]


def test_other_things_that_are_counted_of_an_address_stay_at_the_node(nodes):
    nodes.open(0, 5, f"{SCHOOL} waiting")
    nodes.tick()
    assert nodes.held(f"{SCHOOL} waiting") == [5, 0]
    assert nodes.held() == [0, 0]


def test_no_address_is_sent(nodes):
    heard = []
    nodes.cluster.servers[1].cluster.on_record(TOPIC, lambda _, record: heard.append(record))
    nodes.open(0, 5)
    assert heard
    assert not any(SCHOOL.encode() in record for record in heard)


def test_tags_differ_between_clusters(nodes):
    heard = []
    nodes.cluster.servers[1].cluster.on_record(TOPIC, lambda _, record: heard.append(record))
    nodes.open(0, 2)
    nodes.tallies[0] = NodeTallies(nodes.cluster.servers[0].cluster, LocalTallies(), b"another secret")
    nodes.open(0, 2)
    assert len(set(heard)) == 2


@pytest.mark.parametrize(
    "record",
    [b"", b"\xc0", b"\x93\xc4\x00\xc3\x81\xc4\x01a\xff", b"\x93\xc4\x00\xc3\xdf\xff\xff\xff\xff"],
    ids=["nothing", "none", "negative", "cut"],
)
def test_records_that_make_no_sense_are_counted(nodes, record):
    one, two = nodes.cluster.servers
    one.cluster.publish_record(TOPIC, record)
    nodes.cluster.settle()
    assert two.cluster.node.counts["invalid"] == 1
    assert nodes.held() == [0, 0]


def test_a_table_that_is_too_long_is_refused(nodes):
    tags = {number.to_bytes(8): 2 for number in range(1001)}
    with pytest.raises(InvalidBatch):
        nodes.tallies[1]._hear("n1", pytest.importorskip("msgspec").msgpack.encode((b"", True, tags)))
