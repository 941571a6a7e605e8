"""The Python client, its cloud variables and `cloudlink doctor`, each with a hostile server.

The first message of an input answers requests for a WebSocket and the second all others (`@ACCEPT@` becomes the right
key). Of each further message, the first byte begins a frame and the rest is its payload; `@LISTENER@` becomes the
listener of the client's last request. A message that begins with `!` is sent without a frame. Then the server closes.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
import struct

from hypothesis import strategies as st

from cloudlink.client import ClientError, connect, connect_cloud
from cloudlink.client.diagnose import Plan, examine
from cloudlink.text import printable
from tests.fuzz.grammar import SURPRISES, TEXTS, VALUES, dumps, packets
from tests.fuzz.search import Messages, Target
from tests.support.fakeservers import tcp_server
from tests.support.strategies import cut, damaged

_PATIENCE = 20.0
"""Seconds until a client that does not end counts as hanging."""
_KEY = re.compile(rb"Sec-WebSocket-Key: *([^\r\n]+)", re.IGNORECASE)
_LISTENER = re.compile(rb'"listener": ?"([^"]+)"')


class _Hostile:
    """A server that sends what an input says."""

    def __init__(self, messages: Messages) -> None:
        self._upgrade, self._other = [*messages[:2], b"", b""][:2]
        self._frames = messages[2:]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            request = await reader.read(1 << 16)
            key = _KEY.search(request)
            writer.write((self._upgrade if key else self._other).replace(b"@ACCEPT@", _accept(key)))
            if key:
                await self._speak(reader, writer)
            writer.write_eof()
            await reader.read()

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener = b""
        for message in self._frames:
            if b"@LISTENER@" in message:
                listener = await _listener(reader) or listener
            data = message.replace(b"@LISTENER@", listener)
            writer.write(data[1:] if data.startswith(b"!") else _frame(data))
            await asyncio.sleep(0)


def _accept(key: re.Match[bytes] | None) -> bytes:
    if key is None:
        return b""
    return base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


async def _listener(reader: asyncio.StreamReader) -> bytes:
    """Return the listener of the client's next frame, empty if none comes soon."""
    with contextlib.suppress(asyncio.IncompleteReadError, TimeoutError):
        async with asyncio.timeout(0.05):
            head = await reader.readexactly(2)
            size = head[1] & 0x7F
            if size == 126:
                (size,) = struct.unpack("!H", await reader.readexactly(2))
            mask = await reader.readexactly(4)
            masked = await reader.readexactly(size)
            found = _LISTENER.search(bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked)))
            return found[1] if found else b""
    return b""


def _frame(message: bytes) -> bytes:
    first, payload = message[:1] or b"\x81", message[1:]
    size = len(payload)
    if size < 126:
        return first + bytes((size,)) + payload
    if size < 1 << 16:
        return first + b"\x7e" + struct.pack("!H", size) + payload
    return first + b"\x7f" + struct.pack("!Q", size) + payload


# Grammar.

_UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: @ACCEPT@\r\n\r\n"
)
_statuses = st.sampled_from(
    ["101", "200", "301", "400", "403", "404", "500", "503", "²00", "99", "1000", "-1", ""]
)
_header_lines = st.sampled_from(
    [
        *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: @ACCEPT@", "Content-Length: 2"),
        *(
            "Content-Length: -1",
            "Content-Length: ²",
            "Content-Length: " + "9" * 5000,
            "Transfer-Encoding: chunked",
        ),
        *(
            "Location: http://[::1",
            "Location: /",
            "Location: file:///etc/passwd",
            "Server: cloudflare",
            "x",
            ": x",
        ),
        *(
            "Sec-WebSocket-Extensions: permessage-deflate",
            "Sec-WebSocket-Protocol: x",
            "A: é",
            "Retry-After: ²",
        ),
        *("Content-Type: text/html", "Content-Encoding: gzip", "A: " + "x" * 70_000),
    ]
)
_bodies = st.sampled_from(
    [
        *(
            "",
            "{}",
            "hi",
            "<html>",
            "[" * 60_000,
            "5\r\nhello\r\n0\r\n\r\n",
            "zz\r\n",
            "9" * 5000,
            "\x00" * 100,
        ),
        *('{"version":"1","protocol_version":"2"}', '{"version":{"a":["\\ud800"]},"protocol_version":1}'),
        '{"version":"\\n\\u001b[2J","protocol_version":1}',
    ]
)
_answers = st.builds(
    lambda version, status, reason, headers, end, body: (
        f"{version} {status} {reason}\r\n" + "".join(f"{line}\r\n" for line in headers) + end + body
    ).encode("latin-1", errors="replace"),
    st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2", "HTTP/²", "SSH-2.0-x", "ICY"]),
    _statuses,
    st.sampled_from(["OK", "", "\x00", "é"]),
    st.lists(_header_lines, max_size=5),
    st.sampled_from(["\r\n", "\r\n", "\n", ""]),
    _bodies,
)
_anything = _answers | damaged(_answers) | cut(_answers) | st.binary(max_size=20)
_upgrades = st.one_of(
    st.just(_UPGRADED), st.just(_UPGRADED), st.just(_UPGRADED), damaged(st.just(_UPGRADED)), _anything
)

