"""Room state for newcomers: bounded, fair between addresses, forgotten in time, and kept in the storage file."""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.error
import urllib.request
from contextlib import closing
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink.counters import StoreCondition
from cloudlink.errors import StartError
from cloudlink.server.events import Variable
from cloudlink.server.protocols.clpv4 import Clpv4
from cloudlink.server.protocols.clpv4.roomstate import RoomState
from cloudlink.storage import MemoryStore
from cloudlink.storage.database import ROOMS, Database
from tests.support.clock import FakeClock
from tests.support.memoryclients import MemoryClient, named
from tests.support.servers import HOST, RestartableServer, build, listening, protocol_of

CL4 = Clpv4.schema


class Place:
    """A server in memory whose clock a test moves."""

    def __init__(self, **settings):
        self.server = build({"room_state": "memory", **settings})
        self.states = protocol_of(self.server)._room_states
        self.clock = self.states._clock = FakeClock()

    def client(self, address, room="r"):
        client = named(self.server, "somebody", address=address)
        client.say({"cmd": "link", "val": room})
        return client

    def seen(self, room="r"):
        """What a newcomer of a room is sent, by name."""
        visitor = named(self.server, "visitor")
        answers = visitor.ask({"cmd": "link", "val": room})
        visitor.leave()
        return {answer["name"]: answer["val"] for answer in answers if answer["cmd"] == "gvar"}


def put(name, value=1):
    return {"cmd": "gvar", "name": name, "val": value}


# Bounds, and who pays.


def test_whoever_fills_a_room_pushes_out_its_own_variables_only():
    place = Place(room_state_max_variables=4)
    quiet, loud = place.client("10.0.0.1"), place.client("10.0.0.2")
    quiet.say(put("score", 7), put("level", 2))
    loud.say(*(put(f"junk{number}") for number in range(50)))
    assert place.seen() == {"score": 7, "level": 2, "junk48": 1, "junk49": 1}


def test_a_full_room_makes_place_for_an_address_that_has_less():
    place = Place(room_state_max_variables=4)
    place.client("10.0.0.2").say(*(put(f"junk{number}") for number in range(50)))
    quiet = place.client("10.0.0.1")
    quiet.say(put("score", 7), put("level", 2))
    assert place.seen() == {"junk48": 1, "junk49": 1, "score": 7, "level": 2}
    quiet.say(put("lives", 3))  # both have half of the room, so it displaces its own
    assert place.seen() == {"junk48": 1, "junk49": 1, "level": 2, "lives": 3}


def test_bytes_are_shared_as_numbers_are():
    place = Place(room_state_max_bytes=1024)
    quiet, loud = place.client("10.0.0.1"), place.client("10.0.0.2")
    quiet.say(put("q", "x" * 300))
    loud.say(put("a", "x" * 400), put("b", "x" * 400), put("c", "x" * 400))
    assert place.seen().keys() == {"q", "c"}


def test_a_value_that_no_room_can_hold_pushes_nothing_out_and_leaves_no_older_one():
    place = Place(room_state_max_bytes=1024)
    client = place.client("10.0.0.1")
    client.say(put("a"), put("b"), put("b", "x" * 2000))
    assert place.seen() == {"a": 1}


def test_rooms_nobody_is_in_make_way_for_others(caplog):
    place = Place(room_state_max_memory=65_536)
    first = place.client("10.0.0.1", "left")
    first.say(put("x", "x" * 15_000))
    first.leave()
    for number in range(2, 6):
        place.client(f"10.0.0.{number}", f"room{number}").say(put("x", "x" * 12_000))
    assert place.seen("left") == {}
    assert all(place.seen(f"room{number}") for number in range(2, 6))
    place.client("10.0.0.6", "room6").say(put("x", "x" * 12_000))
    place.client("10.0.0.7", "room7").say(put("x", "x" * 12_000))
    assert place.seen("room7") == {}
    assert place.seen("room2")
    assert "take all of their memory (setting room_state_max_memory)" in caplog.text


def test_one_address_has_a_quarter_of_the_memory(caplog):
    place = Place(room_state_max_memory=65_536)
    client = place.client("10.0.0.1")
    client.say({"cmd": "link", "val": "s"}, put("x", "x" * 7000), put("y", "x" * 7000))
    assert place.seen().keys() == {"x"}
    assert place.seen("s").keys() == {"x"}
    assert "one address has a quarter of their memory" in caplog.text


