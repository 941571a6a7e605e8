"""The client that relays to CloudLink 0.2.0, without sockets: its own echoes, its users, and what it cannot say."""

from __future__ import annotations

import json

from cloudlink.bridge.clients import UpstreamBridge
from cloudlink.bridge.guests import Guests, Seats
from cloudlink.bridge.upstream import Echoes, UpstreamRoom
from cloudlink.bridgesections import BridgeSection
from cloudlink.server.events import Message, Variable
from tests.bridge.test_parts import FakeSite
from tests.support.clock import FakeClock

ME = {"id": "1", "uuid": "u1", "username": "school-a"}
OLAF = {"id": "2", "uuid": "u2", "username": "olaf"}


class Site(FakeSite):
    def __init__(self):
        super().__init__()
        self.delivered = []

    def is_variable(self, name, val):
        return len(name) < 100

    def admitted(self, user, room, val, *, is_variable):
        return b"" if b"bad" in val else val

    def deliver(self, room, event):
        self.delivered.append((room, event))


def greet(received, sent):
    """Answer the handshake, `setid` and `link` as CloudLink 0.2.0 does."""
    received('{"cmd":"server_version","val":"0.2.0"}')
    received('{"cmd":"client_obj","val":{"id":"1","uuid":"u1"}}')
    for val in (None, ME, None):
        listener = json.loads(sent())["listener"]
        answer = {"cmd": "statuscode", "code": "I:100 | OK", "code_id": 100, "listener": listener}
        received(json.dumps({**answer, "val": val} if val else answer))


class Relay:
    """The client in the room `hall`, which is `arena` here, after the greeting."""

    def __init__(self, **keys):
        self.clock = FakeClock()
        self.site = Site()
        section = BridgeSection(kind="upstream", username="school-a", **keys)
        guests = Guests(self.site, "old", Seats())
        self.core = UpstreamRoom(section, "arena", "hall", guests, self.site, "old", self.clock)
        self.core.opened()
        self.say(
            {"cmd": "server_version", "val": "0.2.0"}, {"cmd": "client_obj", "val": {"id": "1", "uuid": "u1"}}
        )
        for val in (None, ME, None):  # handshake, setid, link
            request = json.loads(self.core.outgoing.pop())
            answer = {
                "cmd": "statuscode",
                "code": "I:100 | OK",
                "code_id": 100,
                "listener": request["listener"],
            }
            self.say({**answer, "val": val} if val else answer)
        assert self.core.is_up

    def say(self, *packets):
        for packet in packets:
            self.core.received(json.dumps(packet))

    def sent(self):
        texts, self.core.outgoing[:] = list(self.core.outgoing), []
        return [json.loads(text) for text in texts]


def test_messages_cross_and_echoes_do_not_come_back():
    relay = Relay()
    for val in (b"1", b"1", b'{"a": 1.0}'):
        relay.core.send_message(Message(val))
    relay.core.tick()
    assert relay.sent() == [{"cmd": "gmsg", "val": val, "rooms": "hall"} for val in (1, 1, {"a": 1.0})]

    for val in ({"a": 1.0}, 1, "theirs", 1, 1):
        relay.say({"cmd": "gmsg", "val": val, "rooms": "hall"})

    assert relay.site.delivered == [
        ("arena", Message(b'"theirs"', via="old")),
        ("arena", Message(b"1", via="old")),
    ]


def test_variables_cross_and_are_no_echo_of_messages():
    relay = Relay()
    relay.core.send_variable("x", b"1")
    relay.core.tick()
    assert relay.sent() == [{"cmd": "gvar", "name": "x", "val": 1, "rooms": "hall"}]

    relay.say(
        {"cmd": "gmsg", "val": 1, "rooms": "hall"},
        {"cmd": "gvar", "name": "y", "val": 1, "rooms": "hall"},
        {"cmd": "gvar", "name": "x", "val": 1, "rooms": "hall"},
        {"cmd": "gvar", "name": "n" * 100, "val": 1, "rooms": "hall"},
    )

    assert [event for _, event in relay.site.delivered] == [
        Message(b"1", via="old"),
        Variable(b'"y"', b"1", via="old"),
    ]
    assert relay.core.dropped == 1

    relay.say({"cmd": "gmsg", "val": "a bad word", "rooms": "hall"})
    assert len(relay.site.delivered) == 2


def test_what_happens_in_other_rooms_is_ignored():
    relay = Relay()
    relay.say(
        {"cmd": "gmsg", "val": 1, "rooms": "default"},
        {"cmd": "gvar", "name": "x", "val": 1, "rooms": "default"},
        {"cmd": "ulist", "mode": "set", "val": [OLAF], "rooms": "default"},
        {"cmd": "ulist", "mode": "add", "val": OLAF, "rooms": "default"},
        {"cmd": "ulist", "mode": "remove", "val": OLAF, "rooms": "default"},
        {"cmd": "pmsg", "val": 1, "origin": OLAF, "rooms": "hall"},
    )
    assert relay.site.delivered == []
    assert relay.site.shown == {}


