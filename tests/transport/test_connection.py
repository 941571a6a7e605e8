"""WebSocket connections over real sockets, byte by byte."""

import asyncio
import contextlib
import gc
import json
import os
import select
import socket
from types import SimpleNamespace

import pytest
from picows import WSMsgType

from cloudlink.http.headers import Headers
from cloudlink.server import app
from cloudlink.server.protocols.clpv4.engine import Clpv4Engine
from cloudlink.server.session import Session
from cloudlink.transport.connection import WebSocketConnection
from tests.support.memoryclients import turns
from tests.support.rawclients import (
    CHROME,
    CLOSE,
    FIREFOX,
    PING,
    PONG,
    SAFARI,
    TEXT,
    UPGRADE,
    connect,
    frame,
    open_socket,
    running,
)

PING_PACKET = '{"cmd":"ping","listener":"l"}'


@pytest.mark.parametrize("headers", [CHROME, FIREFOX, SAFARI], ids=["chrome", "firefox", "safari"])
def test_browsers_connect_with_the_headers_they_send(headers):
    async def scenario():
        async with running(implicit_greeting=False) as server:
            peer = await connect(server.port, headers)
            peer.send(PING_PACKET)
            assert json.loads((await peer.receive())[1])["code_id"] == 100

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["/", "/cloud", "/a/b?c=d", "/%20"])
def test_any_path_and_origin_is_fine(path):
    async def scenario():
        async with running() as server:
            await connect(server.port, UPGRADE | {"Origin": "null"}, path)

    asyncio.run(scenario())


def test_a_message_in_one_segment_with_the_request_is_not_lost():
    async def scenario():
        async with running(implicit_greeting=False) as server:
            peer = await open_socket(server.port)
            head = "\r\n".join(["GET / HTTP/1.1", *(f"{k}: {v}" for k, v in UPGRADE.items())])
            padding = frame(json.dumps({"cmd": "ping", "val": "x" * 6000}).encode())
            peer.writer.write(head.encode() + b"\r\n\r\n" + padding + frame(PING_PACKET.encode()))
            await peer.reader.readuntil(b"\r\n\r\n")
            received = await peer.reader.readuntil(b'"listener":"l"}')
            assert received.count(b"I:100 | OK") == 2

    asyncio.run(scenario())


def test_pongs_keep_their_place_among_the_messages():
    async def scenario():
        async with running(implicit_greeting=False) as server:
            server.fair_share.clock = lambda: 0.0  # on a slow machine too, no message waits for its turn
            peer = await connect(server.port)
            message = frame(PING_PACKET.encode())
            peer.writer.write(message + frame(b"first", PING) + message + frame(b"", PING))
            kinds = [(await peer.receive()) for _ in range(4)]
            assert [first for first, _ in kinds] == [TEXT, PONG, TEXT, PONG]
            assert kinds[1][1] == b"first"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(b"\xff"), 1007),
        (frame(b"x", 0xC1), 1002),  # a reserved bit
        (frame(b"x", 0x80), 1002),  # a continuation of nothing
        (frame(b"x", 0x01) + frame(b"x"), 1002),  # a message within another
        (b"\x81\x01x", 1002),  # not masked
        (frame(b"x" * 2000), 1009),
        (frame(b"x" * 1000, 0x01) + frame(b"x" * 1000, 0x80), 1009),
        (frame(b"\x03\xe8", CLOSE), 1000),
        (frame(b"", CLOSE), 1000),
        (frame(b"\x0f\xa0bye", CLOSE), 4000),
        (frame(b"\x03\xed", CLOSE), 1002),  # 1005 is never sent
    ],
)
def test_a_violation_closes_with_the_right_code(sent, code):
    async def scenario():
        async with running(max_message_size=1024) as server:
            peer = await connect(server.port)
            peer.writer.write(sent)
            closed_with, reason = await peer.receive_close()
            assert closed_with == code
            assert reason or code in (1000, 4000, 1002)
            peer.writer.write(frame(b"\x03\xe8", CLOSE))
            await peer.at_end()
            assert len(server.clients_manager) == 0

    asyncio.run(scenario())