def test_addresses_of_one_ipv6_network_count_as_one():
    place = Place(room_state_max_variables=4)
    quiet = place.client("2001:db8::1")
    quiet.say(put("score", 7), put("level", 2))
    for number in range(20):
        loud = place.client(f"2001:db8:0:1::{number + 1:x}")
        loud.say(put(f"junk{number}"))
    assert place.seen() == {"score": 7, "level": 2, "junk18": 1, "junk19": 1}


ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"])
NAMES = st.sampled_from([b'"%c"' % letter for letter in b"abcdefgh"])
VALUES = st.integers(0, 40).map(lambda size: b'"%b"' % (b"x" * size))


@given(st.lists(st.tuples(ADDRESSES, NAMES, VALUES), max_size=60), st.integers(1, 6), st.integers(60, 150))
def test_a_room_stays_in_its_bounds_and_takes_from_whom_has_most(steps, most_variables, most_bytes):
    state = RoomState("r")
    latest = {}
    for address, name, val in steps:
        if name in state.variables:
            state.drop(name)
        state.put(name, val, address)
        latest[name] = val, address
        while (surplus := state.surplus(most_variables, most_bytes, address)) is not None:
            kept = state.variables
            owners = [each.address for each in kept.values()]
            sizes = dict.fromkeys(owners, 0)
            for each, variable in kept.items():
                sizes[variable.address] += len(each) + len(variable.val)
            loser = kept[surplus].address
            if len(kept) > most_variables:
                assert owners.count(loser) == max(map(owners.count, owners))
            else:
                assert sizes[loser] == max(sizes.values())
            assert surplus == next(each for each, variable in kept.items() if variable.address == loser)
            state.drop(surplus)
        assert len(state.variables) <= most_variables
        assert state.size == sum(len(each) + len(variable.val) for each, variable in state.variables.items())
        assert state.size <= most_bytes
        assert {
            each: (kept.val, kept.address) for each, kept in state.variables.items()
        }.items() <= latest.items()


ROOM_NAMES = st.sampled_from(["r", "s", "t"])
STEPS = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 3), st.sampled_from("abcd"), st.sampled_from([1, 3000, 9000])),
    st.tuples(st.just("message"), st.integers(0, 3), st.sampled_from([1, 3000])),
    st.tuples(st.just("link"), st.integers(0, 3), ROOM_NAMES),
    st.tuples(st.just("unlink"), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.sampled_from([1, 30, 61])),
)


@given(st.lists(STEPS, max_size=40))
def test_the_memory_is_counted_right_and_bounded_whatever_happens(steps):
    place = Place(room_state_max_memory=65_536)
    clients = [named(place.server, f"user{number}", address=f"10.0.0.{number // 2}") for number in range(4)]
    for what, *how in steps:
        if what == "wait":
            place.clock.now += how[0]
            place.states._tick()
        elif what == "set":
            clients[how[0]].say(put(how[1], "x" * how[2]))
        elif what == "message":
            clients[how[0]].say({"cmd": "gmsg", "val": "x" * how[1]})
        elif what == "link":
            clients[how[0]].say({"cmd": "link", "val": how[1]})
        else:
            clients[how[0]].say({"cmd": "unlink", "val": ""})
        _check_accounts(place)


