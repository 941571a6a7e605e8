"""A `cloudlink serve` that can be killed, stopped and started again at the same port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.support.nodes import children
from tests.support.ports import lasting_port
from tests.support.servers import HOST

_START_LIMIT = 90.0
"""Seconds that a server may take to start, on a machine that may be busy."""


class LastingServer:
    """A server in a process of its own; its log is a file.

    Attributes:
        port: Its port.
        pid: Its process id.
    """

    def __init__(self, folder, name, arguments, environment):
        self.name = name
        self.log = Path(folder) / f"{name}.log"
        self.port = lasting_port()
        self._command = [
            *(sys.executable, "-m", "cloudlink", "serve", "--plugins-folder", ""),
            *("--port", str(self.port), *arguments),
        ]
        clean = {key: value for key, value in os.environ.items() if key not in ("HOST", "PORT")}
        self._environment = clean | environment
        self._process = None
        self.start()

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._environment, cwd=self.log.parent
            )

    @property
    def is_running(self):
        """Whether the process exists."""
        return self._process.poll() is None

    def kill(self):
        self._process.kill()
        self._process.wait()

    def send_signal(self, number):
        self._process.send_signal(number)

    async def terminate(self):
        self._process.terminate()
        while self._process.poll() is None:  # noqa: ASYNC110  # a process sets no event
            await asyncio.sleep(0.02)

    def end(self):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    async def logged(self, text):
        """Wait until the log has a text."""
        deadline = time.monotonic() + _START_LIMIT
        while text not in self.log.read_text(errors="replace"):
            assert self._process.poll() is None, self.log.read_text(errors="replace")
            assert time.monotonic() < deadline, f"{self.name} does not start"
            await asyncio.sleep(0.02)

    async def answering(self):
        """Wait until the server answers."""
        deadline = time.monotonic() + _START_LIMIT
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self.health)
                return
            assert self._process.poll() is None, self.log.read_text(errors="replace")
            await asyncio.sleep(0.05)
        raise AssertionError(f"{self.name} does not answer")

    def health(self):
        with urllib.request.urlopen(f"http://{HOST}:{self.port}/health", timeout=5) as answer:
            return json.loads(answer.read())

    def memory(self):
        """Resident bytes of the process and of its workers."""
        return sum(_resident(pid) for pid in (self.pid, *children(self.pid)))

    def tracebacks(self):
        return self.log.read_text(errors="replace").count("Traceback")


def _resident(pid):
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
