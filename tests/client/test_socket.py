"""The client's socket, frame by frame, at servers that keep the rules of RFC 6455 and at some that do not."""

import asyncio
import ssl
import sys
from types import SimpleNamespace

import pytest
from picows import WSMsgType

from cloudlink.client import ConnectError
from cloudlink.client.diagnostics import HttpAnswer
from cloudlink.client.socket import Options, Socket, _answer_of, open_socket
from tests.client import fakeclock
from tests.support.fakeservers import websocket_server


class Owner:
    """The owner of a socket; keeps its messages and how it ended."""

    def __init__(self):
        self.messages = []
        self.end = asyncio.get_running_loop().create_future()

    def received(self, text):
        self.messages.append(text)

    def ponged(self):
        self.messages.append("pong")

    def connection_lost(self, code, reason):
        self.end.set_result((code, reason))


def run(scenario):
    async def limited():
        async with asyncio.timeout(20):
            return await scenario()

    return asyncio.run(limited())


def sent_back(frames):
    """Send raw frames to a client; how its connection ended, and the close code that it sent."""
    codes = []

    async def handler(socket):
        socket.transport.write(frames)
        await socket.wait_closed()
        codes.append(socket.protocol.close_rcvd and socket.protocol.close_rcvd.code)

    async def scenario():
        async with websocket_server(handler) as url:
            owner = Owner()
            await open_socket(url, owner, Options())
            end = await owner.end
        return end, owner.messages

    (code, reason), messages = run(scenario)
    return code, reason, messages, codes[0]


@pytest.mark.parametrize("length", range(116, 126))
def test_a_long_reason_is_cut_between_two_characters(length):
    async def handler(socket):
        await socket.wait_closed()
        ends.append((socket.close_code, socket.close_reason))

    async def scenario():
        async with websocket_server(handler) as url:
            owner = Owner()
            socket = await open_socket(url, owner, Options())
            await socket.close(4000, reason)
            await owner.end
            assert not socket.is_open

    ends = []
    reason = "x" * length + "\N{GRINNING FACE}" * 2
    run(scenario)
    assert ends == [(4000, reason.encode()[:123].decode(errors="ignore"))]


def test_a_socket_that_is_dropped_takes_and_sends_nothing_more():
    async def handler(socket):
        await socket.recv()
        socket.transport.write(b"\x81\x01x" * 2)
        await socket.wait_closed()

    async def scenario():
        async with websocket_server(handler) as url:
            owner = Owner()
            socket = await open_socket(url, owner, Options())
            timer = socket._timer
            owner.received = lambda text: (owner.messages.append(text), socket.abort())
            socket.send("go")
            end = await owner.end
            assert not socket.is_open
            assert timer.cancelled()
            socket.send("late")
            socket.abort()
        return end, owner.messages

    assert run(scenario) == ((1006, ""), ["x"])


def test_a_close_that_cannot_be_sent_leaves_the_socket_as_it_was():
    async def handler(socket):
        await socket.wait_closed()
        ends.append(socket.close_code)

    async def scenario():
        async with websocket_server(handler) as url:
            socket = await open_socket(url, Owner(), Options())
            with pytest.raises(OverflowError):
                await socket.close(1 << 40)
            assert socket.is_open
            await socket.close()

    ends = []
    run(scenario)
    assert ends == [1000]


@pytest.mark.parametrize("bit", [0x40, 0x20, 0x10])
@pytest.mark.parametrize("kind", [0x81, 0x01, 0x82, 0x88, 0x89, 0x8A])
def test_reserved_bits_are_a_protocol_error(kind, bit):
    code, reason, messages, sent = sent_back(bytes((kind | bit, 0)) + b"\x81\x01x")
    assert (code, sent) == (1002, 1002)
    assert "Reserved bits" in reason
    assert messages == []


@pytest.mark.parametrize("code", [0, 1006])
def test_a_close_code_that_is_never_sent_is_not_sent_back(code):
    ended_with, reason, _, sent = sent_back(b"\x88\x05" + code.to_bytes(2) + b"odd")
    assert (ended_with, reason) == (code, "odd")
    assert sent == 1002


@pytest.mark.parametrize(
    ("frame", "told", "sent"),
    [
        (b"\x88\x00", (1005, ""), 1000),
        (b"\x88\x02\x03\xe9", (1001, ""), 1001),
        (b"\x88\x05\x0f\xa0bye", (4000, "bye"), 4000),
    ],
)
def test_a_close_is_reported_and_answered(frame, told, sent):
    code, reason, _, answer = sent_back(frame)
    assert ((code, reason), answer) == (told, sent)


def test_a_peer_that_sends_on_and_on_instead_of_closing_is_dropped(monkeypatch):
    monkeypatch.setattr(sys.modules[Socket.__module__], "_CLOSE_TIMEOUT", 1000)
    kilobyte = b"\x82\x7e\x04\x00" + bytes(1024)

    async def handler(socket):
        socket.transport.pause_reading()  # it never sees the close frame
        while not socket.transport.is_closing():
            socket.transport.write(64 * kilobyte)
            await asyncio.sleep(0)

    async def scenario():
        async with websocket_server(handler) as url:
            owner = Owner()
            socket = await open_socket(url, owner, Options())
            await socket.close()
            assert await owner.end == (1006, "")

    run(scenario)


def test_pings_are_answered():
    async def handler(socket):
        latency = await (await socket.ping(b"there?"))
        pings.append(latency)
        await socket.close()

    async def scenario():
        async with websocket_server(handler) as url:
            owner = Owner()
            await open_socket(url, owner, Options())
            assert await owner.end == (1000, "")

    pings = []
    run(scenario)
    assert len(pings) == 1


