"""Two servers over sockets: rooms, users and private packets across a bridge."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import urllib.request

import pytest

from cloudlink.admin.actors import AdminError
from cloudlink.client import (
    GlobalMessage,
    GlobalVariable,
    NameRefusedError,
    PrivateMessage,
    PrivateVariable,
    RequestError,
    UserLeft,
    connect,
)
from cloudlink.server.administration.serverview import ServerView
from tests.bridge.servers import (
    SECRET,
    BridgedServer,
    a_pair,
    in_loop,
    names,
    next_of,
    player,
    running,
    until,
)


@in_loop
async def test_users_messages_and_variables_cross_in_both_directions():
    async with (
        a_pair() as (first, second),
        player(first, "alice", "arena") as alice,
        player(second, "bob", "arena") as bob,
    ):
        await until(lambda: names(alice) == ["alice", "b/bob"] and names(bob) == ["a/alice", "bob"])

        await alice.send(1.0, rooms="arena")
        await bob.gvar("score", {"a": [1, 2]}, rooms="arena")

        assert (await next_of(bob, GlobalMessage)).value == 1.0
        heard = await next_of(alice, GlobalVariable)
        assert (heard.name, heard.value) == ("score", {"a": [1, 2]})


@in_loop
async def test_no_id_crosses():
    async with (
        a_pair() as (first, second),
        player(first, "alice", "arena") as alice,
        player(second, "bob", "arena") as bob,
    ):
        await until(lambda: names(bob) == ["a/alice", "bob"])
        (shown,) = [user for user in bob.users["arena"] if user.username == "a/alice"]

    assert shown.id != alice.user.id
    assert shown.uuid != alice.user.uuid


@in_loop
async def test_private_packets_cross_with_their_origin_and_are_confirmed():
    async with (
        a_pair() as (first, second),
        player(first, "alice", "arena") as alice,
        player(second, "bob", "arena") as bob,
    ):
        await until(lambda: names(alice) == ["alice", "b/bob"] and names(bob) == ["a/alice", "bob"])

        assert (await alice.request("pmsg", id="b/bob", val="hi", rooms="arena")).code_id == 100
        message = await next_of(bob, PrivateMessage)
        assert (message.value, message.sender.username, message.room) == ("hi", "a/alice", "arena")

        await bob.pvar(message.sender, "gold", 3, rooms="arena")
        variable = await next_of(alice, PrivateVariable)
        assert (variable.name, variable.value, variable.sender.username) == ("gold", 3, "b/bob")


@in_loop
async def test_direct_is_refused():
    async with (
        a_pair() as (first, second),
        player(first, "alice", "arena") as alice,
        player(second, "bob", "arena"),
    ):
        await until(lambda: names(alice) == ["alice", "b/bob"])

        with pytest.raises(RequestError) as refused:
            await alice.request("direct", id="b/bob", val="hi")

    assert refused.value.status.code_id == 108
    assert refused.value.status.details == "Direct messages do not cross the bridge b."


@in_loop
async def test_names_of_the_bridge_are_refused_to_local_users():
    async with a_pair() as (first, _):
        with pytest.raises(NameRefusedError) as refused:
            await connect(first.url, username="b/alice").__aenter__()

    assert refused.value.code == 112


@in_loop
async def test_a_room_may_have_another_name_at_the_other_side():
    async with (
        a_pair(rooms=(["hall"], ["lobby=hall"])) as (first, second),
        player(first, "alice", "hall") as alice,
        player(second, "bob", "lobby") as bob,
    ):
        await until(lambda: names(alice, "hall") == ["alice", "b/bob"])
        await until(lambda: names(bob, "lobby") == ["a/alice", "bob"])

        await alice.send("hello", rooms="hall")

        assert (await next_of(bob, GlobalMessage)).room == "lobby"


@in_loop
async def test_rooms_that_only_one_side_names_are_not_shared(caplog):
    with caplog.at_level(logging.INFO, "cloudlink.bridge"):
        async with (
            a_pair(rooms=(["arena", "secret"], ["arena"])) as (first, second),
            player(first, "alice", "secret") as alice,
            player(second, "bob", "secret") as bob,
            player(second, "carol", "arena") as carol,
        ):
            await alice.send("psst", rooms="secret")
            await alice.link("arena")
            await alice.send("hello", rooms="arena")
            assert (await next_of(carol, GlobalMessage)).value == "hello"
            assert names(bob, "secret") == ["bob"]

    assert "Bridge b is up: 1 room, 0 users." in caplog.messages
    assert "Bridge b: the other side does not share secret; both servers have to name it." in caplog.messages


@in_loop
async def test_those_left_out_get_nothing_on_the_other_side_either():
    async with (
        a_pair() as (first, second),
        player(first, "alice", "arena") as alice,
        player(second, "bob", "arena") as bob,
        player(second, "carol", "arena") as carol,
    ):
        await until(lambda: names(alice) == ["alice", "b/bob", "b/carol"])

        await alice.command("gmsg", val="not for bob", id={"except": ["b/bob"]}, rooms="arena")
        await alice.command("gmsg", val="for all", id={"except": "me"}, rooms="arena")

        assert (await next_of(bob, GlobalMessage)).value == "for all"
        assert (await next_of(carol, GlobalMessage)).value == "not for bob"


@in_loop
async def test_a_wrong_secret_is_refused_and_nobody_appears(caplog):
    first = BridgedServer({"b": {"secret": SECRET, "rooms": ["arena"]}})
    async with running(first):
        key = {"secret": "another secret of enough", "rooms": ["arena"], "url": first.url}
        second = BridgedServer({"a": key})
        with caplog.at_level(logging.WARNING, "cloudlink.bridge"):
            async with running(second), player(first, "alice", "arena") as alice:
                async with player(second, "bob", "arena"):
                    await until(lambda: second.bridges.bridges["a"].reason)
                assert names(alice) == ["alice"]

    down = [message for message in caplog.messages if message.startswith("Bridge a is down: ")]
    assert re.fullmatch(
        r"Bridge a is down: the other side says: The bridge secret is wrong \(1008\); next try in 600 s\.",
        down[0],
    )


@in_loop
async def test_users_of_a_bridge_that_is_down_are_removed_after_three_seconds():
    first = BridgedServer({"b": {"secret": SECRET, "rooms": ["arena"]}})
    async with running(first), player(first, "alice", "arena") as alice:
        second = BridgedServer({"a": {"secret": SECRET, "rooms": ["arena"], "url": first.url}})
        async with running(second), player(second, "bob", "arena"):
            await until(lambda: names(alice) == ["alice", "b/bob"])
        await until(lambda: not first.bridges.health()["b"]["up"])
        assert names(alice) == ["alice", "b/bob"]

        first.skipped = 3.0
        await next_of(alice, UserLeft)

        assert names(alice) == ["alice"]
        assert first.bridges.health() == {"b": {"up": False, "users": 0, "dropped": 0}}


@in_loop
async def test_a_paused_bridge_is_down_until_it_is_resumed():
    async with (
        a_pair() as (first, second),
        player(first, "alice", "arena") as alice,
        player(second, "bob", "arena"),
    ):
        await until(lambda: names(alice) == ["alice", "b/bob"])

        assert second.bridges.pause("a")
        assert not second.bridges.pause("a")
        await until(lambda: not first.bridges.health()["b"]["up"])
        assert second.bridges.health()["a"] == {"up": False, "users": 0, "dropped": 0}
        assert second.bridges.list()[0]["paused"]

        assert second.bridges.resume("a")
        assert not second.bridges.resume("a")
        await second.until_up("a")
        await until(lambda: names(alice) == ["alice", "b/bob"])


@in_loop
async def test_the_health_check_shows_bridges():
    async with a_pair() as (first, _):
        address = f"http://127.0.0.1:{first.server.port}/health"
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(address).read())

    assert json.loads(text)["bridges"] == {"b": {"up": True, "users": 0, "dropped": 0}}


def test_the_administration_sees_bridges_and_pauses_them():
    url = "wss://user:password@b.example/path?token=1"
    server = BridgedServer({"b": {"secret": SECRET, "rooms": ["arena"], "url": url}}).server
    view = ServerView(server)

    (shown,) = view.bridges()
    assert SECRET not in str(shown)
    assert (shown["name"], shown["url"], shown["paused"]) == ("b", "wss://b.example/path", False)

    view.set_bridge("b", paused=True)
    assert view.bridges()[0]["paused"]
    with pytest.raises(AdminError, match="This bridge is paused already"):
        view.set_bridge("b", paused=True)
    view.set_bridge("b", paused=False)
    with pytest.raises(AdminError, match="This bridge is not paused"):
        view.set_bridge("b", paused=False)
    with pytest.raises(AdminError, match="There is no such bridge"):
        view.set_bridge("c", paused=True)


def test_a_server_without_bridges_shows_none():
    server = BridgedServer({}).server
    assert ServerView(server).bridges() == []
