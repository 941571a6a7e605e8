"""Whatever a plugin writes to a client, departures, user lists and counts stay right; names change by `set_username`."""

from __future__ import annotations

import json

import pytest

from cloudlink.server.client import Client
from cloudlink.server.clients import ClientDoesNotExist
from cloudlink.server.protocols.clpv4 import Clpv4
from tests.support.eras import ERAS
from tests.support.memoryclients import KINDS, EraClient, MemoryClient, named
from tests.support.servers import build, protocol_of

ATTRIBUTES = sorted(
    {*Client.__annotations__, "path", "remote_address", "request_headers", "rooms", "protocol_set"}
)
METHODS = ["send", "close", "set_username"]
ODD_VALUES = [None, "", 5, [], object()]


@pytest.fixture
def server():
    return build()


def place(server, name, room="den"):
    client = named(server, name)
    client.say({"cmd": "link", "val": room})
    return client


def check_departure(server, leaver, witness, gone):
    """Let a client leave, and check that everybody notices and nothing of it is left."""
    snowflake = leaver.client.snowflake
    user = protocol_of(server).generate_user_object(leaver.client)
    gone.clear()
    witness.heard()
    leaver.leave()
    assert witness.heard() == [{"cmd": "ulist", "mode": "remove", "val": user, "rooms": "den"}]
    manager = server.clients_manager
    assert gone == [(leaver.client, {"den"}, user["username"])]
    assert len(manager) == 1
    assert snowflake not in manager.snowflakes
    assert manager.usernames == {"witness": {witness.client}}
    assert manager.protocols == {Clpv4.schema: {witness.client}}
    assert set(server.rooms_manager.rooms) == {"den"}
    listed = server.rooms_manager.generate_userlist("den", Clpv4.schema)
    assert [each["username"] for each in listed] == ["witness"]
    assert not leaver.client.open


@pytest.fixture
def gone(server):
    """The calls of `on_disconnect` handlers: each client, its rooms and its name."""
    told = []

    @server.on_disconnect
    def note(client):
        told.append((client, client.rooms, client.username))

    return told


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_an_attribute_that_a_handler_writes_does_not_harm_a_departure(server, gone, attribute, value):
    raised = []

    @server.on_command(cmd="spoil", schema=Clpv4.schema)
    def spoil(client, message):
        for write in (
            lambda: setattr(client, attribute, value),
            lambda: delattr(client, attribute),
        ):
            try:
                write()
            except AttributeError as error:
                raised.append(str(error))

    witness, leaver = place(server, "witness"), place(server, "leaver")
    leaver.say({"cmd": "spoil"})
    written, deleted = raised
    assert written.startswith(f"client.{attribute} cannot be written: ")
    assert deleted.startswith(f"client.{attribute} cannot be deleted: ")
    check_departure(server, leaver, witness, gone)


@pytest.mark.parametrize(
    ("attribute", "instead"),
    [
        ("username", "client.set_username(name)"),
        ("username_set", "client.set_username(name)"),
        ("rooms", "server.rooms_manager.subscribe(client, room)"),
        ("joined", "server.rooms_manager.subscribe(client, room)"),
        ("user", "client.set_username(name)"),
        ("open", "server.close_connection(client)"),
        ("protocol", "the server sets it itself"),
    ],
)
def test_the_error_names_what_to_call(server, attribute, instead):
    with pytest.raises(AttributeError) as raised:
        setattr(place(server, "alice").client, attribute, "x")
    assert instead in str(raised.value)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_a_plugin_replaces_does_not_harm_a_departure(server, gone, method):
    witness, leaver = place(server, "witness"), place(server, "leaver")
    setattr(leaver.client, method, None)
    check_departure(server, leaver, witness, gone)


