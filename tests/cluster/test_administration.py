"""The administration of nodes that a real NATS server joins: each shows and reaches the clients of all."""

from __future__ import annotations

import asyncio
import json

import pytest

from cloudlink.admin.actors import Actor
from cloudlink.carriers.natsbus import NatsBus
from cloudlink.carriers.natsrecords import NatsRecords
from cloudlink.cluster.records import Stamp
from cloudlink.slices import finish
from tests.support.adminwire import CONSOLE
from tests.support.memoryclients import MemoryConnection, named
from tests.support.natsserver import NatsServer
from tests.support.sanctioning import add_ban
from tests.support.servers import build

OWNER = Actor("mia", "owner", "dashboard")
SECRET = "sixteen characters at least"


@pytest.fixture(scope="module")
def nats(tmp_path_factory):
    with NatsServer(tmp_path_factory.mktemp("jetstream")) as running:
        yield running


async def until(is_so):
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110  # other processes and threads have a part in it
            await asyncio.sleep(0.02)


class Nodes:
    """Nodes in one process, each with a file of its own."""

    def __init__(self, url, name, folder):
        self.url, self.name, self.folder = url, name, folder
        self.servers = {}

    async def start(self, name):
        """Start a node, with the file that it had before."""
        server = build(
            {
                "cluster": self.url,
                "cluster_secret": SECRET,
                "cluster_name": self.name,
                "node_name": name,
                "admin_storage": str(self.folder / f"{name}.db"),
                "storage": "",
            }
        )
        await server.start("127.0.0.1", 0)
        self.servers[name] = server
        return server

    async def stop(self, name):
        await self.servers.pop(name).stop()

    async def pair(self):
        first, second = await self.start("n1"), await self.start("n2")
        await until(lambda: first.cluster.others and second.cluster.others)
        return first, second


def bans(server):
    return {ban.value for ban in server.hooks.policy.bans}


def ban(server, name):
    add_ban(server.sanctions, OWNER, {"name": name}, seconds=None)


def unban(server, name):
    server.sanctions.remove_ban(
        OWNER, id=next(one.id for one in server.hooks.policy.bans if one.value == name)
    )


@pytest.fixture
def play(nats, tmp_path, request):
    """Run a scenario with nodes of a cluster of its own."""

    def play(scenario):
        async def run():
            nodes = Nodes(nats.url, request.node.name[-32:], tmp_path)
            try:
                await scenario(nodes)
            finally:
                for name in tuple(nodes.servers):
                    await nodes.stop(name)

        asyncio.run(run())

    return play


class Admin(MemoryConnection):
    """The terminal's socket on a node."""

    def __init__(self, server):
        super().__init__()
        self.answers = []
        self.socket = server.administration.wire.open(self, CONSOLE)

    def send(self, data):
        self.answers.append(json.loads(data))

    async def ask(self, method, **params):
        self.answers.clear()
        self.socket.receive(json.dumps({"id": 1, "method": method, "params": params}).encode())
        await until(lambda: any("event" not in one for one in self.answers))
        return next(one for one in self.answers if "event" not in one)["result"]


def test_every_node_shows_and_reaches_all_clients(play):
    async def scenario(nodes):
        first, second = await nodes.pair()
        alice, bob = named(first, "alice"), named(second, "bob")
        for server in (first, second):
            admin = Admin(server)
            listed = await admin.ask("clients.list", sort="name")
            assert [one["name"] for one in listed["items"]] == ["alice", "bob"]
            assert len({one["net"] for one in listed["items"]}) == 1
            assert (await admin.ask("stats.get"))["clients"] == 2
        admin = Admin(first)
        await admin.ask("clients.grant", id=bob.client.snowflake, minutes=5)
        assert second.hooks.moderation.may_moderate(bob.client)
        assert (await admin.ask("clients.kick", name="bob"))["kicked"] == 1
        assert bob.closed[0] == 4004
        assert (await Admin(second).ask("bans.add", target={"name": "alice"}, seconds=60, reason=""))[
            "hit"
        ] == 1
        assert alice.closed[0] == 4004
        await admin.ask("server.mode", mode="closed")
        await until(lambda: second.sanctions.mode == "closed")
        third = await nodes.start("n3")
        await until(lambda: third.sanctions.mode == "closed")

    play(scenario)


