"""Socket.IO 4 (Engine.IO 4) over WebSocket: text packets `40` to connect, `42[event, ...]` for events.

Sources: Engine.IO protocol, revision 4; Socket.IO protocol, revision 5. Pings come every 25 s by default and may be
answered 20 s late: a run is shorter, so none is answered.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench.load.job import TEXT, Client
from bench.protocols.base import Protocol

if TYPE_CHECKING:
    from bench.protocols.base import Kind

PATH = "/socket.io/?EIO=4&transport=websocket"
CONNECT, CONNECTED = "40", '40{"sid":'


def event(*values: object) -> str:
    """Return an event of the default namespace."""
    return "42" + json.dumps(values, separators=(",", ":"))


class SocketIO(Protocol):
    """The events of programs/socketio_server.js."""

    def client(self, number: int, room: str, kind: Kind) -> Client:
        """Connect, and join the room."""
        steps = ((CONNECTED, CONNECT), (event("joined"), event("join", room)))
        if kind == "message":
            return Client(PATH, steps, (event("message", room, TEXT),))
        if kind == "variable":
            return Client(PATH, steps, (event("variable", room, f"position-{number:05}", TEXT),))
        return Client(PATH, steps)
