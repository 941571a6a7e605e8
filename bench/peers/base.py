"""The interface of a server under test, and the virtual environment that some of them need. Starts no server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench.processes import ENVIRONMENTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.protocols import Protocol

PROGRAMS = Path(__file__).parent / "programs"

INSTALL_LIMIT = 300
"""Seconds that setting up one environment may take."""


class UnavailableError(Exception):
    """A server cannot be measured on this machine; the text says what is missing."""


class Peer(ABC):
    """One server under test.

    `players_guess` is where the search for the most players starts, `processes` how many share its port.
    """

    name: str
    title: str
    protocol: ClassVar[Protocol]
    players_guess: ClassVar[int]
    processes: int = 1

    @abstractmethod
    def prepare(self) -> str:
        """Set up what the server needs, once, and return its version.

        Raises:
            UnavailableError: it cannot run here.
        """

    @abstractmethod
    def command(self, port: int) -> Sequence[str]:
        """Return the command that serves 127.0.0.1 on this port."""

    def environment(self, port: int) -> Mapping[str, str]:  # noqa: ARG002  # for those that take the port this way
        """Return environment variables for the command."""
        return {}

    def with_cloud(self, projects: int, interval: float) -> Peer:  # noqa: ARG002  # for those that can
        """Return this server as one of Scratch cloud variables.

        Args:
            projects: how many projects have a variable `ready` from the start; a client in one is sent it.
            interval: seconds for which updates are collected before they are sent; 0 sends each at once.

        Raises:
            UnavailableError: it has no cloud variables.
        """
        raise UnavailableError(f"{self.title} has no cloud variables")


def run_quietly(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Run a set-up command, with these variables added to its environment, and return what it printed.

    Raises:
        UnavailableError: it failed or took too long; the text ends with its last line.
    """
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=INSTALL_LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{command[0]}: {error}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise UnavailableError(f"{Path(command[0]).name} failed: {lines[-1]}")
    return done.stdout.strip()


def virtual_environment(name: str, requirements: Sequence[str], check: str) -> str:
    """Create `bench/.env/<name>` with these requirements unless it is there, and return its Python.

    `check` is the Python statement that must work in it.
    """
    place = ENVIRONMENTS / name
    python, stamp = str(place / "bin" / "python"), place / "requirements"
    wanted = "\n".join(requirements)
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(place, ignore_errors=True)
        run_quietly([sys.executable, "-m", "venv", str(place)])
        run_quietly([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])
        stamp.write_text(wanted)
    run_quietly([python, "-I", "-c", check])
    return python


def node_packages(name: str, packages: Sequence[str], check: str) -> Path:
    """Install these npm packages (`name@version`) into `bench/.env/<name>` unless they are there.

    Returns the `node_modules` folder; `check` is the statement of JavaScript that must work with it.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise UnavailableError(f"{program} is not installed")
    place = ENVIRONMENTS / name
    stamp, wanted = place / "packages", "\n".join(packages)
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        quiet = ("--loglevel=error", "--no-audit", "--no-fund", "--no-package-lock")
        run_quietly(["npm", "install", *quiet, "--prefix", str(place), *packages])
        stamp.write_text(wanted)
    modules = place / "node_modules"
    run_quietly(["node", "-e", check], {"NODE_PATH": str(modules)})
    return modules
