"""Packets that plugins make, as clients of older eras get them."""

from __future__ import annotations

import json

import pytest

from cloudlink.server.events import Message, User
from cloudlink.server.protocols.clpv4.dialects import DIALECTS
from tests.support.eras import opening
from tests.support.memoryclients import MemoryClient
from tests.support.servers import build


@pytest.fixture
def server():
    return build()


def arrive(server, era, name=""):
    visitor = MemoryClient(server, *opening(era, name))
    visitor.heard()
    return visitor


GMSG = {"cmd": "gmsg", "val": {"a": 1}, "rooms": "default"}
GVAR = {"cmd": "gvar", "name": "v", "val": 5, "rooms": "default"}
STATUS = {"cmd": "statuscode", "code": "I:100 | OK"}

WORDS = [
    ("CL2 early", GMSG, {"type": "gs", "data": '{"a":1}'}),
    ("CL2 late", GMSG, {"type": "sf", "data": {"type": "gs", "data": '{"a":1}'}}),
    ("CL3 0.1.5", GMSG, {"cmd": "gmsg", "val": '{"a":1}'}),
    ("CL3 0.1.7", GMSG, {"cmd": "gmsg", "val": '{"a":1}'}),
    ("CL4 0.1.8", GMSG, {"cmd": "gmsg", "val": {"a": 1}}),
    ("CL4 safe mode", GMSG, GMSG),
    ("CL4 0.2.0", GMSG, GMSG),
    ("CL2 late", GVAR, {"type": "sf", "data": {"type": "vm", "mode": "g", "var": "v", "data": 5}}),
    ("CL3 0.1.7", GVAR, {"cmd": "gvar", "name": "v", "val": 5}),
    ("CL3 0.1.7", STATUS, STATUS),
    ("CL3 0.1.7", {"cmd": "gvar", "name": "v"}, {"cmd": "gvar", "name": "v"}),
    ("CL3 0.1.7", {"cmd": "gvar", "val": 5}, {"cmd": "gvar", "val": 5}),
    ("CL3 0.1.7", {"cmd": "gmsg"}, {"cmd": "gmsg"}),
    ("CL2 early", "no packet at all", "no packet at all"),
]


@pytest.mark.parametrize(("era", "packet", "words"), WORDS)
def test_to_one_and_to_many(server, era, packet, words):
    visitor, modern = arrive(server, era, "alice"), arrive(server, "CL4 0.2.0", "bob")
    visitor.heard()
    server.send_packet(visitor.client, packet)
    assert visitor.heard() == [words]
    server.send_packet([modern.client, visitor.client], packet)
    assert visitor.heard() == [words]
    assert modern.heard() == [packet]


ROOMS = [
    (["a"], {"room": "a"}),
    (["a", "b"], {"room": "a"}),
    (["default"], {}),
    ([], {}),
    ([5], {"room": "5"}),
    ("a", {"room": "a"}),
    ('["a"]', {"room": '["a"]'}),
]


@pytest.mark.parametrize(("rooms", "told"), ROOMS)
def test_a_client_that_knows_one_room_a_packet_gets_the_first(server, rooms, told):
    visitor = arrive(server, "CL4 0.1.8", "alice")
    server.send_packet(visitor.client, GMSG | {"rooms": rooms})
    server.send_packet([visitor.client], GVAR | {"rooms": rooms})
    assert visitor.heard() == [
        {"cmd": "gmsg", "val": {"a": 1}} | told,
        {"cmd": "gvar", "name": "v", "val": 5} | told,
    ]


def test_rooms_that_are_none_stay_as_they_are(server):
    visitor = arrive(server, "CL4 0.1.8", "alice")
    server.send_packet(visitor.client, GMSG | {"rooms": [["a"]]})
    assert visitor.heard() == [GMSG | {"rooms": [["a"]]}]


def test_an_event_that_an_era_has_no_packet_for_is_not_sent(server):
    visitor = arrive(server, "CL2 early", "alice")
    server.send_packet(visitor.client, GVAR)
    server.send_packet([visitor.client], json.dumps(GVAR))
    assert visitor.heard() == []


def test_cloud_clients_get_what_was_written(server):
    visitor = MemoryClient(server, '{"method":"handshake","project_id":"1","user":"a"}')
    server.send_packet([visitor.client], GMSG)
    server.send_packet(visitor.client, GMSG)
    assert visitor.heard() == [GMSG, GMSG]


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_only_clients_of_0_2_0_see_who_sent_a_message(dialect):
    event = Message(b"1", User("", "7", "u", "bob"), attributed=True)
    frame = dialect.write(event, "default")
    assert (b'"origin"' in frame) == (str(dialect) in ("CL4 0.2.0", "Scratch"))
