"""A plain broadcaster on node's `ws`, the library most people would write one with; and a cloud server on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.peers.base import PROGRAMS, Peer, node_packages, run_quietly
from bench.processes import ENVIRONMENTS
from bench.protocols import Broadcast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERSION = "8.23.0"


class NodeWs(Peer):
    """A broadcaster of twenty lines."""

    name = "ws"
    title = "node ws"
    protocol: ClassVar = Broadcast()
    players_guess: ClassVar = 1200

    def prepare(self) -> str:
        """Install `ws` into a folder of its own."""
        node_packages(self.name, [f"ws@{VERSION}"], "require('ws')")
        return f"{VERSION} on node {run_quietly(['node', '--version'])}"

    def command(self, port: int) -> Sequence[str]:
        """Serve as a plain broadcaster."""
        return ["node", str(PROGRAMS / "ws_server.js"), str(port)]

    def environment(self, port: int) -> Mapping[str, str]:  # noqa: ARG002  # the port goes on the command line
        """Let node find the library."""
        return {"NODE_PATH": str(ENVIRONMENTS / self.name / "node_modules")}

    def with_cloud(self, projects: int, interval: float) -> Peer:
        """Keep the variables in memory, and send updates as the interval says."""
        return _WithCloud(projects, interval)


class _WithCloud(NodeWs):
    """The plain cloud server on the same library."""

    def __init__(self, projects: int, interval: float) -> None:
        super().__init__()
        self._projects, self._interval = projects, interval

    def command(self, port: int) -> Sequence[str]:
        """Serve cloud variables; the program takes the interval in milliseconds."""
        numbers = (port, self._projects, self._interval * 1000)
        return ["node", str(PROGRAMS / "ws_cloud_server.js"), *map(str, numbers)]