def test_users_are_those_of_the_list_without_the_bridge_itself():
    relay = Relay()
    relay.say({"cmd": "ulist", "mode": "set", "val": [ME, OLAF], "rooms": "hall"})
    assert relay.site.shown == {"1": ["old/olaf", {"arena"}]}

    relay.say({"cmd": "ulist", "mode": "add", "val": {**OLAF, "id": "3", "username": "a b"}, "rooms": "hall"})
    relay.say({"cmd": "ulist", "mode": "set", "val": [ME], "rooms": "hall"})
    assert relay.site.shown == {}
    assert relay.core.dropped == 1


def test_an_echo_that_never_came_is_forgotten():
    clock = FakeClock()
    echoes = Echoes(clock)
    echoes.add("x")
    clock.now += 61
    assert not echoes.take("x")

    for number in range(5000):
        echoes.add(number)
    assert not echoes.take(0)
    assert echoes.take(4999)
    assert not echoes.take(4999)


def test_beyond_the_rate_messages_wait_and_reading_stops():
    relay = Relay(rate=1.0, byte_rate=1024.0)
    for number in range(1000):
        relay.say({"cmd": "gmsg", "val": number, "rooms": "hall"})
        relay.core.send_message(Message(b"%d" % number))
    relay.core.tick()
    assert len(relay.sent()) <= 2
    assert len(relay.site.delivered) <= 2
    assert relay.core.has_waiting
    assert relay.core.dropped > 1000

    relay.say({"cmd": "gmsg", "val": "v" * 500_000, "rooms": "hall"})
    relay.say({"cmd": "gmsg", "val": "v" * 600_000, "rooms": "hall"})
    assert relay.core.is_reading_enough


class FakeWire:
    """A socket that keeps what is sent."""

    def __init__(self):
        self.sent = []
        self.is_congested = False
        self.closed = None
        self.is_held = False

    def send(self, text):
        self.sent.append(text.decode())

    def close(self, code, reason):
        self.closed = (code, reason)

    def hold(self):
        self.is_held = True

    def release(self):
        self.is_held = False


def test_users_go_three_seconds_after_the_connection():
    clock, site = FakeClock(), Site()
    bridge = UpstreamBridge("old", BridgeSection(kind="upstream", rooms=["arena"]), site, clock)
    wire, line = FakeWire(), bridge.new_line("arena")
    line.opened(wire)
    greet(line.received, wire.sent.pop)
    users = json.dumps({"cmd": "ulist", "mode": "set", "val": [ME, OLAF], "rooms": "arena"})
    line.received(users)
    assert (bridge.is_up, bridge.users) == (True, 1)

    assert line.closed(1006, "") == ("the connection broke", 0.0)
    assert (bridge.is_up, bridge.users) == (False, 1)
    bridge.new_line("arena")  # an attempt to connect that fails changes nothing
    clock.now += 2.9
    bridge.tick()
    assert bridge.users == 1
    clock.now += 0.1
    bridge.tick()
    assert (bridge.users, site.shown) == (0, {})


def test_a_user_that_is_there_again_in_time_keeps_its_id():
    clock, site = FakeClock(), Site()
    bridge = UpstreamBridge("old", BridgeSection(kind="upstream", rooms=["arena"]), site, clock)
    for user_id in ("2", "7"):
        wire, line = FakeWire(), bridge.new_line("arena")
        line.opened(wire)
        greet(line.received, wire.sent.pop)
        olaf = {**OLAF, "id": user_id, "uuid": f"u{user_id}"}
        line.received(json.dumps({"cmd": "ulist", "mode": "set", "val": [olaf], "rooms": "arena"}))
        assert list(site.shown) == ["1"]
        line.closed(1006, "")
        clock.now += 1


def test_a_congested_connection_is_sent_nothing_and_a_flood_is_not_read():
    clock, site = FakeClock(), Site()
    section = BridgeSection(kind="upstream", rooms=["arena"], byte_rate=1024.0)
    bridge = UpstreamBridge("old", section, site, clock)
    wire, line = FakeWire(), bridge.new_line("arena")
    line.opened(wire)
    greet(line.received, wire.sent.pop)
    wire.is_congested = True
    bridge.message("arena", Message(b"1"))
    bridge.tick()
    assert wire.sent == []
    wire.is_congested = False
    bridge.tick()
    assert len(wire.sent) == 1

    long = json.dumps({"cmd": "gmsg", "val": "v" * 500_000, "rooms": "arena"})
    for _ in range(3):
        line.received(long)
    assert wire.is_held
    clock.now += 1000
    bridge.tick()
    assert not wire.is_held
    bridge.close("The server is shutting down")
    assert wire.closed == (1001, "The server is shutting down")
