"""A connection's life: what each event does in each state, and sessions whose messages are pulled."""

from __future__ import annotations

import asyncio

import pytest

from cloudlink.server.app import Server
from cloudlink.server.protocols.clpv4 import Clpv4
from cloudlink.server.pulled import PulledSession
from cloudlink.server.session import Session, State
from cloudlink.settings import Settings
from hosting import build, listening
from server.visitor import Visitor, codes, named, turns

CONNECTED, IDENTIFIED, GONE = State


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
    "a ping": lambda visitor: visitor.session.admits(5),
    "the end": lambda visitor: visitor.session.lost(),
}

SLOW = (1013, "Reading too slowly: more than 1048576 bytes were waiting")

TABLE = {
    CONNECTED: {
        "a packet": (IDENTIFIED, [100], None),
        "a packet in a binary message": (IDENTIFIED, [100], None),
        "a text packet to process": (IDENTIFIED, [100], None),
        "a binary packet to process": (IDENTIFIED, [100], None),
        "an object of no protocol": (
            GONE,
            ["Unable to identify protocol"],
            (1000, "Unable to identify protocol"),
        ),
        "no JSON": (GONE, ["Invalid JSON"], (1000, "Invalid JSON")),
        "nothing": (GONE, ["Empty message"], (1000, "Empty message")),
        "bytes that are no text": (GONE, ["Invalid JSON"], (1000, "Invalid JSON")),
        "a text to send": (CONNECTED, ["hello"], None),
        "a frame to send": (CONNECTED, ["hello"], None),
        "a close": (GONE, [], (4000, "enough")),
        "too long a silence": (GONE, [], (1008, "say something")),
        "slow reading": (GONE, [], SLOW),
        "a peer that reads again": (CONNECTED, [], None),
        "a ping": (CONNECTED, [], None),
        "the end": (GONE, [], None),
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
        "a close": (GONE, [], (4000, "enough")),
        "too long a silence": (IDENTIFIED, [], None),
        "slow reading": (GONE, [], SLOW),
        "a peer that reads again": (IDENTIFIED, [], None),
        "a ping": (IDENTIFIED, [], None),
        "the end": (GONE, [], None),
    },
    GONE: dict.fromkeys(EVENTS, (GONE, [], None)),
}

CELLS = [(state, event) for state in TABLE for event in EVENTS]


@pytest.mark.parametrize(("state", "event"), CELLS, ids=[f"{state.value}: {event}" for state, event in CELLS])
def test_what_an_event_does_in_a_state(server, state, event):
    visitor = Visitor(server)
    if state is not CONNECTED:
        visitor.say({"cmd": "ping"})
    if state is GONE:
        visitor.leave()
    assert visitor.session.state is state

    EVENTS[event](visitor)

    after, heard, closed = TABLE[state][event]
    assert visitor.session.state is after
    assert short(visitor.heard()) == heard
    assert visitor.closed == closed
    is_there = after is not GONE
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
    visitor = Visitor(server, '{"val":' + value + ',"cmd":"gmsg"}')
    assert visitor.closed is None
    server.delivery.flush()
    (text,) = other.connection.take()
    assert f'"val":{value}' in text


@pytest.mark.parametrize(
    "text", ['["\\ud83d"]', LONG_LIST, "1e400", "true", ' "cmd" ', '{"cmd":1}', '{"method":null}', "{}"]
)
def test_json_of_no_protocol_is_told_from_what_is_no_json(server, text):
    assert Visitor(server, text).closed == (1000, "Unable to identify protocol")


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
    ],
)
def test_what_is_no_json_opens_nothing(server, data):
    visitor = Visitor(server)
    visitor.session.receive_binary(data)
    assert visitor.closed == (1000, "Invalid JSON")


