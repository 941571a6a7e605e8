"""The rooms manager: who is in which room, and what plugins see of it."""

from __future__ import annotations

import asyncio

import pytest

from cloudlink.server.clients import NoResultsFound
from cloudlink.server.protocols.clpv4 import Clpv4
from cloudlink.server.protocols.clpv4.dialects import CL4, CL4_SCRATCH
from cloudlink.server.rooms import RoomAlreadyExists, RoomDoesNotExist, RoomNotEmpty
from tests.support.memoryclients import MemoryClient, named
from tests.support.servers import build

CL4_SCHEMA = Clpv4.schema


class Other:
    """A plugin's protocol."""

    command_key = "do"
    default = {"do": {"type": "string", "required": True}}  # noqa: RUF012  # as plugins write it


@pytest.fixture
def server():
    server = build()
    server.bind_callback("wave", Other, lambda client, message: None)
    return server


@pytest.fixture
def rooms(server):
    return server.rooms_manager


@pytest.fixture
def alice(server):
    return named(server, "alice").client


@pytest.fixture
def bob(server):
    return named(server, "bob").client


def part(rooms, room_id, schema=CL4_SCHEMA):
    return rooms.get(room_id)["clients"][schema]


# Making and deleting.


def test_a_created_room_stays_when_it_is_empty(rooms, alice):
    rooms.create("den")
    assert rooms.exists("den")
    rooms.subscribe(alice, "den")
    rooms.unsubscribe(alice, "den")
    assert rooms.exists("den")
    rooms.delete("den")
    assert not rooms.exists("den")


def test_any_other_room_goes_with_its_last_client(rooms, alice, bob):
    rooms.subscribe(alice, "den")
    rooms.subscribe(bob, "den")
    rooms.unsubscribe(alice, "den")
    assert rooms.exists("den")
    rooms.unsubscribe(bob, "den")
    assert not rooms.exists("den")


def test_a_room_goes_when_its_last_client_disconnects_and_a_created_one_stays(server, rooms):
    rooms.create("kept")
    visitor = named(server, "alice")
    rooms.subscribe(visitor.client, "kept")
    rooms.subscribe(visitor.client, "den")
    visitor.leave()
    assert list(rooms.rooms) == ["kept"]
    assert rooms.get("kept")["clients"] == {}


def test_rooms_that_cannot_be_made_or_deleted(rooms, alice):
    rooms.create("den")
    with pytest.raises(RoomAlreadyExists, match="den"):
        rooms.create("den")
    with pytest.raises(RoomAlreadyExists, match="default"):
        rooms.create("default")
    with pytest.raises(RoomDoesNotExist, match="nowhere"):
        rooms.delete("nowhere")
    with pytest.raises(RoomNotEmpty, match="default"):
        rooms.delete("default")
    assert rooms.exists("default")


def test_a_deleted_room_can_be_made_again_and_is_new(rooms):
    rooms.create("den")
    rooms.get("den")["global_vars"]["score"] = 5
    rooms.delete("den")
    rooms.create("den")
    assert rooms.get("den")["global_vars"] == {}


@pytest.mark.parametrize("name", [5, None, ["den"], b"den"])
def test_a_room_is_named_by_text(rooms, alice, name):
    calls = (rooms.create, rooms.delete, rooms.exists, rooms.get, rooms.find_room)
    for call in (*calls, lambda name: rooms.subscribe(alice, name)):
        with pytest.raises(TypeError, match=type(name).__name__):
            call(name)
    assert alice.rooms == {"default"}


@pytest.mark.parametrize("name", ["", " ", "\0", "☁" * 2000, "default "])
def test_any_text_may_be_a_rooms_name(rooms, alice, name):
    rooms.subscribe(alice, name)
    assert rooms.exists(name)
    assert alice.rooms == {"default", name}


# Going in and out.


def test_going_in_twice_is_going_in_once(rooms, alice):
    rooms.subscribe(alice, "den")
    rooms.subscribe(alice, "den")
    assert part(rooms, "den")["all"] == {alice}
    rooms.unsubscribe(alice, "den")
    assert not rooms.exists("den")


def test_leaving_a_room_one_is_not_in_changes_nothing(rooms, alice, bob):
    rooms.subscribe(alice, "den")
    rooms.unsubscribe(bob, "den")
    assert part(rooms, "den")["all"] == {alice}


def test_a_room_that_does_not_exist_cannot_be_left(rooms, alice):
    with pytest.raises(RoomDoesNotExist, match="nowhere"):
        rooms.unsubscribe(alice, "nowhere")


