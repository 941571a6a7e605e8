"""NATS, and CloudLink with several nodes that it joins; the environment has all other settings.

Run it as `python cluster_server.py PORT`.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """Have Linux end this process when the one that started it is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _start(command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        env={**os.environ, **environment},
        preexec_fn=_end_with_parent,  # noqa: PLW1509  # this program has no threads
    )


def main() -> int:
    """Run both until SIGTERM."""
    beside = Path(sys.executable).with_name("nats-server")
    program = str(beside) if beside.exists() else shutil.which("nats-server") or "nats-server"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    nats = _start([program, "-a", "127.0.0.1", "-p", str(port)], {})
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                break
        time.sleep(0.02)
    settings = {
        "CLOUDLINK_CLUSTER": f"nats://127.0.0.1:{port}",
        "CLOUDLINK_CLUSTER_SECRET": "a secret for the benchmark",
    }
    server = _start([sys.executable, "-m", "cloudlink", "serve", "--plugins-folder", ""], settings)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    try:
        return server.wait()
    finally:
        nats.terminate()
        nats.wait()


if __name__ == "__main__":
    sys.exit(main())
