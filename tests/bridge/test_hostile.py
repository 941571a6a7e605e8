"""A hostile other side: whatever it does is bounded, logged once a minute, and harms nobody here.

It knows the secret, or it would not get this far; those who do not are in `test_proof` and at the end of this file.
"""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
import websockets.asyncio.client

from cloudlink.admin.actors import Actor
from cloudlink.bridge.ledger import MOST_SKEW
from cloudlink.bridge.pacing import MOST_MESSAGES
from cloudlink.slices import finish
from tests.bridge.memory import Host, a_wire
from tests.bridge.servers import SECRET, BridgedServer, in_loop, names, player, running, until
from tests.support.clock import FakeClock
from tests.support.fakeservers import websocket_server
from tests.support.sanctioning import add_ban
from tests.support.servers import HOST

OWNER = Actor("mia", "owner", "dashboard")
FIRST = json.dumps({"bridge": 1, "nonce": "a" * 32})
LOGGED = "Bridge b sends too much; messages are dropped."


class Attack:
    """A server with a player, and the other side of its bridge, which sends what a test says."""

    def __init__(self, *, shares=True, **keys):
        self.clock = FakeClock()
        self.host = Host("a", "b", self.clock, **keys)
        self.bridge = self.host.bridges.bridges["b"]
        self.alice = self.host.join("alice", "arena")
        self.wire, self.theirs = a_wire()
        self.link = self.bridge.connected(self.wire)
        if shares:
            self.send(self.shares())

    def shares(self, **more):
        val = {"rooms": [["arena"], ["lobby"]], "projects": [["104"]]}
        return {"type": "shares", "val": val, "at": int(self.clock.now * 1000), **more}

    def send(self, *records):
        self.link.received(json.dumps(records).encode())

    def raw(self, data):
        self.link.received(data)

    def wait(self, seconds=0.05):
        self.clock.now += seconds
        self.host.bridges.tick()

    def heard(self, cmd):
        return [packet for packet in self.alice.heard() if packet["cmd"] == cmd]

    @property
    def names(self):
        return self.host.names("arena")


def test_a_flood_of_messages_is_bounded_and_logged_once_a_minute(caplog):
    attack = Attack()
    with caplog.at_level(logging.WARNING, "cloudlink.bridge"):
        for _ in range(100):
            attack.send(*[{"type": "gmsg", "room": "arena", "val": "spam"}] * 500)
        assert len(attack.heard("gmsg")) <= 101
        for _ in range(20):
            attack.send({"type": "gmsg", "room": "arena", "val": "spam"})
            attack.wait(0.5)
        assert caplog.messages.count(LOGGED) == 1

        for _ in range(6):
            attack.send({"type": "ping"})
            attack.wait(10)
        attack.send(*[{"type": "gmsg", "room": "arena", "val": "spam"}] * 500)
        attack.send(*[{"type": "gmsg", "room": "arena", "val": "spam"}] * 500)

    assert caplog.messages.count(LOGGED) == 2
    assert attack.bridge.dropped > 40_000


def test_a_flood_of_bytes_is_no_longer_read():
    attack = Attack()
    record = {"type": "gvar", "room": "arena", "name": "x", "val": "v" * 200_000, "at": 1_000_000, "by": "b"}
    sent = 0
    while not attack.wire.is_held:
        attack.send(record)
        sent += 1
        assert sent < 20
    attack.wait(1)
    assert attack.wire.is_held
    attack.wait(10)
    assert not attack.wire.is_held


def test_names_of_a_megabyte_show_nobody():
    attack = Attack()
    attack.send({"type": "user", "room": "arena", "user": 1, "name": "n" * (1 << 17)})
    attack.send({"type": "user", "room": "arena", "user": 2, "name": "n" * 101})
    attack.send({"type": "user", "room": "arena", "user": 3, "name": ""})
    assert attack.names == ["alice"]
    assert attack.bridge.dropped == 3

    attack.send({"type": "user", "room": "arena", "user": 4, "name": "n" * (1 << 20)})
    assert attack.wire.closed == (1002, "A message is too long")


