"""Projects that nobody is in, in the order in which they are forgotten."""

from __future__ import annotations

import time

from cloudlink.server.protocols.scratch.cloudroom import CloudRoom
from cloudlink.server.protocols.scratch.emptyprojects import EmptyProjects


def made(project, opener=None, **values):
    room = CloudRoom(project, opener)
    for name, (value, writer) in values.items():
        room.put(name, value, room.growth(name, value), writer)
    return room


def test_the_one_unused_for_longest_comes_first():
    empty = EmptyProjects()
    one, two = made("1"), made("2")
    empty.add(one)
    empty.add(two)
    assert empty.oldest() is one
    empty.add(one)
    assert empty.oldest() is two
    empty.discard(two)
    empty.discard(two)
    assert (one in empty, two in empty, len(empty)) == (True, False, 1)
    empty.discard(one)
    assert empty._by_owner == {}, "nothing is kept of addresses that have none"
    empty.add(one)
    empty.clear()
    assert (empty.oldest(), empty.oldest_of(None), len(empty)) == (None, None, 0)


def test_a_project_belongs_to_the_address_that_holds_most_of_its_memory():
    empty = EmptyProjects()
    opened = made("1", "a", x=(b"1", "b"), y=(b"1", None))
    written = made("2", "a", x=(b"1" * 5000, "b"))
    for room in (opened, written):
        empty.add(room)
    assert empty.oldest_of("a") is opened
    assert empty.oldest_of("b") is written
    assert empty.oldest_of("c") is None
    empty.discard(opened)
    assert empty.oldest_of("a") is None


def test_taking_out_the_oldest_takes_the_same_time_however_many_went_before():
    empty = EmptyProjects()
    for number in range(60_000):
        empty.add(made(f"{number}", "a"))
    started = time.thread_time()
    while room := empty.oldest_of("a"):
        assert empty.oldest() is room
        empty.discard(room)
    assert time.thread_time() - started < 1.0  # a dict would pass over all that went before, each time
