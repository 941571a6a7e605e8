"""The behaviour that all stores share."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cloudlink.storage import MemoryStore, VariableStore

NAMES = [
    "☁ score",
    "",
    "a\0b",
    "a",
    "\ud83d",
    "\ud83d\ude00",
    "😀",
    "\u00e9",
    "e\u0301",
    "x" * 1024,
    "'; DROP TABLE variables",
]
VALUES = [b"5", b'"10"', b"1.0", b"-0.0", b'""', b"1" * 100_000, '"☁"'.encode(), b'"\\ud83d"', b'"\\u0000"']


@pytest.fixture(params=["memory", "sqlite"])
def store(request, opened, turns):
    store = opened() if request.param == "sqlite" else MemoryStore()
    store.start(turns.call_soon)
    return store


def test_a_store_that_works_says_so(store):
    store.save("1", "a", b"1")
    assert store.condition.is_up
    assert store.condition.waiting in (0, 1)


def test_a_saved_value_is_there_at_once(store):
    store.save("1", "a", b"1")
    store.save("1", "a", b"2")
    store.save("1", "b", b"3")
    store.save("2", "a", b"4")

    assert store.load("1") == {"a": b"2", "b": b"3"}
    assert store.load("2") == {"a": b"4"}
    assert store.load("3") == {}


def test_a_deleted_value_is_gone_at_once(store):
    store.save("1", "a", b"1")
    store.save("1", "b", b"2")
    store.delete("1", "a")
    store.delete("1", "none")
    store.delete("none", "a")
    assert store.load("1") == {"b": b"2"}

    store.delete("1", "b")
    assert store.load("1") == {}


def test_loaded_values_belong_to_the_caller(store):
    store.save("1", "a", b"1")
    store.load("1")["a"] = b"2"
    assert store.load("1") == {"a": b"1"}


def test_any_name_and_value_is_kept_exactly(store, opened):
    for room in NAMES:
        for name in NAMES:
            store.save(room, name, b"1")
    for value in VALUES:
        store.save("values", repr(value), value)
    if not isinstance(store, MemoryStore):
        store.close()
        store = opened()

    assert all(store.load(room).keys() == set(NAMES) for room in NAMES)
    assert store.load("values") == {repr(value): value for value in VALUES}


def test_own_changes_are_no_news(store, turns):
    news = []
    store.watch(lambda *change: news.append(change))
    store.save("1", "a", b"1")
    store.close()
    turns.run()
    assert news == []


def test_closing_twice_is_fine(store):
    store.close()
    store.close()


def test_both_are_stores(opened):
    stores: list[VariableStore] = [MemoryStore(), opened()]
    assert len(stores) == 2


def kept(store):
    """Return which of the rooms of `test_memory_forgets_…` a store has, and touch them in this order."""
    return [room for room in "123456" if store.load(room)]


def test_memory_keeps_a_room_that_is_touched():
    store = MemoryStore(most_bytes=2 * 1300)
    store.save("1", "a", b"1" * 1000)
    store.save("2", "a", b"1" * 1000)
    store.touch("1")
    store.touch("nowhere")
    store.save("3", "a", b"1" * 1000)
    assert kept(store) == ["1", "3"]


def test_memory_keeps_a_room_that_is_saved_to():
    store = MemoryStore(most_bytes=2 * 1300)
    store.save("1", "a", b"1" * 1000)
    store.save("2", "a", b"1" * 1000)
    store.save("1", "a", b"2" * 1000)
    store.save("3", "a", b"1" * 1000)
    assert kept(store) == ["1", "3"]


def test_memory_counts_a_value_that_is_set_again_once():
    store = MemoryStore(most_bytes=2 * 1300)
    store.save("1", "a", b"1" * 1000)
    for _ in range(20):
        store.save("2", "a", b"1" * 1000)
    assert kept(store) == ["1", "2"]


def test_memory_forgets_the_rooms_not_touched_for_longest():
    store = MemoryStore(most_bytes=3 * 1300)
    for room in ("1", "2", "3"):
        store.save(room, "a", b"1" * 1000)
    store.load("1")
    store.save("4", "a", b"1" * 1000)
    assert kept(store) == ["1", "3", "4"]

    store.save("4", "a", b"1")
    store.delete("3", "a")
    store.save("5", "a", b"1" * 1000)
    assert kept(store) == ["1", "4", "5"]

    store.save("6", "a", b"1" * 10_000)
    assert kept(store) == ["6"]


def test_memory_does_not_need_sqlite():
    code = "import sys, cloudlink.storage as s; s.open_store(''); sys.exit('sqlite3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
