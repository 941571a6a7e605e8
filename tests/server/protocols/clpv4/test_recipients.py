"""Whom a packet is for, in many rooms at a time, and what looking for them costs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink.server.protocols.clpv4.packet import TooMany
from cloudlink.server.protocols.clpv4.recipients import AmbiguousName, Recipients, RoomsScope, ServerScope
from cloudlink.server.protocols.clpv4.schema import Schema
from tests.support.memoryclients import MemoryClient, named
from tests.support.servers import build

ROOMS = ("a", "b", "c")


def in_rooms(server, *rooms):
    return RoomsScope({room: server.directory.presence(room, Schema) for room in rooms}, server.directory)


def recipients(query, *, refuse_ambiguous=True, most=1000):
    return Recipients(json.dumps(query).encode(), b"", refuse_ambiguous=refuse_ambiguous, most=most)


def found(query, scope, **options):
    """Names of who is found, by room."""
    matches = recipients(query, **options).find(scope, 1000)
    return {room: [user.username for user in users.values()] for room, users in matches.items() if users}


@pytest.fixture
def server():
    return build()


@pytest.fixture
def players(server):
    """Alice in a and b, bob in b and c, two twins in a and c, and somebody who is called like a list."""
    where = {"alice": "ab", "bob": "bc", "twin": "a", "twin ": "c", '["bob"]': "a"}
    players = {}
    for name, rooms in where.items():
        players[name] = named(server, name.strip())
        players[name].say({"cmd": "link", "val": list(rooms)})
    return {name: player.client for name, player in players.items()}


def test_everybody_is_found_once_in_each_room_they_share(server, players):
    alice, bob = players["alice"], players["bob"]
    everywhere = in_rooms(server, *ROOMS)
    assert found("alice", everywhere) == {"a": ["alice"], "b": ["alice"]}
    assert found(["alice", alice.uuid, {"id": alice.snowflake}, "bob"], everywhere) == {
        "a": ["alice"],
        "b": ["alice", "bob"],
        "c": ["bob"],
    }
    assert found(bob.snowflake, in_rooms(server, "a")) == {}
    assert found({"uuid": bob.uuid, "username": "alice"}, everywhere) == {"b": ["bob"], "c": ["bob"]}


def test_namesakes_in_different_rooms_are_not_ambiguous(server, players):
    assert found("twin", in_rooms(server, *ROOMS)) == {"a": ["twin"], "c": ["twin"]}
    with pytest.raises(AmbiguousName):
        found("twin", ServerScope(server.directory))
    server.rooms_manager.subscribe(players["twin "], "a")
    for rooms in (ROOMS, ("a",)):
        with pytest.raises(AmbiguousName):
            found("twin", in_rooms(server, *rooms))
        assert found("twin", in_rooms(server, *rooms), refuse_ambiguous=False)["a"] == ["twin", "twin"]


@pytest.mark.usefixtures("players")
def test_a_text_that_is_nobodys_name_in_a_room_may_be_a_list_there(server):
    assert found('["bob"]', in_rooms(server, *ROOMS)) == {"a": ['["bob"]'], "b": ["bob"], "c": ["bob"]}
    assert found(['["bob"]', '{"username":"alice"}'], in_rooms(server, "b")) == {"b": ["bob", "alice"]}


@pytest.mark.parametrize(
    "query", [{}, {"uuid": {"username": "alice"}}, {"id": ["alice"]}, [{"username": []}], "", "[[]]"]
)
@pytest.mark.usefixtures("players")
def test_a_query_that_names_nobody_finds_nobody(server, query):
    assert found(query, in_rooms(server, *ROOMS)) == {}


def test_clients_of_another_protocol_are_nobody(server):
    scratcher = MemoryClient(server, {"method": "handshake", "user": "cat", "project_id": "default"})
    named(server, "alice")
    for scope in (in_rooms(server, "default"), ServerScope(server.directory)):
        for query in ("cat", scratcher.client.uuid, scratcher.client.snowflake):
            assert found(query, scope) == {}


@given(st.lists(st.integers(1, 4), max_size=5), st.integers(0, 6))
def test_names_within_texts_count_as_names(sizes, most):
    query = [json.dumps([f"n{place}"] * size) for place, size in enumerate(sizes)]
    if sum(sizes) > most:
        with pytest.raises(TooMany):
            recipients(query, most=most)
    else:
        recipients(query, most=most)


class Counting(dict):
    """An index that counts how often it is asked."""

    asked = 0

    def get(self, *arguments):
        self.asked += 1
        return super().get(*arguments)


def test_the_cost_of_a_packet_does_not_multiply_names_with_rooms(server):
    everywhere = [f"room {number}" for number in range(99)]
    alice = named(server, "alice")
    alice.say({"cmd": "link", "val": everywhere})
    strangers = [named(server, f"stranger {number}").client.uuid for number in range(200)]
    friends = [named(server, f"friend {number}") for number in range(40)]
    for friend in friends:
        friend.say({"cmd": "link", "val": everywhere})
    ids = (strangers * 5)[:999]
    friends_ids = ([friend.client.uuid for friend in friends] * 25)[:999]
    lists = [[*ids, "alice"], json.dumps([*ids, "alice"]), friends_ids, json.dumps(friends_ids)]
    manager = server.clients_manager
    manager.uuids = Counting(manager.uuids)
    for recipients_of in lists:
        manager.uuids.asked = 0
        alice.say({"cmd": "pmsg", "id": recipients_of, "val": 1})
        assert 0 < manager.uuids.asked <= 1000, "each name is looked up once, for all rooms"


@pytest.mark.parametrize("rooms", [["a", "b"], ["a", "b", "c"]])
@pytest.mark.parametrize(("spare", "refused"), [(0, []), (-1, [113])])
def test_a_message_to_several_rooms_costs_its_copies_and_their_names(rooms, spare, refused):
    val = "x" * 40_000
    cost = (len(rooms) - 1) * (len(val) + 2) + 3 * len(rooms)
    server = build({"byte_burst": cost + spare, "byte_rate": 1e9})
    client = named(server, "mia")
    client.ask({"cmd": "link", "val": rooms})
    answers = client.ask({"cmd": "gmsg", "val": val, "rooms": rooms, "listener": 1})
    assert [each["code_id"] for each in answers if each["cmd"] == "statuscode"] == refused
