"""A connection to another server handles the messages that have arrived in order, and never too many at once."""

from __future__ import annotations

import asyncio

import pytest

from cloudlink.bridge.dialer import SocketWire, _Receiver
from tests.bridge.servers import in_loop

LONG = "x" * 100_000


class FakeSocket:
    is_reading = True

    def pause_reading(self):
        self.is_reading = False

    def resume_reading(self):
        self.is_reading = True


class FakeLine:
    """Records what it receives; `after` is called after each message."""

    is_ready = True

    def __init__(self):
        self.got = []
        self.after = lambda: None

    def received(self, text):
        self.got.append(text)
        self.after()

    def ponged(self):
        self.got.append("pong")

    def closed(self, code, reason):
        return reason, float(code)


@pytest.fixture
def parts():
    """Makes a receiver with its line, socket and wire, in a running loop."""

    def make():
        line, socket = FakeLine(), FakeSocket()
        receiver = _Receiver(line)
        receiver.socket = socket
        return receiver, line, socket, SocketWire(socket, receiver)

    return make


@in_loop
async def test_short_messages_are_handled_at_once(parts):
    receiver, line, socket, _ = parts()
    for number in range(100):
        receiver.received(str(number))
    receiver.ponged()
    assert line.got == [*map(str, range(100)), "pong"]
    assert socket.is_reading


@in_loop
async def test_between_long_messages_the_server_does_other_things(parts):
    receiver, line, socket, _ = parts()
    for number in range(5):
        receiver.received(LONG + str(number))
    receiver.ponged()
    assert len(line.got) == 1
    assert not socket.is_reading
    turns = 0
    while len(line.got) < 6:
        before = len(line.got)
        await asyncio.sleep(0)
        turns += 1
        assert len(line.got) <= before + 2  # a message, and the pong after it
        assert turns < 100
    assert line.got == [*(LONG + str(number) for number in range(5)), "pong"]
    await asyncio.sleep(0)
    assert socket.is_reading


@in_loop
async def test_what_has_arrived_already_waits_while_the_connection_is_held(parts):
    receiver, line, socket, wire = parts()
    line.after = wire.hold
    for text in ("a", "b", LONG, "c"):
        receiver.received(text)
    for expected in (["a"], ["a", "b"], ["a", "b", LONG], ["a", "b", LONG, "c"]):
        for _ in range(3):
            await asyncio.sleep(0)
            assert line.got == expected
            assert not socket.is_reading
        wire.release()
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert socket.is_reading


@in_loop
async def test_what_waits_is_forgotten_when_the_connection_ends(parts):
    receiver, line, socket, wire = parts()
    wire.hold()
    receiver.received("a")
    receiver.connection_lost(1006, "broken")
    wire.release()
    await asyncio.sleep(0)
    assert line.got == []
    assert await receiver.ended == ("broken", 1006.0)
    assert not socket.is_reading