def test_a_frame_far_over_the_limit_is_cut_off_at_its_header():
    async def scenario():
        async with running(max_message_size=1024) as server:
            peer = await connect(server.port)
            peer.writer.write(frame(b"x" * 100_000)[:64])
            assert (await peer.receive_close())[0] == 1009

    asyncio.run(scenario())


def test_a_peer_that_does_not_answer_the_close_is_dropped(monkeypatch):
    monkeypatch.setattr("cloudlink.transport.connection._CLOSE_TIMEOUT", 0.05)

    async def scenario():
        async with running() as server:
            peer = await connect(server.port)
            peer.send("no JSON")
            assert await peer.receive_close() == (1000, "Invalid JSON")
            await asyncio.wait_for(peer.at_end(), 2)

    asyncio.run(scenario())


def test_a_silent_connection_is_closed_after_the_time_to_identify_and_not_before(monkeypatch):
    monkeypatch.setattr("cloudlink.transport.keepalive._LONGEST_STEP", 0.02)

    async def scenario():
        async with running() as server:
            object.__setattr__(server.settings, "identify_timeout", 0.3)  # less than may be set
            talker = await connect(server.port)
            talker.send(PING_PACKET)
            started = asyncio.get_running_loop().time()
            silent = await connect(server.port)
            code, reason = await asyncio.wait_for(silent.receive_close(), 3)
            assert asyncio.get_running_loop().time() - started >= 0.3
            assert (code, reason) == (1008, "Nothing was sent within 0.3 seconds")
            silent.leave()
            talker.send(PING_PACKET)
            while b'"listener":"l"' not in (await talker.receive())[1]:
                pass

    asyncio.run(scenario())


def test_dead_peers_are_gone_within_interval_and_timeout():
    async def scenario():
        async with running(keepalive_interval=0.3, keepalive_timeout=0.3) as server:
            dead = await connect(server.port)
            started = asyncio.get_running_loop().time()
            assert (await dead.receive())[0] == PING
            await asyncio.wait_for(dead.at_end(), 3)
            assert asyncio.get_running_loop().time() - started > 0.3
            assert len(server.clients_manager) == 0

    asyncio.run(scenario())


def test_a_peer_that_answers_pings_stays():
    async def scenario():
        async with running(keepalive_interval=0.1, keepalive_timeout=0.1, identify_timeout=30) as server:
            peer = await connect(server.port)
            for _ in range(4):
                assert (await peer.receive())[0] == PING
                peer.writer.write(frame(b"", PONG))
            assert len(server.clients_manager) == 1

    asyncio.run(scenario())


def test_a_tcp_reset_takes_the_client_out():
    async def scenario():
        async with running() as server:
            gone = asyncio.Event()
            server.on_disconnect(lambda client: gone.set())
            peer = await connect(server.port)
            peer.leave()
            await asyncio.wait_for(gone.wait(), 2)
            assert len(server.clients_manager) == 0

    asyncio.run(scenario())


def test_a_session_that_cannot_be_opened_is_logged_and_closed_with_1011(monkeypatch, caplog):
    async def scenario():
        async with running() as server:
            monkeypatch.setattr(server._endpoint, "_open_session", lambda _connection: 1 / 0)
            peer = await connect(server.port)
            assert await peer.receive_close() == (1011, "The server made a mistake")
            peer.send(PING_PACKET)
            peer.writer.write(frame(b"\x03\xf3", CLOSE))
            await peer.at_end()

    asyncio.run(scenario())
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


def test_what_follows_a_close_frame_is_not_read():
    async def scenario():
        async with running(implicit_greeting=False) as server:
            messages = []
            server.on_message(lambda _client, message: messages.append(message))
            peer = await connect(server.port)
            peer.writer.write(frame(b"\x03\xe8", CLOSE) + frame(PING_PACKET.encode()))
            assert await peer.receive_close() == (1000, "")
            await peer.at_end()
            await turns()
            assert messages == []

    asyncio.run(scenario())


