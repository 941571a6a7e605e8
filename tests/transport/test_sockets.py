"""A server that the system gives no more sockets says so once, and goes on when there are some again."""

import asyncio
import errno
import logging
import socket
import sys

import pytest

from cloudlink.transport.sockets import (
    AcceptErrors,
    open_files_limit,
    own_addresses,
    raise_open_files_limit,
)
from tests.support.clock import FakeClock
from tests.support.process import ServerProcess
from tests.support.rawclients import ask, open_socket, request

FEW_SOCKETS = """
import logging, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
from cloudlink import server
logging.basicConfig(level=logging.INFO)
server().run(ip="127.0.0.1", port=0)
"""


def accept_error(number=errno.EMFILE):
    return {"message": "socket.accept() out of system resource", "exception": OSError(number, "text")}


def test_a_server_without_sockets_says_so_once_and_recovers():
    async def play(process):
        peers = [await open_socket(process.port) for _ in range(60)]
        assert await asyncio.to_thread(process.wait_for, "New connections have to wait")
        for peer in peers:
            peer.leave()
        answer = await asyncio.wait_for(ask(process.port, request({}, "/health")), 10)
        assert answer.startswith("HTTP/1.1 200")

    with ServerProcess(script=FEW_SOCKETS) as process:
        asyncio.run(play(process))
        assert process.stop() == 0
        log = "".join(process.lines)
        assert "Traceback" not in log
        assert log.count("New connections have to wait") == 1
        assert "40 files and sockets" in log


def test_the_limit_of_the_system_is_found():
    resource = pytest.importorskip("resource")
    assert open_files_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_a_system_without_such_a_limit_is_fine(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert open_files_limit() is None
    raise_open_files_limit()


def test_it_is_said_again_after_a_minute(caplog):
    clock = FakeClock()
    errors = AcceptErrors(clock)
    for _ in range(1000):
        errors.handle(None, accept_error())
    clock.now += 61
    errors.handle(None, accept_error(errno.ENOMEM))
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "the system says: text" in caplog.text


def test_errors_of_others_go_where_they_went_before():
    async def scenario(before):
        loop, errors = asyncio.get_running_loop(), AcceptErrors()
        loop.set_exception_handler(before)
        errors.watch(loop)
        loop.call_exception_handler({"message": "something else"})
        loop.call_exception_handler({"message": "accept", "exception": OSError(errno.EINVAL, "text")})
        loop.call_exception_handler({"message": "a value", "exception": ValueError("-1")})
        loop.call_exception_handler({"message": "_start_serving", "exception": OSError(errno.EMFILE, "text")})
        errors.unwatch(loop)
        assert loop.get_exception_handler() is before

    heard = []
    asyncio.run(scenario(lambda _loop, context: heard.append(context["message"])))
    assert heard == ["something else", "accept", "a value", "_start_serving"]
    asyncio.run(scenario(None))


def test_an_attempt_that_comes_after_the_port_is_closed_is_no_error(caplog):
    async def scenario():
        loop, errors = asyncio.get_running_loop(), AcceptErrors()
        errors.watch(loop)
        loop.call_exception_handler(
            {"message": "Exception in callback _start_serving()", "exception": ValueError("-1")}
        )

    asyncio.run(scenario())
    assert not caplog.records


class Route:
    """A datagram socket of a machine with an IPv6 address only."""

    def __init__(self, family, _kind):
        self._family = family

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass

    def connect(self, _address):
        if self._family == socket.AF_INET:
            raise OSError(errno.ENETUNREACH, "there is no route")

    def getsockname(self):
        return ("fe80::1%eth0", 9, 0, 2)


def test_the_own_addresses_are_those_of_the_routes_to_others(monkeypatch):
    monkeypatch.setattr("cloudlink.transport.sockets.socket.socket", Route)
    assert own_addresses() == ["fe80::1"]
