"""The file of the administration: what is saved, what others change, and what happens when it cannot be written."""

from __future__ import annotations

import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloudlink.admin.store import MOST_WAITING, AdminStore, AuditRow, Change
from cloudlink.errors import StartError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "admin.db"


@pytest.fixture
def make(path):
    stores = []

    def make(**options):
        store = AdminStore(path, patience=0.02, look_every=0.02, **options)
        store.open()
        stores.append(store)
        return store

    yield make
    for store in stores:
        store.close()


class Locked:
    """Another program that holds the file's lock."""

    def __init__(self, path):
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def __enter__(self):
        self.connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_):
        self.connection.execute("ROLLBACK")
        self.connection.close()


def test_what_is_saved_is_there_after_a_restart(make):
    store = make()
    assert store.put("ban", "name:bob", {"id": 1}).result(0)
    assert store.save([Change("mute", "1", {"a": [1]}), Change("ban", "name:\0\ud800", {})]).result(0)
    again = make()
    assert dict(again.records("ban")) == {"name:bob": {"id": 1}, "name:\0\ud800": {}}
    assert dict(again.records("mute")) == {"1": {"a": [1]}}


def test_the_thread_ends_at_once_where_there_is_no_file_yet(make):
    for _ in range(20):
        store = make()
        store.start(lambda call: call())
        store.close()
        assert "cloudlink-admin-storage" not in [thread.name for thread in threading.enumerate()]


def test_a_removed_record_is_gone(make):
    store = make()
    store.put("ban", "a", 1)
    assert store.put("ban", "a", None).result(0)
    assert dict(make().records("ban")) == {}


def test_the_file_is_for_its_user_alone(make, path):
    path.touch(mode=0o644)
    make().put("ban", "a", 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.with_name("admin.db-wal").stat().st_mode) == 0o600


def test_without_a_file_nothing_is_saved():
    store = AdminStore("")
    store.open()
    assert store.is_memory_only
    assert store.put("ban", "a", 1).result(0) is False
    assert list(store.records("ban")) == []
    store.append_audit(AuditRow(1, 1, "x", b"{}"))
    with pytest.raises(StartError, match="admin_storage is empty"):
        store.ask(lambda database: database.last_audit_id())
    store.close()


def test_changes_of_another_process_are_noticed(make):
    server, terminal = make(), make()
    news, noticed = [], threading.Event()

    def watch(key, value):
        news.append((key, value))
        noticed.set()

    server.watch("ban", watch)
    server.start(lambda callback: callback())
    assert server.put("ban", "own", 1).result(5)
    terminal.put("ban", "a", {"id": 1})
    assert noticed.wait(5)
    noticed.clear()
    terminal.put("ban", "a", None)
    assert noticed.wait(5)
    assert news == [("a", {"id": 1}), ("a", None)]


def test_changes_of_another_process_are_noticed_while_writing(make):
    first, second = make(), make()
    news = []
    first.watch("ban", lambda key, value: news.append((key, value)))
    second.put("ban", "a", 1)
    assert first.put("ban", "b", 2).result(0)
    assert news == [("a", 1)]


def test_a_locked_file_gives_an_answer_and_the_change_is_saved_later(make, path):
    store, troubles, over = make(), [], threading.Event()

    def on_trouble(sentence):
        troubles.append(sentence)
        if not sentence:
            over.set()

    store.start(lambda callback: callback(), on_trouble)
    with Locked(path):
        assert store.put("ban", "a", 1).result(2) is False
        assert store.put("account", "x", 1, keep=False).result(2) is False
        assert store.waiting == 1
    assert store.put("ban", "b", 1).result(2)
    assert over.wait(5)
    assert "nother program keeps" in troubles[0]
    assert troubles[-1] == ""
    assert dict(make().records("ban")) == {"a": 1, "b": 1}
    assert dict(make().records("account")) == {}


def test_a_save_that_hangs_is_answered_by_the_tick(make, path):
    now = [0.0]
    store = make(clock=lambda: now[0])
    release = threading.Event()
    store.start(lambda callback: callback())
    store.ask(lambda _database: release.wait(5))
    answer = store.put("account", "x", 1, keep=False)
    kept = store.put("ban", "a", 1)
    store.tick()
    assert not answer.done()
    now[0] = 1.0
    store.tick()
    assert answer.result(0) is False
    assert kept.result(0) is False
    release.set()
    store.close()
    assert dict(make().records("account")) == {}
    assert dict(make().records("ban")) == {"a": 1}


def test_a_bounded_number_of_changes_waits(make, path):
    store = make()
    store.start(lambda callback: callback())
    with Locked(path):
        assert store.put("ban", "a", 1).result(2) is False
        assert store.save([Change("ban", str(n), n) for n in range(MOST_WAITING)]).result(0) is False
        assert store.waiting == 1
    store.close()