def raise_once(*_arguments):
    raise ZeroDivisionError


@pytest.mark.parametrize("is_close_broken", [False, True])
def test_a_message_that_cannot_be_dealt_with_is_logged_and_the_last(monkeypatch, caplog, is_close_broken):
    async def scenario():
        async with running(implicit_greeting=False) as server:
            peer, other = await connect(server.port), await connect(server.port)
            for each in (peer, other):
                each.send(PING_PACKET)
                await each.receive()
            monkeypatch.setattr(Clpv4Engine, "receive", raise_once)
            if is_close_broken:
                monkeypatch.setattr(Session, "close", raise_once)
            peer.send("{}", "{}")
            assert await peer.receive() == (CLOSE, b"\x03\xf3The server made a mistake")
            monkeypatch.undo()
            other.send('{"cmd":"gmsg","val":"after"}')
            assert b"after" in (await other.receive())[1]
            peer.writer.write(frame(b"\x03\xf3", CLOSE))
            assert await peer.reader.read() == b""
            assert len(server.clients_manager) == 1

    asyncio.run(scenario())
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError] * (
        1 + is_close_broken
    )


def test_bad_text_is_closed_with_its_code_although_the_session_fails(monkeypatch, caplog):
    async def scenario():
        async with running() as server:
            peer = await connect(server.port)
            monkeypatch.setattr(Session, "close", raise_once)
            peer.writer.write(frame(b"\xff"))
            assert (await peer.receive_close())[0] == 1007
            monkeypatch.undo()

    asyncio.run(scenario())
    assert "ZeroDivisionError" in caplog.text


def test_nothing_is_written_after_the_close_frame_of_a_bad_header():
    async def scenario():
        async with running(implicit_greeting=False) as server:
            peer = await connect(server.port)
            peer.writer.write(frame(PING_PACKET.encode()) + frame(b"x", 0x83))
            received = [await peer.receive()]
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    received.append(await peer.receive())
            assert received[-1][0] == CLOSE

    asyncio.run(scenario())


async def opened(server, **options):
    """A peer that has been greeted, and the server's connection to it."""
    known = set(server._endpoint.connections)
    peer = await connect(server.port, **options)
    peer.send(PING_PACKET)
    await peer.receive()
    (connection,) = set(server._endpoint.connections) - known
    return peer, connection


@pytest.fixture
def patient(monkeypatch):
    """Peers have ten minutes to answer a close frame."""
    monkeypatch.setattr("cloudlink.transport.connection._CLOSE_TIMEOUT", 600.0)


HALF = frame(b" " * 900_000)[:-1]


async def is_kept(connection, size):
    async with asyncio.timeout(30):
        while connection.kept < size:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0)


@pytest.mark.usefixtures("patient")
def test_a_peer_that_sends_a_large_message_instead_of_an_answer_is_dropped_soon(monkeypatch):
    sizes = []
    grown = WebSocketConnection.grown

    def record(connection, size):
        sizes.append(size)
        grown(connection, size)

    monkeypatch.setattr(WebSocketConnection, "grown", record)

    async def scenario():
        async with running() as server, asyncio.timeout(30):
            peer, connection = await opened(server)
            connection.close(1013, "Full")
            peer.writer.write(HALF)
            assert await peer.receive_close() == (1013, "Full")
            await peer.at_end()

    asyncio.run(scenario())
    assert 0 < sum(sizes) < 1 << 17


@pytest.mark.usefixtures("patient")
def test_half_of_a_large_message_is_freed_soon_after_the_close_frame():
    async def scenario():
        async with running() as server, asyncio.timeout(30):
            peer, connection = await opened(server)
            peer.writer.write(HALF)
            await is_kept(connection, 900_000)
            connection.close(1013, "Full")
            assert await peer.receive_close() == (1013, "Full")
            await peer.at_end()

    asyncio.run(scenario())


