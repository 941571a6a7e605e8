"""The server package; `server` is the public spelling of `Server`."""

from __future__ import annotations

from cloudlink import later  # noqa: F401  # before asyncio and picows are imported
from cloudlink.installation import require_alone

from .app import Server

require_alone()

server = Server

__all__ = ["Server", "server"]
