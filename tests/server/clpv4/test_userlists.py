"""A room of thousands does not repeat its user list for each departure."""

import json

from cloudlink.server.app import Server
from cloudlink.server.protocols.clpv4 import Clpv4
from cloudlink.settings import Settings
from conversation_drivers import MemoryConnection


def crowd(server, count, name="p" * 200):
    """Clients written in Scratch, named, in the default room."""
    sessions = []
    for number in range(count):
        session = server.open_session(MemoryConnection())
        session.receive(b'{"cmd":"handshake","val":{"language":"Scratch"}}')
        session.receive(json.dumps({"cmd": "setid", "val": f"{name}{number}"}).encode())
        server.delivery.flush()
        sessions.append(session)
    return sessions


def lists_received(session):
    frames = [json.loads(frame) for frame in session.client.outbox.connection.frames]
    return [len(f["val"]) for f in frames if f["cmd"] == "ulist" and f["mode"] == "set"]


def delays_of(server):
    delays = []
    server.later = lambda delay, callback: delays.append((delay, callback))
    Clpv4(server)
    return delays


def test_a_small_room_gets_the_list_with_each_departure():
    server = Server(Settings())
    delays = delays_of(server)
    first, *others = crowd(server, 10)
    before = len(lists_received(first))
    for session in others[:3]:
        session.lost()
        server.delivery.flush()
    assert lists_received(first)[before:] == [9, 8, 7]
    assert delays == []


def test_a_large_room_gets_one_list_for_many_departures():
    server = Server(Settings())
    delays = delays_of(server)
    first, *others = crowd(server, 80)
    before = len(lists_received(first))
    for session in others[:10]:
        session.lost()
        server.delivery.flush()
    assert lists_received(first)[before:] == []
    ((delay, callback),) = delays
    assert 0.02 < delay < 1
    callback()
    server.delivery.flush()
    assert lists_received(first)[before:] == [70]


def test_a_room_that_has_emptied_meanwhile_needs_no_list():
    server = Server(Settings())
    delays = delays_of(server)
    sessions = crowd(server, 80)
    for session in sessions:
        session.lost()
    for _, callback in delays:
        callback()
    assert server.rooms_manager.rooms == {}
