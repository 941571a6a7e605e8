"""NATS as carrier and as store, with a real server."""

from __future__ import annotations

import asyncio
import sys

import pytest

from cloudlink.carriers.nats import NatsCarrier
from cloudlink.carriers.natsbus import NatsBus
from cloudlink.carriers.natsstore import NatsStore
from cloudlink.errors import StartError
from tests.support.natsserver import NatsServer

A, B = "a" * 16, "b" * 16


class Node:
    """A carrier on a connection of its own, and what it has told its receiver."""

    def __init__(self, node, url, name="test"):
        self.node = node
        self.bus = NatsBus(url)
        self.carrier = NatsCarrier(self.bus, name)
        self.batches = []
        self.bus_changes = []
        self.happened = asyncio.Event()

    def on_batch(self, batch):
        self.batches.append(batch)
        self.happened.set()

    def on_lost(self, node):
        raise AssertionError(node)

    def on_bus(self, is_up):
        self.bus_changes.append(is_up)
        self.happened.set()

    async def until(self, condition):
        while not condition(self):
            self.happened.clear()
            await self.happened.wait()

    async def subscribed(self):
        """Wait until NATS has the subscriptions.

        The library sends a PING ahead of what waits to be written, so only the answer to a second one comes after them.
        """
        await self.bus.client.flush()
        await self.bus.client.flush()

    async def close(self):
        self.carrier.close()
        self.bus.close()
        await self.bus.closed()


@pytest.fixture(scope="module")
def nats(tmp_path_factory):
    with NatsServer(tmp_path_factory.mktemp("jetstream")) as running:
        yield running


def with_nodes(url, test, names=("test", "test")):
    """Run `test` with two nodes that hear each other."""

    async def run():
        nodes = [Node(node, url, name) for node, name in zip((A, B), names, strict=True)]
        try:
            for node in nodes:
                await node.bus.connect()
                node.carrier.start(node.node, node)
                await asyncio.sleep(0)  # a task subscribes
                await node.subscribed()
            await test(*nodes)
        finally:
            for node in nodes:
                await node.close()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_hellos_reach_everybody_the_sender_included_and_batches_one_node(nats):
    async def test(a, b):
        a.carrier.hello(b"hello")
        await a.until(lambda node: node.batches == [b"hello"])
        await b.until(lambda node: node.batches == [b"hello"])
        sent = [b"%d" % number for number in range(500)]
        for batch in sent:
            assert a.carrier.send(B, batch)
        await b.until(lambda node: len(node.batches) == 501)
        assert b.batches[1:] == sent
        assert a.batches == [b"hello"]

    with_nodes(nats.url, test)


def test_clusters_of_different_names_do_not_hear_each_other(nats):
    async def test(a, b):
        a.carrier.hello(b"hello")
        a.carrier.send(B, b"for b")
        await a.until(lambda node: node.batches)
        await b.subscribed()
        assert b.batches == []

    with_nodes(nats.url, test, ("one", "other"))


def test_no_more_than_8_mib_wait_for_a_node(nats):
    async def test(a, b):
        accepted = 0
        while a.carrier.send(B, bytes(500_000)):  # without a turn of the loop, nothing leaves
            accepted += 1
        assert accepted == 16
        assert a.carrier.send("c" * 16, b"others are not affected")
        await b.until(lambda node: len(node.batches) == accepted)
        while a.carrier.send(B, bytes(500_000)):
            pass
        a.carrier.forget(B)
        assert a.carrier.send(B, b"next")
        await b.until(lambda node: node.batches[-1:] == [b"next"])
        assert len(b.batches) == accepted + 1

    with_nodes(nats.url, test)


def test_what_waits_at_the_end_is_sent(nats):
    async def test(a, b):
        a.carrier.send(B, b"last")
        a.carrier.hello(b"bye")
        a.carrier.close()
        a.bus.close()
        await b.until(lambda node: set(node.batches) == {b"last", b"bye"})

    with_nodes(nats.url, test)


def test_a_server_that_comes_back_is_found(tmp_path):
    with NatsServer(tmp_path) as server:

        async def test(a, b):
            server.kill()
            await a.until(lambda node: node.bus_changes == [False])
            await b.until(lambda node: node.bus_changes == [False])
            assert a.carrier.send(B, b"lost")
            server.start()
            await a.until(lambda node: node.bus_changes == [False, True])
            await b.until(lambda node: node.bus_changes == [False, True])
            await b.subscribed()
            a.carrier.send(B, b"found")
            await b.until(lambda node: node.batches == [b"found"])

        with_nodes(server.url, test)


