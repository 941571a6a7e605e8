"""How many projects are in memory, how much they hold, and how long they stay."""

from __future__ import annotations

import logging

import pytest

from cloudlink.jsontext import JSONTextError
from cloudlink.server.protocols.scratch import projects
from cloudlink.server.protocols.scratch.cloudroom import CloudRoom, _set_of
from cloudlink.server.protocols.scratch.packet import parse
from cloudlink.server.protocols.scratch.projects import Projects
from cloudlink.server.protocols.scratch.rules import Violation
from cloudlink.settings import Settings
from cloudlink.storage import open_store

BIG = b"1" * 30_000


@pytest.fixture(autouse=True)
def everything_is_heard(caplog):
    caplog.set_level(logging.INFO, "cloudlink.server")


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(projects.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def opened(tmp_path):
    """Makes projects, in memory or from the file that all of them share."""
    made = []

    def make(*, file=False, **settings):
        place = str(tmp_path / "cloud.db") if file else ""
        made.append(Projects(Settings(storage=place, **settings)))
        made[-1].start(lambda *_: None, lambda *_: None)
        return made[-1]

    yield make
    for each in made:
        each.close()


def stored(tmp_path, project):
    store = open_store(str(tmp_path / "cloud.db"))
    variables = store.load(project)
    store.close()
    return variables


def left(each, project, *variables):
    """A project that somebody was in."""
    room = each.enter(project)
    for name, value in variables:
        each.keep(room, name, value)
    each.leave(room)


def test_the_account_of_bytes_is_right_whatever_happens(opened):
    each = opened()
    room, other = each.enter("1"), each.enter("☁" * 999)
    for name, value in (
        ("☁ a", b"1"),
        ('"\n\ud83d', BIG),
        ("☁ a", b"12345"),
        ("☁ b", b'"\\ud83d"'),
        ("☁ a", b""),
    ):
        each.keep(room, name, value)
        each.keep(other, name, value)
    each.delete(room, "☁ b")
    each.rename(room, "☁ a", '"\n\ud83d')
    assert each.take_over(room, "☁ c", b"7")
    assert each.take_over(room, "☁ c", None)
    assert each.take_over(room, "☁ nothing", None)
    for one in (room, other):
        assert one.size == sum(len(_set_of(name, value)) + 1 for name, value in one.variables.items())
    assert each._memory.total == room.cost + other.cost
    each.leave(room)
    each.leave(other)
    assert each._memory.total == room.cost + other.cost
    object.__setattr__(each._settings, "cloud_room_lifetime", -1.0)  # at once
    each.tick()
    assert (each._memory.total, each.rooms, len(each._empty)) == (0, {}, 0)


def test_a_project_without_players_stays_for_its_lifetime(opened, clock):
    each = opened(cloud_room_lifetime=60.0)
    left(each, "1", ("☁ a", b"1"))
    clock.now += 30
    left(each, "2", ("☁ a", b"2"))
    room = each.enter("3")
    each.keep(room, "☁ a", b"3")
    clock.now += 31
    each.tick()
    assert list(each.rooms) == ["2", "3"]
    assert each.variables("1") == {}
    clock.now += 100
    each.tick()
    assert list(each.rooms) == ["3"]


def test_returning_within_the_lifetime_restarts_it(opened, clock):
    each = opened(cloud_room_lifetime=60.0)
    left(each, "1", ("☁ a", b"1"))
    clock.now += 50
    left(each, "1")
    clock.now += 50
    each.tick()
    assert each.variables("1") == {"☁ a": b"1"}


def test_stored_values_outlive_the_lifetime(opened, clock):
    each = opened(file=True, cloud_room_lifetime=60.0)
    left(each, "1", ("☁ a", b"1"))
    clock.now += 61
    each.tick()
    assert each.rooms == {}
    assert each.enter("1").variables == {"☁ a": b"1"}


def test_a_project_without_variables_leaves_nothing_behind(opened):
    each = opened()
    left(each, "1")
    assert (each.rooms, len(each._empty), each._memory.total) == ({}, 0, 0)


def test_projects_without_players_make_way_the_oldest_first(opened, caplog):
    each = opened(cloud_max_memory=100_000)
    for project in ("1", "2", "3"):
        left(each, project, ("☁ a", BIG))
    left(each, "1", ("☁ a", b"1" * 29_999))
    room = each.enter("4")
    each.keep(room, "☁ a", BIG)
    assert list(each.rooms) == ["1", "3", "4"]
    assert each.variables("2") == {}
    assert "unloaded early and lose their variables" in caplog.text
    each.keep(room, "☁ b", BIG)
    each.keep(room, "☁ c", BIG)
    assert list(each.rooms) == ["4"]
    with pytest.raises(Violation) as caught:
        each.keep(room, "☁ d", BIG)
    assert caught.value.code == 4003
    assert each._limited == {"memory": 4}, "three projects were unloaded, and one value refused"
    each.keep(room, "☁ a", b"1")
    assert len(caplog.records) == 2, "each bound is told once"


def test_a_project_too_many_is_refused_and_counted(opened):
    each = opened(cloud_max_rooms=2)
    for project in "12":
        each.enter(project)
    for count in (1, 2):
        with pytest.raises(Violation) as caught:
            each.enter("3")
        assert caught.value.code == 4003
        assert each._limited == {"memory": count}


def test_a_stored_project_is_forgotten_without_loss(opened, caplog):
    each = opened(file=True, cloud_max_memory=70_000)
    for project in "12345":
        left(each, project, ("☁ a", BIG))
    assert len(each.rooms) == 2
    for project in "12345":
        assert each.variables(project) == {"☁ a": BIG}
    assert caplog.records == []


def test_many_projects_with_long_ids_are_bounded_too(opened):
    each = opened(cloud_max_memory=65_536)
    for number in range(500):
        left(each, f"{number}".rjust(999, "☁"), ("☁ a", b"1"))
    assert len(each.rooms) < 25
    assert each._memory.total <= 65_536


def test_a_project_too_big_for_memory_is_not_opened(opened):
    each = opened(file=True)
    left(each, "1", ("☁ a", BIG), ("☁ b", BIG), ("☁ c", BIG))
    each.close()
    each = opened(file=True, cloud_max_memory=65_536)
    with pytest.raises(Violation) as caught:
        each.enter("1")
    assert caught.value.code == 4003
    assert (each.rooms, each._memory.total) == ({}, 0)


def test_a_change_keeps_a_project_without_players_in_memory(opened):
    each = opened(cloud_max_memory=65_536)
    left(each, "1", ("☁ a", b"1"))
    left(each, "2", ("☁ a", BIG))
    each.keep(each.rooms["1"], "☁ b", BIG)  # from the other side of the bridge
    each.keep(each.rooms["1"], "☁ c", b"1" * 20_000)
    assert list(each.rooms) == ["1"]
    with pytest.raises(Violation):
        each.keep(each.rooms["1"], "☁ d", BIG)
    assert list(each.rooms) == ["1"]


def test_a_rename_that_is_too_long_changes_nothing(opened, tmp_path):
    each = opened(file=True, cloud_max_bytes_per_room=1024)
    room = each.enter("1")
    each.keep(room, "☁ a", b"1" * 900)
    with pytest.raises(Violation):
        each.rename(room, "☁ a", "☁ " + "b" * 500)
    assert room.variables == {"☁ a": b"1" * 900}
    each.close()
    assert stored(tmp_path, "1") == {"☁ a": b"1" * 900}


@pytest.mark.parametrize("bounds", [{"cloud_max_variables_per_room": 2}, {"cloud_max_bytes_per_room": 1024}])
def test_stored_values_beyond_the_limits_are_left_out(opened, tmp_path, caplog, bounds):
    variables = [("☁ a", b"1" * 400), ("☁ b", b"2" * 400), ("☁ c", b"3" * 400), ("☁ d", b"4" * 400)]
    each = opened(file=True)
    left(each, "1\n2", *variables)
    each.close()
    each = opened(file=True, **bounds)
    room = each.enter("1\n2")
    assert room.variables == dict(variables[:2])
    assert not each.take_over(room, "☁ e", b"5" * 400)
    assert each.take_over(room, "☁ a", b"0" * 400)
    assert list(room.variables) == ["☁ a", "☁ b"]
    [line] = caplog.messages
    assert line.startswith(
        "Project '1\\n2' has more variables in the storage file than its players may see: "
    )
    each.close()
    assert stored(tmp_path, "1\n2").keys() == dict(variables).keys(), "nothing is lost"


def test_without_limits_nothing_is_bounded(opened):
    each = opened(
        limits=False, cloud_max_memory=65_536, cloud_max_bytes_per_room=1024, cloud_max_variables_per_room=1
    )
    room = each.enter("1")
    for name in "abcdef":
        each.keep(room, name, BIG)
    assert len(room.variables) == 6


def test_the_store_learns_which_projects_are_in_use(opened, clock):
    each = opened()
    noted = []
    each.store.touch = noted.append
    room = each.enter("1")
    assert noted == [], "there is nothing to keep yet"
    each.keep(room, "☁ a", b"1")
    each.enter("1")
    left(each, "2", ("☁ a", b"1"))
    left(each, "2")
    assert noted == ["2"]
    each.tick()
    assert noted == ["2"]
    clock.now += 3600
    each.tick()
    each.tick()
    assert noted == ["2", "1"]


def test_a_project_may_be_exactly_as_long_as_allowed(opened):
    each = opened(cloud_max_bytes_per_room=1024)
    room = each.enter("1")
    each.keep(room, "a", b"1")
    each.keep(room, "a", b"1" * (1024 - room.size + 1))
    assert room.size == 1024
    with pytest.raises(Violation):
        each.keep(room, "a", b"1" * (len(room.variables["a"]) + 1))
    each.keep(room, "a", b"2" * len(room.variables["a"]))


def test_memory_may_be_used_to_the_last_byte(opened):
    each = opened(cloud_max_memory=65_536)
    room = each.enter("1")
    each.keep(room, "a", b"1")
    each.keep(room, "a", b"1" * (65_536 - each._memory.total + 1))
    assert each._memory.total == 65_536
    with pytest.raises(Violation):
        each.keep(room, "a", b"1" * (len(room.variables["a"]) + 1))


def test_memory_counts_what_a_variable_needs_beside_its_characters(opened):
    each = opened(cloud_max_memory=65_536)
    room = each.enter("1")
    left_over = 65_536 - each._memory.total
    with pytest.raises(Violation):
        each.keep(room, "a", b"1" * (left_over - 100))
    assert each._memory.total <= 65_536


def test_a_value_as_long_as_the_one_before_is_a_use_too(opened):
    each = opened()
    left(each, "1", ("a", b"1"))
    left(each, "2", ("a", b"1"))
    each.keep(each.rooms["1"], "a", b"2")
    assert each._empty.oldest() is each.rooms["2"]


def test_a_change_that_waits_is_not_sent_once_its_variable_is_gone():
    room = CloudRoom("1")
    for name in "ab":
        room.put(name, b"1", room.growth(name, b"1"), None)
        room.hold_back(name, None)
    room.drop("a")
    assert room.take_pending() == {"b": None}
    assert room.take_pending() == {}


def test_a_packet_nested_too_deeply_is_an_error_like_any_other():
    with pytest.raises(JSONTextError):
        parse(b'{"method":"set","value":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


def test_closed_projects_can_be_closed_again_and_hold_nothing(opened):
    each = opened(file=True)
    room = each.enter("1")
    each.keep(room, "☁ a", b"1")
    each.close()
    assert (each.rooms, each._memory.total, each._opened.total) == ({}, 0, 0)
    assert each.variables("1") == {}
    each.close()
