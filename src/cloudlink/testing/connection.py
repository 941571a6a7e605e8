"""A connection in memory, to which the server writes, and an endpoint without a port."""

from __future__ import annotations

import asyncio
import json
from collections import UserDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TEXT_FRAME = 0x81
_SIZES = {126: 2, 127: 8}
"""Number of bytes of the extended length, by the second byte of a frame (RFC 6455, section 5.2)."""


class Headers(UserDict[str, str]):
    """Request headers; look-ups ignore case."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in headers.items()})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())


class MemoryConnection:
    """The connection of a session in memory; it decodes and keeps the frames that the server writes.

    Attributes:
        unread: The packets that have arrived and were not taken yet, oldest first.
        closed: Code and reason of the server's close frame, None while the connection is open.
        changed: Set whenever a packet has arrived or the connection was closed.
    """

    congested = False
    patience = 1
    cause = "client"

    def __init__(self, path: str, headers: Mapping[str, str], address: str) -> None:
        self.remote_address: tuple[str, int] | None = (address, 50000)
        self.address = address
        self.headers: Mapping[str, str] = Headers(headers)
        self.path = path
        self.kept = 0
        self.unread: list[Any] = []
        self.closed: tuple[int, str] | None = None
        self.changed = asyncio.Event()

    def write(self, frames: list[bytes]) -> None:
        """Decode frames and keep them."""
        for text in _texts(b"".join(frames)):
            self.unread += _packets(text)
        self.changed.set()

    def hold(self) -> None:
        """Do nothing: the test itself decides when the client sends more."""

    def release(self) -> None:
        """Do nothing; see `hold`."""

    def close(self, code: int, reason: str) -> None:
        """Note how the connection was closed."""
        self.closed = (code, reason)
        self.changed.set()

    def drop_soon(self) -> None:
        """Do nothing: the connection is closed, and there is no socket."""

    def slow_down(self) -> None:
        """Do nothing: there is no socket to read from more slowly."""


class MemoryEndpoint:
    """Replaces the server's port; clients connect through `open_session`."""

    port = 0

    def __init__(self, *_arguments: object, **_options: object) -> None:
        """Ignore the arguments of a real endpoint."""

    async def start(self, host: str, port: int) -> None:
        """Do nothing."""

    def stop_accepting(self) -> None:
        """Do nothing."""

    async def finish(self, timeout: float) -> None:
        """Do nothing."""


def _texts(data: bytes) -> Iterator[str]:
    """Yield the texts of unmasked WebSocket text frames (RFC 6455, section 5.2)."""
    while data:
        if data[0] != _TEXT_FRAME:
            raise ValueError(f"the server wrote something else than a text frame: {data[:20]!r}")
        size, start = data[1], 2
        if size in _SIZES:
            start += _SIZES[size]
            size = int.from_bytes(data[2:start], "big")
        yield data[start : start + size].decode()
        data = data[start + size :]


def _packets(text: str) -> list[Any]:
    """Return the packets of a message, one per line; lines that are not JSON are returned as text."""
    try:
        return [json.loads(line) for line in text.split("\n")]
    except ValueError:
        return [text]
