"""The life of a connection: the effect of each event in each state, and the order of plugin handlers."""

from __future__ import annotations

import pytest

from cloudlink.server.app import Server
from cloudlink.server.client import State, write
from cloudlink.server.protocols.clpv4 import Clpv4
from cloudlink.server.protocols.clpv4.engine import Clpv4Engine
from tests.support.memoryclients import MemoryClient, named
from tests.support.servers import build

CONNECTED, IDENTIFIED, CLOSED = State


@pytest.fixture
def server():
    return build({"implicit_greeting": False})


def short(heard):
    """Status codes by their number, bare texts as they are."""
    return [one["code_id"] if isinstance(one, dict) else one for one in heard]


# The table of states.

EVENTS = {
    "a packet": lambda visitor: visitor.session.receive(b'{"cmd":"ping"}'),
    "a packet in a binary message": lambda visitor: visitor.session.receive_binary(b'{"cmd":"ping"}'),
    "a text packet to process": lambda visitor: visitor.session.process('{"cmd":"ping"}'),
    "a binary packet to process": lambda visitor: visitor.session.process(b'{"cmd":"ping"}'),
    "an object of no protocol": lambda visitor: visitor.session.receive(b'{"what":1}'),
    "no JSON": lambda visitor: visitor.session.receive(b"hello"),
    "nothing": lambda visitor: visitor.session.receive(b""),
    "bytes that are no text": lambda visitor: visitor.session.receive_binary(b"\xff"),
    "a text to send": lambda visitor: visitor.session.send_text(b"hello"),
    "a frame to send": lambda visitor: visitor.session.send_frame(b"\x81\x05hello"),
    "a close": lambda visitor: visitor.session.close(4000, "enough"),
    "too long a silence": lambda visitor: visitor.session.close_if_silent("say something"),
    "slow reading": lambda visitor: visitor.session.close_for_reading_slowly(),
    "a peer that reads again": lambda visitor: visitor.session.writable(),
    "a ping": lambda visitor: visitor.session.admit(5),
    "the end": lambda visitor: visitor.session.connection_lost(),
}

SLOW = (1013, "Reading too slowly: more than 1048576 bytes were waiting")

TABLE = {
    CONNECTED: {
        "a packet": (IDENTIFIED, [100], None),
        "a packet in a binary message": (IDENTIFIED, [100], None),
        "a text packet to process": (IDENTIFIED, [100], None),
        "a binary packet to process": (IDENTIFIED, [100], None),
        "an object of no protocol": (
            CLOSED,
            ["Unable to identify protocol"],
            (1000, "Unable to identify protocol"),
        ),
        "no JSON": (CLOSED, ["Invalid JSON"], (1000, "Invalid JSON")),
        "nothing": (CLOSED, ["Empty message"], (1000, "Empty message")),
        "bytes that are no text": (CLOSED, ["Invalid JSON"], (1000, "Invalid JSON")),
        "a text to send": (CONNECTED, ["hello"], None),
        "a frame to send": (CONNECTED, ["hello"], None),
        "a close": (CLOSED, [], (4000, "enough")),
        "too long a silence": (CLOSED, [], (1008, "say something")),
        "slow reading": (CLOSED, [], SLOW),
        "a peer that reads again": (CONNECTED, [], None),
        "a ping": (CONNECTED, [], None),
        "the end": (CLOSED, [], None),
    },
    IDENTIFIED: {
        "a packet": (IDENTIFIED, [100], None),
        "a packet in a binary message": (IDENTIFIED, [100], None),
        "a text packet to process": (IDENTIFIED, [100], None),
        "a binary packet to process": (IDENTIFIED, [100], None),
        "an object of no protocol": (IDENTIFIED, [101], None),
        "no JSON": (IDENTIFIED, [114], None),
        "nothing": (IDENTIFIED, [106], None),
        "bytes that are no text": (IDENTIFIED, [114], None),
        "a text to send": (IDENTIFIED, ["hello"], None),
        "a frame to send": (IDENTIFIED, ["hello"], None),
        "a close": (CLOSED, [], (4000, "enough")),
        "too long a silence": (IDENTIFIED, [], None),
        "slow reading": (CLOSED, [], SLOW),
        "a peer that reads again": (IDENTIFIED, [], None),
        "a ping": (IDENTIFIED, [], None),
        "the end": (CLOSED, [], None),
    },
    CLOSED: dict.fromkeys(EVENTS, (CLOSED, [], None)),
}

CELLS = [(state, event) for state in TABLE for event in EVENTS]


