"""Settings that are changed while clients are connected, and what the log says about settings at the start."""

from __future__ import annotations

import asyncio
import logging

import pytest

from cloudlink.delivery import ConstantWait, WriteCoalescer
from cloudlink.server.app import Server
from cloudlink.server.limits import LIMITS
from cloudlink.server.protocols.clpv4 import Clpv4
from cloudlink.settings import Settings
from cloudlink.sources import from_environment
from tests.support.memoryclients import MemoryClient, codes, named
from tests.support.rawclients import connect
from tests.support.servers import build, listening

PING = {"cmd": "ping"}
OK, TOO_MUCH, TOO_LARGE, DISABLED = 100, 108, 113, 110
ON_CREDIT = [OK]
"""A bucket that has just become empty lets one more packet pass."""


@pytest.fixture
def server():
    return build({"implicit_greeting": False})


# Connected clients.


def test_a_rate_counts_for_the_next_packet_of_a_connected_client(server):
    visitor = MemoryClient(server, PING)
    server.settings.set("packet_rate", 0.001)
    server.settings.packet_burst = 2

    assert codes(visitor.ask(*[PING] * 4)) == [OK, OK, *ON_CREDIT, TOO_MUCH]


def test_used_amounts_stay_used():
    server = build({"implicit_greeting": False, "packet_burst": 10, "packet_rate": 0.001})
    visitor = MemoryClient(server, *[PING] * 9)  # the first packet of a connection does not count
    server.settings.packet_burst = 1000

    assert codes(visitor.ask(*[PING] * 4)) == [OK, OK, *ON_CREDIT, TOO_MUCH]


@pytest.mark.parametrize(
    ("name", "value", "packet", "code"),
    [
        ("room_name_max_length", 3, {"cmd": "link", "val": "long name"}, TOO_LARGE),
        ("variable_name_max_length", 3, {"cmd": "gvar", "name": "long name", "val": 1}, TOO_LARGE),
        ("max_names_per_packet", 1, {"cmd": "link", "val": ["a", "b"]}, TOO_LARGE),
        ("max_rooms_per_client", 1, {"cmd": "link", "val": ["a", "b"]}, TOO_MUCH),
        ("max_copies_per_packet", 1, {"cmd": "pmsg", "id": ["alice", "bob"], "val": 1}, TOO_LARGE),
    ],
)
def test_other_limits_count_for_connected_clients(server, name, value, packet, code):
    named(server, "bob")
    alice = named(server, "alice")
    assert name in LIMITS
    server.settings.set(name, value)

    assert codes(alice.ask(packet)) == [code]


def test_the_rate_of_names_and_rooms_counts_for_a_client_that_has_used_some():
    server = build({"implicit_greeting": False, "identity_burst": 3, "identity_rate": 0.001})
    alice = named(server, "alice")
    alice.say(*({"cmd": "link", "val": room} for room in ("a", "b", "a")))
    assert codes(alice.ask({"cmd": "link", "val": "c"})) == [TOO_MUCH]
    server.settings.limits = False

    assert codes(alice.ask({"cmd": "link", "val": "c"})) == [OK]


def test_the_rate_of_user_lists_counts_for_a_client_that_has_used_some(server):
    alice = named(server, "alice")
    server.settings.set("user_list_rate", 0.001)
    server.settings.set("user_list_burst", 1024)

    answers = [alice.ask({"cmd": "link", "val": f"room {number}"}) for number in range(40)]

    assert TOO_MUCH in codes([answer for some in answers for answer in some])


@pytest.mark.parametrize(
    "name", ["identity_rate", "identity_burst", "user_list_rate", "user_list_burst", "limits"]
)
def test_buckets_of_clients_that_have_used_none_are_left_alone(server, name):
    visitor = MemoryClient(server, {"cmd": "ping"})
    server.settings.set(name, server.settings.limits if name == "limits" else 5000)

    meter = visitor.client.session.meter
    assert (meter._identity, meter._user_lists) == (None, None)
    assert codes(visitor.ask({"cmd": "setid", "val": "alice"})) == [OK]


def test_limits_can_be_switched_off_and_on():
    server = build({"implicit_greeting": False, "packet_burst": 2, "packet_rate": 0.001})
    visitor = MemoryClient(server, *[PING] * 4)
    assert codes(visitor.ask(PING)) == [TOO_MUCH]

    server.settings.limits = False
    assert server.delivery.max_queued_bytes is None
    assert set(codes(visitor.ask(*[PING] * 20))) == {OK}

    server.settings.limits = True
    assert server.delivery.max_queued_bytes == server.settings.max_queued_bytes
    # The refusal of the fourth is not answered, because one was answered within this second.
    assert codes(visitor.ask(*[PING] * 4)) == [OK, OK, *ON_CREDIT]


