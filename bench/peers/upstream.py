"""Upstream CloudLink 0.2.0, with the versions of its dependencies that it still works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bench.peers.base import PROGRAMS, Peer, virtual_environment
from bench.processes import ENVIRONMENTS
from bench.protocols import CloudLink4

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = "0.2.0.1"
REQUIREMENTS = (f"cloudlink=={VERSION}", "websockets==10.4", "cerberus==1.3.4")


class Upstream(Peer):
    """The last release of the original server."""

    name = "upstream"
    title = "upstream 0.2.0"
    protocol: ClassVar = CloudLink4()
    players_guess: ClassVar = 70

    def prepare(self) -> str:
        """Install it into an environment of its own."""
        virtual_environment(self.name, REQUIREMENTS, "import cloudlink.server.protocols")
        return VERSION

    def command(self, port: int) -> Sequence[str]:
        """Serve with default settings."""
        python = ENVIRONMENTS / self.name / "bin" / "python"
        return [str(python), "-I", str(PROGRAMS / "upstream_server.py"), str(port)]
