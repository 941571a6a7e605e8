"""A server at a port: the heads of HTTP requests, and the frames of WebSockets, in pieces as they are sent."""

from __future__ import annotations

import asyncio
import re
import struct
import tempfile

from hypothesis import strategies as st

from tests.fuzz.grammar import SURPRISES, TEXTS, dumps
from tests.fuzz.search import Messages, Target
from tests.support.rawclients import ACCEPT, KEY, UPGRADE, request
from tests.support.servers import HOST, build
from tests.support.strategies import cut, damaged

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")
_HEADER = re.compile(rb"[A-Za-z-]+: [\x20-\x7e]*")
_FINAL_OPCODES = {0x81, 0x88, 0x89, 0x8A}
_PATIENCE = 20.0
"""Seconds until a server that does not answer counts as hanging."""


class Wire(asyncio.Protocol):
    """A connection that keeps what arrives."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_lost = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True


# Heads.

_HEAD_SETTINGS = {
    "real_ip_header": "X-Forwarded-For",
    "trusted_proxies": [HOST],
    "room_state": "memory",
    "room_state_http": True,
    "cloud_http": True,
}
_METHODS = st.sampled_from(
    ["GET", "HEAD", "POST", "OPTIONS", "PUT", "CONNECT", "get", "G E T", "", "GET\x00"]
)
_PATHS = [
    "/",
    "/health",
    "/metrics",
    "/admin",
    "/admin/ws",
    "/cloudlink.js",
    "/cloud/104",
    "/rooms/default",
    "*",
]
_TARGETS = st.builds(
    lambda path, query: path + query,
    st.sampled_from(
        [*_PATHS, "/../x", "/%2e%2e/x", "/%ff", "/%00", "http://h:99999/", "ws://[::1", "//", "?"]
    )
    | st.text(max_size=10),
    st.sampled_from(["", "?a=1", "?" + "a=1&" * 2000, "#x", "?limit=-1", "?limit=" + "9" * 5000, "?%zz"]),
)
_NAMES = [
    *("Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Content-Length"),
    *("Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Transfer-Encoding", "X-Forwarded-For", "Range"),
    *("Forwarded", "X-Real-IP", "Origin", "If-None-Match", "Cookie", "Accept-Encoding", "Authorization"),
    *("If-Modified-Since", "X-Forwarded-Proto", "", "Bad Name", "Very" * 100),
]
_CONTENTS = st.text(max_size=12) | st.sampled_from(
    [
        *(
            "websocket",
            "Upgrade",
            "keep-alive, Upgrade",
            "13",
            "8",
            "²",
            KEY,
            "x",
            "a" * 24,
            "127.0.0.1:3000",
        ),
        *(
            "cloudlink",
            "cloudlink, x, ,",
            "chunked",
            "5",
            "-1",
            "9" * 5000,
            "1.2.3.4, junk",
            "::1",
            "[::1]:80",
        ),
        *("for=1.2.3.4;proto=https", 'for="[::1', "null", "https://turbowarp.org", "http://[::1", 'W/"x", *'),
        *("bytes=0-", "bytes=9-1", "Basic !", "Bearer x", "[", "1.2.3.4, " * 500, "\x00", "☁"),
    ]
)
_upgrade = request(UPGRADE)
_heads = st.builds(
    lambda method, target, version, headers, end: (
        f"{method} {target} {version}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers) + end
    ).encode(errors="replace"),
    _METHODS,
    _TARGETS,
    st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.9", "HTTP/²", "", "http/1.1"]),
    st.lists(st.tuples(st.sampled_from(_NAMES), _CONTENTS), max_size=8),
    st.sampled_from(["\r\n", "\n\n", "", "\r\n" + "x" * 50]),
)
_upgrades = st.builds(
    lambda path, changed: (
        request({**UPGRADE, **{name: value for name, value in changed if name}}, path)
        if all(ord(char) < 256 for _, value in changed for char in value)
        else _upgrade
    ),
    st.sampled_from(_PATHS),
    st.lists(st.tuples(st.sampled_from(_NAMES), _CONTENTS), max_size=3),
)
_some = _heads | _upgrades | damaged(_heads) | damaged(_upgrades) | cut(_upgrades) | st.binary(max_size=30)
_pieces = st.lists(_some, min_size=1, max_size=2) | st.builds(
    lambda head, at: [head[: at % (len(head) + 1)], head[at % (len(head) + 1) :]],
    _heads,
    st.integers(0, 2000),
)


def _check_heads(messages: Messages) -> None:
    asyncio.run(_ask(messages))


async def _ask(messages: Messages) -> None:
    with tempfile.TemporaryDirectory(prefix="cloudlink-fuzz-") as folder:
        server = build({**_HEAD_SETTINGS, "pages_folder": folder})
        wire = await _after(server, messages)
    _check_answer(bytes(wire.data), is_whole=wire.is_lost)


def _check_answer(data: bytes, *, is_whole: bool) -> None:
    if not data:
        return
    head, mark, body = data.partition(b"\r\n\r\n")
    match = _STATUS.match(head + b"\r\n")
    assert match is not None, f"not an answer of HTTP: {head!r}"
    assert mark, f"half of a head: {head!r}"
    assert match[1] != b"500", "the server failed"
    headers = head.split(b"\r\n")[1:]
    for header in headers:
        assert _HEADER.fullmatch(header), f"a malformed header: {header!r}"
    if match[1] == b"101":
        _check_frames(body)
        return
    lengths = [int(each.split(b":")[1]) for each in headers if each.lower().startswith(b"content-length:")]
    assert len(lengths) <= 1, headers
    assert not lengths or len(body) <= lengths[0], "more than the announced length"
    assert not is_whole or not body or len(body) == sum(lengths), "less than the announced length"


# Frames.

_PAYLOADS = (
    st.sampled_from(
        [
            *(
                b'{"cmd":"handshake"}',
                b'{"cmd":"setid","val":"wild"}',
                b'{"cmd":"gmsg","val":1}',
                b"",
                b"\xff",
            ),
            *(b"\x03\xe8", b"\x03\xe8bye", b"\x00", b"\x03\xed", b"\x13\x88", b"\x03\xe8\xff", b"\xe2\x98"),
            *(b'{"cmd":"gmsg","val":"' + b"x" * 70_000 + b'"}', b"x" * 126, b"x" * 125),
        ]
    )
    | SURPRISES
    | st.binary(max_size=30)
    | TEXTS.map(lambda text: dumps({"cmd": "gmsg", "val": text}))
)
_FIRST = st.sampled_from(
    [0x81, 0x81, 0x82, 0x88, 0x89, 0x8A, 0x01, 0x02, 0x80, 0x00, 0x09, 0x08, 0x83, 0xC1, 0x91]
)


def _frame(first: int, payload: bytes, mask: bytes, how: int, *, is_masked: bool) -> bytes:
    """A frame; `how` 1 and 2 write its length in more bytes than needed, 3 announces more than there is."""
    size = len(payload) + (1 << 40 if how == 3 else 0)
    bit = 0x80 if is_masked else 0
    if how >= 2 or size >= 1 << 16:
        head = bytes((first, bit | 127)) + struct.pack("!Q", size)
    elif how == 1 or size > 125:
        head = bytes((first, bit | 126)) + struct.pack("!H", size)
    else:
        head = bytes((first, bit | size))
    if not is_masked:
        return head + payload
    return (
        head
        + mask
        + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload[:200]))
        + (_masked_rest(payload, mask) if len(payload) > 200 else b"")
    )


def _masked_rest(payload: bytes, mask: bytes) -> bytes:
    rest = payload[200:]  # 200 is a multiple of the mask's length
    repeated = mask * (len(rest) // 4 + 1)
    number = int.from_bytes(rest, "big") ^ int.from_bytes(repeated[: len(rest)], "big")
    return number.to_bytes(len(rest), "big")


_frames = st.builds(
    _frame,
    _FIRST | st.integers(0, 255),
    _PAYLOADS,
    st.binary(min_size=4, max_size=4),
    st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, 3]),
    is_masked=st.sampled_from([True] * 9 + [False]),
)


def _send_frames(messages: Messages) -> None:
    asyncio.run(_speak(messages))


async def _speak(messages: Messages) -> None:
    wire = await _after(build(), [_upgrade, *messages])
    head, _, body = bytes(wire.data).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101"), head
    assert ACCEPT.encode() in head
    _check_frames(body)


def _check_frames(data: bytes) -> None:
    """Check what a server has sent after an upgrade (RFC 6455, section 5)."""
    is_closed = False
    while data:
        assert not is_closed, f"sent after the close frame: {data[:20]!r}"
        first, size, start = data[0], data[1], 2
        assert first in _FINAL_OPCODES, f"a frame that begins with {first:#x}"
        assert size < 0x80, "a server must not mask"
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        payload, data = data[start : start + size], data[start + size :]
        if first == 0x88:
            is_closed = True
            assert len(payload) <= 125
            if payload:
                code = struct.unpack("!H", payload[:2])[0]
                assert 1000 <= code < 5000, code
                assert code not in (1004, 1005, 1006, 1015), code
                payload[2:].decode()
        elif first == 0x81 and len(payload) == size:
            payload.decode()


# Both.


async def _after(server, pieces: Messages) -> Wire:
    """Send pieces to a server, and see that others are served afterwards; return what it has answered."""
    await server.start(HOST, 0)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_PATIENCE):
            _, wire = await loop.create_connection(Wire, HOST, server.port)
            for piece in pieces:
                wire.transport.write(piece)
                await asyncio.sleep(0)
            for _ in range(2):  # what was sent before is read before
                reader, writer = await asyncio.open_connection(HOST, server.port)
                writer.write(request({"Host": "x"}, "/health"))
                answer = await reader.read()
                assert answer.startswith(b"HTTP/1.1 200"), f"another client got {answer[:80]!r}"
                writer.close()
        wire.transport.abort()
    finally:
        await server.stop()
    return wire


TARGETS = {
    "heads": Target(_pieces, _check_heads),
    "frames": Target(st.lists(_frames | cut(_frames), min_size=1, max_size=6), _send_frames),
}
