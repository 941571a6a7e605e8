"""The server and clients in memory that plugins are tested with."""

from __future__ import annotations

import asyncio

import pytest

from cloudlink import testing
from cloudlink.errors import StartError
from cloudlink.server.plugins import PluginError
from cloudlink.server.protocols import scratch
from cloudlink.testing.connection import MemoryConnection


def play(scenario):
    asyncio.run(scenario())


class Echo:
    """Answers `echo` after a moment."""

    def __init__(self, server, protocol):
        self.protocol = protocol

        @server.on_command(cmd="echo", schema=protocol.schema)
        async def echo(client, message):
            await asyncio.sleep(0.01)
            protocol.send_message(client, {"cmd": "echoed", "val": message["val"]}, message)


def failing(server, protocol):
    @server.on_command(cmd="fail", schema=protocol.schema)
    async def fail(client, message):
        raise KeyError("oh")


def kicking(server):
    @server.on_connect
    def check(client):
        if client.address == "203.0.113.7":
            server.send_packet(client, "Go away")
            server.close_connection(client, 4000, "You are banned")


# Sending and receiving.


def test_packets_go_there_and_back():
    async def scenario():
        async with testing.server(Echo) as s:
            alice = await s.connect("alice")
            await alice.send({"cmd": "echo", "val": 1})
            assert await alice.receive() == {"cmd": "echoed", "val": 1}
            await alice.send('{"cmd":"echo","val":2,"listener":"L"}')
            assert await alice.receive(listener="L") == {"cmd": "echoed", "val": 2, "listener": "L"}
            await alice.send(b'{"cmd":"echo","val":"x"}')
            assert await alice.receive("echoed") == {"cmd": "echoed", "val": "x"}
            assert (await alice.request({"cmd": "echo", "val": 70_000 * "y"}))["val"] == 70_000 * "y"
            assert (await alice.request({"cmd": "ping", "listener": 0}))["listener"] == 0
            assert alice.unread == []
            assert alice.client.username == "alice"
            assert isinstance(s.plugins[0], Echo)
            assert s.plugins[0].protocol is s.protocol

    play(scenario)


def test_packets_may_be_waited_for_in_any_order():
    async def scenario():
        async with testing.server() as s:
            alice, bob = await s.connect("alice"), await s.connect("bob")
            await bob.send({"cmd": "gmsg", "val": 1})
            await bob.send({"cmd": "gvar", "name": "x", "val": 2})
            assert (await alice.receive("gvar"))["val"] == 2
            assert [packet["cmd"] for packet in alice.unread] == ["ulist", "gmsg"]
            assert (await alice.receive())["mode"] == "add"
            assert (await alice.receive())["val"] == 1

    play(scenario)


def test_an_awaited_packet_may_come_later():
    async def scenario():
        async with testing.server() as s:
            alice, bob = await s.connect(), await s.connect("bob", rooms=["default", "a"])
            waiting = asyncio.create_task(alice.receive("gmsg"))
            await bob.send({"cmd": "gmsg", "val": "now", "rooms": "default"})
            assert (await waiting)["val"] == "now"

    play(scenario)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({}, "alice got no packet: 0.01 s have passed. What came and was not read: nothing"),
        (
            {"cmd": "x"},
            (
                "alice got no packet with cmd 'x': 0.01 s have passed. What came and was not read:\n"
                '  {"cmd": "gmsg", "val": "é", "rooms": "default"}'
            ),
        ),
        (
            {"cmd": "gmsg", "listener": 5},
            (
                "alice got no packet with cmd 'gmsg' and listener 5: 0.01 s have passed. What came and was not read:\n"
                '  {"cmd": "gmsg", "val": "é", "rooms": "default"}'
            ),
        ),
        (
            {"listener": None},
            (
                "alice got no packet with listener None: 0.01 s have passed. What came and was not read:\n"
                '  {"cmd": "gmsg", "val": "é", "rooms": "default"}'
            ),
        ),
    ],
)
def test_a_missing_packet_is_reported_with_the_received_ones(wanted, sentence):
    async def scenario():
        async with testing.server() as s:
            alice = await s.connect("alice")
            if wanted:
                await alice.send({"cmd": "gmsg", "val": "é"})
            with pytest.raises(testing.NotReceivedError) as caught:
                await alice.receive(**wanted, timeout=0.01)
            assert str(caught.value) == sentence

    play(scenario)


