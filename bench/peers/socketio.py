"""Socket.IO with rooms, set up as its page on performance advises.

WebSocket alone, no compression, `bufferutil` for `ws`, and each connection's HTTP request is discarded. It runs on
`ws`, the default, because the faster engines on that page do not install everywhere: `eiows` only on some versions of
node, and uWebSockets.js is not on npm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.peers.base import PROGRAMS, Peer, node_packages, run_quietly
from bench.processes import ENVIRONMENTS
from bench.protocols import SocketIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERSION = "4.8.4"
PACKAGES = (f"socket.io@{VERSION}", "bufferutil@4.1.0")


class SocketIOServer(Peer):
    """The usual choice of a web developer."""

    name = "socketio"
    title = "Socket.IO"
    protocol: ClassVar = SocketIO()
    players_guess: ClassVar = 600

    def prepare(self) -> str:
        """Install it into a folder of its own."""
        node_packages(self.name, PACKAGES, "require('socket.io'); require('bufferutil')")
        return f"{VERSION} on node {run_quietly(['node', '--version'])}"

    def command(self, port: int) -> Sequence[str]:
        """Serve rooms."""
        return ["node", str(PROGRAMS / "socketio_server.js"), str(port)]

    def environment(self, port: int) -> Mapping[str, str]:  # noqa: ARG002  # the port goes on the command line
        """Let node find the library."""
        return {"NODE_PATH": str(ENVIRONMENTS / self.name / "node_modules"), "NODE_ENV": "production"}
