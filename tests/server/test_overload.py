"""Clients that send too much, and clients that read too slowly."""

from __future__ import annotations

import asyncio

import pytest

from cloudlink.server.client import State
from cloudlink.server.fairshare import TURN
from tests.support.memoryclients import MemoryClient, codes, named, turns
from tests.support.servers import HOST, build


@pytest.fixture
def server():
    return build({"implicit_greeting": False})


# Sending too much. What is larger than the burst passes once, and has to be paid back.

STRICT = {"byte_burst": 1024, "byte_rate": 0.001, "implicit_greeting": False}


def test_packets_and_other_frames_share_one_measure(caplog):
    visitor = MemoryClient(build(STRICT), {"cmd": "ping"})
    assert visitor.session.admit(5000)
    assert not visitor.session.admit(1)
    assert visitor.heard() == []
    # A ping has no answer to be refused with; the first packet has.
    assert codes(visitor.ask({"cmd": "ping"}, b'{"cmd":"ping"}')) == [108]
    assert visitor.closed is None
    assert caplog.text.count("sends too much") == 1


@pytest.mark.parametrize("message", ['{"cmd":"ping"}', b'{"cmd":"ping"}', b"\xff", ""])
def test_a_packet_that_is_too_much_is_refused_whatever_it_is(message):
    visitor = MemoryClient(build(STRICT), {"cmd": "ping"}, {"cmd": "ping", "val": "x" * 5000})
    assert codes(visitor.ask(message)) == [108]


@pytest.mark.parametrize("message", ['{"cmd":"ping"}', b'{"cmd":"ping"}'])
def test_a_client_that_keeps_sending_too_much_is_disconnected(message):
    visitor = MemoryClient(build(STRICT | {"flood_patience": 0.0}), {"cmd": "ping"})
    visitor.say({"cmd": "ping", "val": "x" * 5000})
    assert visitor.closed is None
    visitor.say(message)
    assert visitor.closed == (1008, "Too much was sent for too long")
    assert visitor.session.state is State.CLOSED


def test_an_unnamed_client_that_floods_with_pings_is_disconnected_too():
    visitor = MemoryClient(build(STRICT | {"flood_patience": 0.0}))
    assert visitor.session.admit(5000)
    assert not visitor.session.admit(125)
    assert visitor.closed == (1008, "Too much was sent for too long")


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("message", ['{"cmd":"ping","val":"%s"}', b'{"cmd":"ping","val":"%b"}'])
def test_every_way_of_a_message_counts_all_of_its_bytes(message, is_late):
    """Text and binary, processed at once or in a later turn."""

    async def play():
        server = build(STRICT)
        await server.start(HOST, 0)
        visitor = MemoryClient(server, {"cmd": "ping"})
        large = message % ("x" * 400 if isinstance(message, str) else b"x" * 400)
        heard = []
        for _ in range(4):
            visitor.session._share.spent = TURN if is_late else 0.0
            heard += visitor.ask(large)
            await turns()
            heard += visitor.heard()
        await server.stop()
        return codes(heard)

    # After two there is something left, and a larger one is paid back later.
    assert asyncio.run(play()) == [100, 100, 100, 108]


# Slow readers.


def test_a_slow_reader_is_closed_and_the_others_get_its_departure(caplog):
    server = build({"max_queued_bytes": 2000})
    sleeper, other = named(server, "sleeper"), named(server, "other")
    several = [named(server, f"sender {number}") for number in range(7)]
    other.heard()
    sleeper.heard()
    sleeper.connection.congested = True
    for sender in several[:6]:
        sender.say({"cmd": "gmsg", "val": "x" * 350})
    assert sleeper.closed is None
    other.heard()
    several[6].say({"cmd": "gmsg", "val": "x" * 350})
    assert sleeper.closed == (1013, "Reading too slowly: more than 2000 bytes were waiting")
    assert [packet["cmd"] for packet in other.heard()] == ["gmsg", "ulist"]
    assert sleeper.connection.take() == []
    assert "reads too slowly" in caplog.text
    assert server.clients_manager.clients == {each.client for each in (other, *several)}


def test_a_sender_that_sends_a_slow_reader_too_much_gets_a_status_code_and_nobody_is_closed(caplog):
    caplog.set_level("INFO")
    server = build({"max_queued_bytes": 10_000})
    sleeper, reader, sender, quiet = (
        named(server, name) for name in ("sleeper", "reader", "sender", "quiet")
    )
    sleeper.heard()
    reader.heard()
    sleeper.connection.congested = True
    quiet.say({"cmd": "gmsg", "val": "first"})
    for number in range(30):
        sender.say({"cmd": "gmsg", "val": [number, "x" * 440]})
    quiet.say({"cmd": "gmsg", "val": "quiet"})
    quiet.say({"cmd": "gvar", "name": "v", "val": 1})
    assert sleeper.closed is None
    sleeper.connection.congested = False
    sleeper.session.writable()
    heard = [packet["val"] for packet in sleeper.heard()]
    assert heard == ["first", *([number, "x" * 440] for number in range(4)), "quiet", 1]  # a fifth of 10 000
    assert len([packet for packet in reader.heard() if packet["cmd"] == "gmsg"]) == 32
    assert "A recipient reads more slowly than you send" in caplog.text


