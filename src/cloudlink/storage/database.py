"""The storage file: its tables, and reading and writing them through one connection.

Every method works synchronously and passes on SQLite's errors; `cloudlink.storage.sqlite` adds threads,
retries and batching. The command line uses this module directly, even while a server runs.

Several processes can share the file: each transaction that writes takes the next change number and marks
its rows with it, so that a process that remembers a number finds later changes. A deleted variable stays for
a while as a row without a value, so that its deletion is found too.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloudlink.storage.errors import StorageError, damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from cloudlink.storage.calendar import Move
    from cloudlink.storage.writequeue import Batch, Change

APPLICATION_ID = 0x436C6C6B
"""Marks a SQLite file as CloudLink's ("Cllk")."""

VERSION = 2
"""The version of the tables below; a file of version 1, which had no `uses`, is upgraded."""

# Names are stored as bytes, because text in SQLite ends at NUL and cannot hold half a surrogate pair.
_CREATE = """
CREATE TABLE {variables} (
    room BLOB NOT NULL CHECK (typeof(room) = 'blob'),
    name BLOB NOT NULL CHECK (typeof(name) = 'blob'),
    value BLOB CHECK (typeof(value) IN ('blob', 'null')),
    change INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    UNIQUE (room, name)
);
CREATE INDEX {variables}_by_change ON {variables} (change);
CREATE INDEX {variables}_deleted ON {variables} (changed_at) WHERE value IS NULL;
CREATE TABLE {changes} (last INTEGER NOT NULL);
INSERT INTO {changes} VALUES (0);
"""
_CREATE_USES = "CREATE TABLE {uses} (room BLOB PRIMARY KEY, used_at INTEGER NOT NULL) WITHOUT ROWID"
"""When each room was last used; reading alone leaves no other trace."""

_PUT = (
    "INSERT INTO {variables} (room, name, value, change, changed_at) VALUES {places}"
    " ON CONFLICT (room, name) DO UPDATE SET"
    " value = excluded.value, change = excluded.change, changed_at = excluded.changed_at"
)


@dataclass(frozen=True)
class Tables:
    """The tables that hold one kind of variables; a file can hold several kinds.

    Attributes:
        variables: Name of the table of values.
        changes: Name of the table of the last change number.
        uses: Name of the table of the times when each room was last used.
        kind: The variables' name in the log, plural and in lower case.
        place: The name in the log of the things that have variables, likewise.
        command: The sub-command of `cloudlink` that deletes them.
    """

    variables: str
    changes: str
    uses: str
    kind: str
    place: str
    command: str

    def fill(self, statements: str) -> str:
        """Return SQL with these names in place of `{variables}`, `{changes}` and `{uses}`."""
        return statements.format(variables=self.variables, changes=self.changes, uses=self.uses)


CLOUD = Tables("variables", "changes", "uses", "cloud variables", "projects", "vars")
"""The cloud variables of Scratch projects; every file has these tables."""
ROOMS = Tables("room_variables", "room_changes", "room_uses", "variables of rooms", "rooms", "rooms")
"""The variables of CloudLink 4 rooms; a file gets these tables when they are first needed."""

_ROWS_AT_ONCE = 128
"""Most rows per statement; each has five parameters, and an old SQLite accepts 999.

Many rows per statement, because Python releases the GIL for each statement, and on a busy server it may
take milliseconds to get it back.
"""
_KEPT_DELETIONS = 3600
"""Seconds for which a deleted variable's row is kept; other processes look for changes every second."""

_USE_LASTS = 3600
"""Seconds within which another use of a room is not stored again."""

_ROUNDED = 60
"""Tolerance for times in the file, in seconds."""

_ROW_COST = 64
"""Approximate bytes of the file that a variable takes in addition to its name and value."""
_NO_GROWTH = 32
"""Length in bytes up to which a value may replace a shorter one in a full file."""

_KEPT_LOG = 4 << 20
"""Bytes of the log that stay on the disk after a checkpoint."""

