"""Raw uWebSockets (C++) `publish`, reached through the Python package socketify."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.peers.base import PROGRAMS, Peer, virtual_environment
from bench.processes import ENVIRONMENTS
from bench.protocols import Broadcast

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = "0.0.31"


class UWebSockets(Peer):
    """A broadcaster on the fastest WebSocket server there is."""

    name = "uws"
    title = "uWebSockets"
    protocol: ClassVar = Broadcast()
    players_guess: ClassVar = 2400

    def prepare(self) -> str:
        """Install it into an environment of its own."""
        virtual_environment(self.name, [f"socketify=={VERSION}"], "import socketify")
        return f"socketify {VERSION}"

    def command(self, port: int) -> Sequence[str]:
        """Serve as a plain broadcaster."""
        python = ENVIRONMENTS / self.name / "bin" / "python"
        return [str(python), "-I", str(PROGRAMS / "uws_server.py"), str(port)]
