"""CloudLink itself, from the environment that runs the benchmark, with its flood limits off."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench.peers.base import PROGRAMS, Peer, UnavailableError
from bench.protocols import CloudLink4

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class CloudLink(Peer):
    """The server of this repository."""

    name = "cloudlink"
    title = "CloudLink"
    protocol: ClassVar = CloudLink4()
    players_guess: ClassVar = 2400
    python = sys.executable
    programs = PROGRAMS

    def prepare(self) -> str:
        """Find the installed package."""
        try:
            version = importlib.metadata.version("cloudlink-server")
            program = importlib.util.find_spec("cloudlink.__main__")
        except (importlib.metadata.PackageNotFoundError, ModuleNotFoundError) as error:
            raise UnavailableError(
                f"the package cloudlink-server is not installed for {sys.executable}"
            ) from error
        if program is None:
            raise UnavailableError("the package cloudlink cannot be run with `python -m cloudlink` yet")
        return version

    def command(self, port: int) -> Sequence[str]:  # noqa: ARG002  # the port goes through the environment
        """Serve as a user would."""
        return [self.python, "-m", "cloudlink", "serve", "--plugins-folder", ""]

    def environment(self, port: int) -> Mapping[str, str]:
        """Switch off the limits that a flood of one address would meet."""
        return {
            "CLOUDLINK_HOST": "127.0.0.1",
            "CLOUDLINK_PORT": str(port),
            "CLOUDLINK_LIMITS": "off",
            "CLOUDLINK_LOG_LEVEL": "warning",
            "CLOUDLINK_STORAGE": "",
        }

    def with_cloud(self, projects: int, interval: float) -> Peer:
        """Store the variables in a file, and send updates as the interval says."""
        return _WithCloud(self, projects, interval)


class Workers(CloudLink):
    """CloudLink in several processes behind one port."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.name = f"workers-{count}"
        self.title = f"{count} workers"
        self.processes = count

    def prepare(self) -> str:
        """Find the installed package, on Linux."""
        if sys.platform != "linux":
            raise UnavailableError("several workers need Linux")
        return super().prepare()

    def environment(self, port: int) -> Mapping[str, str]:
        """Ask for the workers."""
        return {**super().environment(port), "CLOUDLINK_WORKERS": str(self.processes)}


class Cluster(Workers):
    """Nodes that NATS joins, behind one port, so that one load generator reaches all of them."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.name = f"cluster-{count}"
        self.title = f"{count} nodes, NATS"

    def prepare(self) -> str:
        """Find the installed packages."""
        for module in ("nats", "cloudlink"):
            if importlib.util.find_spec(module) is None:
                raise UnavailableError(f"the package {module} is not installed for {sys.executable}")
        beside = Path(self.python).with_name("nats-server")
        if not beside.exists() and shutil.which("nats-server") is None:
            raise UnavailableError("nats-server is not installed")
        return super().prepare()

    def command(self, port: int) -> Sequence[str]:
        """Start NATS and the nodes."""
        return [self.python, str(self.programs / "cluster_server.py"), str(port)]


class Administered(CloudLink):
    """CloudLink with a file for its administration, beside which is the key to its admin socket.

    Attributes:
        key_file: The file with the key.
    """

    def __init__(self, server: CloudLink, folder: Path) -> None:
        super().__init__()
        self.name, self.title = server.name, server.title
        self.key_file = folder / "admin.key"
        self._server, self._storage = server, folder / "admin.db"

    def command(self, port: int) -> Sequence[str]:
        """Serve as the same server does."""
        return self._server.command(port)

    def environment(self, port: int) -> Mapping[str, str]:
        """Name the file, too."""
        return {**self._server.environment(port), "CLOUDLINK_ADMIN_STORAGE": str(self._storage)}


class _WithCloud(CloudLink):
    """CloudLink with projects that have a variable each."""

    def __init__(self, server: CloudLink, projects: int, interval: float) -> None:
        super().__init__()
        self.name, self.title = server.name, server.title
        self._server, self._projects, self._interval = server, projects, interval

    def command(self, port: int) -> Sequence[str]:
        """Serve from a file made for it."""
        flags = ("--cloud-batch-interval", f"{self._interval:.4f}") if self._interval else ()
        program = str(self._server.programs / "cloud_server.py")
        return [self._server.python, program, str(port), str(self._projects), *flags]

    def environment(self, port: int) -> Mapping[str, str]:
        """Use the environment of the same server without projects."""
        return self._server.environment(port)