def test_a_client_that_is_gone_keeps_its_list_of_rooms_until_it_is_corrected(server, rooms):
    visitor = named(server, "alice")
    rooms.subscribe(visitor.client, "den")
    visitor.leave()
    assert visitor.client.rooms == {"default", "den"}
    rooms.unsubscribe(visitor.client, "den")
    assert visitor.client.rooms == {"default"}
    assert rooms.rooms == {}


def test_a_client_that_is_gone_cannot_be_put_into_a_room(server, rooms):
    visitor = named(server, "alice")
    visitor.leave()
    rooms.subscribe(visitor.client, "den")
    rooms.subscribe(visitor.client, "default")
    assert rooms.rooms == {}


def test_a_plain_handler_of_on_disconnect_may_take_the_client_out_of_its_rooms(server, rooms):
    @server.on_disconnect
    def leave_all(client):
        for room_id in tuple(client.rooms):
            rooms.unsubscribe(client, room_id)

    named(server, "alice").leave()
    assert rooms.rooms == {}


def test_a_client_put_into_a_room_gets_its_messages(server, rooms):
    listener, speaker = named(server, "listener"), named(server, "speaker")
    rooms.subscribe(listener.client, "den")
    rooms.subscribe(speaker.client, "den")
    listener.heard()
    speaker.say({"cmd": "gmsg", "val": 1, "rooms": "den"})
    assert listener.heard() == [{"cmd": "gmsg", "val": 1, "rooms": "den"}]
    rooms.unsubscribe(listener.client, "den")
    speaker.say({"cmd": "gmsg", "val": 2, "rooms": "den"})
    assert listener.heard() == []


# A plugin puts a client into rooms before its protocol is known.


def test_a_client_that_a_plugin_put_into_a_room_on_connecting_speaks_there_once_it_is_known(server, rooms):
    @server.on_connect
    def seat(client):
        rooms.subscribe(client, "lobby")
        rooms.subscribe(client, "default")

    visitor = MemoryClient(server)
    assert visitor.client.rooms == {"lobby", "default"}
    assert part(rooms, "lobby", None)["all"] == {visitor.client}

    visitor.say({"cmd": "handshake"})

    assert visitor.client.rooms == {"lobby", "default"}
    assert rooms.get("lobby")["clients"].keys() == {CL4_SCHEMA}
    assert part(rooms, "lobby")["all"] == {visitor.client}
    assert visitor.ask({"cmd": "gmsg", "val": 1, "rooms": "lobby"}) == [
        {"cmd": "gmsg", "val": 1, "rooms": "lobby"}
    ]
    visitor.leave()
    assert rooms.rooms == {}


def test_a_client_that_leaves_before_it_is_known_leaves_its_rooms(server, rooms):
    server.on_connect(lambda client: rooms.subscribe(client, "lobby"))
    visitor = MemoryClient(server)
    assert rooms.exists("lobby")
    visitor.leave()
    assert rooms.rooms == {}


def test_a_name_given_on_connecting_is_in_the_list_once_the_protocol_is_known(server, rooms):
    @server.on_connect
    def seat(client):
        rooms.subscribe(client, "lobby")
        server.clients_manager.set_username(client, "guest")

    visitor = MemoryClient(server)
    assert part(rooms, "lobby", None)["usernames"] == {"guest": {visitor.client}}
    visitor.say({"cmd": "handshake"})
    assert [user["username"] for user in rooms.generate_userlist("lobby", CL4_SCHEMA)] == ["guest"]
    assert [user["username"] for user in rooms.generate_userlist("default", CL4_SCHEMA)] == ["guest"]


def test_plugin_data_in_a_room_outlasts_identifying_the_protocol(server, rooms):
    @server.on_connect
    def seat(client):
        rooms.subscribe(client, "lobby")
        rooms.get("lobby")["global_vars"]["host"] = client.snowflake

    visitor = MemoryClient(server, {"cmd": "handshake"})
    assert rooms.get("lobby")["global_vars"] == {"host": visitor.client.snowflake}


# Records.


def test_a_record_shows_the_members_in_every_way(rooms, alice, bob):
    rooms.subscribe(alice, "den")
    rooms.subscribe(bob, "den")
    record = rooms.find_room("den")
    assert record.keys() == {"clients", "global_vars", "private_vars"}
    assert record["clients"] == {
        CL4_SCHEMA: {
            "all": {alice, bob},
            "uuids": {alice.uuid: alice, bob.uuid: bob},
            "snowflakes": {alice.snowflake: alice, bob.snowflake: bob},
            "usernames": {"alice": {alice}, "bob": {bob}},
        }
    }
    assert rooms.get("den") == record


