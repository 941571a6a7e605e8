"""The store of a server of several processes: what it passes on to the other nodes, and what to the file."""

from __future__ import annotations

import pytest

from cloudlink.cluster.clock import HybridClock
from cloudlink.cluster.cloud import Cloud
from cloudlink.cluster.records import CloudClosed, CloudOpened, CloudValues, Stamp
from cloudlink.counters import StoreCondition
from cloudlink.server.protocols.scratch.sharedstore import SharedStore
from cloudlink.storage import MemoryStore
from tests.support.clock import FakeClock

DOWN = StoreCondition(is_up=False, waiting=3)


class File(MemoryStore):
    """A store in memory that notes what a file would do."""

    condition = DOWN

    def __init__(self):
        super().__init__()
        self.calls = []
        self.watchers = []
        self.full = set()

    def start(self, call_soon):
        self.calls.append(("start", call_soon))

    def has_place(self, room, name, value, writer):
        return (room, name, value, writer) not in self.full

    def touch(self, room):
        self.calls.append(("touch", room))

    def limit(self, max_size, keep_days):
        self.calls.append(("limit", max_size, keep_days))

    def watch(self, changed):
        self.watchers.append(changed)

    def close(self):
        self.calls.append(("close",))


class Saver:
    """A store of a cluster without a common file; a test answers its requests."""

    def __init__(self):
        self.loads = []

    def load(self, project, done):
        self.loads.append((project, done))

    def save(self, project, changes, done):
        raise AssertionError("nothing is saved here")


class Node:
    """The shared store of a node, in memory."""

    def __init__(self, saver=None, file=None):
        self.clock = FakeClock()
        self.sent = []
        self.cloud = Cloud(
            HybridClock("a", self.clock),
            self.clock,
            "a",
            lambda nodes, record: self.sent.append((nodes, record)),
        )
        self.store = SharedStore(self.cloud, saver, file)
        self.seen = []
        self.store.watch(lambda *change: self.seen.append(change))
        self.store.start(print)

    def pass_time(self):
        self.clock.now += 1.0
        self.cloud.tick()


def other(name, value):
    """A value that another node sets."""
    return CloudValues("1", [(name, value, Stamp(10**12, "b"))])


def test_without_a_file_values_live_on_the_nodes():
    node = Node()
    assert node.store.condition == StoreCondition()
    assert node.store.load("1") == {}
    node.cloud.on_opened("b", "1")
    assert node.store.has_place("1", "x", b"1", "10.0.0.1")
    assert node.store.offer("1", "x", b"1", "10.0.0.1")
    node.store.save("1", "y", b"2")
    node.store.delete("1", "x")
    assert node.store.load("1") == {"y": b"2"}
    told = [
        record.values[0][:2] for nodes, record in node.sent if type(record) is CloudValues and record.values
    ]
    assert told == [("x", b"1"), ("y", b"2"), ("x", None)]
    for harmless in (lambda: node.store.touch("1"), lambda: node.store.limit(None, 0)):
        harmless()
    node.store.close()
    assert node.cloud.open_projects == []


def test_watchers_hear_of_the_changes_of_other_nodes_only():
    node = Node()
    more = []
    node.store.watch(lambda *change: more.append(change))
    node.store.load("1")
    node.store.save("1", "mine", b"1")
    node.cloud.on_values("b", other("x", b"2"))
    node.cloud.on_values("b", CloudValues("1", [("x", None, Stamp(10**12 + 1, "b"))]))
    assert node.seen == more == [("1", "x", b"2"), ("1", "x", None)]


def test_a_project_is_open_from_load_to_unload():
    node = Node()
    node.store.load("1")
    node.store.load("1")
    assert node.sent == [(None, CloudOpened("1"))]
    node.store.unload("1")
    assert node.sent[1:] == [(None, CloudClosed("1"))]


def test_values_that_come_late_reach_the_watchers():
    saver = Saver()
    node = Node(saver)
    assert node.store.load("1") == {}
    assert node.seen == []
    ((project, done),) = saver.loads
    done({"x": b"1", "y": b"2"})
    assert (project, node.seen) == ("1", [("1", "x", b"1"), ("1", "y", b"2")])
    assert node.store.load("1") == {"x": b"1", "y": b"2"}


def test_a_file_is_read_at_once_and_written_soon():
    file = File()
    file.save("1", "x", b"1")
    node = Node(file=file)
    assert file.calls == [("start", print)]
    assert node.store.load("1") == {"x": b"1"}
    node.store.save("1", "y", b"2", "10.0.0.1")
    node.store.delete("1", "x")
    assert file.load("1") == {"x": b"1"}
    node.pass_time()
    assert file.load("1") == {"y": b"2"}
    node.store.unload("1")
    assert node.cloud.open_projects == [], "the file has said that it keeps the values"


def test_watchers_hear_of_changes_in_the_file():
    file = File()
    node = Node(file=file)
    node.store.load("1")
    (changed,) = file.watchers
    changed("1", "x", b"5")
    assert node.seen == [("1", "x", b"5")]
    assert node.store.load("1") == {"x": b"5"}


@pytest.mark.parametrize("value", [b"1", None])
def test_a_file_says_what_has_place(value):
    file = File()
    node = Node(file=file)
    node.store.load("1")
    file.full.add(("1", "x", value, "10.0.0.1"))
    assert not node.store.has_place("1", "x", value, "10.0.0.1")
    assert node.store.has_place("1", "x", value, "10.0.0.2")
    if value is not None:
        assert not node.store.offer("1", "x", value, "10.0.0.1")
        assert node.store.load("1") == {}
        assert node.store.offer("1", "x", value, "10.0.0.2")
        assert node.store.load("1") == {"x": value}


def test_a_file_is_told_what_else_concerns_it():
    file = File()
    node = Node(file=file)
    assert node.store.condition is DOWN
    node.store.load("1")
    node.store.save("1", "x", b"1")
    node.store.touch("1")
    node.store.limit(1 << 20, 30)
    node.store.close()
    assert file.load("1") == {"x": b"1"}, "what waits is saved first"
    assert file.calls[1:] == [("touch", "1"), ("limit", 1 << 20, 30), ("close",)]
