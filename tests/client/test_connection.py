"""The modern client against real sockets: our own server, and servers that misbehave."""

import asyncio
import json
import logging

import pytest

from cloudlink.client import (
    Connected,
    ConnectError,
    DirectMessage,
    Disconnected,
    DisconnectedError,
    GlobalMessage,
    GlobalVariable,
    NameRefusedError,
    PrivateMessage,
    PrivateVariable,
    RequestError,
    ServerFullError,
    StatusCode,
    Unreadable,
    UserJoined,
    UserLeft,
    UserList,
    WaitTimeoutError,
    WrongServerError,
    connect,
)
from cloudlink.client.backoff import Backoff
from tests.support.fakeservers import greet, ok, tcp_server, websocket_server
from tests.support.servers import restartable_server

LIMIT = 20.0  # seconds for one conversation


def run(scenario):
    async def limited():
        async with asyncio.timeout(LIMIT):
            return await scenario()

    return asyncio.run(limited())


async def until(connection, kind):
    """The next event of a kind."""
    async for event in connection:
        if isinstance(event, kind):
            return event
    raise AssertionError("the events ended")


def impatient(connection):
    """The same connection, which tries again at once."""
    connection._backoff = Backoff(0.01, 0.05)
    return connection


def test_everything_that_can_be_sent_arrives():
    async def scenario():
        async with (
            restartable_server() as host,
            connect(host.url, username="alice", rooms="r") as alice,
            connect(host.url, username="bob", rooms=["r"]) as bob,
        ):
            assert alice.user.username == "alice"
            assert alice.rooms == ("r",)
            assert alice.server_version == "0.2.0"
            joined = await until(alice, UserJoined)
            assert joined == UserJoined(bob.user, "r")
            assert {user.username for user in alice.users["r"]} == {"alice", "bob"}
            await until(bob, UserList)
            await alice.send({"hello": [1, 2.5, None]})
            await alice.gvar("score", 2**70, rooms="r")
            await alice.pmsg("bob", "by name")
            await alice.pmsg([bob.user], "by user")
            await alice.pvar(bob.user, "hp", 7)
            await alice.direct(bob.user.uuid, "direct", listener=5)
            seen = [await anext(bob) for _ in range(6)]
            assert seen == [
                GlobalMessage({"hello": [1, 2.5, None]}, "r"),
                GlobalVariable("score", 2**70, "r"),
                PrivateMessage("by name", alice.user, "r"),
                PrivateMessage("by user", alice.user, "r"),
                PrivateVariable("hp", 7, alice.user, "r"),
                DirectMessage("direct", alice.user, 5),
            ]
            await bob.close()
            assert await until(alice, UserLeft) == UserLeft(bob.user, "r")

    run(scenario)


def test_requests_are_answered_each_by_its_own():
    async def scenario():
        async with restartable_server() as host, connect(host.url, username="alice") as c:
            answers = await asyncio.gather(
                c.request("ping"), c.request("gmsg", val="echo"), c.request("gvar", name="n", val=1)
            )
            assert [type(answer) for answer in answers] == [StatusCode, GlobalMessage, GlobalVariable]
            with pytest.raises(RequestError, match="E:103") as caught:
                await c.request("pmsg", id="nobody", val=1)
            assert caught.value.status.code_id == 103
            await c.pmsg("nobody", 1)
            assert (await until(c, StatusCode)).code_id == 103

    run(scenario)


def test_question_and_answer_by_direct():
    async def scenario():
        async with (
            restartable_server() as host,
            connect(host.url, username="alice") as alice,
            connect(host.url) as bob,
        ):

            async def answer():
                question = await until(bob, DirectMessage)
                await bob.direct(question.sender, "fine", listener=question.listener)

            answering = asyncio.create_task(answer())
            reply = await alice.request("direct", id=bob.user, val="how are you?")
            assert reply.value == "fine"
            await answering

    run(scenario)


@pytest.mark.parametrize(
    "request_of",
    [
        lambda c: c.link("r"),
        lambda c: c.unlink(),
        lambda c: c.set_username("bot"),
        lambda c: c.request("pmsg", id="bob", val=1),
    ],
    ids=["link", "unlink", "set_username", "pmsg"],
)
def test_a_direct_of_a_stranger_is_no_answer_even_with_the_right_listener(request_of):
    stranger = {"id": "9", "uuid": "s"}

    async def handler(socket):
        await greet(socket)
        listener = json.loads(await socket.recv())["listener"]
        guess = {"cmd": "direct", "val": "done!", "origin": stranger, "listener": listener}
        refusal = {
            "cmd": "statuscode",
            "code": "E:110 | Command disabled",
            "code_id": 110,
            "listener": listener,
        }
        await socket.send(json.dumps(guess))
        await socket.send(json.dumps(refusal))
        await socket.wait_closed()

    async def scenario():
        async with websocket_server(handler) as url, connect(url) as c:
            with pytest.raises((RequestError, NameRefusedError)):
                await request_of(c)
            assert (await until(c, DirectMessage)).value == "done!"

    run(scenario)


