"""A bridge to an unmodified CloudLink 0.2.0 server: its users and ours talk in one room."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cloudlink.client import GlobalMessage, GlobalVariable, RequestError, connect
from tests.bridge.servers import BridgedServer, in_loop, names, next_of, player, running, until
from tests.real_clients.environment import upstream_python
from tests.support.servers import HOST

SERVER = Path(__file__).with_name("upstream_server.py")
MESSAGES = 500  # from each side
WINDOW = 25  # on their way at a time

pytestmark = pytest.mark.timeout(300)  # the environment may have to be built first


@pytest.fixture(autouse=True, scope="module")
def _environment():
    upstream_python()


@contextlib.contextmanager
def an_upstream_server(port=0):
    command = [upstream_python(), SERVER, str(port), "{}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        port = process.stdout.readline()
        assert port, "CloudLink 0.2.0 did not start"
        yield f"ws://{HOST}:{int(port)}/"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def a_bridge(url, **keys):
    section = {"kind": "upstream", "url": url, "rooms": ["arena=hall"], "rate": 1000.0, "byte_rate": 1e6}
    return BridgedServer({"old": {**section, **keys}})


@in_loop
async def test_a_thousand_messages_arrive_once():
    with an_upstream_server() as url:
        host = a_bridge(url, username="school-a")
        async with (
            running(host),
            connect(url, username="olaf", rooms=["hall"]) as olaf,
            player(host, "alice", "arena") as alice,
        ):
            await host.until_up("old")
            await until(lambda: names(alice) == ["alice", "old/olaf"])
            assert names(olaf, "hall") == ["olaf", "school-a"]
            heard = {"alice": Counter(), "olaf": Counter()}

            async def listen(client, name):
                async for event in client:
                    if isinstance(event, GlobalMessage):
                        heard[name][str(event.value)] += 1

            async with asyncio.TaskGroup() as group:
                listeners = [
                    group.create_task(listen(alice, "alice")),
                    group.create_task(listen(olaf, "olaf")),
                ]
                sent = Counter()
                for number in range(MESSAGES):
                    # every fifth is the same from both sides, again and again
                    for client, room, name in ((alice, "arena", "alice"), (olaf, "hall", "olaf")):
                        text = "again" if number % 5 == 0 else f"{name} {number}"
                        await client.send(text, rooms=room)
                        sent[text] += 1
                    if number % WINDOW == WINDOW - 1:
                        total = sum(sent.values())
                        await until(lambda total=total: all(each.total() >= total for each in heard.values()))
                await asyncio.sleep(0.2)  # time for a duplicate or a loop to arrive
                for listener in listeners:
                    listener.cancel()

    assert heard == {"alice": sent, "olaf": sent}
    assert host.bridges.health()["old"]["dropped"] == 0


@in_loop
async def test_variables_cross_and_private_packets_do_not():
    with an_upstream_server() as url:
        host = a_bridge(url)
        async with (
            running(host),
            connect(url, username="olaf", rooms=["hall"]) as olaf,
            player(host, "alice", "arena") as alice,
        ):
            await until(lambda: names(alice) == ["alice", "old/olaf"])

            await alice.gvar("score", 1.5, rooms="arena")
            heard = await next_of(olaf, GlobalVariable)
            assert (heard.name, heard.value) == ("score", 1.5)

            with pytest.raises(RequestError) as refused:
                await alice.request("pmsg", id="old/olaf", val="psst", rooms="arena")
            assert refused.value.status.code_id == 108
            assert refused.value.status.details == "Private messages do not cross the bridge old."


@in_loop
async def test_users_of_the_other_server_come_and_go():
    with an_upstream_server() as url:
        host = a_bridge(url)
        async with running(host), player(host, "alice", "arena") as alice:
            await host.until_up("old")
            async with connect(url, username="olaf", rooms=["hall"]):
                await until(lambda: names(alice) == ["alice", "old/olaf"])
            await until(lambda: names(alice) == ["alice"])


@in_loop
async def test_the_bridge_comes_back_when_the_other_server_does():
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(an_upstream_server())
        host = a_bridge(url)
        async with running(host), player(host, "alice", "arena") as alice:
            await host.until_up("old")
            stack.close()
            await until(lambda: not host.bridges.health()["old"]["up"])

            stack.enter_context(an_upstream_server(urlsplit(url).port))
            await host.until_up("old")
            async with connect(url, username="olaf", rooms=["hall"]):
                await until(lambda: names(alice) == ["alice", "old/olaf"])
