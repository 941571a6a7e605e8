"""The event loop is told of a bounded number of sockets at a time, in turn."""

import asyncio
import select
import selectors
import socket
from itertools import pairwise

import pytest

from cloudlink.server.runner import loop_runner
from cloudlink.transport.selector import bounded_selector, new_event_loop

pytestmark = pytest.mark.skipif(not hasattr(selectors, "EpollSelector"), reason="this system has no epoll")


@pytest.fixture
def pairs():
    pairs = [socket.socketpair() for _ in range(300)]
    yield pairs
    for pair in pairs:
        for end in pair:
            end.close()


@pytest.mark.parametrize(("is_behind", "most"), [(False, 256), (True, 48)])
def test_a_bounded_number_of_files_is_returned_and_the_others_come_first_next_time(pairs, is_behind, most):
    with bounded_selector(lambda: is_behind) as selector:
        for ours, theirs in pairs:
            selector.register(ours, selectors.EVENT_READ)
            theirs.send(b"x")
        found = []
        for _ in range(-(-len(pairs) // most)):
            some = [key.fileobj for key, _ in selector.select(0)]
            assert len(some) == most
            found += some
        assert set(found) == {ours for ours, _ in pairs}


def test_files_can_be_changed_and_left(pairs):
    with bounded_selector(lambda: False) as selector:
        ours, theirs = pairs[0]
        selector.register(ours, selectors.EVENT_READ, "reading")
        assert selector.select(0) == []
        selector.modify(ours, selectors.EVENT_WRITE, "writing")
        assert [(key.data, events) for key, events in selector.select(0.1)] == [
            ("writing", selectors.EVENT_WRITE)
        ]
        selector.unregister(ours)
        theirs.send(b"x")
        assert selector.select(0) == []
        assert selector.fileno() > 0


def test_a_server_of_its_own_reads_from_a_bounded_number_of_clients_at_a_time():
    read = []

    async def scenario():
        loop = asyncio.get_running_loop()
        pairs = [socket.socketpair() for _ in range(300)]
        for number, (ours, theirs) in enumerate(pairs):
            loop.add_reader(ours, lambda number=number, ours=ours: (read.append(number), ours.recv(1)))
            theirs.send(b"x")
        iterations = [0]
        while len(read) < len(pairs):
            await asyncio.sleep(0)
            iterations.append(len(read))
        for ours, theirs in pairs:
            loop.remove_reader(ours)
            ours.close()
            theirs.close()
        assert max(b - a for a, b in pairwise(iterations)) == 256
        assert sorted(read) == list(range(len(pairs)))

    loop_runner("asyncio", lambda: False)(scenario())


def test_a_python_without_the_attribute_has_the_usual_selector(monkeypatch):
    class Other:
        __slots__ = ()

    monkeypatch.setattr(selectors, "EpollSelector", Other)
    assert isinstance(bounded_selector(lambda: False), Other)


def test_a_system_without_epoll_has_the_usual_event_loop(monkeypatch):
    monkeypatch.delattr(selectors, "EpollSelector")
    loop = new_event_loop(lambda: False)
    try:
        assert type(loop._selector) is selectors.DefaultSelector
        assert type(loop._selector._selector) is select.epoll
    finally:
        loop.close()


def test_a_program_may_use_the_event_loops_of_another_library(monkeypatch):
    class Other(asyncio.SelectorEventLoop):
        pass

    monkeypatch.setattr(asyncio, "new_event_loop", Other)
    loop = new_event_loop(lambda: False)
    loop.close()
    assert type(loop) is Other
