"""The SQLite file: when it is written, changes by other processes, and its layout."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

from cloudlink.errors import StartError
from cloudlink.storage import database, open_store, writequeue
from cloudlink.storage.database import Database
from cloudlink.storage.timing import Timing
from tests.storage.stores import edit
from tests.support.clock import FakeClock


@pytest.fixture
def news(store):
    news = []
    store.watch(lambda *change: news.append(change))
    return news


# Writing.


def test_a_value_reaches_the_disk_by_itself_and_within_a_second(opened, turns, other):
    store = opened(timing=Timing())
    store.start(turns.call_soon)
    store.save("1", "a", b"1")
    turns.run_until(lambda: other.load("1"))
    assert Timing().gather_for <= 0.5  # the rest is for the commit; test_crash.py measures it


def test_values_survive(opened, turns):
    for round_ in range(3):
        store = opened()
        store.start(turns.call_soon)
        assert store.load("1") == ({"a": b"%d" % (round_ - 1)} if round_ else {})
        store.save("1", "a", b"%d" % round_)
        store.close()


def test_a_store_that_was_never_started_writes_when_it_is_closed(opened):
    store = opened()
    store.save("1", "a", b"1")
    store.close()
    assert opened().load("1") == {"a": b"1"}


def test_many_values_at_once_are_one_commit(opened, other):
    store = opened()
    for room in range(10):
        for name in range(database._ROWS_AT_ONCE // 5):
            for value in range(3):
                store.save(f"{room}", f"{name}", b"%d" % value)
    store._round()

    assert set(other.load("9").values()) == {b"2"}
    assert edit(other.file, "SELECT last FROM changes", "SELECT count(*) FROM variables") == [
        [(1,)],
        [(10 * (database._ROWS_AT_ONCE // 5),)],
    ]


def test_loading_sees_what_is_being_written(opened, other):
    store = opened()
    store.save("1", "a", b"1")
    store._queue.take()
    store.save("1", "b", b"2")
    store.delete("1", "c")

    assert other.load("1") == {}
    assert store.load("1") == {"a": b"1", "b": b"2"}


def test_a_commit_is_safe_from_a_power_cut(store):
    assert store._reader._pragma("journal_mode") == "wal"
    assert store._reader._pragma("synchronous") == 2


def test_closing_leaves_one_file(store, file):
    store.save("1", "a", b"1")
    store.close()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_rows_of_deleted_variables_go_in_time(opened, file):
    clock = FakeClock(time.time())
    store = opened(wall_clock=clock)
    store.save("1", "a", b"1")
    store.save("1", "b", b"1")
    store._round()
    store.delete("1", "a")
    store._round()
    clock.now += 2 * database._KEPT_DELETIONS
    store.save("1", "c", b"1")
    store._round()

    assert [name for (name,) in edit(file, "SELECT name FROM variables ORDER BY name")[0]] == [b"b", b"c"]


# Changes of others.


def test_changes_of_others_are_reported_on_the_servers_thread(store, turns, other):
    told = []
    store.watch(lambda *change: told.append((*change, threading.current_thread())))
    other.write("1", a=b"1", b=b"2")
    other.write("1", b=None)
    turns.run_until(lambda: told and told[-1][2] is None)

    assert {(room, name): value for room, name, value, _ in told} == {("1", "a"): b"1", ("1", "b"): None}
    assert {thread for *_, thread in told} == {threading.current_thread()}


def test_changes_between_opening_and_starting_are_reported(opened, turns, other):
    store = opened()
    other.write("1", a=b"1")
    news = []
    store.watch(lambda *change: news.append(change))
    store.start(turns.call_soon)
    turns.run_until(lambda: news)
    assert news == [("1", "a", b"1")]


def test_values_present_at_the_start_are_not_reported(opened, turns, other):
    other.write("1", a=b"1")
    store = opened()
    news = []
    store.watch(lambda *change: news.append(change))
    store.start(turns.call_soon)
    other.write("1", b=b"2")
    turns.run_until(lambda: news)
    assert news == [("1", "b", b"2")]


def test_a_newer_own_value_wins_and_silences_the_news(opened, turns, other):
    store = opened()
    store._call_soon = turns.call_soon
    news = []
    store.watch(lambda *change: news.append(change))

    other.write("1", a=b"other", b=b"other", c=b"other")
    store.save("1", "a", b"own")  # before the news is noticed
    store._round()
    store.save("1", "b", b"own")  # before it is told
    turns.run()
    store._round()

    assert news == [("1", "c", b"other")]
    assert other.load("1") == store.load("1") == {"a": b"own", "b": b"own", "c": b"other"}


def test_news_of_many_variables_come_in_parts(store, news, turns, other):
    other.write("1", **{f"{number}": b"1" for number in range(1200)})
    turns.run_until(lambda: len(news) == 1200)


def test_a_watcher_that_fails_does_not_harm_the_others(store, turns, other, caplog):
    store.watch(lambda *_: 1 / 0)
    news = []
    store.watch(lambda *change: news.append(change))
    other.write("1", a=b"1", b=b"2")
    turns.run_until(lambda: len(news) == 2)
    assert caplog.messages == ["A change of a variable could not be taken over."] * 2


def test_a_loop_that_is_closed_is_no_trouble(opened, other, caplog):
    def call_soon(*_):
        raise RuntimeError("Event loop is closed")

    store = opened()
    store._call_soon = call_soon
    other.write("1", a=b"1")
    store._round()
    assert caplog.messages == []


def test_two_servers_on_one_file_share_their_variables(opened, turns):
    stores = [opened(), opened()]
    seen = [{}, {}]
    for store, variables in zip(stores, seen, strict=True):
        store.watch(lambda room, name, value, variables=variables: variables.update({(room, name): value}))
        store.start(turns.call_soon)
    stores[0].save("1", "a", b"1")
    stores[1].save("1", "b", b"2")
    turns.run_until(lambda: seen == [{("1", "b"): b"2"}, {("1", "a"): b"1"}])


# Another file in its place.


def test_a_file_that_is_removed_is_made_anew(store, file, news, turns, other, caplog):
    store.save("1", "a", b"1")
    turns.run_until(lambda: other.load("1"))
    file.unlink()
    turns.run_until(file.exists)
    store.save("1", "b", b"2")
    turns.run_until(lambda: other.load("1"))

    assert other.load("1") == store.load("1") == {"b": b"2"}
    assert caplog.messages == [
        f"{file} was removed while the server runs; cloud variables go to a new file from now on."
    ]
    assert news == []


def test_a_file_that_is_replaced_is_taken_over(store, file, news, turns, other, tmp_path):
    store.save("1", "a", b"1")
    turns.run_until(lambda: other.load("1"))
    backup = type(other)(tmp_path / "backup.db")
    backup.write("1", a=b"0", b=b"0")
    backup.file.rename(file)
    turns.run_until(lambda: len(news) == 2)
    store.save("1", "c", b"2")
    turns.run_until(lambda: "c" in other.load("1"))

    assert sorted(news) == [("1", "a", b"0"), ("1", "b", b"0")]
    assert other.load("1") == store.load("1") == {"a": b"0", "b": b"0", "c": b"2"}
    assert edit(file, "PRAGMA integrity_check") == [[("ok",)]]


# Files at the start.


def refusal(file):
    with pytest.raises(StartError) as caught:
        open_store(str(file))
    return str(caught.value)


def test_a_file_that_is_no_database(file):
    file.write_text("Dear diary, " * 1000)
    assert refusal(file) == (
        f"{file} is not a storage file of CloudLink: move it away, or name another file with the setting storage."
    )
    assert file.read_text().startswith("Dear diary")


def test_a_database_of_another_program(file):
    edit(file, "CREATE TABLE diary (day)")
    before = file.read_bytes()
    assert refusal(file) == (
        f"{file} is a file of another program: name another file with the setting storage."
    )
    assert file.read_bytes() == before


def test_a_newer_version(opened, file):
    opened().close()
    edit(file, f"PRAGMA user_version = {database.VERSION + 1}")
    assert refusal(file) == f"{file} was written by a newer CloudLink: update this one."


def test_a_damaged_file(opened, file):
    store = opened()
    for name in range(2000):
        store.save("1", f"{name}", b"1" * 50)
    store.close()
    content = bytearray(file.read_bytes())
    content[8192:32768] = b"x" * 24576
    file.write_bytes(content)
    assert refusal(file) == (
        f"{file} is damaged: move it away, and fill a new one from a back-up with `cloudlink vars import`."
    )


def test_a_folder_that_does_not_exist(tmp_path):
    assert refusal(tmp_path / "none" / "vars.db") == (
        f"The folder {tmp_path / 'none'} does not exist: make it, or name another file."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_place_of_the_file(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path} is a folder: name a file in it."


def test_a_large_file_is_not_looked_through(file, monkeypatch):
    monkeypatch.setattr(database, "_CHECKED_SIZE", 0)
    with closing(Database(file, patience=0)) as opened:
        monkeypatch.setattr(opened, "_value", {"PRAGMA page_count": 1, "PRAGMA page_size": 1}.__getitem__)
        opened.check(file)


def test_any_name_of_a_file(tmp_path, opened):
    for name in ("a b%20c?mode=ro#x.db", ":memory:", "☁.db"):
        store = opened(tmp_path / name)
        store.save("1", "a", b"1")
        store.close()
        assert (tmp_path / name).stat().st_size > 0


# Waiting.


def test_the_rooms_in_use_that_cannot_be_noted_are_bounded():
    queue = writequeue.WriteQueue(most_used=3)
    for room in ("1", "2"):
        queue.use(room)
    assert queue.take_used() == {"1", "2"}
    queue.use("3")
    queue.put_back()
    assert queue.take_used() == {"1", "2", "3"}
    for room in ("4", "5", "6", "7"):
        queue.use(room)
    queue.put_back()
    assert queue.take_used() == {"4", "5", "6", "7"}
    queue.written()
    queue.put_back()
    assert queue.take_used() == set()


def test_waiting_values_are_bounded_for_each_writer():
    queue = writequeue.WriteQueue(most_bytes=30_000)
    accepted = 0
    while queue.has_place(f"{accepted}", "a", b"1" * 1000, "greedy"):
        queue.put(f"{accepted}", "a", b"1" * 1000, "greedy")
        accepted += 1
        if accepted == 5:
            queue.take()  # what is being written by a slow disk waits too
    assert accepted == 10
    assert queue.has_place("honest", "a", b"1" * 10_000, "honest")
    assert not queue.has_place("honest", "a", b"1" * 20_000, "honest")
    assert queue.has_place("9", "a", b"2" * 1000, "greedy"), "it takes the place of the one before"
    assert queue.has_place("9", "a", b"2" * 1500, "greedy"), "only what it grows by counts"
    assert not queue.has_place("9", "a", b"2" * 3000, "greedy")
    assert not queue.has_place("honest", "a", b"1" * 16_100, "honest")
    assert queue.has_place("9", "a", b"1" * 16_100, "honest"), "what it takes the place of counts"
    assert queue.has_place("9", "a", b"2" * 10_000, "honest")

    queue.put_back()
    assert len(queue) == 10
    assert not queue.has_place("10", "a", b"1" * 1000, "greedy")
    queue.take()
    queue.written()
    assert queue.has_place("10", "a", b"1" * 1000, "greedy")


def test_the_account_of_what_waits_is_right_whatever_happens():
    queue = writequeue.WriteQueue()
    queue.put("1", "a", b"1" * 100, "x")
    queue.put("1", "b", b"1" * 100, None)
    queue.put("1", "a", b"2" * 100, "x")  # of the same size, and so charged already
    assert queue._shares.of("x") == writequeue._size("a", b"2" * 100)
    queue.take()
    queue.put("1", "a", b"1" * 10, "y")
    queue.put("1", "a", None, "x")
    queue.put_back()
    assert queue._shares.of("x") == writequeue._size("a", None)
    assert queue._shares.of("y") == 0
    assert queue._shares.total == writequeue._size("a", None) + writequeue._size("b", b"1" * 100)
    assert queue.take() == {"1": {"a": None, "b": b"1" * 100}}
    queue.put("1", "a", b"2", "y")
    queue.written()
    assert queue._shares.total == queue._shares.of("y") == writequeue._size("a", b"2")
    assert queue.take() == {"1": {"a": b"2"}}


def test_changes_that_arrive_after_a_newer_own_value_are_not_reported():
    queue = writequeue.WriteQueue()
    queue.put("1", "a", b"own")
    assert not queue.announce([("1", "a", b"other")])
    assert queue.announce([("1", "a", b"other"), ("1", "b", b"other"), ("2", "a", None)])
    queue.put("2", "a", b"own")
    assert queue.fetch(9) == [("1", "b", b"other")]


def test_fetching_news_one_by_one_takes_as_long_as_there_are_news():
    queue = writequeue.WriteQueue()
    queue.announce((f"{number}", "a", b"1") for number in range(150_000))
    started = time.thread_time()
    for _ in range(150_000):
        assert len(queue.fetch(1)) == 1
    assert queue.fetch(1) == []
    assert (
        time.thread_time() - started < 3.0
    )  # from a dict it takes about 3 s, for it passes over what was taken before


def test_saving_costs_the_caller_next_to_nothing(store):
    names = [f"☁ {number}" for number in range(100)]
    started = time.thread_time()
    for number in range(10_000):
        store.save("1", names[number % 100], b"1")
    assert time.thread_time() - started < 0.5  # it takes about 5 ms


def test_a_commit_is_on_the_disk_when_it_returns_and_the_log_stays_small(file):
    with closing(Database(file, patience=1)) as database:
        found = {name: database._pragma(name) for name in ("journal_mode", "synchronous", "fullfsync")}
        assert found == {"journal_mode": "wal", "synchronous": 2, "fullfsync": 1}
        assert database._pragma("journal_size_limit") == 4 << 20
