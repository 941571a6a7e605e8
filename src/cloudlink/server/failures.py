"""Errors in plugin code: which are logged and suppressed, and which propagate.

Everything that a plugin raises is logged and suppressed, including `SystemExit` of argparse. Only what comes
from outside of the plugin propagates: Ctrl-C, and the cancellation or the end of the task that runs its code.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import traceback
from collections import Counter

from cloudlink.buckets import Bucket

from .handlers import describe

logger = logging.getLogger("cloudlink.server")


def must_propagate(error: BaseException) -> bool:
    """Return whether an error that left a plugin's code comes from outside of it."""
    if isinstance(error, (Exception, SystemExit)):
        return False
    if isinstance(error, KeyboardInterrupt):
        return _is_ctrl_c(error)
    task = _current_task()
    if isinstance(error, asyncio.CancelledError):
        return task is not None and task.cancelling() > 0
    # A coroutine that is closed instead of run gets GeneratorExit.
    return isinstance(error, GeneratorExit) and task is None


def _is_ctrl_c(error: KeyboardInterrupt) -> bool:
    """Return whether Ctrl-C, not the plugin itself, raised an error.

    An event loop handles the first Ctrl-C without raising: `asyncio.run` cancels its main task.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        return True
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1].f_globals.get("__name__") == "asyncio.runners"


_RATE, _BURST = 0.2, 20
"""Tracebacks of one handler: a second in the long run, and at once. Clients may cause them as often as they like."""
_budgets: dict[str, Bucket] = {}
"""By handler, and so as few as there are handlers."""
_left_out: Counter[str] = Counter()


def log_failure(handler: object, of: str, error: BaseException, whom: str = "") -> None:
    """Log the exception of a handler or background coroutine, with its traceback, unless it has just done so often.

    Args:
        handler: The handler or coroutine.
        of: What it handles, such as `on_start` or `the command kick`; empty for a background coroutine.
        error: The exception.
        whom: The client for which it ran; empty for none.
    """
    name = describe(handler)
    if not _budgets.setdefault(name, Bucket(_RATE, _BURST)).take():
        _left_out[name] += 1
        return
    event = f" of {of}" if of else ""
    client = f" for {whom}" if whom else ""
    count = _left_out.pop(name, 0)
    others = f" {count} more exceptions of it are not in the log." if count else ""
    logger.error(
        "Handler %s%s raised %s%s.%s", name, event, type(error).__name__, client, others, exc_info=error
    )


def _current_task() -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop runs
        return None
