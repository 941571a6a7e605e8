"""Admin sockets that arrive at another process than the one that administers."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from cloudlink.server.administration import relay
from cloudlink.server.administration.relay import RelayReceiver, RelayServer
from tests.support.adminwire import CONSOLE, HERE, Administrators
from tests.support.memoryclients import MemoryConnection

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="several workers need Linux")


class Browser(MemoryConnection):
    """The WebSocket of a browser."""

    def __init__(self):
        super().__init__()
        self.changed = asyncio.Event()

    def write(self, frames):
        super().write(frames)
        self.changed.set()

    def close(self, code, reason):
        super().close(code, reason)
        self.changed.set()

    async def heard(self, count):
        """Wait for so many messages and return them."""
        await self._until(lambda: len(self.frames) >= count or self.closed is not None)
        return [json.loads(text) for text in self.frames[:count]]

    async def end(self):
        """Wait for the end of the connection; return the code and the reason."""
        await self._until(lambda: self.closed is not None)
        return self.closed

    async def _until(self, is_so):
        async with asyncio.timeout(5):
            while not is_so():
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def play(monkeypatch):
    """Runs a scenario with the administration of one process, and a server for those of others."""
    monkeypatch.setattr(relay, "address", lambda: f"\0cloudlink-test-{id(monkeypatch)}")

    def play(scenario):
        async def run():
            administrators = Administrators()
            server = RelayServer(administrators.wire)
            await server.start()
            try:
                return await scenario(administrators)
            finally:
                server.close()
                for socket in tuple(administrators.wire.sockets):
                    socket.close(1001, "")
                await asyncio.sleep(0.01)

        return asyncio.run(run())

    return play


def test_messages_go_both_ways(play):
    async def scenario(administrators):
        browser = Browser()
        receiver = RelayReceiver(browser, CONSOLE)
        receiver.receive(b'{"id":1,"method":"me"}')  # before the other process is reached
        hello, me = await browser.heard(2)
        assert hello["event"] == "hello"
        assert me["result"]["name"] == "console"
        receiver.receive_binary(b"x")
        assert (await browser.end())[0] == 4400
        assert len(administrators.wire.sockets) == 0

    play(scenario)


def test_a_browser_that_leaves_is_forgotten(play):
    async def scenario(administrators):
        browser = Browser()
        receiver = RelayReceiver(browser, HERE)
        await browser.heard(1)
        assert len(administrators.wire.sockets) == 1
        forgotten = asyncio.Event()
        administrators.core.topics.forget = lambda _: forgotten.set()
        receiver.connection_lost()
        await asyncio.wait_for(forgotten.wait(), 5)
        assert administrators.wire.sockets == {}

    play(scenario)


def test_one_that_leaves_at_once_too(play):
    async def scenario(administrators):
        browser = Browser()
        RelayReceiver(browser, HERE).connection_lost()
        await asyncio.sleep(0.01)
        assert administrators.wire.sockets == {}

    play(scenario)


def test_a_browser_that_reads_nothing_is_closed_in_the_end(play):
    async def scenario(administrators):
        browser = Browser()
        receiver = RelayReceiver(browser, CONSOLE)
        await browser.heard(1)
        browser.congested = True
        (socket,) = administrators.wire.sockets
        for _ in range(400):
            socket.send_event("log", {"text": "x" * 10_000})
            await asyncio.sleep(0)
        assert administrators.wire.sockets == {}
        receiver.connection_lost()  # as the keepalive of the WebSocket does with a peer that takes nothing

    play(scenario)


def test_what_waits_arrives_when_the_browser_reads_again(play):
    async def scenario(administrators):
        browser = Browser()
        receiver = RelayReceiver(browser, CONSOLE)
        await browser.heard(1)
        browser.congested = True
        (socket,) = administrators.wire.sockets
        for number in range(100):
            socket.send_event("log", {"n": number, "text": "x" * 10_000})
            await asyncio.sleep(0)
        browser.congested = False
        receiver.writable()
        heard = await browser.heard(101)
        assert [frame["data"].get("n") for frame in heard[1:]] == list(range(100))

    play(scenario)


def test_pings_are_answered_here_and_limited(play):
    async def scenario(_administrators):
        browser = Browser()
        receiver = RelayReceiver(browser, HERE)
        await browser.heard(1)
        assert [receiver.admit(0) for _ in range(100)] == [True] * 100
        while receiver.admit(0):
            pass
        assert browser.closed == (4429, "Too many frames")

    play(scenario)


def test_if_the_process_that_administers_is_gone_the_browser_tries_again(play, monkeypatch, caplog):
    async def scenario(_administrators):
        monkeypatch.setattr(relay, "address", lambda: "\0cloudlink-test-nobody")
        browser = Browser()
        RelayReceiver(browser, HERE)
        assert await browser.end() == (1013, "The administration cannot be reached")

    play(scenario)
    assert "The process that administers cannot be reached" in caplog.text


def test_processes_of_other_users_are_turned_away(play, monkeypatch):
    async def scenario(administrators):
        monkeypatch.setattr("os.getuid", lambda: 12_345)
        browser = Browser()
        RelayReceiver(browser, HERE)
        assert (await browser.end())[0] == 1013
        assert administrators.wire.sockets == {}

    play(scenario)


def test_the_workers_of_one_server_have_one_address():
    assert relay.address().startswith("\0cloudlink-admin-")
