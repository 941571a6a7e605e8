"""A clock that is wrong deletes nothing that storage_keep_days keeps."""

from __future__ import annotations

from contextlib import closing

import pytest

from cloudlink.storage.calendar import Calendar
from cloudlink.storage.database import Database
from tests.storage.stores import Other, edit
from tests.support.clock import FakeClock

HOUR, DAY, YEAR = 3600, 86_400, 365 * 86_400
NOW = 56 * YEAR


class Computer:
    """Its clock, which can be moved, and the seconds since it was switched on."""

    def __init__(self, now=NOW):
        self.wall, self.uptime = FakeClock(now), FakeClock(0.0)

    def wait(self, seconds):
        self.wall.now += seconds
        self.uptime.now += seconds

    def clocks(self):
        return {"wall_clock": self.wall, "clock": self.uptime}


@pytest.fixture
def computer():
    return Computer()


def tidy(store, computer, hours=1):
    for _ in range(hours):
        computer.wait(HOUR)
        store._round()


def test_a_clock_that_is_years_ahead_at_the_start_deletes_nothing(opened, file, computer):
    other = Other(file, computer.wall)
    other.write("1", a=b"1")
    computer.wall.now += 10 * YEAR
    store = opened(keep_days=30, **computer.clocks())
    tidy(store, computer, hours=48)
    assert store.load("1") == {"a": b"1"}


def test_a_clock_that_learns_the_date_after_the_start_deletes_nothing(opened, file, computer, caplog):
    other = Other(file, computer.wall)
    for room in ("opened", "changed", "old"):
        other.write(room, a=b"1")
    computer.wall.now = NOW + 25 * DAY
    other.write("other", a=b"1")
    computer.wall.now = 1000.0
    store = opened(keep_days=30, **computer.clocks())
    store.touch("opened")
    store.save("changed", "a", b"2")
    store.save("new", "a", b"3")
    store._round()
    computer.wait(HOUR / 2)
    computer.wall.now += NOW + 40 * DAY
    tidy(store, computer)
    assert all(map(store.load, ("opened", "changed", "new", "old")))
    [line] = caplog.messages
    assert line.startswith(
        f"The clock of this computer was moved by {56 * 365 + 40:.1f} days; projects in {file} "
    )
    tidy(store, computer, hours=3)
    assert all(map(store.load, ("opened", "changed", "new", "other")))
    assert store.load("old") == {}, "it was not used for 40 days"
    assert edit(file, "SELECT changed_at FROM variables WHERE room = CAST('new' AS BLOB)")[0] == [(1000,)]

    computer.wait(31 * DAY)
    tidy(store, computer)
    assert not any(map(store.load, ("opened", "changed", "new", "other")))


def test_a_clock_that_is_set_back_deletes_nothing(opened, computer):
    computer.wall.now += 10 * YEAR
    store = opened(keep_days=30, **computer.clocks())
    store.save("1", "a", b"1")
    store._round()
    computer.wall.now -= 10 * YEAR
    tidy(store, computer, hours=48)
    assert store.load("1") == {"a": b"1"}
    computer.wait(31 * DAY)
    tidy(store, computer)
    assert store.load("1") == {"a": b"1"}, "by what the file says, it changed in ten years"


def test_a_file_that_was_only_looked_at_has_not_lain_unused(opened, file, computer):
    other = Other(file, computer.wall)
    for room in ("looked at", "old"):
        other.write(room, a=b"1")
    computer.wait(99 * DAY)
    with closing(Database(file, patience=0, wall_clock=computer.wall)) as one:
        one.write({}, ["looked at"])
        assert one.newest() == NOW + 99 * DAY
    computer.wait(DAY)
    store = opened(keep_days=30, **computer.clocks())
    tidy(store, computer)
    assert (store.load("looked at"), store.load("old")) == ({"a": b"1"}, {})


def test_time_in_which_the_server_was_off_for_long_does_not_count(opened, file, computer):
    other = Other(file, computer.wall)
    other.write("old", a=b"1")
    computer.wait(20 * DAY)
    other.write("1", a=b"1")
    computer.wait(100 * DAY)
    store = opened(keep_days=30, **computer.clocks())
    computer.wait(9 * DAY)
    tidy(store, computer)
    assert store.load("old")
    computer.wait(2 * DAY)
    tidy(store, computer)
    assert (store.load("old"), store.load("1")) == ({}, {"a": b"1"})


def test_a_file_that_takes_the_place_of_another_is_looked_at_anew(opened, file, tmp_path, computer):
    Other(file, computer.wall).write("0", a=b"1")
    store = opened(keep_days=30, **computer.clocks())
    store.save("1", "a", b"1")
    store._round()
    Other(tmp_path / "old.db", FakeClock(NOW - 10 * YEAR)).write("2", a=b"2")
    (tmp_path / "old.db").replace(file)
    store._round()
    tidy(store, computer, hours=2)
    assert store.load("2") == {"a": b"2"}


@pytest.mark.parametrize(("moved", "noticed"), [(3600, False), (-3600, False), (3601, True), (-3601, True)])
def test_a_clock_that_drifts_is_not_moved(computer, moved, noticed):
    calendar = Calendar(computer.wall, computer.uptime)
    computer.wait(DAY)
    computer.wall.now += moved
    move = calendar.look()
    assert (move is not None) is noticed
    if move:
        assert (move.by, move.since, move.until) == (moved, NOW, NOW + DAY)
    assert calendar.look() is None


@pytest.mark.parametrize(("age", "expected"), [(9, 109), (10, 109), (11, 108)])
def test_only_what_exceeds_the_credible_age_of_the_file_does_not_count(age, expected):
    wall, uptime = FakeClock(100.0), FakeClock(0.0)
    calendar = Calendar(wall, uptime)
    uptime.now += 9
    newest = 100.0 - age
    assert calendar.today(newest, 10) == (expected if age <= 10 else newest + 9)
    assert calendar.today(None, 10) == 109
