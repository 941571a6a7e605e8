"""How large the file may get, what goes from it in time, and how an older one is converted."""

from __future__ import annotations

import time
from contextlib import closing

from cloudlink.storage.database import Database
from tests.storage.stores import Other, edit
from tests.support.clock import FakeClock

DAY = 86_400
"""In seconds."""


def test_a_file_that_has_reached_its_size_takes_only_what_it_has_a_place_for(opened, file, caplog):
    store = opened(max_size=200_000)
    for number in range(8):
        store.save("1", f"{number}", b"1" * 10_000)
    store.save("1", "small", b"5")
    store._round()
    store.save("big", "a", b"1" * 150_000)
    store.save("1", "0", b"2" * 10_000)
    store.save("1", "1", b"2" * 10_001)
    store.save("1", "2", b"5")
    store.delete("1", "3")
    store._round()
    store.save("1", "2", b"1" * 32)
    store.save("1", "small", b"1" * 33)
    store.save("big", "b", b"1" * 150_000)
    store._round()
    store.close()

    assert file.stat().st_size <= 200_000
    store = opened()
    found, big = store.load("1"), store.load("big")
    store.close()
    assert found == {
        "0": b"2" * 10_000,
        "1": b"1" * 10_000,
        "2": b"1" * 32,
        "small": b"5",
        **{f"{number}": b"1" * 10_000 for number in range(4, 8)},
    }
    assert big == {}
    [line] = caplog.messages
    assert f"{file} has reached storage_max_size (200000 bytes)" in line
    assert line.endswith("Variables in the file are saved as ever, unless they become longer.")


def test_a_file_that_was_made_smaller_takes_new_variables_again(opened, file):
    store = opened(max_size=200_000)
    store.save("1", "a", b"1" * 150_000)
    store._round()
    store.save("2", "a", b"1" * 100_000)
    store._round()
    store.delete("1", "a")
    store._round()
    store.save("2", "a", b"2" * 100_000)
    store.close()
    with closing(Database(file, patience=0)) as database:
        assert database.load("2") == {"a": b"2" * 100_000}


def test_a_flood_that_comes_and_goes_does_not_let_the_file_grow(opened, file):
    clock = FakeClock()
    store = opened(wall_clock=clock)
    sizes = []
    for round_ in range(6):
        for number in range(20):
            store.save(f"{round_} {number}", "a", b"1" * 50_000)
        store._round()
        for number in range(20):
            store.delete(f"{round_} {number}", "a")
        store._round()
        clock.now += 3601
        store.touch("")
        store._round()
        sizes.append(file.stat().st_size)
    assert sizes[0] > 0
    assert sizes[-1] <= max(sizes[:2])
    assert edit(file, "SELECT count(*) FROM variables")[0] == [(0,)]


def test_the_log_does_not_stay_as_large_as_a_flood_has_made_it(opened, file):
    store = opened()
    log = file.with_name(file.name + "-wal")
    for number in range(200):
        store.save(f"{number}", "a", b"1" * 100_000)
    store._round()
    assert log.stat().st_size > 10 << 20
    for number in range(3):
        store.save("1", "b", b"%d" % number)
        store._round()
    assert log.stat().st_size <= 4 << 20


def test_the_command_line_is_not_bound(other, file):
    other.write("1", a=b"1" * 300_000)
    assert other.load("1") == {"a": b"1" * 300_000}


def test_rooms_that_nobody_uses_are_deleted_in_time(opened, turns, file, caplog):
    caplog.set_level("INFO", "cloudlink.storage")
    today = FakeClock()
    other = Other(file, today)
    for room in ("old", "opened", "changed"):
        other.write(room, a=b"1", b=b"2")

    today.now += 20 * DAY
    store = opened(keep_days=30, wall_clock=today)
    store.touch("opened")
    store.touch("nowhere")
    store.save("changed", "b", b"3")
    store._round()
    assert all(map(other.load, ("changed", "old", "opened")))
    store.close()

    today.now += 11 * DAY
    news = []
    uptime = FakeClock()
    store = opened(keep_days=30, wall_clock=today, clock=uptime)
    store.watch(lambda *change: news.append(change))
    store._round()
    assert other.load("old"), "not within an hour of the start"
    uptime.now += 3600
    today.now += 3600
    store.start(turns.call_soon)
    turns.run_until(lambda: len(news) == 2)
    assert sorted(news) == [("old", "a", None), ("old", "b", None)]
    assert other.load("old") == store.load("old") == {}
    assert other.load("opened") == {"a": b"1", "b": b"2"}
    assert other.load("changed") == {"a": b"1", "b": b"3"}
    store.close()
    assert caplog.messages == [
        f"Projects that nobody had opened for 30 days were deleted from {file}: 1 (setting storage_keep_days)."
    ]
    assert edit(file, "SELECT room FROM uses")[0] == [(b"opened",)]


def test_a_time_that_was_rounded_does_not_count_as_older(file):
    with closing(Database(file, patience=0, wall_clock=FakeClock(1e9 + 0.9))) as one:
        one.write({"1": {"a": b"1"}})
        assert one.forget_unused(1e9 + 0.9) == 0
        assert one.forget_unused(1e9 + 120) == 1


def test_for_ever_is_the_default(opened, other):
    other.write("1", a=b"1")
    later = FakeClock(time.time() + 100 * 365 * DAY)
    store = opened(wall_clock=later)
    store._round()
    assert other.load("1") == {"a": b"1"}


def test_a_use_is_noted_only_once_an_hour(file, other):
    other.write("1", a=b"1")
    start = int(time.time())
    for later, noted in ((0, 0), (3600, 0), (3601, 3601)):
        with closing(Database(file, patience=0, wall_clock=FakeClock(start + later))) as one:
            one.write({}, ["1"])
        assert edit(file, "SELECT used_at FROM uses")[0] == [(start + noted,)]


def test_a_file_of_version_1_is_converted(other, file, opened):
    other.write("1", a=b"1")
    edit(file, "DROP TABLE uses", "PRAGMA user_version = 1")
    store = opened()
    store.touch("1")
    store._round()
    store.close()
    assert other.load("1") == {"a": b"1"}
    assert len(edit(file, "SELECT room FROM uses")[0]) == 1


def test_a_limit_that_is_changed_applies_to_the_open_file_and_is_logged_again(opened, file, other, caplog):
    store = opened()
    store.save("1", "a", b"1")
    store._round()
    for count, limit in enumerate((1, 2), 1):
        store.limit(limit, 0)
        for name in "bc":
            store.save("1", name, b"1" * 100)
            store._round()
        assert other.load("1") == {"a": b"1"}
        assert len(caplog.messages) == count
        assert f"storage_max_size ({limit} bytes)" in caplog.messages[-1]
    store.limit(None, 0)
    store.save("1", "b", b"2")
    store._round()
    assert other.load("1") == {"a": b"1", "b": b"2"}


def test_a_limit_may_be_changed_before_the_file_is_written_to(opened, other):
    store = opened()
    store.limit(1, 0)
    store.save("1", "a", b"1" * 100)
    store._round()
    assert other.load("1") == {}


def test_a_store_keeps_everything_unless_it_is_told_how_long(opened):
    wall, uptime = FakeClock(1e9), FakeClock(0.0)
    store = opened(wall_clock=wall, clock=uptime)
    store.save("1", "a", b"1")
    store._round()
    for _ in range(400):
        wall.now += DAY
        uptime.now += DAY
        store._round()
    assert store.load("1") == {"a": b"1"}
