"""The clients manager: who is connected, and how plugins find them."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink.admin.names import fold
from cloudlink.server import arrivals, clients
from cloudlink.server.client import write
from cloudlink.server.clients import (
    ClientAlreadyExists,
    ClientDoesNotExist,
    ClientsManager,
    ClientUsernameAlreadySet,
    NoResultsFound,
    ProtocolAlreadySet,
)
from cloudlink.server.limits import Traffic
from cloudlink.server.protocols.clpv4 import Clpv4
from cloudlink.slices import finish
from tests.support.memoryclients import MemoryClient, named
from tests.support.servers import build, protocol_of


class Other:
    """Another protocol's identity."""


@pytest.fixture
def server():
    return build()


@pytest.fixture
def manager(server):
    return server.clients_manager


@pytest.fixture
def alice(server):
    return named(server, "alice").client


@pytest.fixture
def gone(server):
    visitor = named(server, "ghost")
    visitor.leave()
    return visitor.client


# Names that read the same.


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["bob", "Bob", "B_o-b", "_-", "Bób", "bób", None])))
)
def test_names_that_read_the_same_are_found_whoever_is_renamed_or_leaves(steps):
    server = build()
    manager = server.clients_manager
    visitors = {}
    for number, name in steps:
        if number not in visitors:
            visitors[number] = MemoryClient(server)
        client = visitors[number].client
        if name is None and not client.username_set:
            visitors.pop(number).leave()
        elif name is None:
            manager.clear_username(client)
        else:
            manager.rename(client, name)
        for wanted in ("BOB", "bob", "_-", "BÓB"):
            alike = {one for one in manager if one.username_set and fold(one.username) == fold(wanted)}
            found = manager.alike(wanted)
            assert set(found) == alike
            assert len(found) == len(alike)


# Coming and going.


def test_whoever_connects_is_there_until_it_leaves(server, manager):
    visitor = MemoryClient(server)
    client = visitor.client
    assert manager.exists(client)
    assert len(manager) == 1
    assert list(manager) == [client]
    assert manager.clients == {client}
    assert manager.snowflakes == {client.snowflake: client}
    assert manager.uuids == {client.uuid: client}

    visitor.leave()

    assert not manager.exists(client)
    assert len(manager) == 0
    assert list(manager) == []
    assert (manager.snowflakes, manager.uuids, manager.usernames, manager.protocols) == ({}, {}, {}, {})


def test_a_disconnected_client_keeps_its_identity(gone):
    assert (gone.username, gone.username_set, gone.rooms) == ("ghost", True, {"default"})
    assert gone.protocol is Clpv4.schema
    assert not gone.open


def test_nobody_is_taken_in_twice(manager, alice):
    with pytest.raises(ClientAlreadyExists, match="alice"):
        manager.add(alice)
    assert len(manager) == 1


def test_nobody_leaves_twice(manager, gone):
    with pytest.raises(ClientDoesNotExist, match="ghost"):
        manager.remove(gone)


def test_ids_are_given_as_snapshots(server, manager, alice):
    snowflakes, uuids = manager.get_snowflakes(), manager.get_uuids()
    MemoryClient(server)
    assert snowflakes == {alice.snowflake}
    assert uuids == {alice.uuid}
    assert len(manager.get_snowflakes()) == len(manager.get_uuids()) == 2


# Names.


def test_a_name_is_given_once(manager, alice):
    assert manager.usernames == {"alice": {alice}}
    with pytest.raises(ClientUsernameAlreadySet, match="alice"):
        manager.set_username(alice, "bob")
    assert (alice.username, manager.usernames) == ("alice", {"alice": {alice}})


def test_a_client_has_no_name_before(server):
    client = MemoryClient(server).client
    assert (client.username, client.username_set) == ("", False)
    assert server.clients_manager.usernames == {}


def test_a_client_that_is_gone_gets_no_name(server, manager):
    visitor = MemoryClient(server)
    visitor.leave()
    with pytest.raises(ClientDoesNotExist):
        manager.set_username(visitor.client, "late")
    assert not visitor.client.username_set


def test_namesakes_stand_together_until_the_last_one_leaves(server, manager):
    first, second = named(server, "twin"), named(server, "twin")
    assert manager.usernames == {"twin": {first.client, second.client}}
    first.leave()
    assert manager.usernames == {"twin": {second.client}}
    second.leave()
    assert manager.usernames == {}


