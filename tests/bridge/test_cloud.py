"""A project's variables shared with a server of Scratch cloud variables, and with another server of ours."""

from __future__ import annotations

import asyncio
import json
import logging
import time

import pytest

from cloudlink.client import connect_cloud
from cloudlink.version import __version__
from tests.bridge.servers import SECRET, BridgedServer, in_loop, running, until
from tests.support.fakeservers import websocket_server
from tests.support.process import ServerProcess
from tests.support.servers import HOST

CONTACT = "me@example.org"


def a_bridge(url, **keys):
    section = {"kind": "cloud", "url": url, "projects": ["104=205"], "contact": CONTACT, **keys}
    return BridgedServer({"c": section})


def values(host, project="104"):
    return host.scratch.projects.variables(project)


@in_loop
async def test_at_first_the_other_servers_values_win_and_ours_fill_the_rest():
    with ServerProcess() as other:
        url = f"ws://{HOST}:{other.port}/"
        async with connect_cloud(url, "205", "olaf") as theirs:
            await theirs.set("☁ both", 2)
            await theirs.set("☁ theirs", 3)
            host = a_bridge(url)
            host.scratch.projects.keep(host.scratch.projects.enter("104"), "☁ both", b"1")
            host.scratch.projects.keep(host.scratch.projects.rooms["104"], "☁ ours", b'"4"')
            async with running(host):
                await host.until_up("c")
                await until(lambda: theirs.get("☁ ours") == "4")

                assert theirs.get("☁ both") == 2
                assert values(host) == {"☁ both": b"2", "☁ ours": b'"4"', "☁ theirs": b"3"}


@in_loop
async def test_later_values_cross_in_both_directions():
    with ServerProcess() as other:
        url = f"ws://{HOST}:{other.port}/"
        host = a_bridge(url)
        async with (
            running(host),
            connect_cloud(url, "205", "olaf") as theirs,
            connect_cloud(host.url, "104", "alice") as ours,
        ):
            await host.until_up("c")

            await ours.set("☁ x", 1)
            await until(lambda: theirs.get("☁ x") == 1)
            await theirs.set("☁ x", 2)
            await until(lambda: ours.get("☁ x") == 2)
            await ours.set("☁ y", "3")
            await until(lambda: theirs.get("☁ y") == "3")


class FakeCloud:
    """A cloud server that keeps what it is sent, and sends what the test asks for."""

    def __init__(self):
        self.headers = {}
        self.sets = []
        self.close_code = None
        self.socket = None

    async def handle(self, socket):
        self.headers = dict(socket.request.headers)
        self.socket = socket
        async for text in socket:
            packet = json.loads(text)
            if self.close_code:
                await socket.close(self.close_code, "no")
                return
            if packet["method"] == "set":
                self.sets.append((packet["name"], packet["value"]))

    async def say(self, name, value):
        await self.socket.send(json.dumps({"method": "set", "name": name, "value": value}))


@in_loop
async def test_only_the_latest_values_are_sent_and_at_most_ten_in_a_second():
    cloud = FakeCloud()
    async with websocket_server(cloud.handle) as url:
        host = a_bridge(url)
        async with running(host), connect_cloud(host.url, "104", "alice") as ours:
            await host.until_up("c")
            began = time.monotonic()
            for number in range(300):
                await ours.set("☁ x", number)
                await ours.set("☁ y", -number)
            await until(lambda: ("☁ x", 299) in cloud.sets and ("☁ y", -299) in cloud.sets)
            seconds = time.monotonic() - began

    assert len(cloud.sets) <= 20 + 10 * seconds
    assert host.bridges.health()["c"]["dropped"] == 0


@in_loop
async def test_nothing_is_sent_back():
    cloud = FakeCloud()
    async with websocket_server(cloud.handle) as url:
        host = a_bridge(url)
        async with running(host), connect_cloud(host.url, "104", "alice") as ours:
            await host.until_up("c")
            for number in range(20):
                await cloud.say("☁ x", number)
            await until(lambda: ours.get("☁ x") == 19)
            await ours.set("☁ end", 1)
            await until(lambda: cloud.sets)

    assert cloud.sets == [("☁ end", 1)]


@in_loop
async def test_the_server_is_told_whom_to_contact():
    cloud = FakeCloud()
    async with websocket_server(cloud.handle) as url:
        host = a_bridge(url)
        async with running(host):
            await host.until_up("c")

    assert cloud.headers["user-agent"] == f"CloudLink/{__version__} ({CONTACT})"


@in_loop
async def test_values_that_are_not_allowed_are_dropped(caplog):
    cloud = FakeCloud()
    async with websocket_server(cloud.handle) as url:
        host = a_bridge(url)
        async with running(host), connect_cloud(host.url, "104", "alice") as ours:
            await host.until_up("c")
            await cloud.say("☁ x", "not a number")
            await cloud.say("☁ " + "n" * 2000, 1)
            await cloud.say("☁ x", 7)
            await until(lambda: ours.get("☁ x") == 7)

            assert values(host) == {"☁ x": b"7"}

    assert host.bridges.health()["c"]["dropped"] == 2
    assert caplog.messages.count("Bridge c sends too much; messages are dropped.") == 1


@pytest.mark.parametrize("code", [4002, 4003, 4004])
def test_a_server_that_refuses_is_left_alone_for_ten_minutes(code, caplog):
    @in_loop
    async def scenario():
        cloud = FakeCloud()
        cloud.close_code = code
        async with websocket_server(cloud.handle) as url:
            host = a_bridge(url)
            with caplog.at_level(logging.WARNING, "cloudlink.bridge"):
                async with running(host):
                    await until(lambda: host.bridges.bridges["c"].reason)

    scenario()
    (message,) = [record.message for record in caplog.records if record.name == "cloudlink.bridge"]
    assert message.endswith("; next try in 600 s.")


@in_loop
async def test_projects_cross_between_two_servers_of_ours():
    first = BridgedServer({"b": {"secret": SECRET, "projects": ["104"]}})
    async with running(first):
        second = BridgedServer({"a": {"secret": SECRET, "projects": ["7=104"], "url": first.url}})
        second.scratch.projects.keep(second.scratch.projects.enter("7"), "☁ old", b"5")
        async with (
            running(second),
            connect_cloud(first.url, "104", "alice") as one,
            connect_cloud(second.url, "7", "bob") as other,
        ):
            await second.until_up("a")
            await until(lambda: one.get("☁ old") == 5)
            await asyncio.gather(one.set("☁ x", 1), other.set("☁ y", "2"))
            await until(lambda: one.get("☁ y") == "2" and other.get("☁ x") == 1)
