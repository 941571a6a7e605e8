"""The server in a process of its own, for signals, exit statuses and what it prints."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

CLOUDLINK = [sys.executable, "-m", "cloudlink", "serve", "--plugins-folder", "", "--no-storage"]


class ServerProcess:
    """A server in a process of its own."""

    def __init__(self, *arguments, script=None, **environment):
        clean = {k: v for k, v in os.environ.items() if k not in ("HOST", "PORT")}
        command = [sys.executable, "-c", script] if script else [*CLOUDLINK, "--port", "0", *arguments]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean | environment
        )
        self.lines = []
        self.port = None
        for line in self.process.stderr:
            self.lines.append(line)
            if match := re.search(r"connect to wss?://\S+:(\d+)/", line):
                self.port = int(match[1])
                break

    def stop(self, signal_number=signal.SIGTERM):
        if signal_number is not None and self.process.poll() is None:
            self.process.send_signal(signal_number)
        _, rest = self.process.communicate(timeout=20)
        self.lines += rest.splitlines(keepends=True)
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