@pytest.mark.parametrize(
    "code", [0, 999, 1004, 1005, 1006, 1015, 2000, 2999, 5000, 65536, -1, None, "1000", 1000.5]
)
@pytest.mark.parametrize("is_of_the_server", [False, True])
def test_a_code_that_nobody_may_send_is_refused_and_nobody_disconnected(server, code, is_of_the_server):
    visitor = named(server, "alice")
    close = (
        server.close_connection if is_of_the_server else lambda client, code: asyncio.run(client.close(code))
    )
    with pytest.raises(ValueError, match=r"no code to close a connection with: 1000 to 1003"):
        close(visitor.client, code)
    assert visitor.client.open
    assert visitor.closed is None


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_codes_that_may_be_sent_close_a_connection(server, code):
    visitor = named(server, "alice")
    asyncio.run(visitor.client.close(code, "enough"))
    assert visitor.closed == (code, "enough")


def test_a_client_that_a_plugin_has_removed_is_gone_as_a_whole_when_it_leaves(server):
    gone = []
    server.on_disconnect(lambda client: gone.append(client.username))
    alice, bob = named(server, "alice"), named(server, "bob")
    server.clients_manager.remove(alice.client)
    bob.heard()
    alice.leave()
    alice.leave()
    assert gone == ["alice"]
    assert alice.session.state is GONE
    assert not alice.client.open
    assert [(heard["mode"], heard["val"]["username"]) for heard in bob.heard()] == [("remove", "alice")]
    members = server.rooms_manager.members("default", bob.client.protocol)
    assert [client.username for client in members.named()] == ["bob"]


def test_a_farewell_that_fails_is_logged_and_the_end_comes_all_the_same(server, monkeypatch, caplog):
    gone = []
    server.on_disconnect(lambda client: gone.append(client.username))
    alice = named(server, "alice")
    monkeypatch.setattr(Clpv4, "farewell", lambda *_arguments: 1 / 0)
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
    visitor = Visitor(server, *[{"cmd": "ping"}] * is_identified)
    visitor.leave()
    session = visitor.client.session
    session.process("hello")
    session.process(b'{"cmd":"ping"}')
    session.send_text(b"hello")
    session.send_frame(b"\x81\x05hello")
    session.close(4000, "why")
    assert not session.admits_more(1)
    assert session.state is GONE
    assert visitor.heard() == []
    assert visitor.closed is None


def test_sending_to_a_client_that_is_gone_does_nothing(server):
    visitor, other = named(server, "alice"), named(server, "bob")
    visitor.heard()
    visitor.heard()
    visitor.leave()
    server.send_packet(visitor.client, {"cmd": "direct", "val": 1})
    server.send_packet([visitor.client, other.client], {"cmd": "direct", "val": 2})
    server.close_connection(visitor.client)
    server.close_connection({visitor.client}, 4000, "why")
    assert visitor.heard() == []
    assert visitor.closed is None
    assert other.heard()[-1] == {"cmd": "direct", "val": 2}


@pytest.mark.parametrize(
    "collected", [list, set, tuple, iter, lambda clients: dict(enumerate(clients)).values()]
)
def test_any_iterable_of_clients_can_be_sent_to_and_closed(server, collected):
    visitors = [named(server, "alice"), named(server, "bob")]
    for visitor in visitors:
        visitor.heard()
    server.send_packet(collected([visitor.client for visitor in visitors]), {"cmd": "direct", "val": 1})
    assert [visitor.heard()[-1] for visitor in visitors] == [{"cmd": "direct", "val": 1}] * 2
    server.close_connection(collected([visitor.client for visitor in visitors]), 4001, "no")
    assert [visitor.closed for visitor in visitors] == [(4001, "no")] * 2


def test_the_managers_own_collections_can_be_closed_while_they_shrink(server):
    for name in ("alice", "bob"):
        named(server, name)
    server.close_connection(server.clients_manager)
    assert not server.clients_manager.clients


@pytest.mark.parametrize("obj", ["alice", b"alice", None, 5])
def test_what_is_no_client_is_named(server, obj):
    for call in (lambda: server.send_packet(obj, "hello"), lambda: server.close_connection(obj)):
        with pytest.raises(TypeError, match=f"not {type(obj).__name__}"):
            call()