def test_a_name_that_a_plugin_gives_is_in_the_rooms_and_the_user_object(server, manager):
    visitor = MemoryClient(server, {"cmd": "handshake"})
    protocol = protocol_of(server)
    assert "username" not in protocol.generate_user_object(visitor.client)
    manager.set_username(visitor.client, "bot")
    user = {"id": visitor.client.snowflake, "uuid": visitor.client.uuid, "username": "bot"}
    assert protocol.generate_user_object(visitor.client) == user
    assert server.rooms_manager.generate_userlist("default", Clpv4.schema) == [user]


def test_a_name_is_logged_at_level_debug_without_control_characters(server, caplog):
    guest = MemoryClient(server).client
    write(guest, "log_name", "player")
    with caplog.at_level("DEBUG", "cloudlink.server"):
        server.clients_manager.set_username(guest, "player1234")
    assert caplog.messages == [f"Client {guest.snowflake} 'player' has this name now."]


# Protocols.


def test_the_protocol_is_decided_by_the_first_message(server, manager):
    visitor = MemoryClient(server)
    client = visitor.client
    assert client.protocol is None
    assert not client.protocol_set
    assert manager.protocols == {}
    visitor.say({"cmd": "ping"})
    assert client.protocol is Clpv4.schema
    assert client.protocol_set
    assert manager.protocols == {Clpv4.schema: {client}}


def test_the_protocol_is_final(manager, alice):
    with pytest.raises(ProtocolAlreadySet):
        manager.set_protocol(alice, Other)
    assert alice.protocol is Clpv4.schema
    assert Other not in manager.protocols


def test_a_client_that_is_gone_gets_no_protocol(server, manager):
    visitor = MemoryClient(server)
    visitor.leave()
    with pytest.raises(ClientDoesNotExist):
        manager.set_protocol(visitor.client, Other)
    assert visitor.client.protocol is None


def test_a_protocol_that_nobody_speaks_any_more_is_forgotten(server, manager):
    first, second = MemoryClient(server, {"cmd": "ping"}), MemoryClient(server, {"cmd": "ping"})
    first.leave()
    assert manager.protocols == {Clpv4.schema: {second.client}}
    second.leave()
    assert manager.protocols == {}


# Finding.


def test_a_name_finds_everybody_who_has_it(server, manager, alice):
    another = named(server, "alice").client
    found = manager.find_obj("alice")
    assert found == {alice, another}
    found.clear()
    assert manager.find_obj("alice") == {alice, another}


def test_an_id_finds_the_one_who_has_it(manager, alice):
    assert manager.find_obj(alice.uuid) is alice
    assert manager.find_obj(alice.snowflake) is alice


@pytest.mark.parametrize("keys", [("uuid",), ("id",), ("uuid", "id"), ("uuid", "id", "username")])
def test_a_user_object_finds_the_one_it_stands_for(server, manager, alice, keys):
    named(server, "alice")
    user = {"uuid": alice.uuid, "id": alice.snowflake, "username": "alice"}
    assert manager.find_obj({key: user[key] for key in keys}) is alice


def test_a_user_object_with_only_a_name_finds_all_of_that_name(manager, alice):
    assert manager.find_obj({"username": "alice"}) == {alice}


def test_of_a_user_object_the_most_exact_key_decides(manager, alice):
    with pytest.raises(NoResultsFound):
        manager.find_obj({"uuid": str(uuid.uuid4()), "username": "alice"})
    with pytest.raises(NoResultsFound):
        manager.find_obj({"id": "1", "username": "alice"})
    assert manager.find_obj({"uuid": 5, "id": None, "username": "alice"}) == {alice}


def test_nobody_is_found_in_anothers_place_by_taking_its_id_as_name(server, manager, alice):
    for text in (alice.uuid, alice.snowflake):
        named(server, text)
    assert manager.find_obj({"uuid": alice.uuid}) is alice
    assert manager.find_obj({"id": alice.snowflake}) is alice


@pytest.mark.parametrize("query", ["bob", "", {}, {"username": "bob"}, {"username": 5}, {"name": "alice"}])
def test_a_missing_client_is_not_found(manager, alice, query):
    with pytest.raises(NoResultsFound):
        manager.find_obj(query)


