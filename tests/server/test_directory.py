"""The directory finds users of one protocol by id, by name and by room."""

from __future__ import annotations

import pytest

from cloudlink.server.protocols.clpv4 import Clpv4
from cloudlink.server.protocols.scratch import Scratch
from tests.support.memoryclients import MemoryClient, named
from tests.support.servers import build

CL4 = Clpv4.schema


@pytest.fixture
def server():
    return build()


def test_a_user_is_found_by_each_of_its_ids(server):
    alice = named(server, "alice").client
    for text in (alice.snowflake, alice.uuid):
        assert server.directory.by_id(text, CL4) == alice.user
    assert server.directory.by_id("alice", CL4) is None
    assert server.directory.by_name("alice", CL4) == [alice.user]
    assert server.directory.by_name(alice.uuid, CL4) == []


def test_users_of_another_protocol_are_not_found(server):
    cat = MemoryClient(server, {"method": "handshake", "user": "cat", "project_id": "1"}).client
    assert server.directory.by_name("cat", CL4) == []
    assert server.directory.by_id(cat.uuid, CL4) is None
    assert server.directory.by_name("cat", Scratch.schema) == [cat.user]
    assert server.directory.presence("1", CL4) is None
    assert list(server.directory.presence("1", Scratch.schema).users) == [cat.snowflake]


def test_rooms_know_their_users_and_users_their_rooms(server):
    alice, bob = named(server, "alice"), named(server, "bob")
    alice.say({"cmd": "link", "val": ["default", "den"]})
    assert server.directory.rooms_of(alice.client.user) == {"default", "den"}
    assert server.directory.presence("den", CL4).listed() == [alice.client.user]
    alice.leave()
    assert server.directory.rooms_of(alice.client.user) == set()
    assert server.directory.presence("den", CL4) is None
    assert server.directory.presence("default", CL4).listed() == [bob.client.user]


def test_a_new_name_is_known_at_once_and_everywhere(server):
    visitor = MemoryClient(server, {"cmd": "handshake"})
    before = visitor.client.user
    assert before.username is None
    visitor.say({"cmd": "setid", "val": "alice"})
    (found,) = server.directory.by_name("alice", CL4)
    assert (found.id, found.uuid, found.username) == (before.id, before.uuid, "alice")
    assert server.directory.presence("default", CL4).named("alice") == (found,)