_CHECKED_SIZE = 64 << 20
"""Size in bytes up to which the whole file is checked at the start, at about 1 GiB a second."""


def encode(name: str) -> bytes:
    """Return the bytes under which a room or a variable is stored."""
    return name.encode("utf-8", "surrogatepass")


def decode(stored: bytes) -> str:
    """Return the name for stored bytes."""
    return stored.decode("utf-8", "surrogatepass")


Row = tuple[bytes, bytes, bytes | None]
"""Room, name and value of a variable as they are stored."""


def _portions(rows: list[Row]) -> Iterator[list[Row]]:
    """Yield rows for one statement at a time: as many as a power of two.

    Python keeps the last 128 statements compiled, and one for a hundred rows takes 50 KB. With a statement for each number of
    rows, the memory of a server slowly grew by up to 5 MB.
    """
    start = 0
    while start < len(rows):
        left = len(rows) - start
        end = start + min(1 << (left.bit_length() - 1), _ROWS_AT_ONCE)
        yield rows[start:end]
        start = end


class Database:
    """One connection to the storage file.

    Args:
        path: The file.
        patience: Seconds to wait while another program writes.
        create: Whether to create the file if it does not exist; its folder must exist.
        tables: Which kind of variables to read and write.
        max_size: Most bytes of the file, None for no limit. Beyond that, only existing variables can be changed.
        wall_clock: Returns the Unix time in seconds.

    Attributes:
        seen: The number of the last known change; initially the last one in the file.
        left_out: How many variables of the last `write` did not fit into the file.

    Raises:
        StorageError: The file belongs to another program or a newer version, or its folder does not exist.
        sqlite3.Error: The file cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        patience: float,
        create: bool = True,
        tables: Tables = CLOUD,
        max_size: int | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        if path.is_dir():
            raise StorageError(f"{path} is a folder", "name a file in it")
        if not path.parent.is_dir():
            raise StorageError(f"the folder {path.parent} does not exist", "make it, or name another file")
        self._connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}",
            uri=True,
            timeout=patience,
            isolation_level=None,
            check_same_thread=False,
        )
        self._tables = tables
        self._swept = 0.0
        self.max_size = max_size
        self._wall_clock = wall_clock
        self.left_out = 0
        self.seen = 0
        self._data_version = -1
        try:
            self._prepare(path)
            self.seen = self._value(tables.fill("SELECT last FROM {changes}"))
        except BaseException:
            self.close()
            raise

    def _prepare(self, path: Path) -> None:
        if self._is_empty():
            self._connection.execute("PRAGMA journal_mode = WAL")
            with self._transaction():
                if self._is_empty():  # no other process was faster
                    self._create()
        if self._pragma("application_id") != APPLICATION_ID:
            raise StorageError(
                f"{path} is a file of another program",
                "name another file with the setting storage",
            )
        version = self._pragma("user_version")
        if version > VERSION:
            raise StorageError(f"{path} was written by a newer CloudLink", "update this one")
        if version < VERSION:
            with self._transaction():
                if self._pragma("user_version") < VERSION:  # no other process was faster
                    self._add_uses()
        if not self._has_tables():
            with self._transaction():
                if not self._has_tables():  # no other process was faster
                    self._add_tables(self._tables)
                    self._connection.execute(self._tables.fill(_CREATE_USES))
        self._connection.execute("PRAGMA journal_mode = WAL")
        # A commit is on the disk when it returns, even on macOS, which needs `fullfsync` for that.
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA fullfsync = 1")
        # Without this limit, the log never shrinks.
        self._connection.execute(f"PRAGMA journal_size_limit = {_KEPT_LOG}")

    def _is_empty(self) -> bool:
        return not self._value("SELECT count(*) FROM sqlite_master")

    def _has_tables(self) -> bool:
        found = self._connection.execute(
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (self._tables.variables,)
        )
        return found.fetchone() is not None

    def _create(self) -> None:
        self._add_tables(CLOUD)
        self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._add_uses()

    def _add_tables(self, tables: Tables) -> None:
        for statement in tables.fill(_CREATE).split(";\n"):
            self._connection.execute(statement)

    def _add_uses(self) -> None:
        self._connection.execute(CLOUD.fill(_CREATE_USES))
        self._connection.execute(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        """Close the connection, whatever state the file is in."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def be_patient(self, patience: float) -> None:
        """Set how many seconds to wait while another program writes."""
        self._connection.execute(f"PRAGMA busy_timeout = {round(patience * 1000)}")

    def check(self, path: Path) -> None:
        """Check the whole file for damage, unless it is large.

        Raises:
            StorageError: The file is damaged.
        """
        if self._pragma("page_count") * self._pragma("page_size") > _CHECKED_SIZE:
            return
        if self._value("PRAGMA quick_check(1)") != "ok":
            raise damaged(path)

    def try_writing(self) -> None:
        """Raise an error if the file cannot be written; nothing is changed."""
        with self._transaction():
            pass

    # Reading.

    def load(self, room: str) -> dict[str, bytes]:
        """Return the variables of a room."""
        rows = self._run(
            "SELECT name, value FROM {variables} WHERE room = ? AND value IS NOT NULL ORDER BY name",
            (encode(room),),
        )
        return {decode(name): value for name, value in rows.fetchall()}

    def rooms(self) -> dict[str, tuple[int, int]]:
        """Return, by room in sorted order, the number of variables and the time of the last change (Unix time)."""
        rows = self._run(
            "SELECT room, count(*), max(changed_at) FROM {variables} WHERE value IS NOT NULL GROUP BY room ORDER BY room"
        )
        return {decode(room): (count, changed_at) for room, count, changed_at in rows.fetchall()}

    # Writing and noticing.

    def write(self, batch: Batch, used: Iterable[str] = ()) -> list[Change]:
        """Write all values or none, and return when they are on the disk.

        Args:
            batch: The values.
            used: Rooms that are in use.

        Returns:
            The changes of other processes since the last call of `write` or `news`.
        """
        rows: list[Row] = [
            (encode(room), encode(name), value)
            for room, values in batch.items()
            for name, value in values.items()
        ]
        with self._transaction():
            news, _ = self._newer()
            number, now = self._next_change(), int(self._wall_clock())
            fitting = self._fitting(rows)
            for portion in _portions(fitting):
                self._put(portion, number, now)
            self._note_use(used, now)
            self._sweep(now)
        self.left_out = len(rows) - len(fitting)
        self.seen = number
        return news

    def _next_change(self) -> int:
        self._run("UPDATE {changes} SET last = last + 1")
        number: int = self._run("SELECT last FROM {changes}").fetchone()[0]
        return number

    def _fitting(self, rows: list[Row]) -> list[Row]:
        """Return the rows that fit: all, or in a full file those that need no additional space."""
        if self.max_size is None:
            return rows
        needed = sum(_ROW_COST + len(room) + len(name) + len(value or b"") for room, name, value in rows)
        pages = self._pragma("page_count") - self._pragma("freelist_count")
        if pages * self._pragma("page_size") + needed <= self.max_size:
            return rows
        return [row for row in rows if self._has_place(*row)]

    def _has_place(self, room: bytes, name: bytes, value: bytes | None) -> bool:
        if value is None:
            return True
        known = self._run(
            "SELECT length(value) FROM {variables} WHERE room = ? AND name = ? AND value IS NOT NULL",
            (room, name),
        ).fetchone()
        return known is not None and len(value) <= max(known[0], _NO_GROWTH)

    def _note_use(self, rooms: Iterable[str], now: int) -> None:
        self._connection.executemany(
            self._tables.fill(
                "INSERT INTO {uses} SELECT :room, :now WHERE EXISTS (SELECT 1 FROM {variables} WHERE room = :room)"
                " ON CONFLICT (room) DO UPDATE SET used_at = :now WHERE used_at < :now - :lasts"
            ),
            [{"room": encode(room), "now": now, "lasts": _USE_LASTS} for room in rooms],
        )

    def newest(self) -> float | None:
        """Return the newest time in the file (Unix time), None if there is none."""
        times = self._run(
            "SELECT (SELECT changed_at FROM {variables} ORDER BY change DESC LIMIT 1), (SELECT max(used_at) FROM {uses})"
        ).fetchone()
        return max((at for at in times if at is not None), default=None)

    def shift_uses(self, move: Move) -> None:
        """Correct the times of uses that were stored while the clock was wrong.

        The times of changes stay as they are; instead, a use at the right time is stored for their rooms.
        """
        # Times are stored in whole seconds, and several moves round them several times.
        times = {
            "by": round(move.by),
            "since": move.since - _ROUNDED,
            "until": move.until + _ROUNDED,
        }
        with self._transaction():
            self._run(
                "UPDATE {uses} SET used_at = used_at + :by WHERE used_at BETWEEN :since AND :until", times
            )
            self._run(
                "INSERT INTO {uses} SELECT room, max(changed_at) + :by FROM {variables}"
                " WHERE value IS NOT NULL AND changed_at BETWEEN :since AND :until GROUP BY room"
                " ON CONFLICT (room) DO UPDATE SET used_at = max(used_at, excluded.used_at)",
                times,
            )

    def forget_unused(self, since: float) -> int:
        """Delete the rooms that were neither changed nor used since a time (Unix time), and return their number.

        `news` reports these deletions too.
        """
        with self._transaction():
            number, now = self._next_change(), int(self._wall_clock())
            found = self._run(
                "SELECT room FROM {variables} WHERE value IS NOT NULL GROUP BY room HAVING max(changed_at) < ?"
                " EXCEPT SELECT room FROM {uses} WHERE used_at >= ?",
                (since - _ROUNDED, since - _ROUNDED),
            ).fetchall()
            self._connection.executemany(
                self._tables.fill(
                    "UPDATE {variables} SET value = NULL, change = ?, changed_at = ?"
                    " WHERE room = ? AND value IS NOT NULL"
                ),
                [(number, now, room) for (room,) in found],
            )
        self.recall_news(self.seen)
        return len(found)

    def _put(self, rows: list[Row], number: int, now: int) -> None:
        places = ",".join(["(?,?,?,?,?)"] * len(rows))
        self._run(_PUT.replace("{places}", places), [field for row in rows for field in (*row, number, now)])

    def _sweep(self, now: float) -> None:
        """Occasionally remove the rows of variables that were deleted long ago."""
        if abs(now - self._swept) > _KEPT_DELETIONS:
            self._run(
                "DELETE FROM {variables} WHERE value IS NULL AND changed_at < ?", (now - _KEPT_DELETIONS,)
            )
            self._run("DELETE FROM {uses} WHERE room NOT IN (SELECT room FROM {variables})")
            self._swept = now

    def news(self) -> list[Change]:
        """Return the changes of other processes since the last call of `write` or `news`."""
        version = self._pragma("data_version")
        if version == self._data_version:
            return []
        found, self.seen = self._newer()
        self._data_version = version
        return found

    def recall_news(self, seen: int) -> None:
        """Make `news` return the changes after the one with this number again."""
        self.seen = seen
        self._data_version = -1

    def _newer(self) -> tuple[list[Change], int]:
        rows = self._run(
            "SELECT room, name, value, change FROM {variables} WHERE change > ? ORDER BY change", (self.seen,)
        ).fetchall()
        changes = [(decode(room), decode(name), value) for room, name, value, _ in rows]
        return changes, rows[-1][3] if rows else self.seen

    # SQLite.

    def _run(self, statement: str, values: Sequence[Any] | dict[str, Any] = ()) -> sqlite3.Cursor:
        """Run a statement with the placeholders of `Tables.fill`."""
        return self._connection.execute(self._tables.fill(statement), values)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        # IMMEDIATE: values read in the transaction are still valid when it writes.
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.rollback()
            raise

    def _pragma(self, name: str) -> Any:
        return self._value(f"PRAGMA {name}")

    def _value(self, query: str) -> Any:
        return self._connection.execute(query).fetchone()[0]
