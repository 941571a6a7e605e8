"""A disk or file that fails while the server runs: logged once, nothing lost that fits in memory, recovery by itself."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import threading
from contextlib import closing, contextmanager, suppress
from dataclasses import replace

import pytest

from cloudlink.errors import StartError
from cloudlink.storage.database import Database
from cloudlink.storage.errors import StorageError, Trouble
from cloudlink.storage.sqlite import SqliteStore
from cloudlink.storage.timing import Timing
from tests.storage.stores import QUICK, edit
from tests.support.clock import FakeClock

AGAIN = "Cloud variables are saved to {file} again."


@pytest.fixture
def timing():
    """Little patience: most tests here keep the file locked until the store has given up."""
    return replace(QUICK, patience=0.02)


@pytest.fixture(autouse=True)
def everything_is_heard(caplog):
    caplog.set_level(logging.INFO, "cloudlink.storage")


@pytest.fixture
def disk(monkeypatch):
    """A disk that is full while `disk.full` is true; SQLite finds out as it does on a real one."""

    class Disk:
        full = False

    write = Database.write

    def checked(self, *arguments):
        pages = self._pragma("page_count") if Disk.full else 1 << 30
        self._connection.execute(f"PRAGMA max_page_count = {pages}")
        return write(self, *arguments)

    monkeypatch.setattr(Database, "write", checked)
    return Disk


@contextmanager
def locked(file):
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def told(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "cloudlink.storage"]


def trouble(cause, remedy):
    return f"Cloud variables are kept in memory only, because {cause}: {remedy}, and CloudLink saves them by itself."


def test_a_full_disk(store, disk, turns, other, file, caplog):
    disk.full = True
    big = b'"' + b"1" * 20_000 + b'"'
    for name in "abc":
        store.save("1", name, big)
    turns.run_until(lambda: told(caplog))
    store.save("1", "d", b"4")
    store.save("1", "a", b"5")
    turns.run_until(lambda: store._trouble.pause == QUICK.longest_pause)

    assert store.load("1") == {"a": b"5", "b": big, "c": big, "d": b"4"}
    assert other.load("1") == {}

    disk.full = False
    turns.run_until(lambda: len(told(caplog)) > 1)
    assert other.load("1") == store.load("1") == {"a": b"5", "b": big, "c": big, "d": b"4"}
    assert told(caplog) == [
        trouble(f"the disk is full where {file} is", "free some space there"),
        AGAIN.format(file=file),
    ]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount a small disk"
)
def test_a_disk_that_really_is_full(opened, turns, tmp_path, caplog):
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], check=False).returncode:
        pytest.skip("this machine does not let root mount")
    try:
        store = opened(place / "vars.db")
        store.start(turns.call_soon)
        store.save("1", "a", b"1")
        turns.run_until(lambda: not len(store._queue))
        filling = place / "filling"
        with filling.open("wb", buffering=0) as stream, suppress(OSError):
            while stream.write(b"x" * 4096):
                pass
        big = b"1" * 50_000
        store.save("1", "b", big)
        turns.run_until(lambda: told(caplog))
        assert store.load("1") == {"a": b"1", "b": big}

        filling.unlink()
        turns.run_until(lambda: len(told(caplog)) > 1)
        store.close()
        assert opened(place / "vars.db").load("1") == {"a": b"1", "b": big}
        assert len(told(caplog)) == 2
    finally:
        subprocess.run(["umount", "-l", place], check=False)


def test_a_locked_file(store, turns, other, file, caplog):
    with locked(file):
        store.save("1", "a", b"1")
        turns.run_until(lambda: store._trouble.pause == QUICK.longest_pause)
        assert store.load("1") == {"a": b"1"}
    turns.run_until(lambda: len(told(caplog)) > 1)

    assert other.load("1") == {"a": b"1"}
    assert told(caplog) == [
        trouble(f"another program keeps {file} locked", "end that program"),
        AGAIN.format(file=file),
    ]


def test_a_file_that_is_locked_at_the_start(opened, turns, other, file, caplog):
    other.write("1", a=b"1")
    with locked(file):
        store = opened()
        store.start(turns.call_soon)
        assert store.load("1") == {"a": b"1"}
    turns.run_until(lambda: len(told(caplog)) > 1)
    assert told(caplog)[1] == AGAIN.format(file=file)


def test_a_file_that_cannot_be_read_at_the_start(opened, turns, other, file, caplog, monkeypatch):
    """The rooms that began empty get their values, unless they were set in the meantime."""
    other.write("1", a=b"1", b=b"2", c=b"3")
    prepare = Database._prepare

    def failing(self, path):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Database, "_prepare", failing)
    store = opened()
    news = []
    store.watch(lambda *change: news.append(change))
    store.start(turns.call_soon)
    assert store.load("1") == {}
    store.save("1", "a", b"own")
    store.delete("1", "c")

    monkeypatch.setattr(Database, "_prepare", prepare)
    turns.run_until(lambda: news)
    assert news == [("1", "b", b"2")]
    assert other.load("1") == store.load("1") == {"a": b"own", "b": b"2"}
    assert told(caplog) == [
        trouble(f"{file} cannot be used (disk I/O error)", "look at that file and its disk"),
        AGAIN.format(file=file),
    ]


def test_reading_that_fails_once(store, turns, other, monkeypatch, caplog):
    other.write("1", a=b"1")
    news = []
    store.watch(lambda *change: news.append(change))
    turns.run_until(lambda: news)
    news.clear()

    def failing(room):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(store._reader, "load", failing)
    assert store.load("1") == {}
    turns.run_until(lambda: news)
    assert news == [("1", "a", b"1")]
    assert store.load("1") == {"a": b"1"}
    assert len(told(caplog)) == 2


def test_changes_of_others_during_a_failure_are_reported_after_it(store, turns, other, file):
    news = []
    store.watch(lambda *change: news.append(change))
    with locked(file):
        store.save("1", "a", b"1")
        turns.run_until(lambda: store._trouble.pause)
    other.write("1", b=b"2")
    turns.run_until(lambda: news)
    assert news == [("1", "b", b"2")]


def failing_once(monkeypatch, owner, name):
    """Have a method fail when it is called the next time, and only then."""
    method = getattr(owner, name)

    def call(*arguments):
        monkeypatch.setattr(owner, name, method)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize("is_writing", [True, False], ids=["writing", "looking"])
@pytest.mark.parametrize("step", ["forget_unused", "load"])
def test_changes_read_before_a_failure_are_reported(opened, turns, other, monkeypatch, step, is_writing):
    uptime = FakeClock()
    store = opened(keep_days=1, clock=uptime)
    uptime.now += 3600
    store._call_soon = turns.call_soon
    news = []
    store.watch(lambda *change: news.append(change))
    failing_once(monkeypatch, store._reader, "load")
    store.load("missed")  # so that the thread has to read it
    other.write("1", a=b"other", b=b"other")
    other.write("1", b=None)
    if is_writing:
        store.save("2", "a", b"own")

    failing_once(monkeypatch, Database, step)
    store._round()
    turns.run()
    assert news == []
    store._round()
    turns.run()
    store.close()
    assert news == [("1", "a", b"other"), ("1", "b", None)]
    assert other.load("2") == ({"a": b"own"} if is_writing else {})


def test_a_use_that_could_not_be_noted_is_noted_later(opened, other, file):
    other.write("1", a=b"1")
    store = opened()
    store.touch("1")
    with locked(file):
        store._round()
    assert edit(file, "SELECT room FROM uses")[0] == []
    store._round()
    assert edit(file, "SELECT room FROM uses")[0] == [(b"1",)]


def test_a_read_only_file(opened, turns, other, file, caplog):
    other.write("1", a=b"1")
    file.chmod(0o400)
    if os.access(file, os.W_OK):
        pytest.skip("this user writes to read-only files too, as root does")
    store = opened()
    store.start(turns.call_soon)
    store.save("1", "b", b"2")
    assert store.load("1") == {"a": b"1", "b": b"2"}
    file.chmod(0o600)
    turns.run_until(lambda: other.load("1") == {"a": b"1", "b": b"2"})


def test_a_file_that_becomes_read_only(store, turns, other, file, caplog, monkeypatch):
    # `query_only` fails as a read-only file does, and root is no exception to it.
    turns.run_until(lambda: store._writer)
    store._writer._connection.execute("PRAGMA query_only = 1")
    store.save("1", "a", b"1")
    turns.run_until(lambda: len(told(caplog)) > 1)

    assert other.load("1") == {"a": b"1"}
    assert told(caplog)[0] == trouble(
        f"{file} or its folder is read-only", "let the user who runs CloudLink write to both"
    )


def test_a_folder_that_goes_away(opened, turns, tmp_path, caplog):
    folder = tmp_path / "folder"
    folder.mkdir()
    store = opened(folder / "vars.db")
    store.start(turns.call_soon)
    folder.rename(tmp_path / "elsewhere")
    store.save("1", "a", b"1")
    turns.run_until(lambda: len(told(caplog)) == 2)
    assert told(caplog)[1] == trouble(f"the folder {folder} does not exist", "make it, or name another file")
    folder.mkdir()
    turns.run_until(lambda: len(told(caplog)) == 3)
    store.close()
    assert opened(folder / "vars.db").load("1") == {"a": b"1"}


def test_a_file_that_turns_into_something_else(store, turns, file, caplog, tmp_path):
    diary = tmp_path / "diary"
    diary.write_text("Dear diary, " * 1000)
    diary.rename(file)
    store.save("1", "a", b"1")
    turns.run_until(lambda: len(told(caplog)) == 2)
    assert told(caplog)[1] == trouble(
        f"{file} is not a storage file of CloudLink",
        "move it away, or name another file with the setting storage",
    )
    file.rename(diary)
    turns.run_until(lambda: told(caplog)[-1] == AGAIN.format(file=file))
    assert store.load("1") == {"a": b"1"}
    assert diary.read_text().startswith("Dear diary")


def test_values_that_cannot_be_written_at_the_end_are_counted(store, file, caplog):
    with locked(file):
        store.save("1", "a", b"1")
        store.save("1", "b", b"1")
        store.close()
    assert told(caplog)[1:] == [f"2 cloud variables could not be saved to {file} and are lost."]


def test_a_lock_at_the_end_is_waited_for(opened, timing, turns, other, file):
    store = opened(timing=replace(timing, patience_at_end=5))
    store.start(turns.call_soon)
    with locked(file):
        store.save("1", "a", b"1")
        closing = threading.Thread(target=store.close)
        closing.start()
        turns.run_until(lambda: store._trouble.pause)
    closing.join()
    assert other.load("1") == {"a": b"1"}


def test_nothing_that_was_accepted_is_given_up(store, turns, other, file):
    store._queue._most_bytes = 4000
    with locked(file):
        accepted = 0
        while store.has_place(f"{accepted}", "a", b"1" * 1000, "greedy"):
            store.save(f"{accepted}", "a", b"1" * 1000, "greedy")
            accepted += 1
        assert store.has_place("honest", "a", b"2", "honest")
        store.save("honest", "a", b"2", "honest")
        turns.run_until(lambda: store._trouble.pause == QUICK.longest_pause)
    turns.run_until(lambda: other.load("honest"))
    assert accepted == 1
    assert store.load("0") == other.load("0") == {"a": b"1" * 1000}
    turns.run_until(lambda: store.has_place("1", "a", b"1" * 1000, "greedy"))


def test_a_mistake_of_ours_does_not_end_the_thread(store, turns, other, caplog, monkeypatch):
    turns.run_until(lambda: store._writer)
    monkeypatch.setattr(store._writer, "write", lambda *_: 1 / 0)
    store.save("1", "a", b"1")
    turns.run_until(lambda: other.load("1"))
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


def test_pauses_grow_and_each_cause_is_logged_once(file, caplog):
    trouble_ = Trouble(file, Timing(), "cloud variables")
    pauses = []
    for number in range(7):
        trouble_.begin(StorageError(f"cause {number % 2}", "remedy"))
        pauses.append(trouble_.pause)
    trouble_.end()
    trouble_.end()
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert told(caplog) == [
        trouble("cause 0", "remedy"),
        trouble("cause 1", "remedy"),
        AGAIN.format(file=file),
    ]


def test_a_recurring_failure_is_not_logged_each_time(file, caplog):
    clock = FakeClock()
    trouble_ = Trouble(file, Timing(), "cloud variables", clock)
    for _ in range(3):
        trouble_.begin(StorageError("cause", "remedy"))
        trouble_.end()
    assert told(caplog) == [trouble("cause", "remedy"), AGAIN.format(file=file)]

    clock.now += 100
    trouble_.begin(StorageError("cause", "remedy"))
    assert len(told(caplog)) == 3


def test_a_file_that_is_damaged_where_nobody_looks_first_is_refused(file, opened):
    store = opened()
    for number in range(200):
        store.save("1", f"{number}", b"1" * 1000)
    store.close()
    data = bytearray(file.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = b"\xff" * 4096
    file.write_bytes(data)
    with pytest.raises(StartError, match="is damaged"):
        opened()


def test_after_a_failed_start_all_of_the_file_is_news(file, other, opened, monkeypatch):
    def fail(self):
        raise sqlite3.OperationalError("disk I/O error")

    other.write("1", a=b"1")
    with monkeypatch.context() as patched:
        patched.setattr(SqliteStore, "_open_reader", fail)
        store = opened()
    changes = []
    store.watch(lambda *change: changes.append(change))
    store._round()
    store._call_watchers()
    assert changes == [("1", "a", b"1")]


def test_variables_that_could_not_be_read_are_told_once(file, other, opened, monkeypatch):
    def fail(self, room):
        raise sqlite3.OperationalError("disk I/O error")

    other.write("1", a=b"1")
    store, changes = opened(), []
    store.watch(lambda *change: changes.append(change))
    with monkeypatch.context() as patched:
        patched.setattr(Database, "load", fail)
        assert store.load("1") == {}
    for _ in range(3):
        store._round()
        store._call_watchers()
    assert changes == [("1", "a", b"1")]
