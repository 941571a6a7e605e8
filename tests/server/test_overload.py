"""Who sends too much, and who reads too slowly."""

from __future__ import annotations

import pytest

from cloudlink.server.session import State
from tests.support.memoryclients import MemoryClient, codes, named
from tests.support.servers import build


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
def test_who_goes_on_sending_too_much_is_disconnected(message):
    visitor = MemoryClient(build(STRICT | {"flood_patience": 0.0}), {"cmd": "ping"})
    visitor.say({"cmd": "ping", "val": "x" * 5000})
    assert visitor.closed is None
    visitor.say(message)
    assert visitor.closed == (1008, "Too much was sent for too long")
    assert visitor.session.state is State.CLOSED


def test_somebody_unknown_who_floods_with_pings_is_disconnected_too():
    visitor = MemoryClient(build(STRICT | {"flood_patience": 0.0}))
    assert visitor.session.admit(5000)
    assert not visitor.session.admit(125)
    assert visitor.closed == (1008, "Too much was sent for too long")


# Slow readers.


def test_a_slow_reader_is_closed_and_the_others_are_told(caplog):
    server = build({"max_queued_bytes": 2000})
    sleeper, other = named(server, "sleeper"), named(server, "other")
    other.heard()
    sleeper.heard()
    sleeper.connection.congested = True
    other.say(*[{"cmd": "gmsg", "val": "x" * 500}] * 3)
    assert sleeper.closed is None
    heard = other.ask(*[{"cmd": "gmsg", "val": "x" * 500}] * 3)
    assert sleeper.closed == (1013, "Reading too slowly: more than 2000 bytes were waiting")
    assert [packet["cmd"] for packet in heard] == ["gmsg", "gmsg", "gmsg", "ulist"]
    assert sleeper.connection.take() == []
    assert "reads too slowly" in caplog.text
    assert server.clients_manager.clients == {other.client}


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


def test_changing_rooms_without_end_is_told_once_a_second_and_ends_in_a_disconnection():
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
