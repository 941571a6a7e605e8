"""Bridges that are clients of the other server, over sockets: `upstream`, against a server of ours as CloudLink 0.2.0."""

from __future__ import annotations

import logging

import pytest

from cloudlink.client import GlobalMessage, GlobalVariable, RequestError
from tests.bridge.servers import BridgedServer, in_loop, names, next_of, player, running, until
from tests.support.fakeservers import greet, websocket_server


def a_bridge(url, **keys):
    section = {"kind": "upstream", "url": url, "rooms": ["arena=hall", "lobby"], **keys}
    return BridgedServer({"old": section})


@in_loop
async def test_users_messages_and_variables_cross(caplog):
    other = BridgedServer({})
    async with running(other):
        host = a_bridge(other.url, username="school-a")
        with caplog.at_level(logging.INFO, "cloudlink.bridge"):
            async with (
                running(host),
                player(other, "olaf", "hall") as olaf,
                player(host, "alice", "arena") as alice,
                player(host, "bob", "lobby") as bob,
            ):
                await host.until_up("old")
                await until(lambda: names(alice) == ["alice", "old/olaf"])
                await until(lambda: names(olaf, "hall") == ["olaf", "school-a"])
                assert names(bob, "lobby") == ["bob"]

                await alice.send("hello", rooms="arena")
                assert (await next_of(olaf, GlobalMessage)).value == "hello"
                await olaf.gvar("x", 1, rooms="hall")
                assert (await next_of(alice, GlobalVariable)).value == 1
                await alice.gvar("x", 2, rooms="arena")
                await until(lambda: olaf.waiting)
                with pytest.raises(RequestError) as refused:
                    await alice.request("pmsg", id="old/olaf", val="psst", rooms="arena")
                assert refused.value.status.details == "Private messages do not cross the bridge old."
                with pytest.raises(RequestError):
                    await alice.request("direct", id="old/olaf", val="psst")

    ups = [message for message in caplog.messages if message.startswith("Bridge old is up: 2 rooms, ")]
    assert len(ups) == 1


@in_loop
async def test_what_leaves_out_a_user_of_the_other_side_does_not_cross():
    other = BridgedServer({})
    async with running(other):
        host = a_bridge(other.url)
        async with (
            running(host),
            player(other, "olaf", "hall") as olaf,
            player(host, "alice", "arena") as alice,
        ):
            await until(lambda: names(alice) == ["alice", "old/olaf"])
            await host.until_up("old")
            await alice.command("gmsg", val="secret", id={"except": ["old/olaf"]}, rooms="arena")
            await alice.send("for all", rooms="arena")

            assert (await next_of(olaf, GlobalMessage)).value == "for all"
            assert host.bridges.health()["old"]["dropped"] == 1


@in_loop
async def test_pausing_takes_the_user_out_of_the_other_servers_room():
    other = BridgedServer({})
    async with running(other):
        host = a_bridge(other.url, username="school-a")
        async with running(host), player(other, "olaf", "hall") as olaf:
            await until(lambda: names(olaf, "hall") == ["olaf", "school-a"])
            host.bridges.pause("old")
            await until(lambda: names(olaf, "hall") == ["olaf"])
            assert host.bridges.health() == {"old": {"up": False, "users": 0, "dropped": 0}}


@in_loop
async def test_a_refused_name_is_the_reason():
    async def handler(socket):
        await greet(socket)
        await socket.recv()
        await socket.close(1000, "no")

    async with websocket_server(handler) as url:
        host = a_bridge(url)
        async with running(host):
            await until(lambda: host.bridges.bridges["old"].reason)

    assert host.bridges.bridges["old"].reason == "The connection was closed with 1000 (no)"


@in_loop
async def test_a_server_of_another_kind_is_the_reason():
    async def handler(socket):
        await socket.recv()
        await socket.send("hello")
        await socket.wait_closed()

    async with websocket_server(handler) as url:
        host = a_bridge(url)
        async with running(host):
            await until(lambda: host.bridges.bridges["old"].reason)

    assert host.bridges.bridges["old"].reason == "The server said 'hello' instead of greeting"
