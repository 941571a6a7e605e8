"""Signal handling: stops the server, has it read its settings again, and ends a server that no longer reacts.

The handlers are set with `signal.signal`, not on the event loop, so that they run even while a plugin blocks
the loop. The requested action still runs in the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
from typing import TYPE_CHECKING, Any

from cloudlink.hangup import hangup_means_stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE = 1.0
"""Seconds in which the loop has to react to a second signal."""
_STDERR = 2
_UNANSWERED = (
    f"CloudLink has not reacted to the signal before. Unless it does within {_PATIENCE:g} second, "
    f"it ends here; this is where it hangs:\n"
)


@contextlib.contextmanager
def handled(
    stop: Callable[[], None], terminate: Callable[[], None], reload: Callable[[], None]
) -> Iterator[None]:
    """Install signal handlers, and restore the previous ones at the end of the context.

    SIGINT stops the server, and so does SIGTERM, which may take its time. SIGHUP reloads the settings if the server has no terminal or runs
    under `nohup`; otherwise it means that the terminal was closed, and stops the server. Signals that the
    platform lacks are ignored, and outside the main thread no handler is installed.

    Args:
        stop: Called in the loop; called again for each further signal.
        terminate: Called in the loop for SIGTERM; called again for each further one.
        reload: Called in the loop.
    """
    stopper = _Stopper(asyncio.get_running_loop(), stop, terminate)

    def hang_up(*_: object) -> None:
        stopper.loop.call_soon_threadsafe(reload)

    handlers: dict[str, Callable[..., Any]] = {
        "SIGINT": stopper.handle,
        "SIGTERM": stopper.handle,
        "SIGHUP": stopper.handle if hangup_means_stop() else hang_up,
    }
    former: dict[int, Any] = {}
    for name, handler in handlers.items():
        # AttributeError: Windows has no SIGHUP. ValueError: only the main thread may set handlers.
        with contextlib.suppress(AttributeError, ValueError):
            number = getattr(signal, name)
            former[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        stopper.call_off()
        for number, handler in former.items():
            signal.signal(number, handler)


class _Stopper:
    """Stops a server, and ends the process if its loop does not react to a second signal."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None], terminate: Callable[[], None]
    ) -> None:
        self.loop = loop
        self._stop = stop
        self._terminate = terminate
        self._is_asked = self._is_waiting = self._is_watched = False

    def handle(self, number: int, *_: object) -> None:
        """Handle a signal. It may interrupt the main thread anywhere, so it uses neither logging nor `print`."""
        self.loop.call_soon_threadsafe(self._react, number)
        if self._is_waiting:
            os.write(_STDERR, _UNANSWERED.encode())
        if self._is_asked:
            # The timer of `faulthandler` is a C thread and works even if the main thread hangs.
            self._is_watched = True
            faulthandler.dump_traceback_later(_PATIENCE, exit=True, file=_STDERR)
        self._is_asked = self._is_waiting = True

    def _react(self, number: int) -> None:
        self._is_waiting = False
        self.call_off()
        if number == signal.SIGTERM:
            self._terminate()
        else:
            self._stop()

    def call_off(self) -> None:
        """Cancel the end of the process."""
        if self._is_watched:
            self._is_watched = False
            faulthandler.cancel_dump_traceback_later()
