"""The server package; `server` is the public spelling of `Server`."""

from __future__ import annotations

from .app import Server

server = Server

__all__ = ["Server", "server"]
