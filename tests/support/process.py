"""The server in a process of its own, for signals, exit statuses and what it prints."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading

CLOUDLINK = [
    sys.executable,
    "-m",
    "cloudlink",
    "serve",
    "--plugins-folder",
    "",
    "--no-storage",
    "--admin-storage",
    "",
]


class ServerProcess:
    """A server in a process of its own.

    Attributes:
        lines: The log lines read so far.
        port: Where it listens; None if it ended before.
    """

    def __init__(self, *arguments, script=None, **environment):
        clean = {k: v for k, v in os.environ.items() if k not in ("HOST", "PORT")}
        command = [sys.executable, "-c", script] if script else [*CLOUDLINK, "--port", "0", *arguments]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean | environment
        )
        self.lines = []
        self._reader = None
        try:
            match = self.wait_for(r"connect to wss?://\S+:(\d+)/")
        except BaseException:  # the time limit of the test, which the process is not to outlive
            self.__exit__()
            raise
        self.port = int(match[1]) if match else None

    def wait_for(self, pattern):
        """Read log lines until one matches, and return the match; None if the log ends before."""
        for line in self.process.stderr:
            self.lines.append(line)
            if match := re.search(pattern, line):
                return match
        return None

    def read_on(self):
        """Read further log lines in the background, because a server waits while nobody reads them."""
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.process.stderr), daemon=True)
        self._reader.start()

    def stop(self, signal_number=signal.SIGTERM):
        """Send a signal, or None; read the rest of the log, and return the exit status."""
        if signal_number is not None and self.process.poll() is None:
            self.process.send_signal(signal_number)
        if self._reader is not None:
            self._reader.join()
        else:
            self.lines += self.process.stderr  # `communicate` would miss what the stream has read ahead
        return self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._reader is not None:
            self._reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