def test_no_file_is_made_for_nothing(make, path):
    store = make()
    store.start(lambda callback: callback())
    store.close()
    assert not path.exists()


def test_a_file_that_another_process_makes_later_is_read(make, path):
    server, noticed, news = make(), threading.Event(), []
    server.watch("ban", lambda key, value: (news.append((key, value)), noticed.set()))
    server.start(lambda callback: callback())
    make().put("ban", "a", 1)
    assert noticed.wait(5)
    assert news == [("a", 1)]


def test_a_replaced_file_is_trouble(make, path):
    store = make()
    store.put("ban", "z", 1)
    path.rename(path.with_name("elsewhere"))
    assert store.put("ban", "a", 1).result(0) is False
    assert "was replaced or removed" in store.trouble


def test_many_threads_save(make):
    store = make()
    store.start(lambda callback: callback())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: store.put("ban", str(n), n), range(200)))
    assert all(answer.result(5) for answer in answers)
    assert len(dict(make().records("ban"))) == 200


def foreign(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.close()


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b"x" * 4096), "is not a file of CloudLink's administration"),
        (foreign, "is a file of another program"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start(path, prepare, sentence):
    prepare(path)
    with pytest.raises(StartError, match=sentence):
        AdminStore(path).open()


def test_a_newer_file_stops_the_start(make, path):
    store = make()
    store.put("ban", "a", 1)
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StartError, match="newer CloudLink"):
        AdminStore(path).open()


def test_a_missing_folder_stops_the_start(tmp_path):
    with pytest.raises(StartError, match="does not exist"):
        AdminStore(tmp_path / "none" / "admin.db").open()


def test_a_damaged_file_stops_the_start(make, path):
    store = make()
    store.save([Change("ban", str(n), "x" * 100) for n in range(500)])
    store.close()
    data = bytearray(path.read_bytes())
    data[8192:16384] = b"\xff" * 8192
    path.write_bytes(data)
    with pytest.raises(StartError, match="is damaged"):
        AdminStore(path).open()


def test_the_audit_is_read_from_its_end(make):
    store = make()
    for number in range(1, 6):
        store.append_audit(AuditRow(number, 1000 + number, "mia" if number % 2 else "tom", b"{}"))
    store.append_audit(AuditRow(5, 1006, "mia", b"{}"))  # another process took the number
    read = store.ask(lambda database: database.audit(before=None, limit=3)).result(0)
    assert [row.id for row in read] == [6, 5, 4]
    read = store.ask(lambda database: database.audit(before=6, limit=9, actor="mia")).result(0)
    assert [row.id for row in read] == [5, 3, 1]


def test_the_audit_is_bounded(make):
    store = make()
    for number in range(1, 11):
        store.append_audit(AuditRow(number, 1000 + number, "mia", b"{}"))

    def left(oldest, most):
        store.ask(lambda database: database.prune_audit(oldest, most)).result(0)
        return [row.id for row in store.ask(lambda database: database.audit(before=None, limit=99)).result(0)]

    assert left(0, 8) == [10, 9, 8, 7, 6, 5, 4, 3]
    assert left(1006, 8) == [10, 9, 8, 7, 6]
    assert left(2000, 8) == []


@pytest.mark.parametrize(
    ("break_it", "mend_it", "why"),
    [
        ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 100000", "disk is full"),
        ("PRAGMA query_only = 1", "PRAGMA query_only = 0", "read-only"),
    ],
)
def test_a_full_or_read_only_disk(make, break_it, mend_it, why):
    store = make()
    store.put("ban", "before", 1)

    def run(statement):
        store.ask(lambda database: database._connection.execute(statement).fetchall()).result(5)

    run(break_it)
    assert store.save([Change("ban", str(n), "x" * 1000) for n in range(100)]).result(0) is False
    assert why in store.trouble
    assert store.waiting == 100
    assert dict(store.records("ban")) == {"before": 1}
    run(mend_it)
    assert store.put("ban", "after", 1).result(0)
    assert store.trouble == ""
    assert len(dict(make().records("ban"))) == 102


def test_what_was_saved_outlives_a_kill(path):
    program = """
import os, signal, sys
from cloudlink.admin.store import AdminStore
store = AdminStore(sys.argv[1])
store.open()
store.start(lambda callback: callback())
for number in range(20):
    assert store.put("ban", str(number), number).result(5)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", program, path], check=False, timeout=30)
    assert ended.returncode == -signal.SIGKILL
    store = AdminStore(path)
    store.open()
    assert len(dict(store.records("ban"))) == 20
    store.close()
