"""The cost of joining and leaving: a huge room does not repeat its list each time, and clients that cause much wait."""

import functools
import json
import sys
from unittest.mock import patch

import pytest

from cloudlink.server.app import Server
from cloudlink.server.events import Relisted
from cloudlink.server.protocols.clpv4 import Clpv4
from cloudlink.server.protocols.clpv4.dialects.cl4_020 import user_object
from cloudlink.server.protocols.clpv4.schema import Schema
from cloudlink.server.protocols.clpv4.userlists import (
    _REPEAT_BURST,
    _REPEAT_RATE_OF_ALL,
    _USER_BYTES,
    UserLists,
)
from cloudlink.settings import Settings
from tests.support.memoryclients import MemoryClient, MemoryConnection, codes, named
from tests.support.servers import build, protocol_of


def crowd(server, count, name="p" * 96):
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
        session.connection_lost()
        server.delivery.flush()
    assert lists_received(first)[before:] == [9, 8, 7]
    assert delays == []


def test_a_large_room_gets_one_list_for_many_departures():
    server = Server(Settings())
    delays = delays_of(server)
    first, *others = crowd(server, 80)
    before = len(lists_received(first))
    for session in others[:10]:
        session.connection_lost()
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
        session.connection_lost()
    for _, callback in delays:
        callback()
    assert server.rooms_manager.rooms == {}


def test_lists_of_many_small_rooms_are_repeated_one_after_another(monkeypatch):
    now = 1000.0
    module = sys.modules[Clpv4.__module__]
    monkeypatch.setattr(module, "UserLists", functools.partial(UserLists, clock=lambda: now))
    server = Server(Settings())
    delays = delays_of(server)
    first, second, *others = crowd(server, 60)
    rooms = [f"room {number}" for number in range(30)]
    for session in (first, second, *others):
        session.receive(json.dumps({"cmd": "link", "val": rooms}).encode())
        server.delivery.flush()
    delays.clear()
    now += 100
    before = len(lists_received(first))
    second.connection_lost()
    server.delivery.flush()
    size = sum(len(json.dumps(server.rooms_manager.generate_userlist(room, Clpv4.schema))) for room in rooms)
    at_once = len(lists_received(first)) - before
    assert 0 < at_once < len(rooms)
    assert at_once * size / len(rooms) * 59 < _REPEAT_BURST + (1 << 20)
    waits = [delay for delay, _ in delays]
    assert len(waits) == len(rooms) - at_once
    assert waits == sorted(waits)
    assert waits[-1] > 0.9 * len(waits) * size / len(rooms) * 59 / _REPEAT_RATE_OF_ALL
    for _, callback in delays:
        callback()
    server.delivery.flush()
    assert len(lists_received(first)) - before == len(rooms)


# Who causes much must wait.


def linking(server, name, *rooms):
    player = named(server, name)
    player.say({"cmd": "link", "val": list(rooms)})
    return player


def test_lists_that_a_client_gets_are_charged_to_it():
    server = build({"user_list_rate": 0.001, "user_list_burst": 3000})
    alice = linking(server, "alice", "a")
    link = {"cmd": "link", "val": "a"}
    linked = [codes(alice.ask(link)) for _ in range(40)]
    shown = linked.index([108])
    assert 10 < shown < 30  # a list of one takes some 150 bytes
    assert linked[shown + 1 :] == [[]] * (39 - shown)  # it is told once a second
    assert codes(alice.ask({"cmd": "gmsg", "val": 1}, {"cmd": "ping"})) == [100]


def test_changes_that_others_get_are_charged_to_their_cause():
    server = build({"user_list_rate": 0.001, "user_list_burst": 20_000})
    for number in range(50):
        linking(server, f"p{number}", "a")
    alice = linking(server, "alice", "b")
    answers = [codes(alice.ask({"cmd": cmd, "val": "a"})) for _ in range(4) for cmd in ("link", "unlink")]
    assert answers[0] == [100]
    refused = answers.index([108])
    assert answers[refused + 1 :] == [[]] * (7 - refused)
    fresh = linking(server, "fresh", "b")
    assert codes(fresh.ask({"cmd": "link", "val": "a"})) == [100]


def test_a_client_that_leaves_a_large_room_of_scratch_projects_can_continue():
    server = build()
    for number in range(100):
        MemoryClient(
            server,
            {"cmd": "handshake", "val": {"language": "Scratch"}},
            {"cmd": "setid", "val": f"p{number}"},
        )
    alice = named(server, "alice")
    alice.heard()
    changes = [{"cmd": "link", "val": "a"}, {"cmd": "unlink", "val": ""}] * 50
    assert codes(alice.ask(*changes)) == [100] * 100


def test_a_client_may_come_into_one_huge_room_but_not_into_several_at_a_time():
    server = build({"user_list_burst": 4000, "user_list_rate": 1e9})
    for number in range(10):
        linking(server, f"p{number}", "a", "b")
    alice = linking(server, "alice", "c")
    alice.heard()
    assert codes(alice.ask({"cmd": "link", "val": ["a", "b"]})) == [108]
    assert alice.client.rooms == {"c"}
    assert codes(alice.ask({"cmd": "link", "val": "a"}, {"cmd": "link", "val": "b"})) == [100, 100]


@pytest.mark.parametrize(("more", "code"), [(0, 100), (-1, 108)])
def test_several_rooms_may_take_exactly_the_burst(more, code):
    server = build()
    for number in range(3):
        linking(server, f"p{number}", "a", "b")
    alice = linking(server, "alice", "c")
    alice.heard()
    per_member = _USER_BYTES + len(user_object(alice.client.user))
    server.limits.user_list_burst = 6 * per_member + more
    assert codes(alice.ask({"cmd": "link", "val": ["a", "b"]})) == [code]