def test_half_a_surrogate_pair_is_sent_as_its_escape(server):
    visitor = named(server, "alice")
    visitor.heard()
    server.send_packet(visitor.client, '{"val":"\ud83d"}')
    asyncio.run(visitor.client.send('{"val":"\ud83d\ude00é"}'))
    assert visitor.heard() == [{"val": "\ud83d"}, {"val": "😀é"}]


def test_a_connection_that_is_turned_away_never_was_there():
    server = build({"max_clients": 1})
    seen = []
    server.on_connect(seen.append)
    server.on_disconnect(seen.append)
    first, second = named(server, "alice"), Visitor(server)
    assert second.session.state is GONE
    assert second.heard() == ["Server is full!"]
    assert second.closed == (1000, "Server is full!")
    second.say({"cmd": "ping"})
    second.leave()
    assert second.heard() == []
    assert list(server.clients_manager) == [first.client]
    assert seen == [first.client]


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

    visitor = Visitor(server, {"cmd": "ping"})
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
    Visitor(server).leave()
    assert seen == ["disconnect"]


@pytest.mark.parametrize(
    ("message", "errors"),
    [
        ("", [Server.exceptions.EmptyMessage]),
        ("hello", ["Invalid JSON"]),
        ("{}", ["Unable to identify protocol"]),
    ],
)
def test_a_first_message_of_no_protocol_is_told_to_plugins(server, message, errors):
    seen = []
    server.on_error(lambda client, error: seen.append(error))
    Visitor(server, message)
    assert seen == errors


# Closing inside a handler.


def closing(server):
    return lambda client, *_details: server.close_connection(client, 4001, "no")


@pytest.mark.parametrize("register", ["on_connect", "on_message", "on_error", "on_disconnect"])
def test_a_handler_may_close_the_connection(server, register):
    getattr(server, register)(closing(server))
    bystander = Visitor(server) if register != "on_connect" else None
    visitor = Visitor(server)
    if register == "on_disconnect":
        visitor.leave()
        assert visitor.closed is None
    else:
        visitor.say({"cmd": "ping"} if register == "on_message" else "hello")
        assert visitor.closed == (4001, "no")
    assert visitor.session.state is GONE
    assert list(server.clients_manager) == ([bystander.client] if bystander else [])
    assert server.rooms_manager.rooms == {}


def test_a_commands_handler_that_closes_the_connection_sends_what_came_before(server):
    server.bind_callback("ping", Clpv4.schema, closing(server))
    after = []
    server.on_message(lambda client, message: after.append(client.open))
    visitor = Visitor(server, {"cmd": "ping", "listener": "last"})
    assert visitor.closed == (4001, "no")
    assert after == [False]
    visitor.say({"cmd": "ping"})
    assert visitor.heard() == []


def test_a_client_that_is_closed_when_it_is_identified_says_nothing_any_more(server, caplog):
    other = named(server, "other")
    server.on_protocol_identified(Clpv4.schema)(closing(server))
    visitor = Visitor(server, {"cmd": "gmsg", "val": "from somebody who was turned away"})
    assert visitor.closed == (4001, "no")
    assert other.heard() == []
    assert caplog.text == ""


def test_a_client_that_is_closed_when_it_is_identified_brings_no_error_into_the_log(server, caplog):
    server.on_protocol_identified(Clpv4.schema)(closing(server))
    Visitor(server, {"cmd": "setid", "val": "nobody"})
    assert caplog.text == ""


def test_one_client_may_close_another_whose_message_is_next(server):
    victim = named(server, "victim")

    @server.on_message
    def kick(client, message):
        if message["cmd"] == "kick":
            server.close_connection(victim.client, 4001, "no")

    server.bind_callback("kick", Clpv4.schema, lambda client, message: None)
    kicker = named(server, "kicker")
    kicker.heard()
    assert kicker.ask({"cmd": "kick"}) == [
        {
            "cmd": "ulist",
            "mode": "remove",
            "val": {"id": victim.client.snowflake, "username": "victim", "uuid": victim.client.uuid},
            "rooms": "default",
        }
    ]
    victim.session.receive(b'{"cmd":"gmsg","val":1}')
    assert kicker.heard() == []


