"""A file that several processes or threads use at the same moment, and one that is closed at a bad moment."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace

import pytest

from cloudlink.storage import database
from cloudlink.storage.database import Database
from cloudlink.storage.errors import StorageError
from tests.storage.stores import QUICK, Other, edit
from tests.support.clock import FakeClock

_WRITER = """
import sys
from cloudlink.storage import open_store
store = open_store(sys.argv[1])
store.start(lambda function, *arguments: function(*arguments))
for number in range(300):
    store.save("shared", f"{sys.argv[2]} {number}", b"%d" % number)
store.close()
"""


def meanwhile(monkeypatch, happens):
    """Have something happen once, just before the next transaction begins."""
    real = Database._transaction

    def transaction(self):
        monkeypatch.setattr(Database, "_transaction", real)
        happens()
        return real(self)

    monkeypatch.setattr(Database, "_transaction", transaction)


def test_processes_that_begin_at_once_lose_nothing_to_each_other(file, other):
    processes = [subprocess.Popen([sys.executable, "-c", _WRITER, str(file), f"{n}"]) for n in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert other.load("shared") == {
        f"{n} {number}": b"%d" % number for n in range(3) for number in range(300)
    }
    assert edit(file, "PRAGMA integrity_check") == [[("ok",)]]


def test_threads_that_begin_at_once_lose_nothing_to_each_other(opened, turns, other):
    stores = [opened(timing=replace(QUICK, patience_at_end=10.0)) for _ in range(3)]
    barrier = threading.Barrier(3)

    def write(number, store):
        store.start(turns.call_soon)
        barrier.wait()
        for count in range(200):
            store.save("shared", f"{number} {count}", b"1")
        store.close()

    threads = [threading.Thread(target=write, args=each) for each in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(other.load("shared")) == 600


def test_a_file_that_another_process_makes_first(file, other, monkeypatch):
    meanwhile(monkeypatch, lambda: other.write("1", a=b"1"))
    with closing(Database(file, patience=5)) as mine:
        assert mine.load("1") == {"a": b"1"}


def test_a_file_that_another_process_converts_first(file, other, monkeypatch):
    other.write("1", a=b"1")
    edit(file, "DROP TABLE uses", "PRAGMA user_version = 1")
    meanwhile(monkeypatch, lambda: Database(file, patience=5).close())
    with closing(Database(file, patience=5)) as mine:
        assert mine.load("1") == {"a": b"1"}


def test_a_value_committed_during_loading_is_not_lost(opened, monkeypatch):
    store = opened()
    store.save("1", "a", b"1")
    read = store._read

    def slowly(room):
        found = read(room)
        store._round()
        return found

    monkeypatch.setattr(store, "_read", slowly)
    assert store.load("1") == {"a": b"1"}


def test_a_newer_value_hides_the_one_that_is_being_written(opened):
    store = opened()
    store.save("1", "a", b"1")
    store._queue.take()
    store.save("1", "a", b"2")
    assert store.load("1") == {"a": b"2"}


def test_a_server_does_not_wait_for_others_when_it_reads(opened):
    store = opened(timing=replace(QUICK, patience=7.0, patience_of_server=0.05))
    assert store._reader._pragma("busy_timeout") == 50
    store._close_reader()
    store.load("1")
    assert store._reader._pragma("busy_timeout") == 50
    store._round()
    assert store._writer._pragma("busy_timeout") == 7000


def test_a_trouble_ends_only_when_the_file_can_be_written(opened, file):
    store = opened()
    store._trouble.begin(OSError())
    with closing(Database(file, patience=0)) as other, other._transaction():
        store._round()
        assert store._trouble.pause
    store._round()
    assert not store._trouble.pause


def test_closing_tries_until_the_lock_is_gone(opened, file, other):
    store = opened(timing=replace(QUICK, patience=0, patience_at_end=60.0))
    store.save("1", "a", b"1")
    round_, rounds = store._round, []
    lock = Database(file, patience=0)
    lock._connection.execute("BEGIN IMMEDIATE")

    def counted():
        rounds.append(1)
        if len(rounds) == 3:
            lock._connection.execute("ROLLBACK")
        round_()

    store._round = counted
    store.close()
    lock.close()
    assert len(rounds) == 3
    assert other.load("1") == {"a": b"1"}


def test_a_file_is_opened_again_and_again(opened, other):
    for number in range(20):
        store = opened()
        assert len(store.load("1")) == number
        store.save("1", f"{number}", b"1")
        store.close()
        store.close()
    assert len(other.load("1")) == 20


def test_more_rows_than_a_statement_takes(file):
    values = {f"{number}": b"1" for number in range(10_000)}
    with closing(Database(file, patience=0)) as one:
        one.write({"1": values})
        assert one.load("1") == values


def test_a_statement_takes_no_more_than_an_old_sqlite_does():
    assert database._ROWS_AT_ONCE * 5 <= 999


def test_any_number_of_rows_is_written_with_few_different_statements(file):
    """Each stays compiled in memory."""
    statements = set()
    with closing(Database(file, patience=0)) as one:
        one._connection.set_trace_callback(lambda text: statements.add(text.count("x'31'")))  # the value b"1"
        for count in range(1, 300):
            values = {f"name {number}": b"1" for number in range(count)}
            one.write({"room": values})
            assert one.load("room") == values
    assert statements - {0} == {1 << power for power in range(8)}


def test_damage_that_only_a_look_through_the_file_finds(file):
    with closing(Database(file, patience=0)) as one:
        one.write({f"{number:04}": {"a": b"1" * 500} for number in range(2000)})
    data = bytearray(file.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 8] = b"\xff" * 8
    file.write_bytes(data)
    with closing(Database(file, patience=0)) as one, pytest.raises(StorageError, match="is damaged"):
        one.check(file)


def test_uses_of_rooms_that_are_gone_go_too(file):
    clock = FakeClock(1e9)
    Other(file, clock).write("1", a=b"1")
    with closing(Database(file, patience=0, wall_clock=clock)) as one:
        one.write({"2": {"a": b"1"}}, ["1"])
        one.write({"1": {"a": None}}, ["2"])
        clock.now += 3601
        one.write({}, ["2"])
        clock.now += 3601
        one.write({}, ["2"])
    assert edit(file, "SELECT room FROM uses")[0] == [(b"2",)]