def test_nobody_can_speak_for_local_users():
    attack = Attack()
    attack.send(
        {"type": "user", "room": "arena", "user": 1, "name": "alice"},
        {"type": "user", "room": "arena", "user": 2, "name": "b/alice"},
        {"type": "gmsg", "room": "arena", "user": 1, "val": 1, "origin": "alice"},
        {"type": "pmsg", "room": "arena", "user": 1, "to": 1, "val": "psst"},
        {"type": "pmsg", "room": "arena", "user": 99, "to": 1, "val": "nobody sent this"},
        {"type": "pmsg", "room": "arena", "user": 1, "to": 99, "val": "for nobody"},
    )
    assert attack.names == ["alice", "b/alice", "b/b/alice"]
    (private,) = attack.heard("pmsg")
    assert private["origin"]["username"] == "b/alice"
    assert private["origin"]["id"] != attack.alice.client.snowflake


def test_the_rules_of_this_server_hold_for_the_other_side():
    attack = Attack()
    sanctions = attack.host.server.sanctions
    for number, name in ((1, "x"), (2, "y"), (3, "badly")):
        attack.send({"type": "user", "room": "arena", "user": number, "name": name})

    sanctions.add_mute(OWNER, {"name": "b/x"}, seconds=60)
    finish(sanctions.adding_filter(OWNER, kind="words", entries=["bad"], action="mask"))
    finish(sanctions.adding_filter(OWNER, kind="words", entries=["worse"], action="kick"))
    gmsg = {"type": "gmsg", "room": "arena"}
    attack.send(
        {**gmsg, "user": 1, "val": "of a muted user"},
        {**gmsg, "user": 2, "val": "a bad word"},
        {**gmsg, "val": "a worse word"},
        {"type": "gvar", "room": "arena", "user": 1, "name": "x", "val": 1, "at": 5, "by": "b"},
        {"type": "pmsg", "room": "arena", "user": 1, "to": 1, "val": 1},
        {**gmsg, "user": 2, "val": "fine"},
    )
    heard = [packet for packet in attack.alice.heard() if packet["cmd"] != "ulist"]
    assert [packet["val"] for packet in heard] == ["a *** word", "fine"]

    sanctions.set_room(OWNER, "arena", frozen=True)
    attack.send({**gmsg, "user": 2, "val": "in a frozen room"})
    assert attack.heard("gmsg") == []
    assert attack.bridge.dropped == 0


def test_banned_and_filtered_names_are_not_shown():
    attack = Attack()
    sanctions = attack.host.server.sanctions
    add_ban(sanctions, OWNER, {"name": "eve"}, seconds=60)
    finish(sanctions.adding_filter(OWNER, kind="words", entries=["bad"], action="block", scope=["names"]))
    for number, name in ((1, "eve"), (2, "bad"), (3, "fine")):
        attack.send({"type": "user", "room": "arena", "user": number, "name": name})
    assert attack.names == ["alice", "b/fine"]


def test_ten_thousand_users_are_five_hundred():
    attack = Attack(rate=10_000.0, byte_rate=1e9)
    for start in range(0, 10_000, 500):
        attack.send(
            *[
                {"type": "user", "room": "arena", "user": number, "name": f"n{number}"}
                for number in range(start + 1, start + 501)
            ]
        )
        attack.wait(1)
    assert len(attack.names) == 501
    assert attack.bridge.users == 500
    assert attack.bridge.dropped == 9500


def test_users_that_come_and_go_all_the_time_are_slowed_down():
    attack = Attack()
    for number in range(1, 40):
        user = {"room": "arena", "user": number, "name": "n"}
        attack.send(*[{"type": "user", **user}, {"type": "gone", **user}] * 250)
    changes = [packet for packet in attack.heard("ulist") if packet["mode"] in ("add", "remove")]
    assert len(changes) <= 501


def test_records_before_the_list_of_rooms_are_ignored():
    attack = Attack(shares=False)
    attack.send({"type": "user", "room": "arena", "user": 1, "name": "x"}, {"type": "ping"})
    assert attack.names == ["alice"]
    assert not attack.bridge.is_up

    attack.send(attack.shares(), {"type": "user", "room": "arena", "user": 1, "name": "x"}, {"type": "ping"})
    assert attack.names == ["alice", "b/x"]
    assert attack.bridge.is_up


