"""Connections are counted from the moment they are accepted until the request is answered."""

import asyncio
import contextlib
import logging
import socket
import ssl
import sys

import pytest

from tests.support.certificates import Certificates
from tests.support.memoryclients import turns
from tests.support.rawclients import UPGRADE, ask, connect, frame, open_socket, request, running

FEW = {
    "max_connections_per_address": 2,
    # With a proxy trusted, connections of this machine are counted too.
    "trusted_proxies": ["192.0.2.1"],
    "real_ip_header": "X-Forwarded-For",
}


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path)


async def is_let_in(port, ssl=None):
    with contextlib.suppress(OSError):
        return "200 OK" in await ask(port, request({}, "/health"), ssl)
    return False


@pytest.mark.parametrize("said", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_request_that_does_not_come_to_its_end_is_counted_all_the_time(said):
    async def scenario():
        async with running(**FEW) as server:
            idlers = [await open_socket(server.port) for _ in range(2)]
            for idler in idlers:
                idler.writer.write(said)
            await turns()
            assert not await is_let_in(server.port)
            idlers[0].leave()
            await turns()
            assert await is_let_in(server.port)

    asyncio.run(scenario())


def test_a_websocket_or_a_page_makes_room_at_the_door():
    async def scenario():
        async with running(**FEW) as server:
            await connect(server.port)
            await connect(server.port)
            for _ in range(5):
                assert await is_let_in(server.port)

    asyncio.run(scenario())


def test_all_of_a_request_has_to_come_in_time(monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="cloudlink.transport")
    monkeypatch.setattr("cloudlink.transport.detector._REQUEST_TIMEOUT", 0.2)

    async def scenario():
        async with running() as server:
            peer = await open_socket(server.port)
            began = asyncio.get_running_loop().time()
            with contextlib.suppress(ConnectionError):
                for letter in b"GET / HTTP/1.1" * 100:
                    peer.writer.write(bytes((letter,)))
                    await peer.writer.drain()
                    await asyncio.sleep(0.01)
            assert asyncio.get_running_loop().time() - began < 5

    asyncio.run(scenario())
    assert caplog.text.count("Dropping a connection that asked for nothing within 0.2 seconds.") == 1


def test_a_tls_handshake_is_counted_and_has_to_come_in_time(certificates, monkeypatch):
    monkeypatch.setattr("cloudlink.transport.detector._REQUEST_TIMEOUT", 0.5)

    async def scenario():
        async with running(**FEW, **certificates.settings) as server:
            silent = [await open_socket(server.port) for _ in range(2)]
            silent[0].writer.write(b"\x16\x03\x01")
            await turns()
            assert not await is_let_in(server.port, certificates.client)
            async with asyncio.timeout(5):
                for peer in silent:
                    await peer.at_end()
            assert await is_let_in(server.port, certificates.client)

    asyncio.run(scenario())


def test_a_loop_that_notices_late_that_it_has_another_protocol_loses_nothing():
    async def scenario():
        async with running(implicit_greeting=False) as server:
            doors = []
            loop, endpoint = asyncio.get_running_loop(), server._endpoint

            def make_door():
                doors.append(endpoint._detector(None))
                return doors[0]

            with socket.create_server(("127.0.0.1", 0)) as listener:
                theirs = socket.create_connection(listener.getsockname())
                ours, _ = listener.accept()
            transport, door = await loop.connect_accepted_socket(make_door, sock=ours)
            transport.pause_reading()
            packets = b"".join(frame(b'{"cmd":"ping","listener":"%d"}' % number) for number in range(100))
            data = memoryview(request(UPGRADE) + packets)
            while data:  # as asyncio's proactor does
                buffer = door.get_buffer(len(data))
                size = min(len(buffer), len(data))
                buffer[:size] = data[:size]
                door.buffer_updated(size)
                data = data[size:]
            reader, writer = await asyncio.open_connection(sock=theirs)
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            received = await reader.readuntil(b'"listener":"99"}')
            assert received.count(b"I:100") == 100
            writer.transport.abort()

    asyncio.run(scenario())


def test_data_that_comes_with_the_end_of_the_tls_handshake_is_not_lost(certificates):
    async def scenario():
        async with running(**certificates.settings) as server:
            for path in ("/health", "/" + "x" * 5000):  # longer than what the door looks at
                answer = await ask(server.port, request({}, path), certificates.client)
                assert answer.startswith("HTTP/1.1")

    asyncio.run(scenario())


def test_a_request_while_the_server_stops_gets_an_explanation():
    async def scenario():
        async with running() as server:
            staying, late = await connect(server.port), await open_socket(server.port)
            await turns()
            server._endpoint.stop_accepting()
            late.writer.write(request(UPGRADE))
            head = await late.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503"), head
            staying.send('{"cmd":"ping"}')
            assert b"client_ip" in (await staying.receive())[1]

    asyncio.run(scenario())


@pytest.mark.parametrize("is_secure", [False, True])
def test_connections_that_ask_for_nothing_do_not_outlive_the_server(is_secure, certificates):
    async def scenario():
        async with running(**(certificates.settings if is_secure else {})) as server:
            idle = await open_socket(server.port, certificates.client if is_secure else None)
            silent = await open_socket(server.port)  # with TLS, its handshake never begins
            await turns()
            await server.stop()
            async with asyncio.timeout(5):  # half of the time for a request
                await idle.at_end()
                await silent.at_end()

    asyncio.run(scenario())


def test_a_connection_beyond_the_limit_is_dropped_before_it_says_anything():
    async def scenario():
        async with running(**FEW) as server:
            for _ in range(2):
                await open_socket(server.port)
            third = await open_socket(server.port)
            async with asyncio.timeout(5):  # the time for a request is twice as long
                await third.at_end()

    asyncio.run(scenario())


def test_what_looks_like_a_tls_greeting_within_tls_is_a_bad_request(certificates, caplog):
    async def scenario():
        async with running(**certificates.settings) as server:
            return await ask(server.port, b"\x16\x03\x01 / HTTP/1.1\r\n\r\n", certificates.client)

    assert asyncio.run(scenario()).startswith("HTTP/1.1 400 ")
    assert "which has none" not in caplog.text


def test_connections_count_again_and_again_and_make_room_when_they_end():
    async def scenario():
        async with running(**FEW) as server:
            for _ in range(3):
                peers = [await connect(server.port) for _ in range(2)]
                refused = await ask(server.port, request(UPGRADE))
                assert refused.startswith("HTTP/1.1 429 "), refused
                for peer in peers:
                    peer.writer.write(frame(b"\x03\xe8", 0x88))
                    await peer.at_end()
                await turns()

    asyncio.run(scenario())


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_refused_page_has_a_body_unless_only_its_head_is_wanted(method):
    async def scenario():
        async with running(
            **FEW | {"connection_burst_per_address": 1, "connection_rate_per_address": 0.001}
        ) as server:
            for _ in range(3):  # the burst, and the one for which the bucket goes into debt
                answer = await ask(server.port, f"{method} /health HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            return answer

    head, _, body = asyncio.run(scenario()).partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 429 ")
    assert bool(body) is (method == "GET")


class Queue:
    """Lets everybody wait until `serve`."""

    def __init__(self):
        self.waiting = []

    def do(self, address, worker, work, cost=0.0):
        worker.hold()
        self.waiting.append((address, worker, work, cost))

    async def come(self, count):
        async with asyncio.timeout(20):
            while len(self.waiting) < count:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.005)

    def serve(self):
        served, self.waiting = self.waiting, []
        for _, worker, work, _ in served:
            work()
            worker.release()


@contextlib.asynccontextmanager
async def queueing(**settings):
    async with running(implicit_greeting=False, **settings) as server:
        server._endpoint._turns = queue = Queue()
        yield server, queue


def test_a_websocket_opens_when_its_address_has_its_turn():
    async def scenario():
        proxy = {"trusted_proxies": ["127.0.0.1"], "real_ip_header": "X-Forwarded-For"}
        async with queueing(**proxy) as (server, queue):
            peer = await open_socket(server.port)
            peer.writer.write(request({**UPGRADE, "X-Forwarded-For": "192.0.2.7"}))
            peer.send('{"cmd":"ping","listener":1}')
            await queue.come(1)
            peer.send('{"cmd":"ping","listener":2}')
            await turns()
            assert not server._endpoint.connections
            assert queue.waiting[0][0] == "192.0.2.7"
            queue.serve()
            assert b" 101 " in await peer.reader.readuntil(b"\r\n\r\n")
            for number in (b"1", b"2"):
                assert b'"listener":' + number in (await peer.receive())[1]

    asyncio.run(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells without reading")
def test_a_websocket_whose_client_did_not_wait_does_not_open():
    async def scenario():
        async with queueing() as (server, queue):
            peers = [await open_socket(server.port) for _ in range(2)]
            for peer in peers:
                peer.writer.write(request(UPGRADE))
            await queue.come(2)
            peers[0].leave()
            await turns()
            queue.serve()
            assert b" 101 " in await peers[1].reader.readuntil(b"\r\n\r\n")
            assert server.counters.connections == 1
            assert not server._endpoint._waiting

    asyncio.run(scenario())


def test_what_comes_while_a_request_waits_is_no_other_request():
    """Windows' event loop passes on what it has read, also after it was asked to stop."""

    async def scenario():
        async with queueing() as (server, queue):
            door = server._endpoint._detector(None)
            with socket.create_server(("127.0.0.1", 0)) as listener:
                theirs = socket.create_connection(listener.getsockname())
                ours, _ = listener.accept()
            await asyncio.get_running_loop().connect_accepted_socket(lambda: door, sock=ours)
            for data in (request(UPGRADE), frame(b'{"cmd":"ping","listener":1}')):
                door.get_buffer(len(data))[: len(data)] = data
                door.buffer_updated(len(data))
            assert len(queue.waiting) == 1
            queue.serve()
            reader, writer = await asyncio.open_connection(sock=theirs)
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            assert b"I:100" in await reader.readuntil(b'"listener":1}')
            writer.transport.abort()

    asyncio.run(scenario())


def test_a_page_waits_for_its_turn_too():
    async def scenario():
        async with queueing() as (server, queue):
            asking = asyncio.ensure_future(ask(server.port, request({}, "/health")))
            await queue.come(1)
            assert not asking.done()
            queue.serve()
            assert "200 OK" in await asking

    asyncio.run(scenario())


def test_a_tls_handshake_waits_for_its_turn(certificates):
    async def scenario():
        async with queueing(**certificates.settings) as (server, queue):
            asking = asyncio.ensure_future(ask(server.port, request({}, "/health"), certificates.client))
            await queue.come(1)
            assert queue.waiting[0][0] == "127.0.0.1"
            assert queue.waiting[0][3] > 0
            while not asking.done():
                queue.serve()
                await asyncio.sleep(0.005)
            assert "200 OK" in await asking

    asyncio.run(scenario())


def test_each_message_of_a_tls_handshake_waits_for_its_turn(certificates):
    """A client could also send one byte, and all others later, or a second ClientHello."""

    async def scenario():
        async with queueing(**certificates.settings) as (server, queue):
            peer, layer = await open_socket(server.port), Layer(certificates.client)
            hello = layer.flight()
            peer.writer.write(hello[:1])
            await queue.come(1)
            queue.serve()
            peer.writer.write(hello[1:])
            await queue.come(1)
            await turns()
            assert queue.waiting[0][0] == "127.0.0.1"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(peer.reader.read(1), 0.1)
            queue.serve()
            while not layer.is_complete:
                layer.incoming.write(await peer.reader.read(1 << 16))
                peer.writer.write(layer.flight())
            await queue.come(1)
            assert server._endpoint._waiting, "the end of the handshake waits, too"
            queue.serve()
            await turns()
            peer.leave()

    asyncio.run(scenario())


def test_a_silent_connection_costs_no_tls_layer(certificates):
    async def scenario():
        async with running(**certificates.settings) as server:
            context, made = server.ssl_context, []
            wrap = context.wrap_bio
            context.wrap_bio = lambda *parts, **more: made.append(parts) or wrap(*parts, **more)
            peers = [await open_socket(server.port) for _ in range(3)]
            await turns()
            assert made == []
            peers[2].writer.write(Layer(certificates.client).flight())
            assert await peers[2].reader.read(1)
            assert len(made) == 1

    asyncio.run(scenario())


class Layer:
    """The TLS of a client, which a test sends message by message."""

    def __init__(self, context):
        self.incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self.incoming, self._outgoing, server_hostname="localhost")
        self.is_complete = False

    def flight(self):
        """Go on with the handshake, and return what it sends."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self._object.do_handshake()
            self.is_complete = True
        return self._outgoing.read()


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_client_that_leaves_before_its_turn_is_forgotten(certificates, is_tls):
    async def scenario():
        settings = certificates.settings if is_tls else {}
        async with queueing(**settings) as (server, queue):
            peer = await open_socket(server.port)
            peer.writer.write(Layer(certificates.client).flight() if is_tls else request(UPGRADE))
            await queue.come(1)
            for transport in tuple(server._endpoint._waiting):
                transport.abort()  # as when its time is over
            await turns()
            queue.serve()
            await turns()
            assert not server._endpoint.connections
            assert not server._endpoint._waiting
            await peer.at_end()

    asyncio.run(scenario())


def test_more_connections_than_are_accepted_at_a_time():
    async def scenario():
        async with running() as server:
            peers = await asyncio.gather(*(connect(server.port) for _ in range(100)))
            assert len(server._endpoint.connections) == len(peers)

    asyncio.run(scenario())