def test_lists_after_a_handshake_are_charged():
    server = build({"implicit_greeting": False})
    for number in range(20):
        linking(server, f"p{number}", "default")
    alice = MemoryClient(server)
    alice.say({"cmd": "ping"})
    before = alice.client.state.user_lists.used()
    (heard,) = [frame for frame in alice.ask({"cmd": "handshake"}) if frame["cmd"] == "ulist"]
    assert len(heard["val"]) == 20
    charged = alice.client.state.user_lists.used() - before
    assert charged == len(json.dumps(heard, separators=(",", ":"))) + 4  # of the header


def test_a_burst_of_300_changes_is_fine_by_default():
    server = build()
    for number in range(100):
        named(server, f"p{number}")
    alice = named(server, "alice")
    alice.heard()
    assert codes(alice.ask(*[{"cmd": "link", "val": ["default", "a"]}] * 299)) == [100] * 299


def test_a_list_is_not_kept_for_long():
    server = build()
    for number in range(3):
        linking(server, f"p{number}", "a", "b")
    lists = server.hooks.engines[Clpv4.schema]._lists
    assert lists._caches.keys() >= {"a", "b"}
    for tick in server.hooks.protocol_tick:
        tick()
    assert lists._caches == {}


def test_a_huge_rooms_list_reaches_a_newcomer_who_reads_slowly():
    server = build({"max_queued_bytes": 1024})
    for number in range(50):
        named(server, f"p{number}")
    newcomer = MemoryClient(server)
    newcomer.connection.congested = True
    newcomer.say({"cmd": "handshake"}, {"cmd": "setid", "val": "newcomer"})
    assert newcomer.closed is None
    newcomer.connection.congested = False
    newcomer.session.writable()
    lists = [packet["val"] for packet in newcomer.heard() if packet["cmd"] == "ulist"]
    assert [len(users) for users in lists] == [51]


def test_of_several_long_lists_at_once_a_newcomer_who_turns_out_to_read_slowly_gets_the_last():
    server = build({"max_queued_bytes": 1024})
    for number in range(50):
        named(server, f"p{number}")
    newcomer = MemoryClient(server)
    write = newcomer.connection.write

    def write_a_little(frames):
        write(frames)
        newcomer.connection.congested = True

    newcomer.connection.write = write_a_little
    again = {"cmd": "link", "val": ["default"]}
    with (
        patch("cloudlink.server.protocols.clpv4.userlists._LONG_LIST", 1000),
        patch("cloudlink.delivery.writing._PIECE", 100),
    ):
        newcomer.say({"cmd": "handshake"}, {"cmd": "setid", "val": "newcomer"}, again, again)
        assert newcomer.closed is None
        newcomer.connection.write = write
        newcomer.connection.congested = False
        newcomer.session.writable()
    lists = [packet["val"] for packet in newcomer.heard() if packet["cmd"] == "ulist"]
    assert [len(users) for users in lists] == [51]


def test_news_of_a_crowd_is_written_together_whatever_the_members_speak():
    server, due = build(), []
    speakers = [
        named(server, "today"),
        MemoryClient(server, {"cmd": "handshake", "val": {"language": "Scratch"}}),
        MemoryClient(server, "<%sn>\nold"),
    ]
    server.delivery.flush()
    writes = dict.fromkeys(speakers, 0)
    for speaker in speakers:

        def count(frames, speaker=speaker, write=speaker.connection.write):
            writes[speaker] += 1
            write(frames)

        speaker.connection.write = count
    server.delivery._schedule = lambda wait, callback: wait or due.append(callback)
    for number in range(20):
        newcomer = server.open_session(MemoryConnection())
        for packet in ({"cmd": "handshake"}, {"cmd": "setid", "val": f"p{number}"}):
            newcomer.receive(json.dumps(packet).encode())
        while due:
            due.pop()()
    assert all(count <= 2 for count in writes.values()), writes
    server.delivery.flush()
    added = [packet for packet in speakers[0].heard() if packet["cmd"] == "ulist" and packet["mode"] == "add"]
    assert [packet["val"]["username"] for packet in added] == ["old", *(f"p{number}" for number in range(20))]


@pytest.mark.parametrize("names", [["early"], ["early", "later"]])
def test_a_name_is_charged_for_all_rooms_in_which_it_is_announced(names):
    def charged_for(rooms):
        server = build()
        lists = protocol_of(server)._room_states._lists
        witness, client = named(server, "witness"), MemoryClient(server, {"cmd": "handshake"})
        for visitor in (witness.client, client.client):
            for room in rooms:
                server.rooms_manager.subscribe(visitor, room)
        charges = []
        lists.charge = lambda _client, size: charges.append(size)
        for name in names:
            charges.clear()
            client.client.set_username(name)
        return charges[0]

    one, three = charged_for([]), charged_for(["default2", "default3"])
    assert 0 < 2 * one < three < 4 * one


def test_a_list_is_replaced_only_where_somebody_is_in_the_room(caplog):
    server = build()
    member = named(server, "mia")
    for room, lists in (("nobody's", []), ("default", [["mia"]])):
        server.hub.emit_to(room, Schema, Relisted())
        sets = [packet for packet in member.heard() if packet["cmd"] == "ulist"]
        assert [[user["username"] for user in packet["val"]] for packet in sets] == lists
    assert caplog.text == ""