def test_a_record_has_a_part_for_each_protocol(server, rooms, alice):
    stranger = MemoryClient(server, {"do": "wave"}).client
    rooms.subscribe(alice, "den")
    rooms.subscribe(stranger, "den")
    clients = rooms.get("den")["clients"]
    assert {schema: one["all"] for schema, one in clients.items()} == {
        CL4_SCHEMA: {alice},
        Other: {stranger},
    }
    rooms.unsubscribe(stranger, "den")
    assert rooms.get("den")["clients"].keys() == {CL4_SCHEMA}


def test_the_members_of_a_record_are_a_snapshot(rooms, alice, bob):
    rooms.subscribe(alice, "den")
    before = rooms.get("den")
    rooms.subscribe(bob, "den")
    assert before["clients"][CL4_SCHEMA]["all"] == {alice}
    before["clients"][CL4_SCHEMA]["all"].clear()
    before["clients"].clear()
    assert part(rooms, "den")["all"] == {alice, bob}


def test_the_variables_of_a_record_are_the_rooms_own(rooms, alice):
    rooms.subscribe(alice, "den")
    rooms.get("den")["global_vars"]["score"] = 5
    rooms.find_room("den")["private_vars"]["seed"] = 7
    assert rooms.get("den")["global_vars"] == {"score": 5}
    assert rooms.get("den")["private_vars"] == {"seed": 7}
    rooms.unsubscribe(alice, "den")
    rooms.subscribe(alice, "den")
    assert rooms.get("den")["global_vars"] == {}


def test_the_record_of_no_room_is_empty_and_kept_nowhere(rooms):
    record = rooms.get("nowhere")
    assert record == {"clients": {}, "global_vars": {}, "private_vars": {}}
    record["global_vars"]["score"] = 5
    assert not rooms.exists("nowhere")
    assert rooms.get("nowhere")["global_vars"] == {}


def test_only_a_room_that_exists_is_found(rooms):
    with pytest.raises(NoResultsFound, match="nowhere"):
        rooms.find_room("nowhere")


# Finding members.


def test_members_are_found_by_name_uuid_and_snowflake(server, rooms, alice):
    namesake = named(server, "alice").client
    members = part(rooms, "default")
    assert rooms.find_obj("alice", members) == {alice, namesake}
    assert rooms.find_obj(alice.uuid, members) is alice
    assert rooms.find_obj(alice.snowflake, members) is alice


def test_a_client_in_another_room_is_not_found(rooms, alice, bob):
    rooms.subscribe(alice, "den")
    for query in ("bob", bob.uuid, bob.snowflake, ""):
        with pytest.raises(NoResultsFound):
            rooms.find_obj(query, part(rooms, "den"))


@pytest.mark.parametrize("query", [5, None, {"username": "alice"}, ["alice"]])
def test_members_are_looked_for_by_text(rooms, alice, query):
    with pytest.raises(TypeError, match=type(query).__name__):
        rooms.find_obj(query, part(rooms, "default"))


def test_the_user_list_is_in_order_of_joining_and_has_the_named_only(server, rooms, alice, bob):
    MemoryClient(server, {"cmd": "handshake"})
    MemoryClient(server, {"do": "wave"})
    rooms.unsubscribe(alice, "default")
    rooms.subscribe(alice, "default")
    assert rooms.generate_userlist("default", CL4_SCHEMA) == [
        {"id": client.snowflake, "username": client.username, "uuid": client.uuid} for client in (bob, alice)
    ]
    assert rooms.generate_userlist("default", Other) == []
    assert rooms.generate_userlist("nowhere", CL4_SCHEMA) == []


def test_the_ids_of_a_part(rooms, alice, bob):
    members = part(rooms, "default")
    assert rooms.get_snowflakes(members) == {alice.snowflake, bob.snowflake}
    assert rooms.get_uuids(members) == {alice.uuid, bob.uuid}


def test_everybody_in_one_or_several_rooms(server, rooms, alice, bob):
    stranger = MemoryClient(server, {"do": "wave"}).client
    for client, room_id in ((alice, "a"), (alice, "b"), (bob, "b"), (stranger, "b")):
        rooms.subscribe(client, room_id)

    def everybody(names, schema=CL4_SCHEMA):
        return asyncio.run(rooms.get_all_in_rooms(names, schema))

    assert everybody("a") == {alice}
    assert everybody(["a", "b"]) == {alice, bob}
    assert everybody({"b"}) == {alice, bob}
    assert everybody("b", Other) == {stranger}
    assert everybody("nowhere") == set()
    assert everybody(["nowhere", "a"]) == {alice}
    assert everybody([]) == set()
    assert everybody("a", Other) == set()


