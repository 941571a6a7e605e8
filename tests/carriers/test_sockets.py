"""The carrier between workers: three nodes joined by socket pairs in one event loop."""

from __future__ import annotations

import asyncio
import socket

import pytest

from cloudlink.carriers.sockets import SocketCarrier
from cloudlink.cluster.carriers import MAX_BATCH_BYTES, MAX_WAITING_BYTES


class Node:
    """A carrier, and what it has told its receiver."""

    def __init__(self, name):
        self.name = name * 16
        self.carrier = SocketCarrier()
        self.batches = []
        self.lost = []
        self.happened = asyncio.Event()

    def on_batch(self, batch):
        self.batches.append(batch)
        self.happened.set()

    def on_lost(self, node):
        self.lost.append(node)
        self.happened.set()

    async def until(self, condition):
        while not condition(self):
            self.happened.clear()
            await self.happened.wait()


def join(one, other):
    ends = socket.socketpair()
    one.carrier.join(ends[0])
    other.carrier.join(ends[1])


@pytest.fixture
def nodes():
    made = []

    def make(names="ab"):
        made.extend(Node(name) for name in names)
        for place, node in enumerate(made):
            for other in made[:place]:
                join(node, other)
            node.carrier.start(node.name, node)
        return made

    yield make
    for node in made:
        node.carrier.close()


async def introduced(*nodes):
    """Wait until each node knows the others: `send` to a node that is not known is dropped."""
    for node in nodes:
        node.carrier.hello(b"hello")
    for node in nodes:
        await node.until(lambda node: len(node.batches) == len(nodes) - 1)
        node.batches.clear()


def run(test):
    asyncio.run(asyncio.wait_for(test, 20))


def test_hellos_reach_everybody_and_batches_one_node(nodes):
    async def test():
        a, b, c = nodes("abc")
        await introduced(a, b, c)
        assert a.carrier.send(b.name, b"for b")
        assert a.carrier.send(c.name, b"for c")
        await b.until(lambda node: node.batches == [b"for b"])
        await c.until(lambda node: node.batches == [b"for c"])
        assert a.batches == []

    run(test())


def test_batches_keep_their_order_and_bounds(nodes):
    async def test():
        a, b = nodes()
        await introduced(a, b)
        sent = [
            bytes([number % 256]) * size
            for number, size in enumerate([0, 1, MAX_BATCH_BYTES, 7, 300_000] * 5)
        ]
        for batch in sent:
            assert a.carrier.send(b.name, batch)
        await b.until(lambda node: len(node.batches) == len(sent))
        assert b.batches == sent

    run(test())


def test_a_node_that_is_not_known_is_no_error(nodes):
    async def test():
        (a,) = nodes("a")
        assert a.carrier.send("b" * 16, b"lost")
        a.carrier.forget("b" * 16)

    run(test())


def test_no_more_than_8_mib_wait_for_a_node_and_what_fits_arrives(nodes):
    async def test():
        a, b = nodes()
        await introduced(a, b)
        batch = bytes(MAX_BATCH_BYTES)
        accepted = 0
        while a.carrier.send(b.name, batch):
            accepted += 1
        assert MAX_WAITING_BYTES - len(batch) <= accepted * len(batch) <= MAX_WAITING_BYTES + (2 << 20)
        await b.until(lambda node: len(node.batches) == accepted)
        assert a.carrier.send(b.name, b"again")
        await b.until(lambda node: node.batches[-1:] == [b"again"])

    run(test())


def test_what_waits_for_a_node_can_be_dropped_but_no_batch_is_cut(nodes):
    async def test():
        a, b = nodes()
        await introduced(a, b)
        while a.carrier.send(b.name, bytes(MAX_BATCH_BYTES)):
            pass
        a.carrier.forget(b.name)
        assert a.carrier.send(b.name, b"next")
        await b.until(lambda node: node.batches[-1:] == [b"next"])
        assert {len(batch) for batch in b.batches} == {MAX_BATCH_BYTES, 4}
        assert len(b.batches) < 4

    run(test())


def test_the_end_of_a_process_is_noticed_at_once(nodes):
    async def test():
        a, b, c = nodes("abc")
        await introduced(a, b, c)
        b.carrier.close()
        await a.until(lambda node: node.lost == [b.name])
        assert a.carrier.send(b.name, b"to nobody")
        successor = Node("d")
        join(a, successor)
        successor.carrier.start(successor.name, successor)
        successor.carrier.hello(b"new")
        await a.until(lambda node: node.batches == [b"new"])
        assert a.carrier.send(successor.name, b"welcome")
        await successor.until(lambda node: node.batches == [b"welcome"])
        successor.carrier.close()

    run(test())


def test_a_worker_that_sends_nonsense_is_cut_off(nodes, caplog):
    async def test():
        (a,) = nodes("a")
        mine, theirs = socket.socketpair()
        a.carrier.join(mine)
        theirs.sendall(b"\0\0\0\x10" + b"e" * 16 + b"\xff\xff\xff\xff")
        await a.until(lambda node: node.lost == ["e" * 16])
        theirs.close()

    run(test())
    assert "a batch of 4294967295 bytes" in caplog.text


def test_nothing_is_told_after_the_end(nodes):
    async def test():
        a, b = nodes()
        await introduced(a, b)
        b.carrier.hello(b"late")
        a.carrier.close()
        b.carrier.close()
        await asyncio.sleep(0)
        assert a.batches == []

    run(test())