@pytest.mark.parametrize(
    "record",
    [
        {"type": "user", "room": "secret", "user": 1, "name": "x"},
        {"type": "user", "room": "arena", "user": 0, "name": "x"},
        {"type": "gmsg", "room": "secret", "val": 1},
        {"type": "gmsg", "room": "arena"},
        {"type": "gvar", "room": "arena", "name": "n" * 1025, "val": 1, "at": 1, "by": "b"},
        {"type": "gvar", "room": "arena", "name": "x", "at": 1, "by": "b"},
        {"type": "gvar", "room": "arena", "name": "x", "val": 1, "at": 1, "by": "b" * 65},
        {"type": "gvar", "room": "arena", "name": "x", "val": 1, "by": "b"},
        {"type": "pvar", "room": "arena", "user": 1, "to": 1, "name": "n" * 1025, "val": 1},
        {"type": "set", "room": "105", "name": "☁ x", "val": 1},
        {"type": "set", "room": "104", "name": "☁ x", "val": "text"},
        {"type": "set", "room": "104", "name": "☁ x", "val": [1]},
        {"type": "shares", "val": {"rooms": [["secret"]]}},
        {"type": "later"},
    ],
)
def test_what_is_not_allowed_is_dropped_and_nobody_hears_of_it(record):
    attack = Attack()
    attack.send({"type": "user", "room": "arena", "user": 1, "name": "x"})
    attack.alice.heard()
    attack.send(record)

    assert attack.alice.heard() == []
    assert attack.bridge.dropped == 1
    assert attack.host.scratch.projects.variables("104") == {}
    assert attack.names == ["alice", "b/x"]


def test_records_out_of_order_are_harmless():
    attack = Attack()
    attack.send(
        {"type": "gone", "room": "arena", "user": 1},
        {"type": "gmsg", "room": "arena", "user": 7, "val": 1},
        {"type": "gone", "room": "lobby", "user": 7},
        {"type": "user", "room": "arena", "user": 1, "name": "x"},
        {"type": "user", "room": "arena", "user": 1, "name": "x"},
        {"type": "gone", "room": "arena", "user": 1},
        {"type": "gone", "room": "arena", "user": 1},
    )
    assert attack.names == ["alice"]
    assert [packet["val"] for packet in attack.heard("gmsg")] == [1]


def test_a_stamp_of_the_far_future_blocks_no_variable():
    attack = Attack()
    future = int(attack.clock.now * 1000) + MOST_SKEW + 1000
    attack.send({"type": "gvar", "room": "arena", "name": "x", "val": 1, "at": future, "by": "b"})
    assert attack.heard("gvar") == []

    attack.send({"type": "gvar", "room": "arena", "name": "x", "val": 2, "at": future - 2000, "by": "b"})
    attack.alice.ask({"cmd": "gvar", "name": "x", "val": 3})
    assert attack.host.values("arena") == {"x": b"3"}


@pytest.mark.parametrize("data", [b"not JSON", b"{}", b"[" * 9999, b"[" + b"{}," * 1000 + b"{}]"])
def test_a_message_that_is_no_list_of_records_ends_the_connection(data):
    attack = Attack()
    attack.raw(data)
    assert attack.wire.closed is not None
    attack.send({"type": "user", "room": "arena", "user": 1, "name": "x"})
    assert attack.names == ["alice"]


@pytest.mark.parametrize("val", [None, [], {"rooms": [["a"]] * 1001}, {"rooms": 7}, {"projects": [[7]]}])
def test_a_malformed_list_of_rooms_ends_the_connection(val):
    attack = Attack(shares=False)
    attack.send(attack.shares(val=val))
    assert attack.wire.closed == (1002, "The list of shared rooms is malformed")


def test_clocks_that_differ_too_much_end_the_connection():
    attack = Attack(shares=False)
    attack.send(attack.shares(at=int(attack.clock.now * 1000) + 7_200_000))
    assert attack.wire.closed == (1008, "The clocks of the two servers differ by 120 minutes")


def test_silence_ends_the_connection():
    attack = Attack()
    attack.wait(15)
    assert attack.wire.closed is None
    attack.wait(0.1)
    assert attack.wire.closed == (1013, "Nothing was heard for too long")


