"""Tests for plugins: a server and clients in memory, without sockets.

    from cloudlink import testing

    async with testing.server(MyPlugin) as s:
        alice = await s.connect("alice")
        answer = await alice.request({"cmd": "hello"})

Everything behind the socket is the real server. Features of sockets are missing: TLS, HTTP pages, pings and the
limits per address.
"""

from __future__ import annotations

from .client import MemoryClient, NotReceivedError
from .server import MemoryServer, server

__all__ = ["MemoryClient", "MemoryServer", "NotReceivedError", "server"]