def test_fragments_are_freed_with_the_close_frame_and_a_peer_that_has_sent_small_ones_may_answer():
    async def scenario():
        async with running() as server, asyncio.timeout(30):
            peer, connection = await opened(server)
            for first_byte in (0x01, *(0x00,) * 19):
                peer.writer.write(frame(b" " * 5_000, first_byte))
            await is_kept(connection, 100_000)
            connection.close(1013, "Full")
            assert connection.kept == 0
            assert connection._close_timer.when() - asyncio.get_running_loop().time() > 1
            peer.leave()

    asyncio.run(scenario())


class Recorder:
    """Takes the place of picows' transport, which itself ignores most of what comes after a close frame."""

    def __init__(self):
        self.calls = []
        self.close_handshake = SimpleNamespace(recv=SimpleNamespace(code=1000))

    def __getattr__(self, name):
        return lambda *_arguments: self.calls.append(name)


@pytest.mark.parametrize(("closing", "calls"), [(False, ["send_close", "disconnect"]), (True, [])])
def test_a_close_frame_before_a_bad_header_is_answered_once(monkeypatch, closing, calls):
    async def scenario():
        async with running(implicit_greeting=False) as server:
            _peer, connection = await opened(server)
            with monkeypatch.context() as patched:
                patched.setattr(connection, "_transport", Recorder())
                patched.setattr(connection, "closing", closing)
                connection.on_protocol_error()
                assert connection._transport.calls == calls

    asyncio.run(scenario())


@pytest.mark.parametrize(("closing", "calls"), [(False, ["send_ping"]), (True, [])])
def test_a_connection_that_is_closing_is_not_pinged(monkeypatch, closing, calls):
    async def scenario():
        async with running(implicit_greeting=False) as server:
            _peer, connection = await opened(server)
            with monkeypatch.context() as patched:
                patched.setattr(connection, "_transport", Recorder())
                patched.setattr(connection, "closing", closing)
                connection.ping()
                assert connection._transport.calls == calls

    asyncio.run(scenario())


def fill(connection):
    """Write to the socket itself until the kernel takes no more; return how much it took."""
    taken = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            taken += os.write(connection._descriptor, bytes(1 << 16))
    return taken


@pytest.mark.skipif(os.name != "posix", reason="sockets are written to by the transport")
def test_a_connection_is_congested_from_the_first_byte_on_that_the_kernel_does_not_take():
    async def scenario():
        async with running(implicit_greeting=False) as server:
            peer, connection = await opened(server, receive_buffer=4096)
            taken = fill(connection)
            assert not connection.congested
            connection.write([b"x"])
            assert connection.congested
            assert connection.unsent == 1
            assert (await peer.reader.readexactly(taken + 1)).endswith(b"\0x")
            await turns()
            assert not connection.congested

    asyncio.run(scenario())


@pytest.mark.skipif(os.name != "posix", reason="sockets are written to by the transport")
def test_frames_written_while_the_transport_holds_data_follow_it():
    async def scenario():
        async with running(implicit_greeting=False) as server:
            peer, connection = await opened(server, receive_buffer=4096)
            taken = fill(connection)
            connection.write([b"first"])
            # The peer reads while the event loop stands still: the kernel would take something again.
            raw = socket.fromfd(
                peer.writer.get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM
            )
            with raw:
                raw.setblocking(True)
                raw.settimeout(5)
                while not select.select([], [connection._socket.get_extra_info("socket")], [], 0)[1]:
                    taken -= len(raw.recv(1 << 16))
            connection.write([b"second"])
            assert (await peer.reader.readexactly(taken + 11)).endswith(b"\0firstsecond")

    asyncio.run(scenario())


@pytest.mark.skipif(os.name != "posix", reason="sockets are written to by the transport")
def test_writing_to_a_peer_that_is_gone_is_left_to_reading(monkeypatch):
    def fail(_descriptor, _data):
        raise BrokenPipeError

    async def scenario():
        async with running(implicit_greeting=False) as server:
            peer, connection = await opened(server)
            with monkeypatch.context() as patched:
                patched.setattr("cloudlink.transport.connection.os.write", fail)
                connection.write([frame(b"lost")])
            connection.write([b"\x81\x05later"])
            assert await peer.receive() == (TEXT, b"later")

    asyncio.run(scenario())


