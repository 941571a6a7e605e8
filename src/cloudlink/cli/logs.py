"""Logging for the command line: lines to read, or one JSON object a line, on standard error.

Only the command line sets logging up. A server started from Python leaves it to that program.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudlink.settings import Settings

# Names and messages of strangers get into the log; none of them may begin a line or steer a terminal.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_CONTROLS |= {code: f"\\u{code:04x}" for code in (0x2028, 0x2029)}


class TextFormatter(logging.Formatter):
    """Formats a record as `2026-01-31 18:00:00 INFO cloudlink.server: message`, local time."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """Return the line of a record, its control characters made visible."""
        return super().formatMessage(record).translate(_CONTROLS)


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON.

    Its keys are `time` (ISO 8601, UTC, milliseconds), `level` (lower case), `logger`, `message`, and
    `exception` (a traceback) when there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the JSON text of a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def set_up(settings: Settings) -> None:
    """Send every log line of this process to standard error, as `log_level` and `log_format` say."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
