"""Ports for servers that are stopped and started again at the same port."""

from __future__ import annotations

import random
import socket

_LOWEST, _HIGHEST = 10_000, 30_000
_chance = random.SystemRandom()


def lasting_port() -> int:
    """Return a free port of 127.0.0.1 that no other program is given while the server is down.

    Systems give programs that ask for any port one of the higher ones.
    """
    while True:
        port = _chance.randrange(_LOWEST, _HIGHEST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