def test_a_socket_is_closed_once_and_not_when_another_has_its_number():
    async def scenario():
        async with running() as server:
            gone = asyncio.Event()
            server.on_disconnect(lambda _client: gone.set())
            peer = await connect(server.port)
            peer.send("{}")
            await peer.receive()
            (connection,) = server._endpoint.connections
            number = connection._socket.get_extra_info("socket").fileno()
            peer.leave()
            await asyncio.wait_for(gone.wait(), 5)
            await turns()
            with contextlib.ExitStack() as stack:
                # The system gives the lowest number that is free.
                others = [stack.enter_context(socket.socket()) for _ in range(20)]
                (successor,) = (other for other in others if other.fileno() == number)
                del connection
                gc.collect()  # whoever else thinks to own the socket closes it now
                assert successor.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM

    asyncio.run(scenario())


def test_connections_that_have_ended_are_neither_listed_nor_waited_for(monkeypatch):
    monkeypatch.setattr(app, "_CLOSE_WAIT", 600.0)

    async def scenario():
        async with running() as server:
            gone = asyncio.Event()
            server.on_disconnect(lambda _client: gone.set())
            _, stays = await opened(server)
            peer, leaves = await opened(server)
            peer.leave()
            await asyncio.wait_for(gone.wait(), 5)
            assert (stays.has_ended, leaves.has_ended) == (False, True)
            assert server._endpoint.connections == [stays]
            stays.abort()
            async with asyncio.timeout(30):
                await server.stop()

    asyncio.run(scenario())


def test_what_only_the_handshake_needs_is_forgotten():
    async def scenario():
        async with running() as server:
            _, connection = await opened(server)
            assert connection._socket.get_extra_info("sockname") is None
            assert connection._transport.request.headers is None
            assert connection._transport.response.headers is None

    asyncio.run(scenario())


def unopened(receiver=None):
    """A connection whose request was accepted a moment ago."""
    asked = SimpleNamespace(address="192.0.2.1", headers=Headers({}), target="/")
    connection = WebSocketConnection(asked, 1 << 20, lambda _: receiver, lambda _: None)
    connection._receiver = receiver
    return connection


def test_a_connection_that_is_not_open_keeps_nothing():
    connection = unopened()
    assert connection.kept == 0
    assert connection.quiet_since == connection.stalled_for == 0.0


class Tap:
    """The socket of a connection, which is read or not."""

    reading = True

    def is_closing(self):
        return False

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


@pytest.mark.parametrize("first", ["held", "slowed down"])
def test_a_connection_that_is_held_and_slowed_down_is_read_when_both_are_over(first):
    async def scenario():
        connection = unopened()
        connection._socket = tap = Tap()
        connection._parser = SimpleNamespace()
        connection.hold()
        connection.slow_down()
        if first == "held":
            connection.release()
            assert not tap.reading
        while connection._pause_timer:  # noqa: ASYNC110  # a timer sets no event
            await asyncio.sleep(0.01)
        if first == "slowed down":
            assert not tap.reading
            connection.release()
        assert tap.reading

    asyncio.run(scenario())


class Fragment:
    """The beginning of a fragmented message."""

    fin = False
    rsv1 = rsv2 = rsv3 = 0
    payload_size = 1

    def get_payload_as_bytes(self):
        return b"x"


@pytest.mark.parametrize(
    ("admits", "closes", "is_kept"),
    [(True, False, True), (False, False, True), (False, True, False)],
)
def test_a_fragment_is_kept_unless_it_ends_the_connection(admits, closes, is_kept):
    def admit(size):
        connection.closing = closes
        return admits

    connection = unopened(SimpleNamespace(admit=admit, grown=lambda _: None))
    connection._assembler = None
    connection._take_other(WSMsgType.TEXT, Fragment())
    assert (connection._assembler is not None) == is_kept
