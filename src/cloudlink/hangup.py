"""What the signal SIGHUP means to this process."""

from __future__ import annotations

import signal
import sys


def hangup_means_stop() -> bool:
    """Return whether SIGHUP means that the terminal was closed; otherwise it asks to read certificates again."""
    if not hasattr(signal, "SIGHUP") or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return False
    streams = (stream for stream in (sys.stdin, sys.stderr) if stream is not None and not stream.closed)
    return any(stream.isatty() for stream in streams)
