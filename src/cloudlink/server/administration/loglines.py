"""The log as the admin socket shows it."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from cloudlink.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

LOGGER = "cloudlink"
"""The logger whose lines, and those of the loggers below it, are shown."""
_LONGEST = 2000
"""Most characters of a line, and of a traceback."""


class LogLines(logging.Handler):
    """Hands each line of the log on, in the server's thread: `at`, `level`, `logger`, `text`, maybe `traceback`."""

    def __init__(
        self, take: Callable[[dict[str, Any]], None], call_soon: Callable[[Callable[[], None]], object]
    ) -> None:
        """Set up the handler for the thread that makes it.

        Args:
            take: Called with each line.
            call_soon: Calls a function in the server's thread.
        """
        super().__init__()
        self._take = take
        self._call_soon = call_soon
        self._thread = threading.get_ident()
        self._plain = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        try:
            line = self._line(record)
        except Exception:  # noqa: BLE001  # as handlers of the standard library do
            self.handleError(record)
            return
        if threading.get_ident() == self._thread:
            self._take(line)
        else:
            self._call_soon(partial(self._take, line))

    def _line(self, record: logging.LogRecord) -> dict[str, Any]:
        line = {
            "at": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": printable(record.getMessage()[:_LONGEST]),
        }
        if record.exc_info:
            # The end of a traceback says what happened.
            lines = self._plain.formatException(record.exc_info)[-_LONGEST:].splitlines()
            line["traceback"] = "\n".join(map(printable, lines))
        return line
