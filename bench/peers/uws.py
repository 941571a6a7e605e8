"""Raw uWebSockets (C++) `publish`, reached through the Python package socketify."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar

from bench.peers.base import PROGRAMS, Peer, UnavailableError, virtual_environment
from bench.processes import ENVIRONMENTS
from bench.protocols import Broadcast

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = "0.0.31"


class UWebSockets(Peer):
    """A broadcaster on the fastest WebSocket server there is."""

    protocol: ClassVar = Broadcast()
    players_guess: ClassVar = 2400

    def __init__(self, count: int = 1) -> None:
        self.name = "uws" if count == 1 else f"uws-{count}"
        self.title = "uWebSockets" if count == 1 else f"uWebSockets x {count}"
        self.processes = count

    def prepare(self) -> str:
        """Install it into an environment of its own."""
        if self.processes > 1 and sys.platform != "linux":
            raise UnavailableError("several processes need Linux")
        virtual_environment("uws", [f"socketify=={VERSION}"], "import socketify")
        return f"socketify {VERSION}"

    def command(self, port: int) -> Sequence[str]:
        """Serve as a plain broadcaster."""
        python = ENVIRONMENTS / "uws" / "bin" / "python"
        return [str(python), "-I", str(PROGRAMS / "uws_server.py"), str(port), str(self.processes)]
