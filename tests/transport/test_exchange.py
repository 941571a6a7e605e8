"""Answers reach the client whole or not at all, cost little memory, and end."""

import asyncio
import logging
import socket
import struct
import weakref

import pytest

from cloudlink.http import Response
from cloudlink.http.routes import WebSocketRoute
from cloudlink.server import app
from cloudlink.transport.exchange import Exchange
from tests.support.certificates import Certificates
from tests.support.memoryclients import turns
from tests.support.rawclients import UPGRADE, ask, connect, open_socket, request, running

BIG = 20_000_000
"""More than the buffers of sockets hold."""


async def until(condition):
    """Let the event loop turn until something is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.005)


async def open_slow(port, path):
    """Ask for a path and take nothing of the answer."""
    peer = await open_socket(port)
    peer.writer.transport.pause_reading()
    peer.writer.write(request({}, path))
    return peer


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "big.bin").write_bytes(bytes(BIG))
    (folder / "index.html").write_text("index")
    return folder


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path)


def body_size(answer):
    head, _, body = answer.partition("\r\n\r\n")
    assert f"Content-Length: {BIG}" in head
    return len(body)


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_large_file_comes_whole(site, certificates, is_tls, caplog):
    caplog.set_level(logging.INFO, logger="cloudlink.transport")

    async def scenario():
        async with running(**(certificates.settings if is_tls else {})) as server:
            server.serve_folder("/game", str(site))
            path = "/game/big.bin"
            return await ask(server.port, request({}, path), certificates.client if is_tls else None)

    assert body_size(asyncio.run(scenario())) == BIG
    assert caplog.records == []


def test_a_head_request_for_a_file_reads_nothing_of_it(site):
    async def scenario():
        async with running() as server:
            server.serve_folder("/game", str(site))
            return await ask(server.port, request({}, "/game/big.bin").replace(b"GET", b"HEAD", 1))

    assert body_size(asyncio.run(scenario())) == 0


def test_of_a_file_no_more_is_read_than_the_client_takes(site):
    async def scenario():
        async with running() as server:
            server.serve_folder("/game", str(site))
            slow = await open_slow(server.port, "/game/big.bin")
            await until(lambda: server._endpoint._exchanges)
            (exchange,) = server._endpoint._exchanges
            await until(lambda: not exchange._writable.is_set())
            assert exchange._transport.get_write_buffer_size() < 200_000
            slow.writer.transport.resume_reading()
            await slow.reader.readuntil(b"\r\n\r\n")
            assert len(await slow.reader.read()) == BIG

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["/game/big.bin", "/bytes"])
def test_a_client_that_takes_nothing_is_dropped(site, monkeypatch, path):
    monkeypatch.setattr("cloudlink.transport.exchange._STALL_TIMEOUT", 0.2)

    async def scenario():
        async with running() as server:
            server.serve_folder("/game", str(site))
            server.on_request("/bytes")(lambda request: bytes(BIG))
            await open_slow(server.port, path)
            exchanges = server._endpoint._exchanges
            await until(lambda: exchanges)
            await until(lambda: not exchanges)

    asyncio.run(scenario())


def test_a_file_that_becomes_shorter_ends_the_connection(site, caplog):
    caplog.set_level(logging.INFO, logger="cloudlink.transport")

    async def scenario():
        async with running() as server:
            server.serve_folder("/game", str(site))
            slow = await open_slow(server.port, "/game/big.bin")
            await until(lambda: server._endpoint._exchanges)
            (exchange,) = server._endpoint._exchanges
            await until(lambda: not exchange._writable.is_set())
            (site / "big.bin").write_bytes(b"")
            slow.writer.transport.resume_reading()
            await slow.reader.readuntil(b"\r\n\r\n")
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await slow.reader.readexactly(BIG)

    asyncio.run(scenario())
    assert "A file was not sent to its end: it has become shorter." in caplog.text


def test_a_handler_that_takes_too_long_is_cancelled(monkeypatch, caplog):
    monkeypatch.setattr("cloudlink.transport.exchange._HANDLER_TIMEOUT", 0.05)

    async def scenario():
        async with running() as server:
            cancelled = asyncio.Event()

            @server.on_request("/slow")
            async def slow(request):
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.set()

            answer = await ask(server.port, request({}, "/slow"))
            assert cancelled.is_set()
            return answer

    assert asyncio.run(scenario()).startswith("HTTP/1.1 503 ")
    assert "not answered within 0.05 seconds" in caplog.text


def test_a_server_that_stops_lets_answers_come_to_their_end(site):
    async def scenario():
        async with running() as server:
            server.serve_folder("/game", str(site))
            started, go = asyncio.Event(), asyncio.Event()

            @server.on_request("/slow")
            async def slow(request):
                started.set()
                await go.wait()
                return "done"

            file, peer = await open_slow(server.port, "/game/big.bin"), await open_socket(server.port)
            peer.writer.write(request({}, "/slow"))
            await asyncio.wait_for(started.wait(), 5)
            stopping = asyncio.create_task(server.stop())
            await turns()
            go.set()
            file.writer.transport.resume_reading()
            assert (await peer.reader.read()).endswith(b"done")
            await file.reader.readuntil(b"\r\n\r\n")
            assert len(await file.reader.read()) == BIG
            await stopping

    asyncio.run(scenario())


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_handler_nobody_waits_for_is_cancelled(who, monkeypatch):
    monkeypatch.setattr(app, "_CLOSE_WAIT", 0.05)

    async def scenario():
        async with running() as server:
            started, cancelled = asyncio.Event(), asyncio.Event()

            @server.on_request("/slow")
            async def slow(request):
                started.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.set()

            peer = await open_socket(server.port)
            peer.writer.write(request({}, "/slow"))
            await asyncio.wait_for(started.wait(), 5)
            if who == "client":
                reset = struct.pack("ii", 1, 0)
                peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                peer.leave()
            else:
                await server.stop()
            await asyncio.wait_for(cancelled.wait(), 5)

    asyncio.run(scenario())


def test_data_after_a_request_is_not_kept():
    async def scenario():
        async with running() as server:
            started, go = asyncio.Event(), asyncio.Event()

            @server.on_request("/slow")
            async def slow(request):
                started.set()
                await go.wait()
                return "done"

            peer = await open_socket(server.port)
            peer.writer.write(request({"Content-Length": "100000000"}, "/slow"))
            await asyncio.wait_for(started.wait(), 5)
            (exchange,) = server._endpoint._exchanges
            while exchange._transport.is_reading():
                peer.writer.write(bytes(1 << 16))
                await asyncio.sleep(0)
            assert exchange._dropped > 1 << 20, (
                "shorter bodies are read, so that closing does not reset the socket"
            )
            go.set()
            assert (await peer.reader.read()).endswith(b"done")

    asyncio.run(scenario())


def test_an_exchange_that_is_over_is_forgotten():
    async def scenario():
        async with running() as server:
            await ask(server.port, request({}))
            await turns()
            assert not server._endpoint._exchanges
            assert not server._endpoint._limiter._tallies._held

    asyncio.run(scenario())


class Echo:
    """A receiver that is no client: it sends back what it gets."""

    def __init__(self, connection, request):
        self.connection = connection
        self.is_lost = asyncio.Event()

    def receive(self, data):
        self.connection.write([bytes((0x81, len(data))) + data])

    def admit(self, size):
        return True

    def connection_lost(self):
        self.is_lost.set()


def test_a_websocket_route_opens_something_else_than_a_client():
    async def scenario():
        async with running() as server:
            opened = []
            route = WebSocketRoute(
                "/echo/*", lambda *arguments: opened.append(Echo(*arguments)) or opened[-1]
            )
            server.hooks.routes.add_websocket(route)
            peer = await connect(server.port, path="/echo/x")
            peer.send("hello")
            assert await peer.receive() == (0x81, b"hello")
            assert not server.clients_manager.clients
            assert opened[0].connection.path == "/echo/x"
            peer.leave()
            await asyncio.wait_for(opened[0].is_lost.wait(), 5)
            client = await connect(server.port, path="/elsewhere")
            client.send('{"cmd":"ping"}')
            await client.receive()
            assert len(server.clients_manager.clients) == 1

    asyncio.run(scenario())


def test_a_websocket_route_may_refuse_and_has_its_own_rule_of_origins():
    async def scenario():
        async with running(allowed_origins=["https://turbowarp.org"]) as server:

            def refuse(request):
                return (
                    Response("no", 404) if request.headers.get("Origin") == "https://evil.example" else None
                )

            server.hooks.routes.add_websocket(WebSocketRoute("/echo", Echo, refuse))
            evil = request(UPGRADE | {"Origin": "https://evil.example"}, "/echo")
            assert (await ask(server.port, evil)).startswith("HTTP/1.1 404 ")
            await connect(server.port, UPGRADE | {"Origin": "https://other.example"}, "/echo")
            old = request(UPGRADE | {"Sec-WebSocket-Version": "8"}, "/echo")
            assert (await ask(server.port, old)).startswith("HTTP/1.1 426 ")

    asyncio.run(scenario())


def test_the_door_of_a_websocket_is_not_kept():
    async def scenario():
        async with running() as server:
            doors = []
            make = server._endpoint._detector

            def remembering(context):
                door = make(context)
                doors.append(weakref.ref(door))
                return door

            server._endpoint._detector = remembering
            await connect(server.port)
            await turns()
            assert [door() for door in doors] == [None]

    asyncio.run(scenario())


def test_an_answer_that_does_not_come_while_the_server_stops_is_dropped():
    async def scenario():
        async with running() as server:
            started = asyncio.Event()

            @server.on_request("/slow")
            async def slow(request):
                started.set()
                await asyncio.Event().wait()

            peer = await open_socket(server.port)
            peer.writer.write(request({}, "/slow"))
            await asyncio.wait_for(started.wait(), 5)
            await server._endpoint.finish(0.0)
            async with asyncio.timeout(5):
                await peer.at_end()
                while server._endpoint._exchanges:  # noqa: ASYNC110  # no event tells
                    await asyncio.sleep(0)

    asyncio.run(scenario())


class Written(asyncio.Transport):
    """A connection that takes everything."""

    def __init__(self):
        super().__init__()
        self.data = b""

    def write(self, data):
        self.data += data

    def close(self):
        """Stay open until the test is over."""


def test_a_peer_that_sends_nothing_more_gets_the_answer_that_is_being_made():
    async def scenario():
        transport, go = Written(), asyncio.Event()
        exchange = Exchange(transport, lambda _: None, lingers=False)
        assert exchange.eof_received() is False

        async def answer():
            await go.wait()
            return Response(b"done")

        exchange.send_result(answer, head_only=False)
        assert exchange.eof_received() is True
        go.set()
        await until(lambda: transport.data.endswith(b"done"))
        await turns()
        assert exchange.eof_received() is False
        exchange.connection_lost(None)

    asyncio.run(scenario())