def _check_accounts(place):
    states, rooms = place.states, place.server.rooms_manager
    cost = {state.room: state.own_cost for state in states._states.values()}
    owed = {}
    for state in states._states.values():
        for name, kept in state.variables.items():
            size = 300 + len(name) + len(kept.val)
            cost[state.room] += size
            owed[kept.address] = owed.get(kept.address, 0) + size
    assert states._bytes == sum(cost.values()) <= 65_536
    assert states._by_address == owed
    assert all(size <= 65_536 // 4 for size in owed.values())
    occupied = {room for room in states._states if rooms.members(room, CL4)}
    assert states._states.keys() - occupied == states._empty.keys() - occupied


# Time.


def test_a_room_is_forgotten_when_it_has_been_empty_for_long():
    place = Place()
    client = place.client("10.0.0.1")
    client.say(put("x", 5))
    client.leave()
    place.clock.now += 59
    place.states._tick()
    assert place.seen() == {"x": 5}  # and the visitor has been in the room until now
    place.clock.now += 59
    place.states._tick()
    assert place.seen() == {"x": 5}
    place.clock.now += 61
    place.states._tick()
    assert place.seen() == {}


@pytest.mark.parametrize(
    ("packet", "kept"), [(None, []), (put("x"), ["r"]), ({"cmd": "gmsg", "val": 1}, ["r"])]
)
def test_only_a_room_with_something_to_show_is_kept_when_it_is_empty(packet, kept):
    place = Place()
    client = place.client("10.0.0.1")
    client.say(put("gone"), packet or {"cmd": "ping"})
    state = place.states._states["r"]
    place.states._drop(state, b'"gone"')
    client.say({"cmd": "unlink", "val": ["r"]})
    assert [room for room in place.states._states if room == "r"] == kept


def test_a_room_that_somebody_was_put_into_silently_is_not_empty():
    place = Place()
    client = place.client("10.0.0.1")
    client.say(put("x", 5))
    client.leave()
    place.server.rooms_manager.subscribe(named(place.server, "quiet").client, "r")
    place.clock.now += 1000
    place.states._tick()
    assert place.seen() == {"x": 5}


def test_nothing_is_noted_while_it_is_off():
    place = Place(room_state="off")
    place.client("10.0.0.1").say(put("x"))
    assert place.seen() == {}
    assert Variable not in place.server.hub._subscribers or all(
        subscriber.__self__ is not place.states for subscriber in place.server.hub._subscribers[Variable]
    )


def test_a_crowd_is_shown_frames_that_were_written_once():
    place = Place()
    place.client("10.0.0.1").say(put("x"))
    place.seen()
    dialect = MemoryClient(place.server, {"cmd": "handshake"}).client.dialect
    frames = place.states._states["r"].frames(dialect)
    assert place.states._states["r"].frames(dialect) is frames
    place.states._tick()
    assert place.states._states["r"].frames(dialect) is not frames


def test_room_variables_are_charged_like_user_lists():
    place = Place(user_list_burst=3000, user_list_rate=1.0)
    place.client("10.0.0.1").say(put("x", "x" * 4000))
    visitor = named(place.server, "visitor")
    assert len(visitor.ask({"cmd": "link", "val": "r"})) == 3
    refused = visitor.ask({"cmd": "link", "val": "s"})
    assert [answer["code_id"] for answer in refused] == [108]


def test_events_of_the_server_are_kept_also_in_an_empty_room():
    place = Place()
    place.server.hub.emit_to("r", CL4, Variable(b'"x"', b"1"))
    assert place.seen() == {"x": 1}


# The storage file.


def stored(tmp_path, **settings):
    return {"room_state": "stored", "storage": str(tmp_path / "cloudlink.db"), **settings}


def test_variables_outlive_the_server(tmp_path):
    async def main():
        host = RestartableServer(stored(tmp_path))
        await host.start()
        client = MemoryClient(host.server, {"cmd": "handshake"}, put("☁ x", 1.5), put("gone", 1))
        client.say(put("☁ x", [1, {"a": 2.0}]))
        await host.stop()
        await host.start()
        greeting = MemoryClient(host.server).ask({"cmd": "handshake"})
        await host.stop()
        return {packet["name"]: packet["val"] for packet in greeting if packet["cmd"] == "gvar"}

    assert asyncio.run(main()) == {"☁ x": [1, {"a": 2.0}], "gone": 1}


def test_a_stored_room_that_memory_has_forgotten_is_read_again(tmp_path):
    async def main():
        server = build(stored(tmp_path, room_state_lifetime=0))
        async with listening(server):
            client = MemoryClient(server, {"cmd": "handshake"}, put("x", 3))
            client.leave()
            assert protocol_of(server)._room_states._states == {}
            return MemoryClient(server).ask({"cmd": "handshake"})

    assert {"cmd": "gvar", "name": "x", "val": 3, "rooms": "default"} in asyncio.run(main())


def test_without_older_eras_no_message_is_kept():
    place = Place(legacy=False)
    place.client("10.0.0.1").say({"cmd": "gmsg", "val": "hi"})
    assert place.states._states == {}


def test_cloud_variables_and_those_of_rooms_are_kept_apart(tmp_path):
    async def main():
        async with listening(build(stored(tmp_path))) as _:
            pass
        host = RestartableServer(stored(tmp_path))
        await host.start()
        MemoryClient(host.server, {"cmd": "handshake"}, put("room", 1))
        MemoryClient(
            host.server,
            '{"method":"handshake","project_id":"default","user":"player"}',
            '{"method":"set","name":"cloud","value":2}',
        )
        await host.stop()

    asyncio.run(main())
    file = tmp_path / "cloudlink.db"
    with (
        closing(Database(file, patience=5)) as cloud,
        closing(Database(file, patience=5, tables=ROOMS)) as rooms,
    ):
        assert cloud.load("default") == {"cloud": b"2"}
        assert rooms.load("default") == {"room": b"1"}


def test_a_variable_that_is_pushed_out_leaves_the_file_too(tmp_path):
    async def main():
        async with listening(server := build(stored(tmp_path, room_state_max_variables=1))):
            MemoryClient(server, {"cmd": "handshake"}, put("a"), put("b"))

    asyncio.run(main())
    with closing(Database(tmp_path / "cloudlink.db", patience=5, tables=ROOMS)) as rooms:
        assert rooms.load("default") == {"b": b"1"}


def test_a_variable_that_somebody_deletes_in_the_file_is_forgotten(tmp_path):
    async def main():
        server = build(stored(tmp_path))
        async with listening(server):
            client = MemoryClient(server, {"cmd": "handshake"}, put("a"), put("b"))
            states = protocol_of(server)._room_states
            await until(lambda: in_file(tmp_path) == {"a": b"1", "b": b"1"})
            with closing(Database(tmp_path / "cloudlink.db", patience=5, tables=ROOMS)) as rooms:
                rooms.write({"default": {"a": None}})
            await until(lambda: b'"a"' not in states._states["default"].variables)
            assert client.client.open
            assert set(states._states["default"].variables) == {b'"b"'}

    asyncio.run(main())


def in_file(tmp_path):
    with closing(Database(tmp_path / "cloudlink.db", patience=5, tables=ROOMS)) as rooms:
        return rooms.load("default")


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # nothing tells when another thread has written a file
            await asyncio.sleep(0.02)


def test_stored_without_a_file_does_not_start():
    async def main():
        await build({"room_state": "stored", "storage": ""}).start(HOST, 0)

    with pytest.raises(StartError, match=r"room_state is \"stored\".*name a file in storage"):
        asyncio.run(main())


class Noting(MemoryStore):
    """A store that notes what is used."""

    def __init__(self):
        super().__init__()
        self.used = []

    def touch(self, room):
        self.used.append(room)


def test_rooms_in_use_are_marked_in_the_store_once_an_hour():
    place = Place()
    place.states._store = store = Noting()
    place.states._touched_at = place.clock.now
    stayed, gone = place.client("10.0.0.1", "stayed"), place.client("10.0.0.2", "gone")
    stayed.say(put("x"))
    gone.say(put("x"))
    gone.leave()
    store.used.clear()
    place.clock.now += 3599
    place.states._settings.set("room_state_lifetime", 1e6)
    place.states._tick()
    assert store.used == []
    place.clock.now += 1
    place.states._tick()
    assert store.used == ["stayed"]
    place.states._tick()
    assert store.used == ["stayed"]


def test_the_condition_is_that_of_the_store():
    place = Place(room_state="stored", storage="unused.db")
    condition = place.server.counters.stores["rooms"]
    assert condition() == StoreCondition()
    place.states._store = SimpleNamespace(condition=StoreCondition(is_up=False, waiting=2))
    assert condition() == StoreCondition(is_up=False, waiting=2)


def test_limits_of_the_file_reach_the_store():
    place = Place(room_state="stored", storage="unused.db")
    limits = []
    place.states._follow_setting("storage_max_size")  # the store is not open yet
    place.states._store = SimpleNamespace(limit=lambda *limit: limits.append(limit))
    for name in ("storage_max_size", "storage_keep_days", "motd"):
        place.states._follow_setting(name)
    settings = place.server.settings
    assert limits == [(settings.storage_max_size, settings.storage_keep_days)] * 2


def test_a_client_of_a_unix_socket_owns_its_variables_too():
    place = Place()
    place.client("unix").say(put("x"))
    assert list(place.states._by_address) == ["unix"]


# HTTP.


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, None


@pytest.mark.parametrize("is_on", [True, False])
def test_variables_are_shown_over_http_only_if_the_host_wants_it(is_on):
    async def main():
        server = build({"room_state": "memory", "room_state_http": is_on})
        async with listening(server) as port:
            named(server, "alice").say({"cmd": "link", "val": "a room"}, put("x", [1]), put('"', "é"))
            return [await asyncio.to_thread(get, port, path) for path in ("/rooms/a%20room", "/rooms/none")]

    found = (200, {"x": [1], '"': "é"})
    assert asyncio.run(main()) == ([found, (404, None)] if is_on else [(404, None)] * 2)


def test_a_stored_room_is_shown_over_http_while_nobody_is_in_it(tmp_path):
    async def main():
        host = RestartableServer(stored(tmp_path, room_state_http=True))
        await host.start()
        MemoryClient(host.server, {"cmd": "handshake"}, put("x"))
        await host.stop()
        await host.start()
        answer = await asyncio.to_thread(get, host.port, "/rooms/default")
        await host.stop()
        return answer

    assert asyncio.run(main()) == (200, {"x": 1})


@pytest.fixture(autouse=True)
def everything_is_heard(caplog):
    caplog.set_level(logging.INFO, "cloudlink.server")
