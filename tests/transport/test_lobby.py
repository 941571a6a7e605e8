"""New connections that send their first bytes at the same time."""

from __future__ import annotations

import asyncio
import select
import socket

import pytest

from cloudlink.transport import lobby as module
from cloudlink.transport.lobby import EpollLobby, NoLobby, open_lobby
from tests.support.memoryclients import turns
from tests.support.rawclients import ask, open_socket, request, running

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="needs epoll")


class Stream:
    """A connection whose reading is paused and resumed."""

    def __init__(self):
        self.socket, self.peer = socket.socketpair()
        self.is_reading = True

    def get_extra_info(self, _name):
        return self.socket

    def pause_reading(self):
        self.is_reading = False

    def resume_reading(self):
        self.is_reading = True

    def close(self):
        self.socket.close()
        self.peer.close()


@pytest.fixture
def streams():
    made = [Stream() for _ in range(9)]
    yield made
    for stream in made:
        stream.close()


def reading(streams):
    return sum(stream.is_reading for stream in streams)


def test_a_connection_waits_until_something_has_come(streams):
    async def scenario():
        lobby = open_lobby()
        assert isinstance(lobby, EpollLobby)
        for stream in streams:
            lobby.wait(stream)
        await turns()
        assert reading(streams) == 0
        streams[3].peer.send(b"x")
        streams[5].peer.close()
        await turns()
        assert [stream.is_reading for stream in streams].count(True) == 2
        assert streams[3].is_reading
        assert streams[5].is_reading
        lobby.close()

    asyncio.run(scenario())


def test_a_few_are_let_in_in_each_iteration_of_the_loop(streams, monkeypatch):
    monkeypatch.setattr(module, "_AT_ONCE", 2)

    async def scenario():
        lobby = open_lobby()
        for stream in streams:
            lobby.wait(stream)
            stream.peer.send(b"x")
        seen = []
        while not seen or seen[-1] < len(streams):
            await asyncio.sleep(0)
            seen.append(reading(streams))
        assert [later - earlier for earlier, later in zip([0, *seen], seen, strict=False)] == [
            0,
            2,
            2,
            2,
            2,
            1,
        ]
        lobby.close()

    asyncio.run(scenario())


def test_a_connection_that_has_left_is_not_let_in(streams):
    async def scenario():
        lobby = open_lobby()
        lobby.wait(streams[0])
        lobby.leave(streams[0])
        lobby.leave(streams[0])
        streams[0].peer.send(b"x")
        await turns()
        assert not streams[0].is_reading
        lobby.close()

    asyncio.run(scenario())


def test_nobody_waits_in_a_closed_lobby(streams):
    async def scenario():
        lobby = open_lobby()
        lobby.wait(streams[0])
        lobby.close()
        lobby.close()
        lobby.leave(streams[0])
        lobby.wait(streams[1])
        assert streams[1].is_reading

    asyncio.run(scenario())


def test_a_server_that_stops_closes_its_lobby():
    async def scenario():
        async with running() as server:
            lobby = server._endpoint._lobby
            await server.stop()
            assert lobby._epoll.closed

    asyncio.run(scenario())


def test_without_epoll_everything_is_read_at_once(streams, monkeypatch):
    monkeypatch.delattr(select, "epoll")

    async def scenario():
        lobby = open_lobby()
        assert isinstance(lobby, NoLobby)
        lobby.wait(streams[0])
        assert streams[0].is_reading
        lobby.leave(streams[0])
        lobby.close()

    asyncio.run(scenario())


def test_pages_are_answered_after_connections_that_came_and_left_without_a_word():
    async def scenario():
        async with running() as server:
            for _ in range(20):
                (await open_socket(server.port)).leave()
            await turns()
            assert not server._endpoint._lobby._streams
            assert "200 OK" in await ask(server.port, request({}, "/health"))

    asyncio.run(scenario())
