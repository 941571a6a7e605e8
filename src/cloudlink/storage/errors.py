"""Errors of the storage file as sentences with cause and remedy, each logged once.

The store decides what happens to the variables in such a case.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cloudlink.storage.timing import Timing

logger = logging.getLogger("cloudlink.storage")

_REMEMBERED = 60.0
"""Seconds after its end within which a recurring problem is not logged again."""

_SAYINGS = {
    sqlite3.SQLITE_FULL: ("the disk is full where {path} is", "free some space there"),
    sqlite3.SQLITE_READONLY: (
        "{path} or its folder is read-only",
        "let the user who runs CloudLink write to both",
    ),
    sqlite3.SQLITE_PERM: ("{path} may not be opened", "let the user who runs CloudLink read and write it"),
    sqlite3.SQLITE_BUSY: ("another program keeps {path} locked", "end that program"),
    sqlite3.SQLITE_LOCKED: ("another program keeps {path} locked", "end that program"),
    sqlite3.SQLITE_CANTOPEN: (
        "{path} cannot be opened",
        "see that its folder exists and that the user who runs CloudLink may write there",
    ),
    sqlite3.SQLITE_IOERR: ("the disk fails where {path} is", "check that disk and its free space"),
    sqlite3.SQLITE_NOTADB: (
        "{path} is not a storage file of CloudLink",
        "move it away, or name another file with the setting storage",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "{path} is damaged",
        "move it away, and fill a new one from a back-up with `cloudlink vars import`",
    ),
}
_HOPELESS = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


class StorageError(Exception):
    """The file cannot be used, and waiting will not change that."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy


def as_storage_error(error: Exception, path: Path) -> StorageError:
    """Return an exception as a `StorageError` with the cause and the remedy."""
    if isinstance(error, StorageError):
        return error
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    cause, remedy = _SAYINGS.get(
        code, (f"{{path}} cannot be used ({error})", "look at that file and its disk")
    )
    return StorageError(cause.format(path=path), remedy)


def damaged(path: Path) -> StorageError:
    """Return the error of a file that SQLite can open but not trust."""
    cause, remedy = _SAYINGS[sqlite3.SQLITE_CORRUPT]
    return StorageError(cause.format(path=path), remedy)


def sentence(error: Exception, path: Path, *others: Path) -> str:
    """Return one sentence that says what went wrong with a file, or with another one that was involved."""
    problem = as_storage_error(error, path)
    first = (
        problem.cause[:1]
        if problem.cause.startswith(tuple(map(str, (path, *others))))
        else problem.cause[:1].upper()
    )
    return f"{first}{problem.cause[1:]}: {problem.remedy}."


def is_hopeless(error: Exception) -> bool:
    """Return whether the file itself is wrong, so that a server should not start with it."""
    return isinstance(error, StorageError) or getattr(error, "sqlite_errorcode", 0) & 0xFF in _HOPELESS


class Trouble:
    """Tracks whether the file can be written; logs when that changes, not at every attempt.

    Attributes:
        pause: Seconds to wait before the next attempt; 0 while all is well.
    """

    def __init__(
        self, path: Path, timing: Timing, kind: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start in the state in which writing works.

        Args:
            path: The file.
            timing: The pauses between attempts.
            kind: The name in the log of the file's contents, in lower case.
            clock: Returns the time in seconds.
        """
        self.pause = 0.0
        self._timing = timing
        self._kind = kind.capitalize()
        self._clock = clock
        self._path = path
        self._logged: set[str] = set()
        self._has_logged = False
        self._ended = -math.inf

    def begin(self, error: Exception) -> None:
        """Note that an attempt failed."""
        if not self.pause and self._clock() - self._ended >= _REMEMBERED:
            self._logged.clear()
        self.pause = min(self.pause * 2, self._timing.longest_pause) or self._timing.first_pause
        problem = as_storage_error(error, self._path)
        if problem.cause in self._logged:
            return
        self._logged.add(problem.cause)
        self._has_logged = True
        logger.error(
            "%s are kept in memory only, because %s: %s, and CloudLink saves them by itself.",
            self._kind,
            problem.cause,
            problem.remedy,
            exc_info=None if isinstance(error, (StorageError, sqlite3.Error)) else error,
        )

    def end(self) -> None:
        """Note that an attempt succeeded."""
        if not self.pause:
            return
        self.pause = 0.0
        self._ended = self._clock()
        if self._has_logged:
            self._has_logged = False
            logger.info("%s are saved to %s again.", self._kind, self._path)