def test_patience_can_be_taken_from_a_connected_client():
    server = build({"implicit_greeting": False, "packet_burst": 1, "packet_rate": 0.001})
    visitor = MemoryClient(server, *[PING] * 3)
    server.settings.flood_patience = 0

    visitor.say(PING)

    assert visitor.closed == (1008, "Too much was sent for too long")


def test_a_wrong_value_changes_nothing(server):
    before = server.limits.packet_rate
    with pytest.raises(Exception, match="packet_rate given in code is -1"):
        server.settings.packet_rate = -1

    assert server.limits.packet_rate == before


def test_most_clients_count_for_the_next_one(server):
    MemoryClient(server, PING)
    server.settings.max_clients = 1
    assert MemoryClient(server).closed == (1000, "Server is full!")
    server.max_clients = 2
    assert MemoryClient(server).closed is None
    assert (server.settings.max_clients, server.settings.origins["max_clients"]) == (2, "code")


def test_keepalive_times_count_for_connected_clients():
    server = build({"stalled_timeout": 300.0, "keepalive_interval": 300.0, "keepalive_timeout": 300.0})

    async def scenario():
        async with listening(server) as port:
            peer = await connect(port)
            peer.send('{"cmd":"ping"}')
            await peer.receive()
            server.settings.keepalive_interval = 0.05
            server.settings.keepalive_timeout = 0.05
            await asyncio.wait_for(peer.at_end(), 5)  # it answers no ping
            peer.leave()
            await asyncio.sleep(0)

    asyncio.run(scenario())


def test_queued_bytes_count_for_connected_clients(server):
    server.settings.max_queued_bytes = 2048
    assert server.delivery.max_queued_bytes == 2048


# write_delay.


def test_frames_wait_as_write_delay_says():
    assert isinstance(Server(Settings()).delivery.coalescer, WriteCoalescer)
    assert Server(Settings(write_delay=0)).delivery.coalescer is None
    constant = Server(Settings(write_delay=12.5)).delivery.coalescer
    assert isinstance(constant, ConstantWait)
    assert constant.wait == 0.0125


def test_write_delay_can_be_changed_at_any_time(server):
    server.settings.write_delay = 100
    assert server.delivery.coalescer.wait == 0.1
    server.settings.write_delay = 0
    assert server.delivery.coalescer is None
    server.settings.write_delay = "AUTO"
    assert isinstance(server.delivery.coalescer, WriteCoalescer)


@pytest.mark.parametrize(("write_delay", "turns"), [(100, {0.1}), (0, {0.0})])
def test_frames_are_scheduled_with_that_delay(write_delay, turns):
    server = build({"write_delay": write_delay})
    delays = set()
    server.delivery._schedule = lambda delay, callback: delays.add(delay)

    MemoryClient(server).session.receive(b'{"cmd":"ping"}')

    assert delays == turns


# Lines at the start.


def warnings_at_the_start(server, caplog):
    async def start():
        async with listening(server):
            pass

    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="cloudlink.server"):
        asyncio.run(start())
    return caplog.messages


def test_an_ignored_change_is_logged_once(caplog):
    settings = from_environment({"CLOUDLINK_QQQQ\x1b": "1"})
    settings.set("storage", "")
    server = Server(settings)
    Clpv4(server)

    assert warnings_at_the_start(server, caplog) == [
        "There is no setting for the environment variable CLOUDLINK_QQQQ\\x1b; it is ignored."
    ]
    assert warnings_at_the_start(server, caplog) == []


def test_a_disabled_command_that_does_not_exist_is_logged(caplog):
    server = build({"disabled_commands": ["gmgs", "zzz", "pmsg", "rename"]})

    assert warnings_at_the_start(server, caplog) == [
        (
            'The setting disabled_commands (code) names the command "gmgs", which does not exist; '
            "did you mean gmsg?"
        ),
        (
            'The setting disabled_commands (code) names the command "zzz", which does not exist; '
            "a plugin may add it later."
        ),
        (
            'The setting disabled_commands (code) names the command "rename", which does not exist; '
            "a plugin may add it later."
        ),
    ]


def test_a_command_of_a_plugin_can_be_disabled(caplog):
    server = build({"disabled_commands": ["kick"], "implicit_greeting": False})
    schema = next(iter(server.hooks.engines))
    server.bind_callback("kick", schema, lambda client, message: None)

    assert warnings_at_the_start(server, caplog) == []
    assert codes(MemoryClient(server).ask({"cmd": "kick"})) == [DISABLED]


# plugin_settings.


def test_a_plugin_gets_a_copy_of_its_section():
    server = Server(Settings(plugin={"greet": {"words": ["hello"]}}))

    own = server.plugin_settings("greet")
    own["words"].append("changed")

    assert server.plugin_settings("greet") == {"words": ["hello"]}
    with pytest.raises(TypeError):
        own["words"] = []
    assert server.plugin_settings("other") == {}
