"""The store of the administration: records by kind and key, and the audit, in the file `admin_storage`.

Everything of the administration that outlives a restart is a record: a `kind` such as `account`, `ban`, `mute`,
`filter`, `room` or `known`, a key that is unique within its kind, and a value that JSON can hold. The parts that own a
kind keep their records in memory, in whatever form serves them; the store itself keeps none.

A part uses it in this order:

1. `open` opens and checks the file. `StartError` is one sentence about a file that cannot be used. A file that does not
   exist is made when there is something to save, so that a server without administration leaves none behind.
2. `records(kind)` yields what the file holds, and `watch(kind, callback)` asks for later changes by other processes:
   `callback(key, value)`, the value None for a removal.
3. `start` begins the thread that writes. The callbacks are called in the event loop's thread, within 2 seconds.
4. `save` queues changes, which are written together or not at all, and returns a future: True once they are on the
   disk, False if they are not. The future has its result within 2 seconds, as long as `tick` is called once a second.
   Changes that could not be written are tried again, unless `keep` is False. At most 10,000 wait.
5. `close` writes what waits.

A program without a server, such as the terminal, leaves out `start` and `tick`: `save` then writes before it returns.

Without a file (the setting `admin_storage` is empty) there are no records and `save` results in False: the changes will
not outlive the process. Parts that need a change to be saved check `is_memory_only` first.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cloudlink.admin.database import AuditRow, Change, Database, trouble
from cloudlink.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cloudlink.admin.replica import Replica, Stamped

__all__ = ["AdminStore", "AuditRow", "Change"]

logger = logging.getLogger("cloudlink.admin")

T = TypeVar("T")

MOST_WAITING = 10_000
"""The most changes, and the most lines of the audit, that wait for a file that cannot be written."""
_ANSWER_WITHIN = 1.0
"""Seconds after which `tick` answers a save; with a tick each second, an answer takes at most two."""
_PRUNE_EVERY = 3600.0
_PATIENCE_AT_END = 3.0
"""Seconds that `close` tries to write what waits."""
_PAUSES = (1.0, 30.0)
"""Seconds between two attempts to write, at first and at most."""


@dataclass(slots=True, eq=False)
class _Saving:
    """Changes that are written together, and who waits for the answer."""

    changes: list[Change]
    keep: bool
    since: float
    answer: Future[bool] = field(default_factory=Future)


class AdminStore:
    """The records and the audit of one server.

    Args:
        path: The file, None or empty for memory only.
        audit_days: Returns for how many days lines of the audit are kept.
        wall_clock: Returns the Unix time in seconds.
        clock: Returns the time in seconds.
        patience: Seconds to wait while another program writes; short enough for an answer within 2 seconds.
        look_every: Seconds between looks for changes by other processes.

    Attributes:
        is_memory_only: Whether there is no file.
        replica: The records with their stamps, None if this server is not a node of a cluster.
        stamps_foreign: Whether this process stamps what other programs change; one of several does.
        on_saved: Called with what other nodes need to know of changes that were saved.
        trouble: Why the file cannot be written now, one sentence; empty while all is well.
    """

    def __init__(
        self,
        path: str | Path | None,
        *,
        audit_days: Callable[[], float] = lambda: 90.0,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        patience: float = 0.8,
        look_every: float = 1.0,
    ) -> None:
        self._patience = patience
        self._look_every = look_every
        self.is_memory_only = not path
        self.trouble = ""
        self._path = Path(path or "")
        self._audit_days = audit_days
        self._wall_clock = wall_clock
        self._clock = clock
        self._database: Database | None = None
        self._lock = threading.Lock()
        # Those that no attempt to write has taken yet, or that are tried again.
        self._savings: list[_Saving] = []
        self._unanswered: list[_Saving] = []
        self._audit: list[AuditRow] = []
        self._questions: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._watchers: dict[str, list[Callable[[str, Any], None]]] = {}
        # How many changes this process has noted, and which of them was the last one of a record.
        self._noted = 0
        self._latest: OrderedDict[tuple[str, str], int] = OrderedDict()
        self.replica: Replica | None = None
        self.stamps_foreign = True
        self._forgot_at = clock()
        self.on_saved: Callable[[list[list[Any]]], None] = lambda _stamped: None
        self._call_soon: Callable[[Callable[[], None]], object] = lambda callback: callback()
        self._on_trouble: Callable[[str], None] = lambda _sentence: None
        self._thread: threading.Thread | None = None
        self._woken = threading.Event()
        self._is_closing = False
        self._has_begun = False
        self._pause = 0.0
        self._retry_at = 0.0
        self._pruned_at: float | None = None

    def open(self, path: str | Path | None = None) -> None:
        """Open the file and check it, if there is one.

        Args:
            path: The file, if it was not known before; None for the one that it was.

        Raises:
            StartError: The file cannot be used; the sentence says why, and what to do.
        """
        if path is not None:
            self.is_memory_only = not path
            self._path = Path(path)
        if not self.is_memory_only and (self._path.exists() or not self._path.parent.is_dir()):
            try:
                self._opened().check()
            except (sqlite3.Error, StartError) as error:
                if self._database is not None:
                    self._database.close()
                    self._database = None
                if isinstance(error, StartError):
                    raise
                raise StartError(trouble(error, self._path)) from None
        self._has_begun = True

    def _opened(self) -> Database:
        """Return the connection to the file, which is made if it does not exist."""
        if self._database is None:
            self._database = Database(self._path, patience=self._patience, wall_clock=self._wall_clock)
            if self._has_begun:
                self._database.forget()  # what another process wrote into a file that was not there at the start
        return self._database

    def records(self, kind: str) -> Iterator[tuple[str, Any]]:
        """Yield the key and the value of each record of a kind in the file; call it between `open` and `start`."""
        if self._database is not None:
            yield from self._database.records(kind)

    def last_audit_id(self) -> int:
        """Return the number of the newest line of the audit; call it between `open` and `start`."""
        return 0 if self._database is None else self._database.last_audit_id()

    def watch(self, kind: str, callback: Callable[[str, Any], None]) -> None:
        """Have `callback(key, value)` called for each change of another process; the value is None for a removal."""
        self._watchers.setdefault(kind, []).append(callback)

    def start(
        self,
        call_soon: Callable[[Callable[[], None]], object],
        on_trouble: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        """Begin the thread that writes.

        Args:
            call_soon: Calls a function in the server's thread; the loop's `call_soon_threadsafe`.
            on_trouble: Called in that thread with a sentence when the file cannot be written, and with an empty
                text when it can be written again.
        """
        self._call_soon = call_soon
        self._on_trouble = on_trouble
        if self.is_memory_only or self._thread is not None:
            return
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name="cloudlink-admin-storage", daemon=True)
        self._thread.start()

    def save(self, changes: Iterable[Change], *, keep: bool = True) -> Future[bool]:
        """Write changes, all of them or none.

        Args:
            changes: The new values of records.
            keep: Whether to try again if they cannot be written now. Without, they are dropped when the answer
                is False.

        Returns:
            A future of whether they are on the disk. It has its result within 2 seconds; a program without a
            thread gets it at once.
        """
        changes = list(changes)
        if keep and self.replica is not None:
            changes += self.replica.rows(changes)
        saving = _Saving(changes, keep, self._clock())
        self._note(saving.changes)
        if self.is_memory_only:
            _answer(saving, saved=False)
            return saving.answer
        with self._lock:
            waiting = sum(len(earlier.changes) for earlier in self._savings)
            if waiting + len(saving.changes) > MOST_WAITING and self._pause:
                _answer(saving, saved=False)
                return saving.answer
            self._savings.append(saving)
            self._unanswered.append(saving)
        if self._thread is None:
            self._write()
            self._answer_failed()
        else:
            self._woken.set()
        return saving.answer

    def put(self, kind: str, key: str, value: Any, *, keep: bool = True) -> Future[bool]:
        """Save one record, or remove it if the value is None; see `save`."""
        return self.save([Change(kind, key, value)], keep=keep)

    @property
    def waiting(self) -> int:
        """How many changes wait to be written."""
        with self._lock:
            return sum(len(saving.changes) for saving in self._savings)

    def append_audit(self, row: AuditRow) -> None:
        """Add a line to the audit; nobody waits for it."""
        if self.is_memory_only:
            return
        with self._lock:
            self._audit.append(row)
            if len(self._audit) > MOST_WAITING:
                del self._audit[0]
        if self._thread is None:
            self._write()
        elif not self._pause:
            self._woken.set()

    def ask(self, question: Callable[[Database], T]) -> Future[T]:
        """Have a question answered by the file, in the thread of the store after everything that waits there.

        Raises:
            StartError: There is no file; check `is_memory_only` first.
        """
        if self.is_memory_only:
            raise StartError("There is no file, because the setting admin_storage is empty.")
        answer: Future[T] = Future()

        def ask() -> None:
            try:
                found = question(self._opened())
            except Exception as error:  # noqa: BLE001  # whoever asks handles it
                answer.set_exception(error)
            else:
                answer.set_result(found)

        if self._thread is None:
            ask()
        else:
            self._questions.put(ask)
            self._woken.set()
        return answer

    # In a cluster, all nodes have the same records.

    def share(self, replica: Replica) -> list[Change]:
        """Stamp what is changed from now on; call it between `open` and `start`.

        Args:
            replica: The records of this node, which are read from the file now.

        Returns:
            What another program has changed in the file while no server ran; to be given to `tell_saved`.
        """
        from cloudlink.admin.replica import SHARED, STAMP  # noqa: PLC0415  # a lone server does not load it

        self.replica = replica
        records = [Change(kind, key, value) for kind in SHARED for key, value in self.records(kind)]
        return replica.load(records, self.records(STAMP))

    def stamp(self, changes: Iterable[Change], *, is_expiry: bool = False) -> list[list[Any]] | None:
        """Stamp changes; return them as other nodes get them, None if this server is not a node of a cluster."""
        if self.replica is None:
            return None
        from cloudlink.admin.replica import packed  # noqa: PLC0415  # see `share`

        return packed(self.replica.stamp(changes, is_expiry=is_expiry))

    def tell_saved(self, changes: Iterable[Change]) -> None:
        """Stamp changes that have been saved, and tell other nodes."""
        changes = list(changes)
        stamped = self.stamp(changes)
        if stamped and self.replica is not None:
            self.save(self.replica.rows(changes))
            self.on_saved(stamped)

    def take_stamped(self, stamped: Iterable[Stamped], *, is_to_save: bool) -> None:
        """Take over changes of another node as far as they are newer."""
        if self.replica is not None:
            self.put_into_effect(self.replica.accept(stamped), is_to_save=is_to_save)

    def put_into_effect(self, newer: Iterable[Stamped], *, is_to_save: bool) -> None:
        """Have the parts take over changes that the replica has accepted."""
        changes = [one.change for one in newer]
        self.notice(changes)
        if changes and is_to_save:
            self.save(changes)

    def tick(self) -> None:
        """Answer saves that took too long; to be called once a second."""
        now = self._clock()
        self._answer_failed(older_than=now - _ANSWER_WITHIN)
        if self.replica is not None and now - self._forgot_at >= _PRUNE_EVERY:
            self._forgot_at = now
            if forgotten := self.replica.prune():
                self.save(forgotten)

    def close(self) -> None:
        """Write what waits, for some seconds at most, and close the file."""
        if self._thread is not None:
            self._is_closing = True
            self._woken.set()
            self._thread.join(_PATIENCE_AT_END + 2 * self._patience)
            self._thread = None
        self._answer_failed()
        if self._database is not None:
            self._database.close()
            self._database = None

    # The thread.

    def _work(self) -> None:
        while not self._is_closing:
            self._woken.wait(self._look_every)
            self._woken.clear()
            self._round()
        deadline = self._clock() + _PATIENCE_AT_END
        self._pause = 0.0
        self._round()
        while self.waiting and self._clock() < deadline:
            time.sleep(0.1)
            self._pause = 0.0
            self._round()
        if unsaved := self.waiting:
            logger.error(
                "%d changes of the administration could not be saved to %s and are lost.",
                unsaved,
                self._path,
            )

    def _round(self) -> None:
        try:
            # A new change is tried at once, even during a pause: whoever made it waits for the answer.
            if self._unanswered or not self._pause or self._clock() >= self._retry_at:
                self._write()
            if self._database is None:
                self.open()  # another process may have made the file
            if self._database is not None:
                self._look(self._database)
                self._prune(self._database)
            while not self._questions.empty():
                self._questions.get()()
        except Exception:  # the thread has to live as long as the server
            logger.exception("Looking after %s failed.", self._path)

    def _write(self) -> None:
        """Write all that waits; the thread's only way to write, and a program's without a thread."""
        with self._lock:
            savings, audit = list(self._savings), list(self._audit)
        if not savings and not audit:
            return
        since = self._noted
        try:
            news = self._opened().write([change for saving in savings for change in saving.changes], audit)
        except (sqlite3.Error, OSError, StartError) as error:
            self._fail(error, savings)
            return
        with self._lock:
            self._savings = _without(self._savings, savings)
            self._unanswered = _without(self._unanswered, savings)
            if audit:
                self._audit = [row for row in self._audit if row.id > audit[-1].id]
        for saving in savings:
            if not _answer(saving, saved=True) and not saving.keep:
                # The answer was that nothing had changed; now the file agrees.
                self._tell(saving.changes, self._noted)
        self._tell(news, since)
        if self._pause:
            self._pause = 0.0
            self._say("")

    def _fail(self, error: Exception, savings: list[_Saving]) -> None:
        first, longest = _PAUSES
        self._pause = min(self._pause * 2, longest) or first
        self._retry_at = self._clock() + self._pause
        with self._lock:
            self._savings = _without(self._savings, [saving for saving in savings if not saving.keep])
            self._unanswered = _without(self._unanswered, savings)
        for saving in savings:
            _answer(saving, saved=False)
        why = trouble(error, self._path)
        if why != self.trouble:
            self._say(why)

    def _say(self, why: str) -> None:
        self.trouble = why
        if why:
            logger.error("Changes of the administration are kept in memory only. %s", why)
        else:
            logger.info("Changes of the administration are saved to %s again.", self._path)
        self._call_soon(lambda: self._on_trouble(why))

    def _look(self, database: Database) -> None:
        since = self._noted
        try:
            self._tell(database.news(), since)
        except sqlite3.Error as error:
            logger.debug("%s could not be read: %s", self._path, error)

    def _tell(self, news: list[Change], since: int) -> None:
        if news:
            self._call_soon(lambda: self._call_watchers(news, since))

    def _call_watchers(self, news: list[Change], since: int) -> None:
        """Have the parts take over what was read, unless it is older than what this process knows.

        Args:
            news: The changes.
            since: The number of the last change that was known before they were read.
        """
        late = [change for change in news if self._latest.get((change.kind, change.key), 0) <= since]
        self._take_over(late if self.replica is None else self._stamped_news(self.replica, late))

    def _stamped_news(self, replica: Replica, news: list[Change]) -> list[Change]:
        """Return the news from the file that are newer than what is known; what another program has changed is stamped."""
        from cloudlink.admin.replica import SHARED, STAMP, is_same, unpacked  # noqa: PLC0415  # see `share`

        stamps = {change.key: change.value for change in news if change.kind == STAMP and change.value}
        taken, foreign = [], []
        for change in news:
            row = stamps.get(f"{change.kind} {change.key}")
            if change.kind not in SHARED:
                taken.append(change)
            elif row is not None:
                taken += [one.change for one in replica.accept(unpacked([[*change, *row[:2]]]))]
            else:
                taken.append(change)
                if not is_same(change, replica.find(change.kind, change.key)):
                    foreign.append(change)
        if self.stamps_foreign:
            self.tell_saved(foreign)
        return taken

    def notice(self, changes: Iterable[Change]) -> None:
        """Have the parts take over what another process says."""
        changes = list(changes)
        self._note(changes)
        self._take_over(changes)

    def _note(self, changes: Iterable[Change]) -> None:
        for kind, key, _ in changes:
            self._noted += 1
            self._latest[kind, key] = self._noted
            self._latest.move_to_end((kind, key))
        while len(self._latest) > MOST_WAITING:
            self._latest.popitem(last=False)

    def _take_over(self, changes: Iterable[Change]) -> None:
        for kind, key, value in changes:
            for callback in self._watchers.get(kind, ()):
                callback(key, value)

    def _prune(self, database: Database) -> None:
        now = self._clock()
        if self._pause or (self._pruned_at is not None and now - self._pruned_at < _PRUNE_EVERY):
            return
        self._pruned_at = now
        try:
            database.prune_audit(int(self._wall_clock() - self._audit_days() * 86_400))
        except sqlite3.Error as error:
            logger.debug("The audit in %s could not be shortened: %s", self._path, error)

    # Answers.

    def _answer_failed(self, older_than: float | None = None) -> None:
        with self._lock:
            late = [saving for saving in self._unanswered if older_than is None or saving.since <= older_than]
            self._unanswered = _without(self._unanswered, late)
            self._savings = _without(self._savings, [saving for saving in late if not saving.keep])
        for saving in late:
            _answer(saving, saved=False)


def _without(savings: list[_Saving], gone: list[_Saving]) -> list[_Saving]:
    leaving = set(gone)
    return [saving for saving in savings if saving not in leaving]


def _answer(saving: _Saving, *, saved: bool) -> bool:
    """Give the answer; return False if another one was given before."""
    try:
        saving.answer.set_result(saved)
    except InvalidStateError:
        return False
    return True
