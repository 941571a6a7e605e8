"""The store that keeps variables in a SQLite file, written by a thread of its own.

The server's thread only puts values into `WriteQueue`; the thread takes them a few times a second and writes
them as one transaction. If writing fails, values wait in memory and the thread tries again. See
`cloudlink.storage.database` for the file's contents and how several processes share it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cloudlink.counters import StoreCondition
from cloudlink.errors import StartError
from cloudlink.storage.calendar import Calendar
from cloudlink.storage.database import CLOUD, Database
from cloudlink.storage.errors import Trouble, is_hopeless, sentence
from cloudlink.storage.timing import Timing
from cloudlink.storage.writequeue import WriteQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.storage.database import Tables
    from cloudlink.storage.interface import Watcher
    from cloudlink.storage.writequeue import Batch, Change

logger = logging.getLogger("cloudlink.storage")

_PAUSE_AT_END = 0.1
_LONGEST_END = 10.0
"""Longest wait for the thread to end, in seconds; after that, the disk is not responding."""
_REPORTED_AT_ONCE = 500
"""Changes reported to the server in one turn of its loop."""

_TELL_FULL_EVERY = 3600.0
"""Seconds between two log lines about the file having reached its size."""
_TIDY_EVERY = 3600.0
"""Seconds between two searches for unused rooms."""
_DAY = 86_400.0

_USUAL_TIMING = Timing()

_Place = tuple[int, int] | None
"""The identity of a file, or None if there is none."""


class SqliteStore:
    """A `VariableStore` in a file.

    Args:
        file: The file; it is created if it does not exist, but its folder is not.
        max_size: Most bytes of the file; None for no limit.
        keep_days: Days after which an unused room is deleted; 0 for never.
        tables: Which kind of variables it keeps. Stores of different kinds share a file, each with its own thread.
        timing: Its intervals and time-outs.
        wall_clock: Returns the Unix time in seconds.
        clock: Returns a monotonic time in seconds.

    Raises:
        StartError: The file is damaged or belongs to something else, or its folder does not exist.
    """

    def __init__(
        self,
        file: str,
        *,
        max_size: int | None = None,
        keep_days: float = 0,
        tables: Tables = CLOUD,
        timing: Timing = _USUAL_TIMING,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = Path(file)
        self._timing = timing
        self._wall_clock = wall_clock
        self._max_size = max_size
        self._keep_days = keep_days
        self._tables = tables
        self._told_full = -math.inf
        self._clock = clock
        self._tidied = clock()
        self._calendar = Calendar(wall_clock, clock)
        self._newest: float | None = None  # the newest time in the file before this process wrote
        self._wake = threading.Event()
        self._queue = WriteQueue(on_waiting=self._wake_up)
        self.offer = self._queue.offer  # for each update of a cloud variable, and so spared a call
        self._trouble = Trouble(self._path, timing, tables.kind)
        self._watchers: list[Watcher] = []
        self._call_soon: Callable[..., object] | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._writer: Database | None = None
        self._reading = threading.Lock()  # guards the next two
        self._reader: Database | None = None
        self._missed: set[str] = set()
        self._place: _Place = None
        self._log: _Place = None
        self._seen = 0  # the last known change in the file; 0 for none
        self._open_first()

    def _open_first(self) -> None:
        """Open the file for the first time; a wrong file stops the start, a failing disk does not."""
        try:
            self._reader = self._open_reader()
            self._seen = self._reader.seen
            self._reader.check(self._path)
            self._reader.try_writing()
        except Exception as error:  # noqa: BLE001  # a disk that fails must not keep the server from starting
            if is_hopeless(error):
                self._close_reader()
                raise StartError(sentence(error, self._path)) from None
            self._trouble.begin(error)
        self._remember_place()

    # On the server's thread.

    @property
    def condition(self) -> StoreCondition:
        """Whether the last attempt to write succeeded, and how many variables wait."""
        return StoreCondition(not self._trouble.pause, len(self._queue))

    def start(self, call_soon: Callable[..., object]) -> None:
        """Start to write, and to look for changes of others."""
        self._call_soon = call_soon
        self._thread = threading.Thread(target=self._run, name="cloudlink-storage", daemon=True)
        self._thread.start()

    def limit(self, max_size: int | None, keep_days: float) -> None:
        """Change the limits that were given to the constructor."""
        self._max_size = max_size
        self._keep_days = keep_days
        self._told_full = -math.inf
        writer = self._writer
        if writer is not None:
            writer.max_size = max_size

    def load(self, room: str) -> dict[str, bytes]:
        """Return all variables of a room, including values that were saved a moment ago."""
        # In this order, a value committed in between is in both and not in neither.
        waiting = self._queue.of_room(room)
        variables: dict[str, bytes | None] = {**self._read(room), **waiting}
        return {name: value for name, value in variables.items() if value is not None}

    def has_place(self, room: str, name: str, value: bytes | None, writer: str | None) -> bool:
        """Return whether a value may wait to be written."""
        return self._queue.has_place(room, name, value, writer)

    def save(self, room: str, name: str, value: bytes, writer: str | None = None) -> None:
        """Keep a value; it is on the disk within a second."""
        self._queue.put(room, name, value, writer)

    def _wake_up(self) -> None:
        if not self._wake.is_set():  # quicker than setting it again and again
            self._wake.set()

    def delete(self, room: str, name: str) -> None:
        """Forget a variable, if it exists."""
        self._queue.put(room, name, None)

    def touch(self, room: str) -> None:
        """Note that a room is in use."""
        self._queue.use(room)

    def unload(self, room: str) -> None:
        """Do nothing: the variables stay in the file."""

    def watch(self, changed: Watcher) -> None:
        """Register a function to call on the server's thread with changes that others made to the file."""
        self._watchers.append(changed)

    def close(self) -> None:
        """Write waiting values, and close the file."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake.set()
        if self._thread is None:
            self._finish()
        else:
            self._thread.join(_LONGEST_END)
        self._close_reader()

    def _read(self, room: str) -> dict[str, bytes]:
        with self._reading:
            try:
                if self._reader is None and not self._trouble.pause:
                    self._reader = self._open_reader()
                if self._reader is not None:
                    return self._reader.load(room)
            except Exception as error:  # noqa: BLE001  # whatever fails, the room continues in memory
                self._trouble.begin(error)
                self._drop_reader()
            self._missed.add(room)
            return {}

    def _call_watchers(self) -> None:
        """Report the changes of others to the watchers, some at a time."""
        changes = self._queue.fetch(_REPORTED_AT_ONCE)
        for change in changes:
            for watcher in self._watchers:
                try:
                    watcher(*change)
                except Exception:
                    logger.exception("A change of a variable could not be taken over.")
        if len(changes) == _REPORTED_AT_ONCE:
            self._schedule_watchers()

    def _schedule_watchers(self) -> None:
        # The loop may already be closed.
        with contextlib.suppress(RuntimeError):
            if self._call_soon is not None:
                self._call_soon(self._call_watchers)

    # On the writing thread.

    def _run(self) -> None:
        while not self._closing.is_set():
            if self._trouble.pause:
                self._closing.wait(self._trouble.pause)
            elif self._wake.wait(self._timing.look_every):
                self._closing.wait(self._timing.gather_for)
            self._round()
        self._finish()

    def _round(self) -> None:
        """Write waiting values and read the changes of others; log a failure and try again later."""
        self._wake.clear()
        batch = self._queue.take()
        try:
            news = self._exchange(batch)
        except Exception as error:  # noqa: BLE001  # the thread must survive any error
            self._queue.put_back()
            self._close_writer()
            self._trouble.begin(error)
            return
        self._queue.written()
        self._trouble.end()
        if self._queue.announce(news):
            self._schedule_watchers()

    def _exchange(self, batch: Batch) -> list[Change]:
        """Write a batch and return the changes of others."""
        used = self._queue.take_used()
        self._look_at_place()
        if self._writer is None:
            self._writer = self._open_writer()
        if batch or used:
            news = self._writer.write(batch, used)
            self._log_left_out(self._writer.left_out)
        else:
            if self._trouble.pause:
                self._writer.try_writing()
            news = self._writer.news()
        self._forget_unused(self._writer)
        news += self._missed_by(self._writer)
        # Only now, so that after a failure before this line the same news is read again.
        self._seen = self._writer.seen
        return [change for change in news if change[1] not in batch.get(change[0], ())]

    def _forget_unused(self, database: Database) -> None:
        """Occasionally delete the rooms that nobody has used for long; the next news reports it.

        This does not happen within an hour of the start or of a detected clock change: a computer that does not know the
        date learns it in that time.
        """
        if not self._keep_days or self._clock() - self._tidied < _TIDY_EVERY:
            return
        if move := self._calendar.look():
            database.shift_uses(move)
            logger.warning(
                "The clock of this computer was moved by %.1f days; projects in %s are not deleted within the next hour.",
                move.by / _DAY,
                self._path,
            )
            self._tidied = self._clock()
            return
        keep = self._keep_days * _DAY
        forgotten = database.forget_unused(self._calendar.today(self._newest, keep) - keep)
        self._tidied = self._clock()
        if forgotten:
            logger.info(
                "%s that nobody had opened for %g days were deleted from %s: %d (setting storage_keep_days).",
                self._tables.place.capitalize(),
                self._keep_days,
                self._path,
                forgotten,
            )

    def _log_left_out(self, count: int) -> None:
        if not count or time.monotonic() - self._told_full < _TELL_FULL_EVERY:
            return
        self._told_full = time.monotonic()
        logger.error(
            "New %s are kept in memory only, because %s has reached storage_max_size (%d bytes): "
            "set that higher, or delete %s with `cloudlink %s delete`. Variables in the file are saved as ever, "
            "unless they become longer.",
            self._tables.kind,
            self._path,
            self._max_size,
            self._tables.place,
            self._tables.command,
        )

    def _missed_by(self, database: Database) -> list[Change]:
        """Return the variables of the rooms that could not be read when the server wanted them."""
        with self._reading:
            rooms = set(self._missed)
        found: list[Change] = [
            (room, name, value) for room in rooms for name, value in database.load(room).items()
        ]
        with self._reading:
            self._missed -= rooms
        return found

    def _look_at_place(self) -> None:
        """Close the file if its path now leads to another file or to none.

        Without this, variables would be written to a file that nobody can find.
        """
        place = _place(self._path)
        if place == self._place:
            return
        if self._place is not None:
            logger.warning(
                "%s was %s while the server runs; %s go to a new file from now on.",
                self._path,
                "replaced" if place else "removed",
                self._tables.kind,
            )
        self._close_writer()
        self._close_reader()
        if place is not None and self._log is not None and self._log == _place(self._log_path):
            # The contents of the old file's log belong to that file; SQLite would write them into the new one.
            self._log_path.unlink()
        self._place = place
        self._seen = 0
        self._newest = None

    def _remember_place(self) -> None:
        """Note which file is open; its log stays the same as long as a connection is open."""
        self._place = _place(self._path)
        self._log = _place(self._log_path)

    @property
    def _log_path(self) -> Path:
        return Path(f"{self._path.resolve()}-wal")

    def _finish(self) -> None:
        """Write the last values."""
        deadline = time.monotonic() + self._timing.patience_at_end
        self._round()
        while len(self._queue) and time.monotonic() < deadline:
            time.sleep(_PAUSE_AT_END)
            self._round()
        if unsaved := len(self._queue):
            logger.error(
                "%d %s could not be saved to %s and are lost.", unsaved, self._tables.kind, self._path
            )
        self._close_writer()

    # The connections.

    def _open(self, max_size: int | None = None) -> Database:
        return Database(
            self._path,
            patience=self._timing.patience,
            tables=self._tables,
            max_size=max_size,
            wall_clock=self._wall_clock,
        )

    def _open_writer(self) -> Database:
        database = self._open(max_size=self._max_size)
        database.recall_news(self._seen)
        if self._newest is None:
            self._newest = database.newest()
        self._remember_place()
        return database

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open_reader(self) -> Database:
        database = self._open()
        database.be_patient(self._timing.patience_of_server)
        return database

    def _close_reader(self) -> None:
        with self._reading:
            self._drop_reader()

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _place(path: Path) -> _Place:
    """Return the identity of the file at a path, or None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