_GREETING = [
    b'\x81{"cmd":"server_version","val":"0.2.0"}',
    b'\x81{"cmd":"client_obj","val":{"id":"1","uuid":"u","username":"x"}}',
    b'\x81{"cmd":"statuscode","code":"I:100 | OK","code_id":100,"listener":"@LISTENER@"}',
]
_COMMANDS = [
    "ulist",
    "gmsg",
    "gvar",
    "pmsg",
    "pvar",
    "direct",
    "statuscode",
    "client_obj",
    "client_ip",
    "server_version",
    "motd",
]
_KEYS = ["val", "name", "rooms", "listener", "origin", "code", "code_id", "mode", "details"]
_cl4 = packets(st.sampled_from(_COMMANDS) | VALUES, _KEYS)
_users = st.builds(
    lambda mode, room, users: dumps({"cmd": "ulist", "mode": mode, "rooms": room, "val": users}),
    st.sampled_from(["set", "add", "remove", "nonsense"]),
    st.sampled_from(["default", "r1", ["default"], None]),
    VALUES | st.sampled_from([{"id": "2", "uuid": "v", "username": "y"}, [{"id": "2", "uuid": "v"}], [1]]),
)
_answer = st.builds(
    lambda cmd, val, code: (
        b'{"cmd":"%b","val":%b,"code":"x","code_id":%b,"listener":"@LISTENER@"}' % (cmd, val, code)
    ),
    st.sampled_from([b"statuscode", b"gmsg", b"ulist", b"client_obj"]),
    VALUES.map(dumps) | SURPRISES,
    st.sampled_from([b"100", b"101", b"-1", b'"100"', b"1e400", b"null"]),
)
_cloud_lines = st.builds(
    lambda method, name, value: dumps({"method": method, "name": name, "value": value}),
    st.sampled_from(["set", "delete", "x", 1, None]),
    st.sampled_from(["☁ a", "", 1, None]) | TEXTS,
    VALUES,
)
_closes = st.sampled_from(
    [b"", b"\x03\xe8", b"\x03\xe8bye", b"\x0f\xa2", b"\x0f\xa5full", b"\x00", b"\x03\xed", b"\x03\xe8\xff"]
)
_FIRST = [b"\x81"] * 8 + [b"\x82", b"\x01", b"\x80", b"\x89", b"\x8a", b"\xc1", b"\x83"]
_payloads = _cl4 | _users | _answer | _cloud_lines | SURPRISES | st.just(b"x" * 70_000)
_frames = st.one_of(
    st.builds(bytes.__add__, st.sampled_from(_FIRST), _payloads),
    st.builds(bytes.__add__, st.just(b"\x81"), _payloads),
    st.builds(bytes.__add__, st.just(b"\x88"), _closes),
    st.builds(bytes.__add__, st.just(b"!"), st.binary(max_size=12)),
    st.sampled_from(_GREETING),
)
_begun = st.just([]) | st.just(_GREETING[:2]) | st.just(_GREETING) | st.just(_GREETING)
_inputs = st.builds(
    lambda upgrade, other, begun, rest: [upgrade, other, *begun, *rest],
    _upgrades,
    _anything,
    _begun,
    st.lists(_frames, max_size=8),
)

# Clients.


def _run(messages: Messages, play) -> None:
    async def play_it() -> None:
        async with tcp_server(_Hostile(messages).serve) as place:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await play(f"ws://{place}/")
            except TimeoutError:
                raise AssertionError(f"nothing for {_PATIENCE:g} seconds") from None
            except ClientError as error:
                if not str(error).strip() or str(error) != printable(str(error)):
                    raise AssertionError(f"not a printable sentence: {str(error)!r}") from error

    asyncio.run(play_it(), debug=False)


async def _use_client(url: str) -> None:
    async with connect(url, username="wild", rooms=["r1"], reconnect=False, timeout=2) as connection:
        request = asyncio.create_task(_ask(connection))
        try:
            async for event in connection:
                repr(event)
        finally:
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)


async def _ask(connection) -> None:
    with contextlib.suppress(ClientError):
        await connection.request("gmsg", val=1, timeout=2)
    with contextlib.suppress(ClientError):
        await connection.command("gvar", name="x", val=1)


async def _use_cloud(url: str) -> None:
    async with connect_cloud(url, "104", "wild", reconnect=False, timeout=2) as cloud:
        with contextlib.suppress(ClientError):
            await cloud.set("☁ mine", 1)
        async for change in cloud:
            repr(change)


async def _be_examined(url: str) -> None:
    await examine(Plan(url, timeout=2, hold=0.01), _check_sentence)


def _check_sentence(sentence: str) -> None:
    assert sentence == printable(sentence), f"not a printable sentence: {sentence!r}"


TARGETS = {
    "client": Target(_inputs, lambda messages: _run(messages, _use_client)),
    "cloud client": Target(_inputs, lambda messages: _run(messages, _use_cloud)),
    "doctor": Target(_inputs, lambda messages: _run(messages, _be_examined)),
}