def test_names_and_rooms_can_be_taken_later():
    async def scenario():
        async with restartable_server() as host, connect(host.url) as c:
            assert c.user.username is None
            with pytest.raises(RequestError, match="E:111"):
                await c.link("r1")
            with pytest.raises(NameRefusedError, match="at most 100 characters"):
                await c.set_username("n" * 101)
            await c.set_username("late")
            assert c.user.username == "late"
            await c.link("r1", "r2")
            assert c.rooms == ("r1", "r2")
            await c.unlink("r1")
            assert c.rooms == ("r2",)
            await c.unlink()
            assert c.rooms == ("default",)
            with pytest.raises(NameRefusedError, match="ID already set"):
                await c.set_username("again")

    run(scenario)


def test_after_a_break_name_and_rooms_are_restored():
    async def scenario():
        async with (
            restartable_server() as host,
            impatient(connect(host.url, username="alice", rooms=["r1"])) as c,
        ):
            await c.link("r2")
            first = c.user
            host.drop_everybody()
            gone = await until(c, Disconnected)
            assert gone.retry_in <= 0.01
            back = await until(c, Connected)
            assert back.again
            assert back.rooms == ("r1", "r2")
            assert back.user.username == "alice"
            assert back.user.uuid != first.uuid
            assert [user.username for user in c.users["r2"]] == ["alice"]
            await c.request("gmsg", val="still here", rooms="r2")

    run(scenario)


def test_a_server_that_is_down_for_a_while_is_tried_until_it_is_back():
    async def scenario():
        async with restartable_server() as host, impatient(connect(host.url, username="alice")) as c:
            await host.stop()
            await until(c, Disconnected)
            assert not c.is_connected
            # What is sent meanwhile waits.
            sending = asyncio.create_task(c.request("gmsg", val="was away", timeout=LIMIT))
            await host.start()
            assert (await sending).value == "was away"
            assert (await until(c, Connected)).again
            assert c.is_connected

    run(scenario)


def test_in_the_moment_of_a_break_nothing_is_sent_into_the_void():
    async def scenario():
        async with restartable_server() as host, impatient(connect(host.url)) as c:
            gone = c._attempt.socket._disconnected
            host.drop_everybody()
            await gone  # awake before the task that will connect again
            assert not c.is_connected
            assert (await c.request("gmsg", val="in time")).value == "in time"

    run(scenario)


def test_without_reconnection_a_break_is_the_end():
    async def scenario():
        async with restartable_server() as host, connect(host.url, reconnect=False) as c:
            host.drop_everybody()
            with pytest.raises(DisconnectedError) as caught:
                await until(c, Disconnected)
            assert caught.value.code == 1006
            with pytest.raises(DisconnectedError):
                await c.send("into the void")
            with pytest.raises(DisconnectedError):
                await c.wait_until_connected()

    run(scenario)


def test_a_client_that_is_sent_away_does_not_come_back():
    async def scenario():
        async with restartable_server() as host, connect(host.url, username="alice") as c:
            host.server.close_connection(next(iter(host.server.clients_manager.clients)), 1000, "Be nice")
            with pytest.raises(DisconnectedError, match=r"1000 \(Be nice\)"):
                await until(c, Disconnected)

    run(scenario)


def test_a_request_whose_connection_breaks_raises_an_error():
    async def handler(socket):
        await greet(socket)
        await socket.recv()
        socket.transport.abort()

    async def scenario():
        async with websocket_server(handler) as url, connect(url) as c:
            with pytest.raises(DisconnectedError):
                await c.request("ping")

    run(scenario)


def test_a_request_without_an_answer_times_out():
    async def handler(socket):
        await greet(socket)
        await socket.wait_closed()

    async def scenario():
        async with websocket_server(handler) as url, connect(url) as c:
            with pytest.raises(WaitTimeoutError, match="ping"):
                await c.request("ping", timeout=0.01)
            assert c._requests == {}

    run(scenario)


