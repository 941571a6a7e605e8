"""The tables of the file `admin_storage`, read and written through one connection.

Every method works synchronously and passes on SQLite's errors; `cloudlink.admin.store` adds the thread, and retries.

Several processes can share the file. Each transaction that writes takes the next change number and marks its rows with
it, so that a process that remembers a number finds later changes. A removed record stays for an hour as a row without a
value, so that its removal is found too.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from cloudlink import jsontext
from cloudlink.errors import StartError
from cloudlink.storage.errors import sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

APPLICATION_ID = 0x436C6C61
"""Marks a SQLite file as CloudLink's file for administration ("Clla")."""
VERSION = 1
"""The version of the tables below."""

MOST_AUDIT_ROWS = 1_000_000
_KEPT_REMOVALS = 3600
"""Seconds for which the row of a removed record is kept; other processes look for changes every second."""
_CHECKED_SIZE = 64 << 20
"""Size in bytes up to which the whole file is checked at the start, at about 1 GiB a second."""
_KEPT_LOG = 4 << 20
"""Bytes of the write-ahead log that stay on the disk after a checkpoint."""
_HOPELESS = {
    sqlite3.SQLITE_NOTADB: "{path} is not a file of CloudLink's administration: "
    "move it away, or name another file with the setting admin_storage.",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged: move it away and put a back-up of it in its place, "
    "or start without one and make the accounts again.",
}

