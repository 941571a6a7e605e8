"""Starting, watching and ending the processes of a run. Independent of the servers and the measures."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ENVIRONMENTS = Path(__file__).parent / ".env"
LOGS = ENVIRONMENTS / "logs"

START_LIMIT = 15.0
"""Seconds a server has to accept its first connection."""

STOP_LIMIT = 2.0
"""Seconds a process has to end after SIGTERM; then it is killed."""

SERVER_CORE, GENERATOR_CORE = 0, 1
"""The cores used with `--pin`."""

_LISTEN = "0A"
"""The state of a socket that listens, in /proc/net/tcp."""

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class ServerDiedError(Exception):
    """A server under test ended by itself or never listened; the text holds the end of its log."""


@dataclass(frozen=True)
class Memory:
    """Memory of a process and its children in bytes: resident, and proportional (0 if the kernel does not report it)."""

    resident: int
    proportional: int


def keep_on_core(process: subprocess.Popen[str], core: int) -> None:
    """Pin a process that was just started to one core, if that core exists."""
    if core in os.sched_getaffinity(0):
        os.sched_setaffinity(process.pid, {core})


def end(process: subprocess.Popen[str]) -> None:
    """End a process that this program started, and wait for it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A server under test in its own process; use it as a context manager, so that it always ends."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        port: int,
        environment: Mapping[str, str],
        *,
        pin: bool,
        listeners: int = 1,
    ) -> None:
        self.name = name
        self._listeners = listeners
        self.port = port
        LOGS.mkdir(parents=True, exist_ok=True)
        self._log = LOGS / f"{name}.log"
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(command)}\n")
            log.flush()
            self._start_of_log = log.tell()
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        if pin:
            keep_on_core(self._process, SERVER_CORE)

    def __enter__(self) -> Self:
        """Wait until the server accepts connections."""
        try:
            self._wait_until_listening()
        except BaseException:
            end(self._process)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the server."""
        end(self._process)

    def _wait_until_listening(self) -> None:
        limit = time.monotonic() + START_LIMIT
        while time.monotonic() < limit:
            self.check()
            if self._is_listening():
                return
            time.sleep(0.02)
        raise ServerDiedError(f"{self.name} did not listen within {START_LIMIT:.0f} s{self._end_of_log()}")

    def _is_listening(self) -> bool:
        """Return whether all processes accept connections: the system spreads clients over those that listen already."""
        if self._listeners > 1:
            return listeners(self.port) >= self._listeners
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False

    def _end_of_log(self, lines: int = 8) -> str:
        with self._log.open("rb") as log:
            log.seek(self._start_of_log)
            tail = log.read().decode("utf-8", "replace").splitlines()[-lines:]
        return "".join(f"\n    {line}" for line in tail)

    def check(self) -> None:
        """Raise ServerDiedError if the server has ended."""
        code = self._process.poll()
        if code is not None:
            raise ServerDiedError(f"{self.name} ended with code {code}{self._end_of_log()}")

    def _processes(self) -> Iterator[int]:
        found = [self._process.pid]
        for pid in found:
            yield pid
            with contextlib.suppress(OSError):
                for children in Path(f"/proc/{pid}/task").glob("*/children"):
                    found += map(int, children.read_text().split())

    def cpu(self) -> float:
        """Return the CPU seconds (user and system) used so far by all threads and child processes."""
        ticks = 0
        for pid in self._processes():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS_PER_SECOND

    def memory(self) -> Memory:
        """Return the current memory of the server and its child processes."""
        pids = list(self._processes())
        return Memory(
            sum(_kilobytes(f"/proc/{pid}/status", "VmRSS:") for pid in pids) * 1024,
            sum(_kilobytes(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in pids) * 1024,
        )


def listeners(port: int) -> int:
    """Return how many sockets listen at a port, on Linux."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(words[1].endswith(f":{port:04X}") and words[3] == _LISTEN for words in lines)


def _kilobytes(file: str, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(file).read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    return 0
