"""The records of nodes and those that are kept for all of them become equal, whatever fails."""

from __future__ import annotations

import asyncio

import pytest

from cloudlink.admin.database import Change
from cloudlink.admin.replica import Replica
from cloudlink.cluster.clock import HybridClock
from cloudlink.server.administration.recordsync import RecordSync
from tests.support.clock import FakeClock


class Shelf:
    """Keeps shards, with revisions; fails while `trouble` is set."""

    def __init__(self):
        self.shards = {}
        self.writes = 0
        self.trouble = None
        self.reads = 0

    async def version(self):
        self._fail()
        return 1, self.writes

    async def get(self, shard):
        self._fail()
        self.reads += 1
        found = self.shards.get(shard, (0, []))
        await asyncio.sleep(0)  # others may write meanwhile
        return found

    async def update(self, shard, rows, revision):
        self._fail()
        if self.shards.get(shard, (0, []))[0] != revision:
            return False
        self.writes += 1
        self.shards[shard] = self.writes, [tuple(row) for row in rows]
        return True

    def _fail(self):
        if self.trouble is not None:
            raise self.trouble


class Node:
    def __init__(self, name, shelf):
        wall = FakeClock(1_800_000_000.0)
        self.replica = Replica(HybridClock(name, wall), wall)
        self.taken = []
        self.sync = RecordSync(self.replica, shelf, self.taken.extend)

    def ban(self, key, value=1):
        self.replica.stamp([Change("ban", key, value)])

    def value(self, key):
        found = self.replica.find("ban", key)
        return found and found.change.value


@pytest.fixture
def shelf():
    return Shelf()


async def until(is_so):
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110  # what is awaited is in no event loop's hands
            await asyncio.sleep(0.01)


def play(scenario):
    asyncio.run(scenario())


def test_what_one_node_changes_reaches_others_and_those_that_come_later(shelf):
    async def scenario():
        one, other = Node("a", shelf), Node("b", shelf)
        for each in (one, other):
            each.sync.start()
        one.ban("x")
        await until(lambda: other.value("x") == 1)
        one.ban("x", None)
        other.ban("y", 2)
        await until(lambda: one.value("y") == 2 and other.value("x") is None)
        for each in (one, other):
            await each.sync.finish()
        late = Node("c", shelf)
        late.sync.start()
        await until(lambda: len(late.taken) == 2)
        assert late.value("y") == 2
        assert late.replica.find("ban", "x").value is None
        assert [each.key for each in sorted(late.taken)] == ["x", "y"]
        await late.sync.finish()

    play(scenario)


def test_two_nodes_write_the_same_shard_at_once(shelf):
    async def scenario():
        nodes = [Node(name, shelf) for name in "abc"]
        for number, each in enumerate(nodes):
            each.ban("x", number)
        await asyncio.gather(*(each.sync.finish() for each in nodes))  # not started: nothing happens
        for each in nodes:
            each.sync.start()
        await until(lambda: len({each.replica.find("ban", "x") for each in nodes}) == 1)
        await asyncio.gather(*(each.sync.finish() for each in nodes))
        assert nodes[0].value("x") == 2  # the same time, and the last name

    play(scenario)


def test_trouble_is_logged_once_and_then_made_good(shelf, caplog):
    async def scenario():
        one = Node("a", shelf)
        shelf.trouble = ConnectionError("no NATS")
        one.sync.start()
        one.ban("x")
        await until(lambda: "no NATS" in caplog.text)
        shelf.trouble = None
        await until(lambda: shelf.writes)
        await one.sync.finish()

    play(scenario)
    assert len(caplog.records) == 1


def test_the_last_changes_are_written_at_the_end(shelf, caplog):
    async def scenario():
        one = Node("a", shelf)
        one.sync.start()
        await until(lambda: shelf.reads)
        one.ban("x")
        await one.sync.finish()
        assert shelf.writes == 1
        two = Node("b", shelf)
        two.sync.start()
        shelf.trouble = ConnectionError("no NATS")
        two.ban("y")
        await two.sync.finish()

    play(scenario)
    assert "no NATS" in caplog.text