# Keys are stored as bytes, because text in SQLite ends at NUL and cannot hold half a surrogate pair.
_CREATE = (
    "CREATE TABLE records (kind TEXT, key BLOB, value BLOB, change INTEGER, changed_at INTEGER, PRIMARY KEY (kind, key))",
    "CREATE INDEX records_by_change ON records (change)",
    "CREATE INDEX records_removed ON records (changed_at) WHERE value IS NULL",
    "CREATE TABLE changes (last INTEGER NOT NULL)",
    "INSERT INTO changes VALUES (0)",
    "CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER, actor BLOB, row BLOB)",
    "CREATE INDEX audit_by_actor ON audit (actor, id)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)


class FileReplacedError(OSError):
    """The path leads to another file than when it was opened, or to none; what is written would be found by nobody."""


class Change(NamedTuple):
    """A record's new value, None if it is removed; the value is anything that JSON can hold."""

    kind: str
    key: str
    value: Any


class AuditRow(NamedTuple):
    """One line of the audit: its number, Unix time, who acted, and all of it as JSON text."""

    id: int
    at: int
    actor: str
    row: bytes


class Database:
    """One connection to the file.

    Args:
        path: The file; it is made, for its user alone, if it does not exist.
        patience: Seconds to wait while another program writes.
        wall_clock: Returns the Unix time in seconds.

    Attributes:
        seen: The number of the last known change.

    Raises:
        StartError: The file is damaged, of another program, or of a newer version, or its folder does not exist.
        sqlite3.Error: The file cannot be opened now.
    """

    def __init__(
        self, path: Path, *, patience: float = 1.0, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self._wall_clock = wall_clock
        if path.is_dir():
            raise StartError(f"{path} is a folder: name a file in it with the setting admin_storage.")
        if not path.parent.is_dir():
            raise StartError(
                f"The folder {path.parent} does not exist: make it, or name another file with the setting admin_storage."
            )
        _make_private(path)
        self._connection = sqlite3.connect(
            path, timeout=patience, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare()
            self.seen: int = self._value("SELECT last FROM changes")
            self._data_version = self._value("PRAGMA data_version")
            self._place = _place(path)
        except sqlite3.Error as error:
            self.close()
            raise_if_hopeless(error, path)
            raise
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        if not self._value("SELECT count(*) FROM sqlite_master"):
            self._connection.execute("PRAGMA journal_mode = WAL")
            with self._transaction():
                if not self._value("SELECT count(*) FROM sqlite_master"):  # no other process was faster
                    for statement in _CREATE:
                        self._connection.execute(statement)
        if self._value("PRAGMA application_id") != APPLICATION_ID:
            raise StartError(
                f"{self.path} is a file of another program: name another file with the setting admin_storage."
            )
        if self._value("PRAGMA user_version") > VERSION:
            raise StartError(f"{self.path} was written by a newer CloudLink: update this one.")
        self._connection.execute("PRAGMA journal_mode = WAL")
        # A commit is on the disk when it returns, even on macOS, which needs `fullfsync` for that.
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA fullfsync = 1")
        self._connection.execute(f"PRAGMA journal_size_limit = {_KEPT_LOG}")

    def check(self) -> None:
        """Check the whole file for damage, unless it is large. Raises `StartError`."""
        if self._value("PRAGMA page_count") * self._value("PRAGMA page_size") > _CHECKED_SIZE:
            return
        if self._value("PRAGMA quick_check(1)") != "ok":
            raise StartError(_HOPELESS[sqlite3.SQLITE_CORRUPT].format(path=self.path))

    def forget(self) -> None:
        """Take everything in the file for news."""
        self.seen = 0
        self._data_version = -1

    def close(self) -> None:
        """Close the connection, whatever state the file is in."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    # Records.

    def records(self, kind: str) -> Iterator[tuple[str, Any]]:
        """Yield the key and the value of each record of a kind."""
        rows = self._connection.execute(
            "SELECT key, value FROM records WHERE kind = ? AND value IS NOT NULL", (kind,)
        )
        for key, value in rows:
            yield _text(key), jsontext.loads(value)

    def write(self, changes: Iterable[Change], audit: Iterable[AuditRow] = ()) -> list[Change]:
        """Write everything or nothing, and return when it is on the disk.

        Returns:
            The changes of other processes since the last call of `write` or `news`, but for what is overwritten now.

        Raises:
            FileReplacedError: The path leads to another file now, or to none.
        """
        if _place(self.path) != self._place:
            raise FileReplacedError
        changes = list(changes)
        written = {(kind, key) for kind, key, _ in changes}
        with self._transaction():
            news = [change for change in self._newer() if (change.kind, change.key) not in written]
            self._connection.execute("UPDATE changes SET last = last + 1")
            number, now = self._value("SELECT last FROM changes"), int(self._wall_clock())
            self._connection.executemany(
                "INSERT INTO records VALUES (?, ?, ?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET"
                " value = excluded.value, change = excluded.change, changed_at = excluded.changed_at",
                [
                    (kind, _bytes(key), None if value is None else jsontext.dumps(value), number, now)
                    for kind, key, value in changes
                ],
            )
            for row in audit:
                # Another process may have taken the number.
                taken = self._connection.execute("SELECT 1 FROM audit WHERE id = ?", (row.id,)).fetchone()
                self._connection.execute(
                    "INSERT INTO audit VALUES (?, ?, ?, ?)",
                    (None if taken else row.id, row.at, _bytes(row.actor), row.row),
                )
            self._connection.execute(
                "DELETE FROM records WHERE value IS NULL AND changed_at < ?", (now - _KEPT_REMOVALS,)
            )
        self.seen = number
        return news

    def news(self) -> list[Change]:
        """Return the changes of other processes since the last call of `write` or `news`."""
        version = self._value("PRAGMA data_version")
        if version == self._data_version:
            return []
        with self._transaction("DEFERRED"):
            news = self._newer()
            self.seen = self._value("SELECT last FROM changes")
        self._data_version = version
        return news

    def _newer(self) -> list[Change]:
        rows = self._connection.execute(
            "SELECT kind, key, value FROM records WHERE change > ? ORDER BY change", (self.seen,)
        )
        return [
            Change(kind, _text(key), None if value is None else jsontext.loads(value))
            for kind, key, value in rows
        ]

    # The audit.

    def last_audit_id(self) -> int:
        """Return the number of the newest line of the audit, 0 if there is none."""
        found: int = self._value("SELECT coalesce(max(id), 0) FROM audit")
        return found

    def audit(self, *, before: int | None, limit: int, actor: str | None = None) -> list[AuditRow]:
        """Return lines of the audit, the newest first.

        Args:
            before: Only lines with smaller numbers; None begins with the newest.
            limit: The most lines.
            actor: Only lines of this actor; None for all.
        """
        conditions, values = ["id < ?"], [before if before is not None else 1 << 62]
        if actor is not None:
            conditions.append("actor = ?")
        rows = self._connection.execute(
            f"SELECT id, at, actor, row FROM audit WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?",  # noqa: S608  # only the constants above
            (*values, *(() if actor is None else (_bytes(actor),)), limit),
        )
        return [AuditRow(number, at, _text(name), row) for number, at, name, row in rows]

    def prune_audit(self, oldest: int, most: int = MOST_AUDIT_ROWS) -> None:
        """Delete the lines before a Unix time, and the oldest beyond a number of lines."""
        with self._transaction():
            self._connection.execute("DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?", (most,))
            kept = self._connection.execute(
                "SELECT id FROM audit WHERE at >= ? ORDER BY id LIMIT 1", (oldest,)
            ).fetchone()
            self._connection.execute("DELETE FROM audit WHERE id < ?", (kept[0] if kept else 1 << 62,))

    # SQLite.

    @contextlib.contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        self._connection.execute(f"BEGIN {kind}")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def _value(self, statement: str) -> Any:
        return self._connection.execute(statement).fetchone()[0]


def raise_if_hopeless(error: sqlite3.Error, path: Path) -> None:
    """Raise `StartError` if an error means that the file itself is wrong, so that waiting changes nothing."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _HOPELESS:
        raise StartError(_HOPELESS[code].format(path=path)) from None


def trouble(error: Exception, path: Path) -> str:
    """Return one sentence that says why the file cannot be used now."""
    if isinstance(error, FileReplacedError):
        return (
            f"{path} was replaced or removed while the server runs: put it back, or start the server again."
        )
    return str(error) if isinstance(error, StartError) else sentence(error, path)


def _make_private(path: Path) -> None:
    """Make the file readable for its user alone; SQLite gives its log the same rights."""
    with contextlib.suppress(OSError):  # SQLite reports a folder that cannot be written
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        path.chmod(0o600)


def _place(path: Path) -> tuple[int, int] | None:
    """Return the identity of the file at a path, None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogatepass")