class FakeTransport:
    """picows' transport and the one below it; notes when it pings and drops the connection."""

    def __init__(self):
        self.underlying_transport = self
        self.pings = []
        self.aborted = None
        self.reading = True

    def set_write_buffer_limits(self, high):
        """Everything is written at once."""

    def send_ping(self):
        self.pings.append(fakeclock.now())

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def abort(self):
        self.aborted = fakeclock.now()


class FakeFrame:
    """A pong."""

    msg_type = WSMsgType.PONG
    rsv1 = rsv2 = rsv3 = False


def kept_alive(keepalive=20.0):
    socket, transport = Socket(Owner(), keepalive), FakeTransport()
    socket.on_ws_connected(transport)
    return socket, transport


def test_a_silent_peer_is_pinged_and_then_dropped():
    async def scenario():
        _, transport = kept_alive()
        await asyncio.sleep(1000)
        # In the first of the rounds of five seconds the upgrade counts as received.
        assert transport.pings == [25]
        assert transport.aborted == 45

    fakeclock.run(scenario)


def test_a_peer_that_answers_pings_is_kept():
    async def scenario():
        socket, transport = kept_alive()
        for _ in range(100):
            pings = len(transport.pings)
            while len(transport.pings) == pings:  # noqa: ASYNC110  # by the fake clock
                await asyncio.sleep(1)
            socket.on_ws_frame(transport, FakeFrame())
        assert transport.aborted is None
        assert transport.pings[:3] == [25, 50, 75]

    fakeclock.run(scenario)


def test_while_reading_is_paused_a_peer_is_pinged_and_not_dropped():
    async def scenario():
        socket, transport = kept_alive()
        socket.pause_reading()
        await asyncio.sleep(1000)
        assert transport.aborted is None
        assert transport.pings[:3] == [25, 45, 65]
        socket.resume_reading()
        assert transport.reading
        pings = len(transport.pings)
        await asyncio.sleep(24)
        assert (len(transport.pings), transport.aborted) == (pings, None)
        await asyncio.sleep(1000)
        assert 1000 < transport.pings[pings] < transport.aborted

    fakeclock.run(scenario)


def test_a_socket_is_congested_until_the_peer_has_read_most():
    async def scenario():
        socket = Socket(Owner(), 20.0)
        assert socket.is_congested is False
        await socket.drain()

        socket.pause_writing()
        assert socket.is_congested is True
        drained = asyncio.create_task(socket.drain())
        await asyncio.sleep(0)
        assert not drained.done()

        socket.resume_writing()
        assert socket.is_congested is False
        await drained

    run(scenario)


class Refused:
    """picows' error for an upgrade that failed; without a response if its head is not HTTP as picows reads it."""

    response = None

    def __init__(self, raw_header=None, raw_body=None, response=None):
        self.raw_header, self.raw_body, self.response = raw_header, raw_body, response


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (Refused(), None),
        (Refused(b""), None),
        (Refused(b"HTTP/1.1\r\n"), None),
        (Refused(b"HTTP/1.1 soon\r\n"), None),
        (Refused(b"HTTP/1.1 \xb2\r\n"), None),
        (Refused(b"SSH-2.0 200\r\n"), None),
        (Refused(b"HTTP/1.0 503\r\n"), HttpAnswer(503, {}, b"")),
        (Refused(b"HTTP/1.1 418 teapot\r\nA: b\r\n", b"tea"), HttpAnswer(418, {}, b"tea")),
        (
            Refused(response=SimpleNamespace(status=404, headers={"A": "b"})),
            HttpAnswer(404, {"A": "b"}, b""),
        ),
        (
            Refused(b"HTTP/1.1 404", b"none", SimpleNamespace(status=404, headers={})),
            HttpAnswer(404, {}, b"none"),
        ),
    ],
)
def test_what_a_peer_answers_to_an_upgrade(error, answer):
    assert _answer_of(error) == answer


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (ssl.SSLError(1, "wrong version number"), "fake:1 does not speak TLS."),
        (ConnectionRefusedError(), "The proxy http://proxy:2 cannot be reached"),
    ],
)
def test_a_proxy_is_not_blamed_for_the_tls_of_the_server_behind_it(monkeypatch, error, problem):
    async def fail(*_parts, **_more):
        raise error

    # `cloudlink.client` is also the name of a class.
    monkeypatch.setattr(sys.modules["cloudlink.client.socket"], "ws_connect", fail)

    async def scenario():
        with pytest.raises(ConnectError, match=problem):
            await open_socket("wss://fake:1", Owner(), Options(proxy="http://proxy:2"))

    run(scenario)


def test_a_peer_that_does_not_answer_a_close_is_dropped():
    async def scenario():
        socket, transport = kept_alive()
        transport.send_close = lambda code, reason: None
        transport.abort = lambda: (
            setattr(transport, "aborted", fakeclock.now()),
            socket.on_ws_disconnected(transport),
        )
        transport.disconnect = lambda: None
        await socket.close()
        assert transport.aborted == 5

    fakeclock.run(scenario)


def test_a_socket_without_a_connection_takes_everything_and_does_nothing():
    async def scenario():
        socket = Socket(Owner(), 20.0)
        socket.send("x")
        socket.ping()
        socket.pause_reading()
        socket.resume_reading()
        socket.abort()
        await socket.close()
        assert socket.peer_address == ""

    run(scenario)
