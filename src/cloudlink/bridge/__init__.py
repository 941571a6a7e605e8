"""Bridges: rooms and projects shared with servers of other people (docs/bridges.md).

The package is above the server and the client, which know nothing of it: towards the server it is a broker and a
protocol, towards others it uses the sockets of the client.
"""

from __future__ import annotations

from .bridges import Bridges

__all__ = ["Bridges"]