@pytest.mark.parametrize("query", [5, None, ["alice"], {"alice"}, b"alice"])
def test_only_text_and_user_objects_can_be_looked_for(manager, alice, query):
    with pytest.raises(TypeError, match=type(query).__name__):
        manager.find_obj(query)


def test_a_client_that_is_gone_is_not_found(manager, gone):
    for query in ("ghost", gone.uuid, gone.snowflake):
        with pytest.raises(NoResultsFound):
            manager.find_obj(query)


def test_the_exceptions_are_reachable_through_the_manager(manager, alice):
    with pytest.raises(manager.exceptions.NoResultsFound):
        manager.find_obj("nobody")
    with pytest.raises(manager.exceptions.ClientAlreadyExists):
        manager.add(alice)
    with pytest.raises(manager.exceptions.ClientUsernameAlreadySet):
        manager.set_username(alice, "x")
    with pytest.raises(manager.exceptions.ProtocolAlreadySet):
        manager.set_protocol(alice, Other)
    manager.remove(alice)
    with pytest.raises(manager.exceptions.ClientDoesNotExist):
        manager.remove(alice)
    assert issubclass(manager.exceptions.ClientUsernameNotSet, Exception)


# What they have sent.


def test_messages_are_counted_by_protocol_also_after_the_disconnect(server, manager):
    alice, bob, silent = named(server, "alice"), named(server, "bob"), MemoryClient(server)
    before = manager.received()[Clpv4.schema]
    ping = '{"cmd":"ping"}'
    alice.say(ping)
    bob.say(ping)
    assert bob.client.session.received.messages == alice.client.session.received.messages
    session = bob.client.session
    bob.leave()
    after = manager.received()
    assert after[Clpv4.schema] == (before.messages + 2, before.bytes + 2 * len(ping))
    assert after[None] == (0, 0)
    assert manager.received() == after
    assert session.received.messages > 0
    assert bob.client.session.received == (0, 0)
    silent.leave()
    assert manager.received() == after


def test_a_count_in_slices_counts_each_client_once_whoever_comes_and_leaves(server, manager):
    crowd = [named(server, f"player {number}") for number in range(150)]
    before = manager.received()
    count = manager.count_received()
    next(count)
    for client in crowd[::2]:  # some were counted already, some were not
        client.leave()
    newcomer = named(server, "newcomer").client.session.received
    assert finish(count)[Clpv4.schema] == before[Clpv4.schema].plus(newcomer)


class Counted:
    """A client whose bytes are a power of 4: the digits of a sum, to that base, say how often each client is in it."""

    protocol = None
    username_set = False

    def __init__(self, number):
        self.snowflake = self.uuid = str(number)
        self.session = self
        self.tally = lambda: (1, 4**number)


class Crowd:
    """Clients that come and leave while they are counted."""

    def __init__(self, first):
        self.manager = ClientsManager()
        self.here = []
        self.came = 0
        self.counts = []
        self.totals = []
        for _ in range(first):
            self.come()

    def come(self):
        self.here.append(Counted(self.came))
        self.manager.add(self.here[-1])
        self.came += 1

    def leave(self, place):
        if self.here:
            gone = self.here.pop(place % len(self.here))
            self.manager.remove(gone)
            self.manager.count_departed(gone, Traffic(*gone.tally()))
            gone.tally = lambda: (0, 0)

    def count(self):
        self.counts.append(self._counting(self.came))
        self.go_on()

    def _counting(self, came_before):
        found = yield from self.manager.count_received()
        self.totals.append((came_before, found[None].bytes))

    def go_on(self):
        for count in self.counts:
            next(count, None)


STEPS = st.lists(st.one_of(st.sampled_from(["come", "count", "go_on"]), st.integers(0, 30)), max_size=50)


@given(st.integers(0, 8), STEPS)
def test_counts_in_slices_have_each_client_once_whoever_comes_and_leaves(first, steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrivals, "_PORTION", 3)
        patch.setattr(clients, "_COUNTED_AT_ONCE", 2)
        crowd = Crowd(first)
        for step in steps:
            crowd.leave(step) if isinstance(step, int) else getattr(crowd, step)()
        for count in crowd.counts:
            finish(count)
    assert len(crowd.totals) == len(crowd.counts)
    for came_before, total in crowd.totals:
        times = [total // 4**number % 4 for number in range(crowd.came)]
        assert times[:came_before] == [1] * came_before
        assert set(times[came_before:]) <= {0, 1}
