"""Projects that nobody is in, in the order in which they are forgotten."""

from __future__ import annotations

import time

from cloudlink.server.protocols.scratch.cloudroom import CloudRoom
from cloudlink.server.protocols.scratch.unused import UnusedRooms


def made(project, opener=None, **values):
    room = CloudRoom(project, opener)
    for name, (value, writer) in values.items():
        room.put(name, value, room.growth(name, value), writer)
    return room


def test_the_one_unused_for_longest_comes_first():
    unused = UnusedRooms()
    one, two = made("1"), made("2")
    unused.add(one)
    unused.add(two)
    assert unused.oldest() is one
    unused.add(one)
    assert unused.oldest() is two
    unused.discard(two)
    unused.discard(two)
    assert (one in unused, two in unused, len(unused)) == (True, False, 1)
    unused.discard(one)
    assert unused._by_owner == {}, "nothing is kept of addresses that have none"
    unused.add(one)
    unused.clear()
    assert (unused.oldest(), unused.oldest_of(None), len(unused)) == (None, None, 0)


def test_a_project_belongs_to_the_address_that_holds_most_of_its_memory():
    unused = UnusedRooms()
    opened = made("1", "a", x=(b"1", "b"), y=(b"1", None))
    written = made("2", "a", x=(b"1" * 5000, "b"))
    for room in (opened, written):
        unused.add(room)
    assert unused.oldest_of("a") is opened
    assert unused.oldest_of("b") is written
    assert unused.oldest_of("c") is None
    unused.discard(opened)
    assert unused.oldest_of("a") is None


def test_taking_out_the_oldest_takes_the_same_time_however_many_went_before():
    unused = UnusedRooms()
    for number in range(60_000):
        unused.add(made(f"{number}", "a"))
    started = time.thread_time()
    while room := unused.oldest_of("a"):
        assert unused.oldest() is room
        unused.discard(room)
    assert time.thread_time() - started < 1.0  # a dict would pass over all that went before, each time
