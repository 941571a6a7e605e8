"""A plain broadcaster on node's `ws`, the library most people would write one with."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, ClassVar

from bench.peers.base import PROGRAMS, Peer, UnavailableError, run_quietly
from bench.processes import ENVIRONMENTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERSION = "8.23.0"
PLACE = ENVIRONMENTS / "node"


class NodeWs(Peer):
    """A broadcaster of twenty lines."""

    name = "ws"
    title = "node ws"
    speaks_cloudlink: ClassVar = False
    players_guess: ClassVar = 1200

    def prepare(self) -> str:
        """Install `ws` into a folder of its own."""
        for program in ("node", "npm"):
            if shutil.which(program) is None:
                raise UnavailableError(f"{program} is not installed")
        installed = PLACE / "node_modules" / "ws" / "package.json"
        if not installed.exists() or json.loads(installed.read_text())["version"] != VERSION:
            PLACE.mkdir(parents=True, exist_ok=True)
            run_quietly(
                [
                    "npm",
                    "install",
                    "--silent",
                    "--no-audit",
                    "--no-fund",
                    "--prefix",
                    str(PLACE),
                    f"ws@{VERSION}",
                ]
            )
        return f"{VERSION} on node {run_quietly(['node', '--version'])}"

    def command(self, port: int) -> Sequence[str]:
        """Serve as a plain broadcaster."""
        return ["node", str(PROGRAMS / "ws_server.js"), str(port)]

    def environment(self, port: int) -> Mapping[str, str]:  # noqa: ARG002  # the port goes on the command line
        """Let node find the library."""
        return {"NODE_PATH": str(PLACE / "node_modules")}