def test_closing_ends_the_iteration_and_all_that_waits():
    async def scenario():
        async with restartable_server() as host, connect(host.url) as c:
            await until(c, Connected)
            reading = asyncio.create_task(until(c, UserLeft))
            await asyncio.sleep(0)
            await c.close()
            with pytest.raises(AssertionError, match="the events ended"):
                await reading
            with pytest.raises(DisconnectedError):
                await c.send("too late")
            assert [event async for event in c] == []

    run(scenario)


def test_a_connection_is_entered_once():
    async def scenario():
        async with restartable_server() as host:
            c = connect(host.url)
            with pytest.raises(RuntimeError, match="async with"):
                await c.send("too early")
            async with c:
                with pytest.raises(RuntimeError, match="once"):
                    await c.__aenter__()

    run(scenario)


@pytest.mark.parametrize(
    ("settings", "desired", "error"),
    [
        ({"username_max_length": 3}, {"username": "alice"}, NameRefusedError),
        ({}, {"username": ""}, NameRefusedError),
        ({"disabled_commands": ["link"]}, {"username": "alice", "rooms": "r"}, RequestError),
    ],
)
def test_refusals_on_connecting(settings, desired, error):
    async def scenario():
        async with restartable_server(**settings) as host:
            with pytest.raises(error):
                async with connect(host.url, **desired):
                    raise AssertionError("it should not connect")

    run(scenario)


def test_a_name_that_a_ghost_still_holds_is_waited_for():
    async def scenario():
        async with (
            restartable_server(unique_usernames=True) as host,
            connect(host.url) as ghost,
            impatient(connect(host.url, username="alice")) as c,
        ):
            # The name is taken by another in the moment between losing the connection and coming back.
            alice = next(one for one in host.server.clients_manager.clients if one.username == "alice")
            host.server.close_connection(alice, 1001)
            await ghost.set_username("alice")
            await until(c, Disconnected)
            await ghost.close()
            assert (await until(c, Connected)).user.username == "alice"

    run(scenario)


def test_a_full_server():
    async def scenario():
        async with restartable_server(max_clients=1) as host, connect(host.url):
            with pytest.raises(ServerFullError):
                async with connect(host.url):
                    raise AssertionError("it should not connect")

    run(scenario)


def test_a_server_that_never_greets():
    async def handler(socket):
        await socket.wait_closed()

    async def scenario():
        async with websocket_server(handler) as url:
            with pytest.raises(WaitTimeoutError, match="the greeting did not come in time"):
                async with connect(url, timeout=0.05):
                    raise AssertionError("it should not connect")

    run(scenario)


def test_an_echo_server_is_no_cloudlink_server():
    async def handler(socket):
        async for message in socket:
            await socket.send(message)

    async def scenario():
        async with websocket_server(handler) as url:
            with pytest.raises((WrongServerError, WaitTimeoutError)):
                async with connect(url, timeout=0.2):
                    raise AssertionError("it should not connect")

    run(scenario)