def test_one_that_reads_nothing_gets_a_bounded_amount_and_is_left():
    attack = Attack()
    attack.wire.is_congested = True
    before = len(attack.theirs.arrived)
    for number in range(400):
        attack.alice.ask({"cmd": "gmsg", "val": number})
        attack.alice.ask({"cmd": "gvar", "name": "x", "val": number})
    assert len(attack.theirs.arrived) == before
    assert attack.bridge.dropped == 400 - MOST_MESSAGES

    for _ in range(7):
        attack.send({"type": "ping"})
        attack.wait(5)
    assert attack.wire.closed == (1013, "Reading too slowly")


# Over sockets: those who do not get as far as the link.


@in_loop
async def test_half_a_handshake_ends_in_time(monkeypatch):
    monkeypatch.setattr("cloudlink.bridge.engine.TIMEOUT", 0.1)
    host = BridgedServer({"b": {"secret": SECRET, "rooms": ["arena"]}})
    async with running(host):
        socket = await _connect(host)
        await socket.send(FIRST)
        assert "nonce" in json.loads(await socket.recv())
        await socket.wait_closed()

    assert (socket.close_code, socket.close_reason) == (1008, "The proof of the secret did not come in time")


@in_loop
async def test_wrong_proofs_close_the_connection_say_why_and_are_logged_once_a_minute(caplog):
    host = BridgedServer({"b": {"secret": SECRET, "rooms": ["arena"]}})
    async with running(host):
        for _ in range(3):
            socket = await _connect(host)
            await socket.send(FIRST)
            await socket.recv()
            await socket.send('{"proof":"' + "0" * 64 + '"}')
            await socket.wait_closed()
            assert (socket.close_code, socket.close_reason) == (1008, "The bridge secret is wrong")

    logged = [message for message in caplog.messages if "called as a bridge and is disconnected" in message]
    assert len(logged) == 1


@in_loop
async def test_binary_messages_are_refused():
    host = BridgedServer({"b": {"secret": SECRET, "rooms": ["arena"]}})
    async with running(host):
        socket = await _connect(host)
        await socket.send(FIRST)
        await socket.recv()
        await socket.send(b"binary")
        await socket.wait_closed()

    assert (socket.close_code, socket.close_reason) == (1003, "Bridges send text")


@in_loop
async def test_a_server_that_only_accepts_connections_is_left_in_time(monkeypatch):
    monkeypatch.setattr("cloudlink.bridge.dialer.TIMEOUT", 0.1)

    async def handler(socket):
        await socket.wait_closed()

    async with websocket_server(handler) as url:
        host = BridgedServer({"b": {"secret": SECRET, "rooms": ["arena"], "url": url}})
        async with running(host), player(host, "alice", "arena") as alice:
            await until(lambda: host.bridges.bridges["b"].reason)
            assert names(alice) == ["alice"]

    assert (
        host.bridges.bridges["b"].reason
        == "the server is connected, but its answer to the proof of the secret did not come in time"
    )


@in_loop
async def test_nothing_is_sent_without_tls_to_a_public_address(monkeypatch):
    monkeypatch.setattr("cloudlink.bridge.dialer.is_private", lambda address: False)
    heard = []

    async def handler(socket):
        heard.extend([text async for text in socket])

    async with websocket_server(handler) as url:
        host = BridgedServer({"b": {"secret": SECRET, "rooms": ["arena"], "url": url}})
        async with running(host):
            await until(lambda: host.bridges.bridges["b"].reason)

    assert heard == []
    assert (
        host.bridges.bridges["b"].reason
        == "127.0.0.1 is not in a private network, so the url must begin with wss://"
    )


async def _connect(host):
    return await websockets.asyncio.client.connect(f"ws://{HOST}:{host.server.port}/")


@in_loop
async def test_a_bridge_that_is_paused_while_it_connects_keeps_no_connection():
    ended = asyncio.Event()

    async def handler(socket):
        await socket.recv()  # and no answer to the proof
        connected.set()
        await socket.wait_closed()
        ended.set()

    connected = asyncio.Event()
    async with websocket_server(handler) as url:
        host = BridgedServer({"b": {"secret": SECRET, "rooms": ["arena"], "url": url}})
        async with running(host):
            await connected.wait()
            host.bridges.pause("b")
            await ended.wait()