# Storage.


async def saved(store, project, **changes):
    done = asyncio.get_running_loop().create_future()
    store.save(project, changes, done.set_result)
    return await done


async def loaded(store, project):
    done = asyncio.get_running_loop().create_future()
    store.load(project, done.set_result)
    return await done


def with_stores(url, test):
    async def run():
        buses = [NatsBus(url), NatsBus(url)]
        for bus in buses:
            await bus.connect()
        stores = [NatsStore(bus, "test") for bus in buses]
        for store in stores:
            await store.check()
        await test(*stores)
        for bus, store in zip(buses, stores, strict=True):
            store.close()
            bus.close()
            await bus.closed()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_values_of_a_project_are_there_for_everybody(nats):
    async def test(one, other):
        project = "any text/\0\ud800"
        assert await loaded(one, project) == {}
        assert await saved(one, project, x=b"1.0", y=b'"2"')
        assert await loaded(other, project) == {"x": b"1.0", "y": b'"2"'}
        assert await saved(other, project, x=None, z=b"3")
        assert await saved(one, project, y=b"4")  # with what it knew before
        assert await loaded(other, project) == {"y": b"4", "z": b"3"}
        assert await loaded(one, "any text") == {}

    with_stores(nats.url, test)


def test_two_that_save_at_once_lose_nothing(nats):
    async def test(one, other):
        saves = [saved((one, other)[number % 2], "busy", **{f"v{number}": b"1"}) for number in range(2)]
        assert await asyncio.gather(*saves) == [True, True]
        assert await loaded(one, "busy") == {"v0": b"1", "v1": b"1"}

    with_stores(nats.url, test)


def test_a_damaged_project_starts_empty(nats, caplog):
    async def test(one, other):
        assert await saved(one, "damaged", x=b"1")
        bucket = await other._opened_bucket()
        await bucket.put("ZGFtYWdlZA==", b"nonsense")
        assert await loaded(other, "damaged") == {}
        assert "project 'damaged' in NATS are damaged" in caplog.text
        assert await saved(one, "damaged", y=b"2")
        assert await loaded(other, "damaged") == {"y": b"2"}

    with_stores(nats.url, test)


def test_without_nats_nothing_is_safe_and_loading_waits(tmp_path):
    with NatsServer(tmp_path) as server:

        async def test(one, _other):
            assert await saved(one, "p", x=b"1")
            server.kill()
            loading = asyncio.ensure_future(loaded(one, "p"))
            while one._bus.is_up:  # noqa: ASYNC110  # the store tells nobody
                await asyncio.sleep(0.01)
            assert not await saved(one, "p", x=b"2")
            server.start()
            assert await loading == {"x": b"1"}
            assert await saved(one, "p", x=b"2")

        with_stores(server.url, test)


# Starting.


def error_of(work):
    with pytest.raises(StartError) as caught:
        asyncio.run(work)
    return str(caught.value)


def test_nats_without_jetstream(tmp_path):
    async def start(url):
        bus = NatsBus(url)
        await bus.connect()
        try:
            await NatsStore(bus, "test").check()
        finally:
            bus.close()
            await bus.closed()

    with NatsServer(tmp_path, jetstream=False) as server:
        assert error_of(start(server.url)) == (
            f"NATS at {server.url} has no JetStream, which cloud variables need; start it with -js, "
            'or set cloud = false or storage = "".'
        )


def test_no_nats_server(monkeypatch):
    monkeypatch.setattr("cloudlink.carriers.natsbus._FIRST_PATIENCE", 0.2)
    assert error_of(NatsBus("nats://u:hush@127.0.0.1:1").connect()) == (
        "No NATS server answers at nats://127.0.0.1:1; start one with: nats-server -js"
    )


def test_a_wrong_password(tmp_path):
    with NatsServer(tmp_path, "--user", "u", "--pass", "right!", jetstream=False) as server:
        address = f"127.0.0.1:{server.port}"
        assert error_of(NatsBus(f"nats://u:wrong@{address}").connect()) == (
            f"NATS at nats://{address} refuses the name or password in the setting cluster; correct them there."
        )

        async def right():
            bus = NatsBus(f"nats://u:right%21@{address}")
            await bus.connect()
            bus.close()
            await bus.closed()

        asyncio.run(right())


def test_the_library_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "nats", None)
    assert error_of(NatsBus("nats://h").connect()) == (
        "The setting cluster needs nats-py; install it with: pip install 'cloudlink-server[cluster]'"
    )