# Sending too much. What is larger than the burst passes once, and has to be paid back.

STRICT = {"byte_burst": 1024, "byte_rate": 0.001, "implicit_greeting": False}


def test_packets_and_other_frames_share_one_measure(caplog):
    visitor = Visitor(build(STRICT), {"cmd": "ping"})
    assert visitor.session.admits(5000)
    assert not visitor.session.admits(1)
    assert visitor.heard() == []
    # A ping has no answer to be refused with; the first packet has.
    assert codes(visitor.ask({"cmd": "ping"}, b'{"cmd":"ping"}')) == [108]
    assert visitor.closed is None
    assert caplog.text.count("sends too much") == 1


@pytest.mark.parametrize("message", ['{"cmd":"ping"}', b'{"cmd":"ping"}', b"\xff", ""])
def test_a_packet_that_is_too_much_is_refused_whatever_it_is(message):
    visitor = Visitor(build(STRICT), {"cmd": "ping"}, {"cmd": "ping", "val": "x" * 5000})
    assert codes(visitor.ask(message)) == [108]


@pytest.mark.parametrize("message", ['{"cmd":"ping"}', b'{"cmd":"ping"}'])
def test_who_goes_on_sending_too_much_is_disconnected(message):
    visitor = Visitor(build(STRICT | {"flood_patience": 0.0}), {"cmd": "ping"})
    visitor.say({"cmd": "ping", "val": "x" * 5000})
    assert visitor.closed is None
    visitor.say(message)
    assert visitor.closed == (1008, "Too much was sent for too long")
    assert visitor.session.state is GONE


def test_somebody_unknown_who_floods_with_pings_is_disconnected_too():
    visitor = Visitor(build(STRICT | {"flood_patience": 0.0}))
    assert visitor.session.admits(5000)
    assert not visitor.session.admits(125)
    assert visitor.closed == (1008, "Too much was sent for too long")


# Slow readers.


def test_a_slow_reader_is_closed_and_the_others_are_told(caplog):
    server = build({"max_queued_bytes": 2000})
    sleeper, other = named(server, "sleeper"), named(server, "other")
    other.heard()
    sleeper.heard()
    sleeper.connection.congested = True
    other.say(*[{"cmd": "gmsg", "val": "x" * 500}] * 3)
    assert sleeper.closed is None
    other.say(*[{"cmd": "gmsg", "val": "x" * 500}] * 3)
    assert sleeper.closed == (1013, "Reading too slowly: more than 2000 bytes were waiting")
    assert [packet["cmd"] for packet in other.heard()] == ["ulist"]
    assert sleeper.connection.take() == []
    assert "reads too slowly" in caplog.text
    assert server.clients_manager.clients == {other.client}


def test_a_slow_reader_gets_what_waited_once_it_reads_again(server):
    sleeper, other = named(server, "sleeper"), named(server, "other")
    sleeper.heard()
    sleeper.connection.congested = True
    other.say({"cmd": "gmsg", "val": 1}, {"cmd": "gmsg", "val": 2})
    assert sleeper.heard() == []
    sleeper.connection.congested = False
    sleeper.session.writable()
    assert [packet["val"] for packet in sleeper.heard()] == [1, 2]


def test_a_slow_reader_of_a_server_without_limits_is_never_closed():
    server = build({"limits": False, "max_queued_bytes": 2000})
    sleeper, other = named(server, "sleeper"), named(server, "other")
    sleeper.heard()
    sleeper.connection.congested = True
    other.say(*[{"cmd": "gmsg", "val": "x" * 1000}] * 10)
    assert sleeper.closed is None
    sleeper.connection.congested = False
    sleeper.session.writable()
    assert len(sleeper.heard()) == 10


# Servers that process messages themselves.