def test_a_sender_to_a_slow_reader_gets_one_status_code_a_second_with_the_listener():
    now = 1000.0
    server = build({"max_queued_bytes": 10_000})
    sleeper, sender = named(server, "sleeper"), named(server, "sender")
    sender.session._meter._clock = lambda: now
    sleeper.connection.congested = True
    sender.say({"cmd": "gmsg", "val": "first"})
    told = []
    for number in range(30):
        heard = sender.ask({"cmd": "gmsg", "val": "x" * 1500, "listener": f"L{number}"})
        told += [packet["listener"] for packet in heard if packet.get("code_id") == 108]
        now += 0.3
    assert told[0] == "L1"
    assert 6 <= len(told) <= 9
    assert sender.closed is None


@pytest.mark.parametrize(
    "packet",
    [
        {"cmd": "pmsg", "id": "sleeper", "val": "x" * 1500},
        {"cmd": "pvar", "id": "sleeper", "name": "v", "val": "x" * 3000},
        {"cmd": "direct", "id": "sleeper", "val": "x" * 1500},
        {"cmd": "gvar", "name": "v", "val": "x" * 3000},
    ],
    ids=lambda packet: packet["cmd"],
)
def test_every_command_that_sends_to_others_has_a_share(packet):
    server = build({"max_queued_bytes": 10_000})
    sleeper, sender = named(server, "sleeper"), named(server, "sender")
    sleeper.connection.congested = True
    sender.say({"cmd": "gmsg", "val": "first"})
    sender.say({"cmd": "gmsg", "val": "x" * 1500})
    heard = sender.ask(packet | {"listener": "L"})
    assert codes(heard)[-1] == 108
    assert [each["listener"] for each in heard if each.get("code_id") == 108] == ["L"]
    assert sleeper.closed is None


def test_strangers_that_fill_the_queues_of_slow_readers_close_nobody():
    server = build()
    players = [named(server, f"player {number}") for number in range(20)]
    strangers = [named(server, f"stranger {number}") for number in range(4)]
    for player in players:
        player.connection.congested = True
    heard = {stranger: [] for stranger in strangers}
    for size in (1_000_000, 1_000_000, 200_000, *[50_000] * 20):
        for stranger in strangers:
            stranger.session.receive(b'{"cmd":"gmsg","val":"%b","listener":"L"}' % (b"x" * size))
        players[0].session.receive(b'{"cmd":"gvar","name":"x","val":1}')
        for stranger in strangers:
            heard[stranger] += codes(stranger.heard())
    assert [player.closed for player in players] == [None] * 20
    assert all(108 in told for told in heard.values())
    for player in players:
        player.connection.congested = False
        player.session.writable()
        assert any(packet["cmd"] == "gvar" for packet in player.heard())


def test_a_client_that_does_not_read_its_own_messages_is_closed():
    flooder = named(build({"max_queued_bytes": 2000}), "flooder")
    flooder.connection.congested = True
    flooder.say(*[{"cmd": "gmsg", "val": "x" * 500}] * 6)
    assert flooder.closed == (1013, "Reading too slowly: more than 2000 bytes were waiting")


def test_a_slow_reader_gets_what_waited_once_it_reads_again(server):
    sleeper, other = named(server, "sleeper"), named(server, "other")
    sleeper.heard()
    sleeper.connection.congested = True
    other.say({"cmd": "gmsg", "val": 1}, {"cmd": "gmsg", "val": 2})
    assert sleeper.heard() == []
    sleeper.connection.congested = False
    sleeper.session.writable()
    assert [packet["val"] for packet in sleeper.heard()] == [1, 2]


def test_a_slow_reader_of_a_server_without_limits_is_never_closed():
    server = build({"limits": False, "max_queued_bytes": 2000})
    sleeper, other = named(server, "sleeper"), named(server, "other")
    sleeper.heard()
    sleeper.connection.congested = True
    other.say(*[{"cmd": "gmsg", "val": "x" * 1000}] * 10)
    assert sleeper.closed is None
    sleeper.connection.congested = False
    sleeper.session.writable()
    assert len(sleeper.heard()) == 10


def test_changing_rooms_without_end_gets_one_status_code_a_second_and_then_a_disconnection():
    now = 1000.0
    alice = named(build({"identity_burst": 5, "identity_rate": 0.001, "flood_patience": 3.0}), "alice")
    alice.session._meter._clock = lambda: now
    alice.heard()
    refusals = []
    for _ in range(40):
        refusals += [code for code in codes(alice.ask(*[{"cmd": "link", "val": "a"}] * 5)) if code == 108]
        now += 0.1
        if alice.closed:
            break
    assert alice.closed == (1008, "Too much was sent for too long")
    assert 3 <= len(refusals) <= 4
