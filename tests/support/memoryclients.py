"""Clients without a socket: they hand messages to the server's sessions and read the frames that those write.

`MemoryConnection` is the connection that a session is given, `MemoryClient` a client of the newest dialect with packets as
dicts, `EraClient` a client of any era with frames as texts. For bytes on a real socket see `rawclients`.
"""

from __future__ import annotations

import asyncio
import json
from collections import UserDict
from typing import Any

from tests.support.eras import ERAS, opening
from tests.support.inbox import Inbox

KINDS = (*ERAS, "CL3 0.1.7 in Python", "Scratch")
"""Every era, and the two variants of one: 0.1.7 for Python, and 0.2.0 for clients that say they are Scratch."""


class Headers(UserDict[str, str]):
    """Request headers, whose names ignore case."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in headers.items()})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())


class MemoryConnection(Inbox):
    """The connection that a session is given: it takes WebSocket frames apart and keeps them."""

    congested = False
    cause = "client"

    def __init__(
        self,
        path: str = "/",
        headers: dict[str, str] | None = None,
        port: int = 50000,
        address: str = "127.0.0.1",
    ) -> None:
        super().__init__()
        self.remote_address: tuple[str, int] | None = (address, port)
        self.address = address
        self.headers = Headers(headers or {})
        self.path = path
        self.congested = False
        self.slowed_down = 0
        self.is_held = False
        self.is_dropped = False
        self.kept = 0

    def write(self, frames: list[bytes]) -> None:
        data = b"".join(frames)
        assert not data or self.closed is None, f"written after the connection was closed: {data!r}"
        while data:
            text, data = _first_frame(data)
            self.frames.append(text)

    def close(self, code: int, reason: str) -> None:
        assert self.closed is None, "closed twice"
        self.closed = (code, reason)

    def drop_soon(self) -> None:
        self.is_dropped = True

    def slow_down(self) -> None:
        self.slowed_down += 1

    def hold(self) -> None:
        self.is_held = True

    def release(self) -> None:
        self.is_held = False


def _first_frame(data: bytes) -> tuple[str, bytes]:
    """The text of the first WebSocket frame in `data` (RFC 6455, section 5.2), and the rest."""
    assert data[0] == 0x81, f"not an unfragmented text frame: {data[:20]!r}"
    size, start = data[1], 2
    assert size < 0x80, "a server must not mask"
    if size >= 126:
        start = 4 if size == 126 else 10
        size = int.from_bytes(data[2:start], "big")
    assert len(data) >= start + size, "a frame was cut"
    return data[start : start + size].decode(), data[start + size :]


class MemoryClient:
    """A client and its connection.

    What is said is a dict (a packet), a text, or bytes (a binary message).
    """

    def __init__(self, server: Any, *messages: Any, **connection: Any) -> None:
        self.server = server
        self.connection = MemoryConnection(**connection)
        self.session = server.open_session(self.connection)
        self.client = self.session.client
        if messages:
            self.say(*messages)

    def say(self, *messages: Any) -> None:
        """Send messages and forget the answers; `ask` returns them."""
        self.ask(*messages)

    def ask(self, *messages: Any) -> list[Any]:
        """Send messages and return what is heard since the last time."""
        for message in messages:
            if isinstance(message, bytes):
                self.session.receive_binary(message)
            else:
                text = json.dumps(message) if isinstance(message, dict) else message
                self.session.receive(text.encode())
        return self.heard()

    def heard(self) -> list[Any]:
        """Return the packets, or bare texts, received since the last time."""
        self.server.delivery.flush()
        return [_decoded(frame) for frame in self.connection.take()]

    def leave(self) -> None:
        """Go, as a closed browser tab does."""
        self.session.connection_lost()

    @property
    def closed(self) -> tuple[int, str] | None:
        """Code and reason with which the server closed the connection, None if it did not."""
        return self.connection.closed


class EraClient(MemoryClient):
    """A client of an era, already detected as such, with its username set if it has one."""

    def __init__(self, server: Any, era: str, name: str = "") -> None:
        super().__init__(server, *opening(era, name))
        self.era = era
        self.name = name
        expected = {"Scratch": "CL4 0.2.0", "CL3 0.1.7 in Python": "CL3 0.1.7"}.get(era, era)
        assert str(self.client.dialect) == expected

    def frames(self) -> list[str]:
        """Return the frames that arrived since the last call, as texts."""
        self.server.delivery.flush()
        return self.connection.take()

    def tell(self, *messages: str) -> list[str]:
        """Send texts unchanged, and return the frames that arrive."""
        for message in messages:
            self.session.receive(message.encode())
        return self.frames()


def named(server: Any, name: str, **connection: Any) -> MemoryClient:
    """A client with a name, greeted and in the default room."""
    return MemoryClient(server, {"cmd": "handshake"}, {"cmd": "setid", "val": name}, **connection)


def codes(answers: list[Any]) -> list[int]:
    """The numbers of the status codes among some answers."""
    return [answer["code_id"] for answer in answers if answer["cmd"] == "statuscode"]


async def turns(count: int = 20) -> None:
    """Let the event loop turn until whatever is ready has run."""
    for _ in range(count):
        await asyncio.sleep(0)


def _decoded(frame: str) -> Any:
    try:
        return json.loads(frame)
    except ValueError:
        return frame