class Shouting(Server):
    """Overrides how one message is processed."""

    async def message_processor(self, client, message):
        if isinstance(message, str):
            message = message.replace("quiet", "LOUD")
        await super().message_processor(client, message)


class Reading(Server):
    """Overrides the loop, reading message by message."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.read = []
        self.ended = []

    async def connection_loop(self, client):
        try:
            while True:
                self.read.append(await client.recv())
        except ConnectionError as error:
            self.ended.append(str(error))


class Iterating(Reading):
    """Overrides the loop, iterating over the messages."""

    async def connection_loop(self, client):
        async for message in client:
            self.read.append(message)
        self.ended.append("the iteration ended")


class Hanging(Server):
    """Never reads."""

    async def connection_loop(self, client):
        await asyncio.Event().wait()


def pulling(kind=Server):
    server = kind(Settings(implicit_greeting=False, shutdown_timeout=0.0))
    Clpv4(server)
    return server


def run(server, scenario):
    """Run a scenario while the server listens, which is when it looks for overridden methods."""

    async def main():
        async with listening(server):
            await scenario()

    asyncio.run(main())


def test_a_server_that_overrides_nothing_has_plain_sessions():
    server = pulling()

    async def scenario():
        assert type(Visitor(server).session) is Session

    run(server, scenario)


@pytest.mark.parametrize("where", ["in a subclass", "on an instance"])
def test_message_processor_may_be_overridden(where):
    server = pulling(Shouting if where == "in a subclass" else Server)
    if where == "on an instance":

        async def shout(client, message):
            await Server.message_processor(server, client, message.replace("quiet", "LOUD"))

        server.message_processor = shout

    async def scenario():
        visitor = Visitor(server)
        assert isinstance(visitor.session, PulledSession)
        visitor.say({"cmd": "gmsg", "val": "quiet"})
        assert visitor.heard() == []
        await turns()
        assert visitor.heard() == [{"cmd": "gmsg", "val": "LOUD", "rooms": "default"}]

    run(server, scenario)


def test_binary_messages_are_processed_as_bytes():
    server = pulling(Shouting)

    async def scenario():
        visitor = Visitor(server, b'{"cmd":"gmsg","val":"quiet"}')
        await turns()
        assert visitor.heard() == [{"cmd": "gmsg", "val": "quiet", "rooms": "default"}]

    run(server, scenario)


@pytest.mark.parametrize(
    ("kind", "end"), [(Reading, "the client is gone"), (Iterating, "the iteration ended")]
)
def test_connection_loop_may_be_overridden(kind, end):
    server = pulling(kind)

    async def scenario():
        visitor = Visitor(server, "one", b"two", "three")
        await turns()
        assert server.read == ["one", b"two", "three"]
        assert server.ended == []
        visitor.say("four")
        visitor.leave()
        await turns()
        assert server.read == ["one", b"two", "three", "four"]
        assert server.ended == [end]
        assert visitor.heard() == []

    run(server, scenario)


def test_connection_loop_may_be_overridden_on_an_instance():
    server = pulling()
    read = []

    async def loop(client):
        read.append(await client.recv())
        read.append(await client.recv())

    server.connection_loop = loop

    async def scenario():
        visitor = Visitor(server, "one")
        await turns()
        assert visitor.closed is None
        visitor.say("two")
        await turns()
        assert read == ["one", "two"]
        assert visitor.closed == (1000, "")

    run(server, scenario)


@pytest.mark.parametrize("where", ["in a subclass", "on an instance"])
def test_a_client_is_disconnected_when_its_connection_handler_returns(where):
    seen = []

    class Brief(Server):
        async def connection_handler(self, client):
            seen.append(client)

    server = pulling(Brief if where == "in a subclass" else Server)
    if where == "on an instance":

        async def brief(client):
            seen.append(client)

        server.connection_handler = brief

    async def scenario():
        visitor = Visitor(server)
        assert visitor.closed is None
        await turns()
        assert seen == [visitor.client]
        assert visitor.closed == (1000, "")
        assert len(server.clients_manager) == 0

    run(server, scenario)


def test_connection_handler_may_wrap_the_original():
    seen = []

    class Wrapping(Server):
        async def connection_handler(self, client):
            seen.append("begins")
            await super().connection_handler(client)
            seen.append("ends")

    server = pulling(Wrapping)

    async def scenario():
        visitor = Visitor(server, {"cmd": "ping"})
        await turns()
        assert codes(visitor.heard()) == [100]
        assert seen == ["begins"]
        visitor.leave()
        await turns()
        assert seen == ["begins", "ends"]

    run(server, scenario)


@pytest.mark.parametrize("place", ["connection_handler", "connection_loop", "message_processor"])
def test_an_override_that_raises_costs_only_its_own_client(place, caplog):
    server = pulling()

    async def fail(client, *_message):
        if client.path == "/bad":
            raise RuntimeError("broken override")
        await getattr(Server, place)(server, client, *_message)

    setattr(server, place, fail)

    async def scenario():
        bad, good = Visitor(server, path="/bad"), Visitor(server)
        bad.say({"cmd": "ping"})
        good.say({"cmd": "ping"})
        await turns()
        assert bad.closed == (1000, "")
        assert codes(good.heard()) == [100]
        assert good.closed is None
        assert server.clients_manager.clients == {good.client}

    run(server, scenario)
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.exc_info[0] is RuntimeError


def test_too_many_unread_messages_end_a_connection():
    server = pulling(Hanging)

    async def scenario():
        visitor = Visitor(server, *["{}"] * 1024)
        assert visitor.closed is None
        visitor.say("{}")
        assert visitor.closed == (1008, "Too many messages are waiting to be processed")
        visitor.say("{}")
        assert len(server.clients_manager) == 0

    run(server, scenario)


@pytest.mark.parametrize("message", ["x" * 1_000_000, b"x" * 1_000_000], ids=["text", "binary"])
def test_too_much_unread_ends_a_connection_however_few_messages_it_is(message):
    server = pulling(Hanging)

    async def scenario():
        visitor = Visitor(server, *[message] * 9)
        assert visitor.closed is None
        visitor.say(message)
        assert visitor.closed == (1008, "Too many messages are waiting to be processed")

    run(server, scenario)


def test_what_was_read_does_not_count_as_unread():
    server = pulling(Reading)

    async def scenario():
        visitor = Visitor(server)
        for _ in range(20):
            visitor.say("x" * 1_000_000)
            await turns(3)
        assert visitor.closed is None
        assert len(server.read) == 20

    run(server, scenario)


def test_messages_that_are_still_unread_when_the_client_goes_come_to_nothing():
    server = pulling(Shouting)
    seen = []
    server.on_message(lambda client, message: seen.append(message))

    async def scenario():
        visitor = Visitor(server, {"cmd": "ping"})
        await turns()
        visitor.session.receive(b'{"cmd":"ping"}')
        visitor.leave()
        await turns()
        assert len(seen) == 1

    run(server, scenario)


def test_recv_tells_that_the_client_is_gone():
    server = pulling(Hanging)

    async def scenario():
        visitor = Visitor(server)
        visitor.leave()
        with pytest.raises(ConnectionError, match="gone"):
            await visitor.client.recv()

    run(server, scenario)


def test_recv_tells_that_the_client_is_gone_as_often_as_it_is_asked():
    server = pulling(Hanging)

    async def scenario():
        visitor = Visitor(server)
        visitor.leave()
        with pytest.raises(ConnectionError):
            await visitor.client.recv()
        asked_again = asyncio.ensure_future(visitor.client.recv())
        await turns()
        assert asked_again.done()
        assert isinstance(asked_again.exception(), ConnectionError)

    run(server, scenario)


def test_a_connection_that_is_turned_away_is_not_pulled():
    server = pulling(Reading)
    server.max_clients = 1

    async def scenario():
        Visitor(server)
        second = Visitor(server)
        assert second.heard() == ["Server is full!"]
        second.say("hello")
        await turns()
        assert server.read == []

    run(server, scenario)
