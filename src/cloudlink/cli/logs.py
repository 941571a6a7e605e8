"""Logging for the command line: text lines, or one JSON object a line, on standard error.

Only the command line sets logging up. A server started from Python leaves it to that program.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cloudlink import addresses
from cloudlink.text import CONTROLS

if TYPE_CHECKING:
    from cloudlink.settings import Settings

_INDENT = "    "


class TextFormatter(logging.Formatter):
    """Formats a record as `2026-01-31 18:00:00 INFO cloudlink.server: message`, local time.

    The lines of a traceback follow, indented, so that text from strangers in it never looks like a record.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the name is logging's
        """Return the line of a record, its control characters made visible."""
        return super().formatMessage(record).translate(CONTROLS)

    def formatException(self, ei: Any) -> str:  # noqa: N802  # the name is logging's
        """Return the lines of a traceback."""
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  # the name is logging's
        """Return the lines of a stack."""
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    return "\n".join(_INDENT + line.translate(CONTROLS) for line in text.split("\n"))


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON.

    Its keys are `time` (ISO 8601, UTC, milliseconds), `level` (lower case), `logger` and `message`; where they apply
    `event` (a word that stays the same even if the message is reworded), `client` (a snowflake), `name`, `address`, and
    `exception` (a traceback).

    The client of a record is an argument of its message or its attribute `about`: any object with
    `log_fields()`. The event is the attribute `event`. Both attributes are set with `extra=` of the logging functions.
    """

    def __init__(self, log_addresses: str) -> None:
        """Args: log_addresses: The setting of that name."""
        super().__init__()
        self._log_addresses = log_addresses

    def format(self, record: logging.LogRecord) -> str:
        """Return the JSON text of a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        event = getattr(record, "event", None)
        if isinstance(event, str):
            line["event"] = event
        line |= self._client(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)

    def _client(self, record: logging.LogRecord) -> dict[str, str]:
        """Return `client`, `name` and `address` of the client that a record is about, empty without one."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        for subject in (getattr(record, "about", None), *arguments):
            log_fields = getattr(subject, "log_fields", None)
            if callable(log_fields):
                fields: dict[str, str] = log_fields()
                address = fields.pop("address", "")
                if address and self._log_addresses != "none":
                    fields["address"] = addresses.for_log(address, self._log_addresses)
                return fields
        return {}


def set_up(settings: Settings) -> None:
    """Send every log line of this process to standard error, as `log_level` and `log_format` say, now and when they change."""
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(settings))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)

    def follow(name: str) -> None:
        if name == "log_level":
            logging.getLogger().setLevel(settings.log_level.upper())
        elif name in ("log_format", "log_addresses"):
            handler.setFormatter(_formatter(settings))

    settings.on_change(follow)


def _formatter(settings: Settings) -> logging.Formatter:
    return JsonFormatter(settings.log_addresses) if settings.log_format == "json" else TextFormatter()
