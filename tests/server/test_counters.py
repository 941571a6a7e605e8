"""What the server counts: who came, who was refused, why people left, what they sent, and what the limits did."""

import asyncio
import itertools

import pytest

from cloudlink.server.protocols.clpv4.schema import Schema
from tests.support.memoryclients import MemoryClient, named, turns
from tests.support.rawclients import UPGRADE, ask, connect, frame, request, running
from tests.support.servers import build

GMSG = {"cmd": "gmsg", "val": "x", "rooms": "default"}


def causes(server):
    return dict(server.counters.disconnected)


def test_connections_are_counted_once_and_so_are_refused_ones():
    server = build({"max_clients": 2})
    clients = [MemoryClient(server) for _ in range(3)]
    assert server.counters.connections == 2
    assert dict(server.counters.refused) == {"full": 1}
    clients[0].leave()
    assert causes(server) == {"client": 1}


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (lambda server, one: one.leave(), "client"),
        (lambda server, one: server.close_connection(one.client), "kicked"),
        (lambda server, one: one.session.close_for_reading_slowly(), "slow"),
        (lambda server, one: one.session.close_if_silent("nothing came"), "timeout"),
        (lambda server, one: one.session.close(4004, "banned", "banned"), "banned"),
        (lambda server, one: one.session.receive(b"no JSON"), "protocol"),
    ],
)
def test_a_departure_is_counted_by_its_cause(end, cause):
    server = build()
    one = MemoryClient(server)
    end(server, one)
    one.session.connection_lost()
    assert causes(server) == {cause: 1}


def test_a_flood_is_counted_packet_by_packet_and_in_the_end_as_a_departure():
    server = build({"packet_burst": 3, "packet_rate": 0.001, "flood_patience": 0})
    one = named(server, "mia")
    one.say(*[GMSG] * 9)
    assert causes(server) == {"flood": 1}
    assert server.counters.dropped["rate"] == 1  # with no patience, the first one ends it


def test_commands_are_counted_where_they_are_registered():
    server = build()
    one = named(server, "mia")
    one.say(GMSG, GMSG, {"cmd": "nonsense"})
    commands = server.hooks.commands[Schema]
    assert commands["gmsg"].calls == 2
    assert commands["gmsg"].is_built_in
    assert server.hooks.unknown_command.calls == 1


def test_errors_of_plugins_are_counted():
    server = build()

    @server.on_connect
    def fail(client):
        raise LookupError

    @server.on_connect
    async def fail_later(client):
        raise LookupError

    @server.on_start
    def fail_at_start():
        raise LookupError

    async def scenario():
        await server.start("127.0.0.1", 0)
        MemoryClient(server)
        await turns()
        await server.stop()

    asyncio.run(scenario())
    assert server.counters.plugin_errors == 3


def test_the_time_of_packets_adds_up():
    server = build()
    server.fair_share.clock = itertools.count().__next__
    one = named(server, "mia")
    one.say(*[GMSG] * 5)
    assert server.fair_share.total > 0


def test_a_peer_that_breaks_the_protocol_is_counted_as_such():
    async def scenario():
        async with running() as server:
            one = await connect(server.port)
            one.writer.write(frame(b"x", 0xF1))  # reserved bits
            await one.at_end()
            await turns()
            return causes(server)

    assert asyncio.run(scenario()) == {"protocol": 1}


def test_a_peer_that_falls_silent_is_counted_as_such():
    async def scenario():
        async with running(keepalive_interval=0.05, keepalive_timeout=0.05) as server:
            one = await connect(server.port)
            await one.at_end()
            await turns()
            return causes(server)

    assert asyncio.run(scenario()) == {"timeout": 1}


def test_connections_from_foreign_pages_are_counted():
    async def scenario():
        async with running(allowed_origins=["https://games.example"]) as server:
            await ask(server.port, request(UPGRADE | {"Origin": "https://other.example"}))
            return dict(server.counters.refused)

    assert asyncio.run(scenario()) == {"origin": 1}


def test_a_stop_is_the_cause_for_everybody():
    async def scenario():
        async with running() as server:
            for _ in range(3):
                await connect(server.port)
        return causes(server)

    assert asyncio.run(scenario()) == {"shutdown": 3}


def test_readiness_follows_the_state_and_health_does_not():
    async def scenario():
        async with running() as server:
            ready = await ask(server.port, request({}, "/ready"))
            server.not_ready = "draining"
            draining = await ask(server.port, request({}, "/ready"))
            healthy = await ask(server.port, request({}, "/health"))
        return ready, draining, healthy, server.not_ready

    ready, draining, healthy, at_end = asyncio.run(scenario())
    assert ready.startswith("HTTP/1.1 200")
    assert ready.endswith('{"status":"ready"}')
    assert draining.startswith("HTTP/1.1 503")
    assert draining.endswith('{"status":"draining"}')
    assert healthy.startswith("HTTP/1.1 200")
    assert at_end == "stopping"


def test_the_first_message_is_counted_although_it_is_free():
    server = build()
    one = MemoryClient(server)
    first = b'{"cmd":"ping","listener":1}'
    one.session.receive(first)
    assert one.session.received == (1, len(first))
    one.session.receive(first)
    assert one.session.received == (2, 2 * len(first))