def test_a_web_server_and_nothing_at_all():
    async def page(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    async def scenario():
        async with tcp_server(page) as place:
            with pytest.raises(WrongServerError, match="web page"):
                await connect(f"ws://{place}").__aenter__()
        with pytest.raises(ConnectError, match="Nothing listens"):
            await connect(f"ws://{place}").__aenter__()

    run(scenario)


def test_garbage_frames_are_reported_and_survived():
    async def handler(socket):
        await greet(socket)
        await socket.send("neither JSON")
        await socket.send(b"\xff nor text")
        await socket.send("[]")
        await socket.send(['{"cmd":"gmsg",', '"val":"in pieces","rooms":"default"}'])
        await socket.send(json.dumps({"cmd": "gmsg", "val": "fine", "rooms": "default"}).encode())
        await socket.wait_closed()

    async def scenario():
        async with websocket_server(handler) as url, connect(url) as c:
            await until(c, Connected)
            seen = [await anext(c) for _ in range(5)]
            assert seen == [
                Unreadable("neither JSON"),
                Unreadable("\ufffd nor text"),
                Unreadable("[]"),
                GlobalMessage("in pieces", "default"),
                GlobalMessage("fine", "default"),
            ]

    run(scenario)


@pytest.mark.parametrize("bound", [{"max_queue": 10}, {"max_queue_bytes": 100_000}], ids=["events", "bytes"])
def test_a_program_that_reads_no_events_is_sent_no_more_than_the_queue_holds(bound):
    """Reading pauses: the server cannot send the rest until the program reads the events."""
    size, many = 10_000, 2_000
    passed = []

    async def handler(socket):
        await greet(socket)
        for number in range(many):
            await socket.send(json.dumps({"cmd": "gmsg", "val": [number, "x" * size], "rooms": "default"}))
            passed.append(number)

    async def scenario():
        async with websocket_server(handler) as url, connect(url, **bound, reconnect=False) as c:
            while c._attempt.socket._reading:  # noqa: ASYNC110  # nothing announces it
                await asyncio.sleep(0)
            assert len(passed) < many
            # What one read from the socket brings in is taken; then no more.
            assert c.waiting < 10 + 300_000 // size
            await until(c, Connected)
            assert [(await anext(c)).value[0] for _ in range(many)] == list(range(many))

    run(scenario)


def test_an_answer_comes_through_a_full_queue():
    async def handler(socket):
        await greet(socket)
        async for text in socket:
            for number in range(100):
                await socket.send(json.dumps({"cmd": "gmsg", "val": number, "rooms": "default"}))
            await socket.send(json.dumps(ok(json.loads(text))))

    async def scenario():
        async with websocket_server(handler) as url, connect(url, max_queue=1) as c:
            await until(c, Connected)
            assert isinstance(await c.request("ping"), StatusCode)
            assert [(await anext(c)).value for _ in range(100)] == list(range(100))

    run(scenario)


def test_a_dead_peer_is_noticed():
    over = asyncio.Event()

    async def handler(socket):
        await greet(socket)
        socket.transport.pause_reading()  # from here on it answers no ping
        await over.wait()
        socket.transport.abort()

    async def scenario():
        async with websocket_server(handler) as url:
            c = connect(url, reconnect=False)
            c._options = c._options.__class__(timeout=5, keepalive=0.05)
            async with c:
                await until(c, Connected)
                with pytest.raises(DisconnectedError) as caught:
                    await anext(c)
                assert caught.value.code == 1006
            over.set()

    run(scenario)


def test_a_message_too_big_ends_the_connection_with_1009():
    async def handler(socket):
        await greet(socket)
        await socket.send(["x" * (15 << 20), "y" * (2 << 20)])
        await socket.wait_closed()

    async def scenario():
        async with websocket_server(handler) as url, connect(url, reconnect=False) as c:
            with pytest.raises(DisconnectedError) as caught:
                await until(c, Disconnected)
            assert caught.value.code == 1009

    run(scenario)


def test_through_a_proxy():
    asked = []

    async def proxy(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split()[:2])
        there_reader, there_writer = await asyncio.open_connection(
            "127.0.0.1", int(head.split()[1].split(b":")[1])
        )
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def pass_on(source, target):
            while data := await source.read(4096):
                target.write(data)
            target.close()

        await asyncio.gather(pass_on(reader, there_writer), pass_on(there_reader, writer))

    async def scenario():
        async with restartable_server() as host, tcp_server(proxy) as place:
            async with connect(host.url, proxy=f"http://{place}") as c:
                assert (await c.request("ping")).ok
            assert asked == [[b"CONNECT", f"127.0.0.1:{host.port}".encode()]]

    run(scenario)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b""])
def test_a_proxy_that_refuses(answer):
    async def proxy(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async def scenario():
        async with tcp_server(proxy) as place:
            with pytest.raises(
                ConnectError, match=f"The proxy http://{place} does not lead to 127.0.0.1:3000"
            ):
                await connect(proxy=f"http://{place}").__aenter__()

    run(scenario)


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "socks5://127.0.0.1:1", "nonsense://127.0.0.1:1"])
def test_a_proxy_that_is_none(address):
    async def scenario():
        with pytest.raises(ConnectError, match="The proxy"):
            await connect(proxy=address).__aenter__()

    run(scenario)


def test_rooms_need_a_username():
    with pytest.raises(ValueError, match="username"):
        connect(rooms=["r"])


def test_values_that_json_has_not_are_refused_and_nothing_breaks():
    async def scenario():
        async with restartable_server() as host, connect(host.url) as c:
            with pytest.raises(TypeError):
                await c.send(object())
            assert (await c.request("ping")).ok

    run(scenario)


def test_nothing_is_logged_by_the_transport(caplog):
    async def scenario():
        async with restartable_server() as host, connect(host.url) as c:
            await c.request("ping")

    with caplog.at_level(logging.DEBUG, "picows"):
        run(scenario)
    assert [record for record in caplog.records if record.name.startswith("picows.client")] == []


def test_text_from_a_server_begins_no_line_of_the_log(caplog):
    async def hanging_up(socket):
        await greet(socket)
        await socket.close(1001, "bye\nfake")

    async def scenario():
        async with websocket_server(hanging_up) as url, connect(url) as c:
            return await until(c, Disconnected)

    with caplog.at_level(logging.INFO, "cloudlink.client"):
        assert "bye\\x0afake" in run(scenario).reason
    assert "bye\\x0afake" in caplog.text