ROOM_CHANGES = {
    "add": lambda client: client.rooms.add("vip"),
    "discard": lambda client: client.rooms.discard("den"),
    "remove": lambda client: client.rooms.remove("den"),
    "pop": lambda client: client.rooms.pop(),
    "clear": lambda client: client.rooms.clear(),
    "update": lambda client: client.rooms.update({"vip"}),
    "difference_update": lambda client: client.rooms.difference_update({"den"}),
    "intersection_update": lambda client: client.rooms.intersection_update(()),
    "symmetric_difference_update": lambda client: client.rooms.symmetric_difference_update({"vip"}),
}


def _union(client):
    client.rooms |= {"vip"}


def _intersection(client):
    client.rooms &= set()


def _difference(client):
    client.rooms -= {"den"}


def _symmetric(client):
    client.rooms ^= {"vip"}


def _assignment(client):
    client.rooms = {*client.rooms, "vip"}


ROOM_CHANGES |= {"|=": _union, "&=": _intersection, "-=": _difference, "^=": _symmetric, "=": _assignment}


@pytest.mark.parametrize("change", ROOM_CHANGES.values(), ids=ROOM_CHANGES)
def test_rooms_are_changed_through_the_rooms_manager_only(server, gone, change):
    witness, leaver = place(server, "witness"), place(server, "leaver")
    with pytest.raises(AttributeError, match=r"server\.rooms_manager\.subscribe\(client, room\)"):
        change(leaver.client)
    assert leaver.client.rooms == {"den"}
    check_departure(server, leaver, witness, gone)


# Names.


def test_a_name_can_be_set_again_and_again(server, gone):
    witness, client = place(server, "witness"), place(server, "one")
    for name in ("two", "three", "two", "two"):
        witness.heard()
        former = protocol_of(server).generate_user_object(client.client)
        client.client.set_username(name)
        user = protocol_of(server).generate_user_object(client.client)
        assert client.client.username == user["username"] == name
        changes = [(packet["mode"], packet["val"]) for packet in witness.heard()]
        assert changes == ([] if user == former else [("remove", former), ("add", user)])
        assert set(server.clients_manager.usernames) == {"witness", name}
    check_departure(server, client, witness, gone)


RENAMED = {
    "CL2 early": ['{"type":"ul","data":"bob;new;"}'],
    "CL2 late": ['{"type":"ul","data":"bob;new;"}'],
    "CL3 0.1.5": ['{"cmd":"ulist","val":"bob;new;"}'],
    "CL3 0.1.7": ['{"cmd":"ulist","val":"bob;new;"}'],
    "CL3 0.1.7 in Python": ['{"cmd":"ulist","val":"bob;new;"}'],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_of_name_is_sent_in_every_dialect(server, kind):
    witness = EraClient(server, kind, "bob")
    client = named(server, "old")
    witness.heard()
    former = protocol_of(server).generate_user_object(client.client)
    client.client.set_username("new")
    user = protocol_of(server).generate_user_object(client.client)
    other = protocol_of(server).generate_user_object(witness.client)
    frames = witness.frames()
    if kind in RENAMED:
        assert frames == RENAMED[kind]
        return
    packets = [json.loads(frame) for frame in frames]
    whole = {"cmd": "ulist", "mode": "set", "val": [other, user], "rooms": "default"}
    changes = [
        {"cmd": "ulist", "mode": "remove", "val": former, "rooms": "default"},
        {"cmd": "ulist", "mode": "add", "val": user, "rooms": "default"},
    ]
    if kind == "CL4 0.1.8":
        short = [{key: each[key] for key in ("username", "id")} for each in (other, user)]
        assert packets == [{"cmd": "ulist", "val": short}]
    elif kind == "CL4 safe mode":
        assert packets == [whole]
    elif kind == "Scratch":
        assert packets == [*changes, whole]
    else:
        assert packets == changes


@pytest.mark.parametrize("era", ERAS)
def test_a_client_of_every_era_can_be_given_another_name(server, era):
    witness = named(server, "witness")
    client = EraClient(server, era, "old")
    witness.heard()
    client.client.set_username("new")
    told = [(packet["mode"], packet["val"]["username"]) for packet in witness.heard()]
    assert told == [("remove", "old"), ("add", "new")]
    assert "new" in client.frames()[-1]


@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("", ValueError, "cannot be empty"),
        ("x" * 101, ValueError, "at most 100 characters"),
        (None, TypeError, "a username is text, not NoneType"),
        (5, TypeError, "a username is text, not int"),
        (["a"], TypeError, "a username is text, not list"),
    ],
)
def test_a_bad_name_is_refused_and_changes_nothing(server, gone, name, error, reason):
    witness, client = place(server, "witness"), place(server, "good")
    witness.heard()
    with pytest.raises(error, match=reason):
        client.client.set_username(name)
    assert (client.client.username, client.heard(), witness.heard()) == ("good", [], [])
    check_departure(server, client, witness, gone)


