"""Logs the line of a plugin that blocks the event loop and so every client.

The server calls `beat` about once a second. A thread checks twice a second whether the beats continue; if
they do not, it finds the blocking line in the stack of the loop's thread. Only lines outside of CloudLink and
the standard library are reported, so neither the server's own work nor a suspended machine is.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .handlers import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

logger = logging.getLogger("cloudlink.server")

_BEAT = 1.0
"""Maximum seconds between two beats."""
_LOOK_INTERVAL = 0.5
"""Seconds between two checks."""
_LOOP_MODULES = ("asyncio.events", "asyncio.base_events", "asyncio.runners", "uvloop")
_DEBUGGERS = {"bdb", "pdb", "pydevd", "_pydevd_bundle", "debugpy"}
_CLOUDLINK = str(Path(__file__).parents[1]) + os.sep


class Watchdog:
    """Watches the event loop of the thread that calls `start`, until `stop`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: clock: Returns the time in seconds."""
        self._clock = clock
        self._beat_at = clock()
        self._threshold = 0.0
        self._report_at = 0.0
        self._loop_thread = 0
        self._suspect: FrameType | None = None
        """The frame of plugin code seen at the last check, if the loop has not beaten since."""
        self._stopped = threading.Event()

    def start(self, threshold: float) -> None:
        """Start watching this thread's event loop.

        Args:
            threshold: Seconds of blocking after which a line is logged; 0 disables the watchdog.
        """
        if not threshold:
            return
        self._threshold = self._report_at = threshold
        self._loop_thread = threading.get_ident()
        self._stopped.clear()
        self.beat()
        threading.Thread(target=self._watch, name="cloudlink-watchdog", daemon=True).start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()
        self._suspect = None

    def beat(self) -> None:
        """Record that the event loop runs."""
        self._beat_at = self._clock()

    def look(self, frame: FrameType | None) -> None:
        """Log the line that blocks the loop, if any, and again each time the blocking time has doubled.

        Args:
            frame: The innermost frame of the loop's thread.
        """
        blocked_for = self._clock() - self._beat_at - _BEAT
        if blocked_for <= 0:
            self._report_at = self._threshold
            self._suspect = None
            return
        stack = plugin_frames(frame)
        # A busy loop runs many short handlers; a blocking one is still on the stack at the next check.
        suspect, self._suspect = self._suspect, stack[-1] if stack else None
        if suspect is not None and suspect is self._suspect and blocked_for >= self._report_at:
            place = f"{shown_path(stack[0].f_code.co_filename)} line {stack[0].f_lineno}"
            self._report_at = 2 * blocked_for
            logger.warning(
                "%s has blocked everybody for more than %.1f s; code that takes long belongs in await asyncio.to_thread(…).",
                place,
                blocked_for,
            )

    def _watch(self) -> None:
        while not self._stopped.wait(_LOOK_INTERVAL):
            self.look(sys._current_frames().get(self._loop_thread))  # noqa: SLF001  # the only way to read another thread's stack


def plugin_frames(frame: FrameType | None) -> list[FrameType]:
    """Return the frames of plugin code in a stack, innermost first; none if a debugger has stopped it.

    Args:
        frame: The innermost frame of the stack.
    """
    stack = list(_above_loop(frame))
    if any(_is_debugger(one) for one in stack):
        return []
    foreign = [one for one in stack if not one.f_code.co_filename.startswith("<") and not _is_ours(one)]
    # The plugin's own line is more helpful than a line of a library that it calls.
    own = [one for one in foreign if not one.f_code.co_filename.startswith(_folders("purelib", "platlib"))]
    return own or foreign


def _above_loop(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield the frames above the event loop, innermost first; the frames below belong to its caller."""
    stack = []
    while frame is not None:
        stack.append(frame)
        frame = frame.f_back
    for place, one in enumerate(stack):
        if _module(one) in _LOOP_MODULES:
            yield from stack[:place]
            return


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_debugger(frame: FrameType) -> bool:
    # PyCharm runs its debugger as a script, so its module is __main__.
    return bool({_module(frame).partition(".")[0], Path(frame.f_code.co_filename).stem} & _DEBUGGERS)


def _is_ours(frame: FrameType) -> bool:
    """Return whether a frame is CloudLink's or the standard library's."""
    file = frame.f_code.co_filename
    if file.startswith(_CLOUDLINK):
        return True
    is_of_python = file.startswith(_folders("stdlib", "platstdlib"))
    return is_of_python and not file.startswith(_folders("purelib", "platlib"))


@cache
def _folders(*names: str) -> tuple[str, ...]:
    """Return folders of this Python, which are looked up when a plugin blocks for the first time."""
    import sysconfig  # noqa: PLC0415  # most servers never need its tables

    return tuple(sysconfig.get_path(name) + os.sep for name in names)
