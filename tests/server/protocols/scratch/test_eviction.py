"""Variables that make way for those of others: as many as needed, the newest of the writer that holds more than half."""

import pytest

from cloudlink.server.protocols.scratch.cloudroom import CloudRoom
from cloudlink.server.protocols.scratch.eviction import variables_to_evict

GREEDY, HONEST = "203.0.113.1", "203.0.113.2"


def room_with(*writers):
    room = CloudRoom("1")
    for number, writer in enumerate(writers):
        room.put(f"v{number}", b"1", 1, writer)
    return room


def to_evict(room, needed, most, name="new", writer=HONEST, sizes=None):
    return variables_to_evict(room, name, writer, needed, most, lambda other: (sizes or {}).get(other, 1))


def test_nothing_makes_way_while_there_is_space():
    assert to_evict(room_with(*[GREEDY] * 9), 1, 10) == []


@pytest.mark.parametrize(
    ("needed", "chosen"), [(1, ["v9"]), (2, ["v9", "v8"]), (5, ["v9", "v8", "v7", "v6", "v5"])]
)
def test_as_many_make_way_as_are_needed_the_newest_first(needed, chosen):
    assert to_evict(room_with(*[GREEDY] * 10), needed, 10) == chosen


def test_nobody_loses_what_is_not_more_than_half():
    room = room_with(*[GREEDY] * 6, *["203.0.113.9"] * 4)
    assert to_evict(room, 1, 10) == ["v5"]
    assert to_evict(room, 2, 10) == []  # the second one would leave less than half
    assert to_evict(room_with(*[GREEDY] * 5, *["203.0.113.9"] * 5), 1, 10) == []


def test_a_writer_that_would_have_more_than_half_gets_nothing():
    room = room_with(*[GREEDY] * 10)
    assert to_evict(room, 6, 10) == []
    assert to_evict(room, 1, 10, writer=GREEDY) == []


def test_a_variable_does_not_make_way_for_itself():
    room = room_with(*[GREEDY] * 10)
    assert to_evict(room, 1, 10, name="v9") == ["v8"]


def test_sizes_count():
    room = room_with(*[GREEDY] * 3)
    assert to_evict(room, 3, 12, sizes={"v0": 6, "v1": 3, "v2": 3}) == ["v2"]
    assert to_evict(room, 4, 12, sizes={"v0": 6, "v1": 3, "v2": 3}) == ["v2", "v1"]