# Closing.


def test_close_codes_are_visible():
    async def scenario():
        async with testing.server(kicking) as s:
            alice = await s.connect("alice")
            assert alice.closed is None
            with pytest.raises(testing.NotReceivedError, match=r"^alice was not disconnected within 0\.01 s"):
                await alice.wait_closed(timeout=0.01)
            banned = await s.connect("bob", address="203.0.113.7")
            assert banned.closed == await banned.wait_closed() == (4000, "You are banned")
            assert await banned.receive() == "Go away"
            with pytest.raises(
                testing.NotReceivedError, match="the connection was closed, 4000 'You are banned'"
            ):
                await banned.receive()
            with pytest.raises(ConnectionError, match="cannot send: the connection was closed, 4000"):
                await banned.send({"cmd": "ping"})
            await alice.leave()
            assert len(s.server.clients_manager) == 0
        assert alice.closed is None

    play(scenario)


def test_a_client_that_is_kicked_for_its_name_is_closed():
    def strict(server, protocol):
        @server.on_command(cmd="setid", schema=protocol.schema)
        def check(client, message):
            if client.username == "eve":
                server.close_connection(client, 4002, "Not you")

        @server.on_command(cmd="leave", schema=protocol.schema)
        async def leave(client, message):
            await asyncio.sleep(0.01)
            server.close_connection(client)

    async def scenario():
        async with testing.server(strict, cloud=False) as s:
            eve = await s.connect("eve", rooms="lobby")
            assert eve.closed == (4002, "Not you")
            bob = await s.connect("bob")
            await bob.send({"cmd": "leave"})
            assert await bob.wait_closed() == (1000, "")

    play(scenario)


def test_the_end_of_the_server_closes_its_clients():
    async def scenario():
        async with testing.server() as s:
            alice = await s.connect()
        assert alice.closed == (1001, "The server is shutting down")

    play(scenario)


# Connecting.


def test_a_client_is_as_it_was_asked_for():
    async def scenario():
        async with testing.server() as s:
            bob = await s.connect(
                "bob", rooms=["a", "b"], path="/?x", headers={"User-Agent": "me"}, address="192.0.2.1"
            )
            assert bob.client.rooms == {"a", "b"}
            assert bob.client.path == "/?x"
            assert bob.client.request_headers["user-agent"] == "me"
            assert "USER-AGENT" in bob.client.request_headers
            assert bob.client.address == "192.0.2.1"
            assert bob.unread == []
            assert (await s.connect("eve", rooms="lobby")).client.rooms == {"lobby"}

    play(scenario)


def test_a_name_that_is_refused_fails_the_test():
    async def scenario():
        async with testing.server(unique_usernames=True) as s:
            await s.connect("alice")
            with pytest.raises(AssertionError, match=r"'setid'.* was refused: .*E:112"):
                await s.connect("alice")

    play(scenario)


def test_clients_of_other_protocols_connect_too():
    async def scenario():
        async with testing.server() as s:
            project = await s.connect(handshake=False)
            await project.send({"method": "handshake", "user": "ada", "project_id": "1"})
            other = await s.connect(handshake=False)
            await other.send({"method": "handshake", "user": "bob", "project_id": "1"})
            await project.send({"method": "set", "name": "☁ a", "value": 1})
            assert await other.receive("set") == {"method": "set", "name": "☁ a", "value": 1}
            assert other.client.protocol is scratch.schema
            late = await s.connect(handshake=False)
            await project.send({"method": "set", "name": "☁ b", "value": 2})
            await late.send({"method": "handshake", "user": "eve", "project_id": "1"})
            await s.idle()
            assert [packet["name"] for packet in late.unread] == ["☁ a", "☁ b"]

    play(scenario)


# The server.


def test_idle_waits_for_handlers():
    async def scenario():
        async with testing.server(Echo) as s:
            alice = await s.connect()
            await alice.send({"cmd": "echo", "val": 1})
            assert alice.unread == []
            await s.idle()
            assert [packet["val"] for packet in alice.unread] == [1]

    play(scenario)