def test_the_audit_of_any_node_is_that_of_all(play):
    async def scenario(nodes):
        first, second = await nodes.pair()
        ban(first, "ann")
        ban(second, "bob")
        first.administration.wire.core.accounts.add("mia", "owner", "a hash")
        for server, other in ((first, "n2"), (second, "n1")):
            admin = Admin(server)
            found, after = [], {}
            while after is not None:
                page = await admin.ask("audit.list", limit=1, **after)
                found += page["items"]
                after = None if page["next"] is None else {"after": page["next"]}
            assert sorted((row["method"], row["target"]) for row in found) == [
                ("bans.add", "name:ann"),
                ("bans.add", "name:bob"),
            ]
            assert {row.get("node") for row in found} == {None, other}
            assert found[0]["at"] >= found[1]["at"]
        admin = Admin(first)
        await admin.ask("subscribe", topics=["audit"])
        ban(second, "carl")
        await until(lambda: any(one.get("event") == "audit" for one in admin.answers))
        (row,) = [one["data"] for one in admin.answers if one.get("event") == "audit"]
        assert (row["target"], row["node"]) == ("name:carl", "n2")

    play(scenario)


def test_records_outlive_nodes_and_reach_those_that_come_later(play):
    async def scenario(nodes):
        first, second = await nodes.pair()
        ban(first, "bob")
        first.sanctions.set_room(OWNER, "den", frozen=True)
        finish(first.sanctions.adding_filter(OWNER, kind="words", entries=["bad"], action="mask"))
        first.administration.wire.core.accounts.add("mia", "owner", "a hash")
        await until(lambda: "mia" in second.administration.wire.core.accounts)
        await until(lambda: bans(second) == {"bob"})
        await nodes.stop("n1")
        await nodes.stop("n2")
        third = await nodes.start("n3")
        await until(lambda: bans(third) == {"bob"} and "mia" in third.administration.wire.core.accounts)
        await until(lambda: third.sanctions.room_rules("den")["frozen"])
        await until(lambda: len(third.hooks.policy.filters) == 1)

    play(scenario)


def test_an_unban_stays_though_a_node_was_away(play):
    async def scenario(nodes):
        first, second = await nodes.pair()
        ban(first, "bob")
        ban(first, "carl")
        await until(lambda: bans(second) == {"bob", "carl"})
        await nodes.stop("n2")
        unban(first, "bob")
        await until(lambda: bans(first) == {"carl"})
        second = await nodes.start("n2")
        await until(lambda: bans(second) == {"carl"})
        assert bans(first) == {"carl"}

    play(scenario)


def test_nodes_that_did_not_see_each_other_agree_afterwards(play, nats):
    async def scenario(nodes):
        first, second = await nodes.pair()
        ban(first, "bob")
        await until(lambda: bans(second) == {"bob"})
        nats.kill()
        try:
            await until(lambda: not first.cluster.others and not second.cluster.others)
            unban(first, "bob")
            ban(first, "x")
            ban(second, "y")
            assert (bans(first), bans(second)) == ({"x"}, {"bob", "y"})
        finally:
            nats.start()
        await until(lambda: bans(first) == bans(second) == {"x", "y"})
        ids = [{one.value: one.id for one in server.hooks.policy.bans} for server in (first, second)]
        assert ids[0] == ids[1]
        assert len(set(ids[0].values())) == 2

    play(scenario)


def test_strangers_who_reach_nats_cannot_make_records(nats):
    async def scenario():
        bus = NatsBus(nats.url)
        await bus.connect()
        ours, theirs = NatsRecords(bus, "strangers", b"secret"), NatsRecords(bus, "strangers", b"guess")
        rows = [("account", "eve\ud800", b"{}", Stamp(5, "a")), ("ban", "name:bob", None, Stamp(6, "b"))]
        before = await ours.version()
        assert await ours.get(1) == (0, [])
        assert await ours.update(1, rows, 0)
        assert not await ours.update(1, [], 0)
        revision, found = await ours.get(1)
        assert found == rows
        assert await ours.version() != before
        assert await theirs.update(1, [("account", "eve", b"{}", Stamp(9, "a"))], revision)
        assert (await ours.get(1))[1] == []
        bus.close()
        await bus.closed()

    asyncio.run(scenario())
