"""`cloudlink serve --reload`: restarts the server whenever a file of a plugin changes.

The server runs in a child process, so that nothing of the former plugins remains. This process watches files and
forwards signals; it loads neither the server nor a plugin.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cloudlink.hosts import EVERY, parse_hosts, unix_path
from cloudlink.settings import OPTIONS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from cloudlink.settings import Settings

    Snapshot = dict[Path, tuple[int, int]]

logger = logging.getLogger("cloudlink.reload")

_INTERVAL = 1.0
"""Seconds between two checks of the files."""
_STOP_TIMEOUT = 10.0
"""Seconds in addition to `shutdown_timeout` after which a child that has not stopped is killed."""
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
_FILE = re.compile(r"(?P<path>.+\.py)(?::[^:/\\]+)?")


class Child(Protocol):
    """A process that runs the server; `subprocess.Popen` implements this."""

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status. Raises `subprocess.TimeoutExpired`."""

    def send_signal(self, sig: int) -> None:
        """Send a signal."""

    def terminate(self) -> None:
        """Ask it to stop."""

    def kill(self) -> None:
        """End it at once."""


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run the server in child processes until a signal stops it; return the exit status.

    Args:
        arguments: The flags of `cloudlink serve`.
        settings: The settings from the flags and all other sources.
    """
    words = flags_of(arguments)
    if not settings.port:
        words.append(f"--port={_free_port(settings.host)}")  # the last flag wins
    command = [sys.executable, "-m", "cloudlink", "serve", *words]
    reloader = Reloader(
        # In its own session, the child gets Ctrl-C only once: from this process.
        lambda: subprocess.Popen(command, start_new_session=True),  # noqa: S603  # this program itself
        lambda: snapshot(plugin_files(settings)),
        settings.shutdown_timeout + _STOP_TIMEOUT,
    )
    with reloader.forwarding_signals():
        return reloader.run()


class Reloader:
    """Keeps a child running, and replaces it when the watched files change."""

    def __init__(
        self,
        start: Callable[[], Child],
        look: Callable[[], Snapshot],
        stop_timeout: float,
        interval: float = _INTERVAL,
    ) -> None:
        """Set up a reloader.

        Args:
            start: Starts a child.
            look: Returns the state of the watched files.
            stop_timeout: Seconds a child has to stop.
            interval: Seconds between two checks.
        """
        self._start = start
        self._look = look
        self._stop_timeout = stop_timeout
        self._interval = interval
        self._child: Child | None = None
        self._stopping = threading.Event()

    def run(self) -> int:
        """Run until the server is stopped; return its exit status, 0 if none is running."""
        while True:
            files = self._look()
            self._child = self._start()
            if self._stopping.is_set():  # the signal arrived while the child was starting
                self._child.terminate()
            status = self._status_before_change(files)
            if status is not None:
                return status

    @contextmanager
    def forwarding_signals(self) -> Iterator[None]:
        """Forward the server's signals to the child inside the `with` block."""
        known = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
        before = {
            number: signal.signal(number, lambda number, _frame: self.forward(number)) for number in known
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def forward(self, number: int) -> None:
        """Forward a signal to the child, and start no further child if the signal stops the server."""
        if number in (signal.SIGINT, signal.SIGTERM):
            self._stopping.set()
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)

    def _status_before_change(self, files: Snapshot) -> int | None:
        """Watch until the child has stopped, and return its status; return None if it has to be replaced."""
        has_failed = False
        while True:
            status = self._wait(has_failed=has_failed)
            if self._stopping.is_set():
                return self._child.wait() if self._child is not None else 0
            if status == 0:
                return 0
            if status is not None and not has_failed:
                has_failed, self._child = True, None
                logger.error("The server does not run. It starts again when a plugin changes.")
            changed = sorted(map(str, {path for path, _ in files.items() ^ self._look().items()}))
            if changed:
                logger.info("The server starts again, for these files have changed: %s.", ", ".join(changed))
                self._stop_child()
                return None

    def _wait(self, *, has_failed: bool) -> int | None:
        """Wait until the next check of the files; return the status of a child that has ended."""
        if has_failed or self._child is None:
            self._stopping.wait(self._interval)
            return None
        with suppress(subprocess.TimeoutExpired):
            return self._child.wait(self._interval)
        return None

    def _stop_child(self) -> None:
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(self._stop_timeout)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


# The files.


def plugin_files(settings: Settings) -> set[Path]:
    """Return the Python files of plugins, including the modules in their folders, which they may import."""
    files: set[Path] = set()
    for spec in settings.plugins:
        match = _FILE.fullmatch(spec)
        if match:
            files.update(Path(match["path"]).expanduser().parent.glob("*.py"))
        else:
            files.update(_files_of_module(spec.partition(":")[0].partition(".")[0]))
    if settings.plugins_folder:
        files.update(Path(settings.plugins_folder).expanduser().rglob("*.py"))
    return files


def snapshot(files: set[Path]) -> Snapshot:
    """Return the time of the last change and the size of each existing file."""
    found = {}
    for file in files:
        with suppress(OSError):  # it has just been removed
            status = file.stat()
            found[file] = (status.st_mtime_ns, status.st_size)
    return found


def _files_of_module(name: str) -> set[Path]:
    """Return the files of a top-level module or package; the working folder takes precedence."""
    places = [Path(f"{name}.py"), Path(name)]
    if not any(place.exists() for place in places):
        with suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(name)
            if spec is not None:
                places = [Path(place) for place in spec.submodule_search_locations or [spec.origin or ""]]
    files = {place for place in places if place.is_file()}
    return files.union(*(place.rglob("*.py") for place in places if place.is_dir()))


# The child's command line.


def flags_of(arguments: argparse.Namespace) -> list[str]:
    """Return the flags from which these arguments were parsed, without `--reload`."""
    words = [] if arguments.config is None else [f"--config={arguments.config}"]
    for name, value in vars(arguments).items():
        if name in OPTIONS:
            flag = OPTIONS[name].flags[0]
            if isinstance(value, bool):
                words.append(flag if value else f"--no-{flag.removeprefix('--')}")
            else:
                words += [f"{flag}={entry}" for entry in (value if isinstance(value, list) else [value])]
    return words


def _free_port(hosts: str) -> int:
    """Return a free port for all children; 0 if no host has ports, or if none can be used, which the child reports."""
    host = next((host for host in parse_hosts(hosts) if unix_path(host) is None), None)
    if host is None:
        return 0
    host = "" if host == EVERY else host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return 0
        port: int = probe.getsockname()[1]
        return port