def test_idle_names_the_handlers_that_do_not_finish():
    def waiting(server):
        @server.on_connect
        async def forever(client):
            await asyncio.Event().wait()

    async def scenario():
        async with testing.server(waiting, shutdown_timeout=0) as s:
            await s.connect()
            with pytest.raises(
                testing.NotReceivedError,
                match=r"^Handlers have not finished within 0\.01 s: forever \(tests/testing/test_testing\.py, line \d+\)\.$",
            ):
                await s.idle(timeout=0.01)

    play(scenario)


def test_an_overridden_message_processor_is_waited_for():
    def shouting(server):
        process = server.message_processor

        async def shout(client, message):
            await process(
                client, message.upper().replace("CMD", "cmd").replace("GMSG", "gmsg").replace("VAL", "val")
            )

        server.message_processor = shout

    async def scenario():
        async with testing.server(shouting) as s:
            alice = await s.connect(handshake=False)
            await alice.send({"cmd": "gmsg", "val": "hey"})
            await s.idle()
            assert alice.unread[-1]["val"] == "HEY"

    play(scenario)


def test_a_handler_that_raises_fails_the_test_unless_it_is_expected():
    async def scenario(*, is_expected):
        async with testing.server(failing) as s:
            alice = await s.connect()
            assert (await alice.request({"cmd": "fail"}))["code_id"] == 105
            assert [type(error) for error in s.errors] == [KeyError]
            with pytest.raises(testing.NotReceivedError, match=r"Handlers raised: KeyError\('oh'\)"):
                await alice.receive(timeout=0.01)
            if is_expected:
                s.errors.clear()

    asyncio.run(scenario(is_expected=True))
    with pytest.raises(
        AssertionError, match=r"^handlers raised KeyError\('oh'\); a test that expects this"
    ) as caught:
        asyncio.run(scenario(is_expected=False))
    assert isinstance(caught.value.__cause__, KeyError)


def test_the_tests_own_failure_is_not_hidden_by_that_of_a_handler():
    async def scenario():
        async with testing.server(failing) as s:
            alice = await s.connect()
            await alice.request({"cmd": "fail"})
            raise RuntimeError("the test's own")

    with pytest.raises(RuntimeError, match="the test's own"):
        play(scenario)


def test_plugins_start_and_stop():
    seen = []

    def living(server):
        server.on_start(lambda: seen.append("start"))
        server.on_stop(lambda: seen.append("stop"))

    async def scenario():
        async with testing.server(living):
            assert seen == ["start"]

    play(scenario)
    assert seen == ["start", "stop"]


def test_plugins_may_be_named_as_on_the_command_line(tmp_path):
    (tmp_path / "one.py").write_text("def first(server): return 1\ndef second(server): return 2\n")

    async def scenario():
        async with testing.server(str(tmp_path / "one.py")) as s:
            assert s.plugins == [1, 2]

    play(scenario)


@pytest.mark.parametrize(
    ("plugins", "settings", "error", "sentence"),
    [
        (
            [failing],
            {"max_client": 5},
            StartError,
            "There is no setting max_client; did you mean max_clients?",
        ),
        ([lambda server: 1 / 0], {}, PluginError, "failed to start"),
        ([lambda: None], {}, PluginError, "is not a plugin"),
    ],
)
def test_mistakes_are_reported(plugins, settings, error, sentence):
    async def scenario():
        async with testing.server(*plugins, **settings):
            pass

    with pytest.raises(error, match=sentence.replace("?", r"\?")):
        play(scenario)


def test_anything_but_text_frames_is_noticed():
    connection = MemoryConnection("/", {}, "127.0.0.1")
    connection.slow_down()
    with pytest.raises(ValueError, match="something else than a text frame"):
        connection.write([b"\x82\x01x"])


def test_the_environment_is_not_read(monkeypatch):
    monkeypatch.setenv("CLOUDLINK_MAX_CLIENTS", "what?")

    async def scenario():
        async with testing.server(max_clients=1) as s:
            await s.connect()
            full = await s.connect()
            assert full.closed == (1000, "Server is full!")

    play(scenario)