@pytest.mark.parametrize(("state", "event"), CELLS, ids=[f"{state.value}: {event}" for state, event in CELLS])
def test_the_effect_of_an_event_in_a_state(server, state, event):
    visitor = MemoryClient(server)
    if state is not CONNECTED:
        visitor.say({"cmd": "ping"})
    if state is CLOSED:
        visitor.leave()
    assert visitor.session.state is state

    EVENTS[event](visitor)

    after, heard, closed = TABLE[state][event]
    assert visitor.session.state is after
    assert short(visitor.heard()) == heard
    assert visitor.closed == closed
    is_there = after is not CLOSED
    assert visitor.client.open is is_there
    assert server.clients_manager.exists(visitor.client) is is_there


LONG_NUMBER = "9" * 5000
LONG_LIST = "[1e400" + ",1e400" * 20_000 + "]"


@pytest.mark.parametrize(
    "value",
    [LONG_NUMBER, LONG_LIST, '"\\ud83d"', '{"\\ud83d":1}'],
    ids=["a long number", "a long list of large numbers", "half a pair", "half a pair in a key"],
)
def test_any_value_may_stand_in_a_first_packet(server, value):
    other = named(server, "other")
    other.heard()
    visitor = MemoryClient(server, '{"val":' + value + ',"cmd":"gmsg"}')
    assert visitor.closed is None
    server.delivery.flush()
    (text,) = other.connection.take()
    assert f'"val":{value}' in text


@pytest.mark.parametrize(
    "text", ['["\\ud83d"]', LONG_LIST, "1e400", "true", ' "cmd" ', '{"cmd":1}', '{"method":null}', "{}"]
)
def test_json_of_no_protocol_is_distinguished_from_invalid_json(server, text):
    assert MemoryClient(server, text).closed == (1000, "Unable to identify protocol")


@pytest.mark.parametrize(
    "data",
    [
        b"[1e400,",
        b'{"cmd":"ping"',
        b'{"cmd":"ping","val":NaN}',
        b'{"cmd":"ping","val":01}',
        b'{"cmd":"ping"}}',
        b"[" * 100_000,
        b'{"cmd":"ping","val":%s}' % (b"[" * 100_000),
        b'{"cmd":"ping","val":"\xff"}',
        b"<%\x80",
        b"<%sh>\n\xff",
        b'{"method":"handshake","project_id":"1","user":"x"}\n\xff',
    ],
)
def test_invalid_json_opens_nothing(server, data):
    visitor = MemoryClient(server)
    visitor.session.receive_binary(data)
    assert visitor.closed == (1000, "Invalid JSON")


def test_a_client_that_has_left_has_received_nothing_more(server):
    alice = named(server, "alice")
    assert alice.client.session.tally()[0] > 0
    alice.leave()
    gone = alice.client.session
    assert gone.tally() == gone.received == (0, 0)


def test_a_client_that_a_plugin_has_removed_is_gone_as_a_whole_when_it_leaves(server):
    gone = []
    server.on_disconnect(lambda client: gone.append(client.username))
    alice, bob = named(server, "alice"), named(server, "bob")
    server.clients_manager.remove(alice.client)
    bob.heard()
    alice.leave()
    alice.leave()
    assert gone == ["alice"]
    assert alice.session.state is CLOSED
    assert not alice.client.open
    assert [(heard["mode"], heard["val"]["username"]) for heard in bob.heard()] == [("remove", "alice")]
    presence = server.directory.presence("default", bob.client.protocol)
    assert [user.username for user in presence.listed()] == ["bob"]


def test_a_farewell_that_fails_is_logged_and_the_end_comes_all_the_same(server, monkeypatch, caplog):
    gone = []
    server.on_disconnect(lambda client: gone.append(client.username))
    alice = named(server, "alice")
    monkeypatch.setattr(Clpv4Engine, "on_detach", lambda *_arguments: 1 / 0)
    alice.leave()
    assert gone == ["alice"]
    assert len(server.clients_manager) == 0
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("event", EVENTS)
def test_after_its_close_nothing_reaches_a_connection(server, event):
    visitor = named(server, "alice")
    visitor.session.close(4000, "enough")
    visitor.heard()
    EVENTS[event](visitor)
    assert visitor.heard() == []
    assert visitor.closed == (4000, "enough")


@pytest.mark.parametrize("is_identified", [False, True])
def test_the_session_of_a_client_that_is_gone_does_nothing(server, is_identified):
    visitor = MemoryClient(server, *[{"cmd": "ping"}] * is_identified)
    visitor.leave()
    session = visitor.client.session
    session.process("hello")
    session.process(b'{"cmd":"ping"}')
    session.send_text(b"hello")
    session.send_frame(b"\x81\x05hello")
    session.close(4000, "why")
    assert not session.charge_bytes(1)
    assert session.state is CLOSED
    assert visitor.heard() == []
    assert visitor.closed is None