def test_some_of_a_room(server, rooms, alice, bob):
    namesake = named(server, "alice").client

    def some(queries, room_id="default", schema=CL4_SCHEMA):
        return asyncio.run(rooms.get_specific_in_room(room_id, schema, queries))

    assert some("alice") == {alice, namesake}
    assert some(bob.uuid) == {bob}
    assert some([alice.snowflake, "bob", "nobody"]) == {alice, bob}
    assert some({"nobody"}) == set()
    assert some("alice", "nowhere") == set()
    assert some("alice", "default", Other) == set()


def test_the_exceptions_are_reachable_through_the_manager(rooms, alice):
    wrong = rooms.exceptions
    with pytest.raises(wrong.RoomAlreadyExists):
        rooms.create("default")
    with pytest.raises(wrong.RoomDoesNotExist):
        rooms.delete("nowhere")
    with pytest.raises(wrong.RoomNotEmpty):
        rooms.delete("default")
    with pytest.raises(wrong.NoResultsFound):
        rooms.find_room("nowhere")
    assert issubclass(wrong.RoomUnsupportedProtocol, Exception)


# Dialects.


def frames_by_dialect(rooms, room_id):
    members = rooms.members(room_id, CL4_SCHEMA)
    return {dialect: set(audience.outboxes) for dialect, audience in members.audiences.items()}


def test_members_are_grouped_by_dialect(rooms, alice, bob):
    rooms.subscribe(alice, "den")
    rooms.change_dialect(alice, CL4_SCRATCH)
    for room_id in ("default", "den"):
        assert frames_by_dialect(rooms, room_id)[CL4_SCRATCH] == {alice.outbox}
    assert frames_by_dialect(rooms, "default")[CL4] == {bob.outbox}
    assert alice.dialect is CL4_SCRATCH


def test_changing_to_the_same_dialect_changes_nothing(rooms, alice):
    before = rooms.members("default", CL4_SCHEMA).audiences[CL4]
    rooms.change_dialect(alice, CL4)
    assert rooms.members("default", CL4_SCHEMA).audiences == {CL4: before}


def test_messages_from_before_a_change_of_dialect_arrive_once_and_in_order(server, rooms):
    listener, speaker = named(server, "listener"), named(server, "speaker")
    listener.heard()
    speaker.session.receive(b'{"cmd":"gmsg","val":1}')
    rooms.change_dialect(listener.client, CL4_SCRATCH)
    speaker.session.receive(b'{"cmd":"gmsg","val":2}')
    rooms.change_dialect(listener.client, CL4)
    speaker.session.receive(b'{"cmd":"gmsg","val":3}')
    assert [packet["val"] for packet in listener.heard()] == [1, 2, 3]


def test_a_client_that_changed_its_dialect_can_leave(server, rooms):
    visitor = named(server, "alice")
    rooms.change_dialect(visitor.client, CL4_SCRATCH)
    visitor.leave()
    assert rooms.rooms == {}


def test_clients_in_one_room_share_its_entry_until_one_enters_another(rooms, alice, bob):
    assert alice.joined is bob.joined
    rooms.subscribe(alice, "arena")
    assert (set(alice.rooms), set(bob.rooms)) == ({"default", "arena"}, {"default"})
    rooms.subscribe(alice, "lobby")
    rooms.unsubscribe(alice, "default")
    rooms.unsubscribe(alice, "arena")
    rooms.subscribe(alice, "default")
    assert (set(alice.rooms), set(bob.rooms)) == ({"default", "lobby"}, {"default"})
    for room_id in ("default", "lobby"):
        rooms.unsubscribe(alice, room_id)
    assert (set(alice.rooms), set(bob.rooms)) == (set(), {"default"})
    rooms.subscribe(alice, "lobby")
    rooms.unsubscribe(bob, "default")
    assert (set(alice.rooms), set(bob.rooms)) == ({"lobby"}, set())
    assert alice.joined["lobby"] is rooms.members("lobby", CL4_SCHEMA)


def test_a_room_that_was_left_and_entered_again_has_the_present_members(rooms, alice):
    rooms.subscribe(alice, "arena")
    rooms.unsubscribe(alice, "default")
    former = rooms.members("arena", CL4_SCHEMA)
    rooms.unsubscribe(alice, "arena")
    rooms.subscribe(alice, "arena")
    assert alice.joined["arena"] is rooms.members("arena", CL4_SCHEMA) is not former