def test_a_name_that_is_taken_is_refused_where_names_are_unique():
    server = build({"unique_usernames": True})
    named(server, "bob")
    alice = named(server, "alice")
    with pytest.raises(ValueError, match="bob is taken"):
        alice.client.set_username("bob")
    alice.client.set_username("alice")
    assert alice.client.username == "alice"


def test_a_name_before_the_first_message_is_what_the_greeting_tells(server):
    witness = named(server, "witness")
    client = MemoryClient(server)
    client.client.set_username("early")
    assert witness.heard() == []
    greeting = client.ask({"cmd": "handshake"})
    obj = next(packet["val"] for packet in greeting if packet["cmd"] == "client_obj")
    assert obj["username"] == "early"
    assert [each["username"] for each in greeting[-2]["val"]] == ["witness", "early"]
    assert client.ask({"cmd": "pmsg", "id": "early", "val": 1})[-1]["code_id"] == 100
    client.leave()
    assert set(server.clients_manager.usernames) == {"witness"}


@pytest.mark.parametrize("name", ["", "x" * 101])
def test_a_bad_name_before_the_first_message_is_refused(server, name):
    client = MemoryClient(server)
    with pytest.raises(ValueError, match="username"):
        client.client.set_username(name)
    assert not client.client.username_set


def test_a_player_of_a_scratch_project_can_be_named(server):
    player = MemoryClient(server, '{"method":"handshake","project_id":"1","user":"player"}')
    player.client.set_username("another")
    assert player.client.username == "another"
    assert player.heard() == []
    for bad in ("", "two words", "x" * 21):
        with pytest.raises(ValueError, match="username"):
            player.client.set_username(bad)
    assert set(server.clients_manager.usernames) == {"another"}
    player.leave()
    assert server.clients_manager.usernames == {}


def test_a_player_that_a_plugin_has_named_before_plays_all_the_same(server):
    MemoryClient(
        server,
        '{"method":"handshake","project_id":"1","user":"other"}',
        '{"method":"set","name":"x","value":1}',
    )
    player = MemoryClient(server)
    player.client.set_username("early")
    variables = player.ask('{"method":"handshake","project_id":"1","user":"player"}')
    assert variables == [{"method": "set", "name": "x", "value": 1}]
    assert player.client.username == "early"
    player.leave()
    assert set(server.clients_manager.usernames) == {"other"}


def test_a_client_that_has_left_gets_no_name(server, gone):
    client = place(server, "alice")
    client.leave()
    with pytest.raises(ClientDoesNotExist):
        client.client.set_username("late")
    assert client.client.username == "alice"
    assert server.clients_manager.usernames == {}


def test_a_name_set_while_leaving_is_refused(server):
    refused = []

    @server.on_disconnect
    def rename(client):
        with pytest.raises(ClientDoesNotExist):
            client.set_username("late")
        refused.append(client)

    client = place(server, "alice")
    place(server, "witness")
    client.leave()
    assert refused == [client.client]
    assert set(server.clients_manager.usernames) == {"witness"}
    assert [user["username"] for user in server.rooms_manager.generate_userlist("den", Clpv4.schema)] == [
        "witness"
    ]