def test_a_connection_that_is_turned_away_never_was_there():
    server = build({"max_clients": 1})
    seen = []
    server.on_connect(seen.append)
    server.on_disconnect(seen.append)
    first, second = named(server, "alice"), MemoryClient(server)
    assert second.session.state is CLOSED
    assert second.heard() == ["Server is full!"]
    assert second.closed == (1000, "Server is full!")
    second.say({"cmd": "ping"})
    second.leave()
    assert second.heard() == []
    assert list(server.clients_manager) == [first.client]
    assert seen == [first.client]
    assert second.client.session is not second.session  # nothing but the connection holds on to it


# The order of events.


def test_events_come_in_order_and_once(server):
    seen = []

    def note(event, *, known):
        def handler(client, *_details):
            seen.append((event, server.clients_manager.exists(client), client.open, sorted(client.rooms)))
            assert client.protocol is (Clpv4.schema if known else None)

        return handler

    server.on_connect(note("connect", known=False))
    server.on_protocol_identified(Clpv4.schema)(note("identified", known=True))
    server.bind_callback("ping", Clpv4.schema, note("command", known=True))
    server.on_message(note("message", known=True))
    server.on_disconnect(note("disconnect", known=True))
    server.on_protocol_disconnect(Clpv4.schema)(note("protocol disconnect", known=True))

    visitor = MemoryClient(server, {"cmd": "ping"})
    visitor.session.close()
    visitor.leave()
    visitor.leave()

    assert seen == [
        ("connect", True, True, []),
        ("identified", True, True, ["default"]),
        ("command", True, True, ["default"]),
        ("message", True, True, ["default"]),
        ("disconnect", False, False, ["default"]),
        ("protocol disconnect", False, False, ["default"]),
    ]


def test_a_client_of_no_protocol_disconnects_without_one(server):
    seen = []
    server.on_disconnect(lambda client: seen.append("disconnect"))
    server.on_protocol_disconnect(Clpv4.schema)(lambda client: seen.append("protocol disconnect"))
    MemoryClient(server).leave()
    assert seen == ["disconnect"]


@pytest.mark.parametrize(
    ("message", "errors"),
    [
        ("", [Server.exceptions.EmptyMessage]),
        ("hello", ["Invalid JSON"]),
        ("{}", ["Unable to identify protocol"]),
    ],
)
def test_a_first_message_of_no_protocol_is_reported_to_plugins(server, message, errors):
    seen = []
    server.on_error(lambda client, error: seen.append(error))
    MemoryClient(server, message)
    assert seen == errors


# What the log tells.


def test_a_departure_is_logged_with_the_length_of_the_stay(server, caplog):
    alice, nobody = named(server, "alice"), MemoryClient(server)
    write(alice.client, "birth_time", alice.client.birth_time - (3 * 3600 + 4 * 60 + 5))
    with caplog.at_level("INFO", "cloudlink.server"):
        alice.leave()
        alice.leave()
        nobody.session.close()
    assert caplog.messages == [
        f"Client {alice.client.snowflake} 'alice' left after 3:04:05.",
        f"Client {nobody.client.snowflake} left after 0:00:00.",
    ]


def test_a_client_that_was_refused_does_not_leave(caplog):
    server = build({"max_clients": 1})
    MemoryClient(server)
    with caplog.at_level("INFO", "cloudlink.server"):
        MemoryClient(server).leave()
    assert not [line for line in caplog.messages if " left after " in line]


def test_names_and_rooms_are_logged_at_level_debug(server, caplog):
    with caplog.at_level("DEBUG", "cloudlink.server"):
        eve = named(server, "eve\n\u202e\x1b[2J")
        eve.say({"cmd": "link", "val": ["a\nb"]}, {"cmd": "unlink", "val": "a\nb"})
    who = f"Client {eve.client.snowflake} 'eve\\n\\u202e\\x1b[2J'"
    assert [line for line in caplog.messages if line.startswith(who)] == [
        f"{who} has this name now.",
        f"{who} is no longer in the room 'default'.",
        f"{who} is in the room 'a\\nb'.",
        f"{who} is no longer in the room 'a\\nb'.",
        f"{who} is in the room 'default'.",
    ]


def test_names_are_logged_once_and_rooms_not_at_other_levels(server, caplog):
    with caplog.at_level("INFO", "cloudlink.server"):
        alice = named(server, "alice")
        alice.say({"cmd": "link", "val": ["secret"]})
    who = f"Client {alice.client.snowflake} 'alice'"
    assert [line for line in caplog.messages if "alice" in line] == [f"{who} has this name now."]
    assert not [line for line in caplog.messages if "secret" in line]


def test_a_refusal_before_the_first_packet_leaves_the_answer_to_the_next():
    client = MemoryClient(build())
    client.session.throttle(b"{}")
    client.ask({"cmd": "handshake"})
    client.session.throttle(b'{"cmd":"ping","listener":1}')
    client.server.delivery.flush()
    assert [packet.get("code_id") for packet in client.heard()] == [108]
