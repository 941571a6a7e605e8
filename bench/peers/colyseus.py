"""Colyseus: a room whose clients broadcast messages and whose players are in its state. Its own `ws` transport.

As its documentation advises, this room uses state for what players see of each other, and messages for everything else.
State goes out 20 times a second, the default. Colyseus asks for node 22 but also runs on 20.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.peers.base import PROGRAMS, Peer, node_packages, run_quietly
from bench.processes import ENVIRONMENTS
from bench.protocols import Colyseus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERSION = "0.18.17"
PACKAGES = (
    f"@colyseus/core@{VERSION}",
    "@colyseus/ws-transport@0.18.4",
    "@colyseus/schema@5.0.34",
    "express@5.2.1",
)
CHECK = "require('@colyseus/core'); require('@colyseus/ws-transport'); require('@colyseus/schema')"


class ColyseusServer(Peer):
    """The usual choice of a game developer."""

    name = "colyseus"
    title = "Colyseus"
    protocol: ClassVar = Colyseus()
    players_guess: ClassVar = 600

    def prepare(self) -> str:
        """Install it into a folder of its own."""
        node_packages(self.name, PACKAGES, CHECK)
        return f"{VERSION} on node {run_quietly(['node', '--version'])}"

    def command(self, port: int) -> Sequence[str]:
        """Serve rooms."""
        return ["node", str(PROGRAMS / "colyseus_server.js"), str(port)]

    def environment(self, port: int) -> Mapping[str, str]:  # noqa: ARG002  # the port goes on the command line
        """Let node find the library."""
        return {"NODE_PATH": str(ENVIRONMENTS / self.name / "node_modules"), "NODE_ENV": "production"}
