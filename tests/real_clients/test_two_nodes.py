"""Real clients that play with each other at two nodes of a cluster: CloudLink's Python clients, TurboWarp, scratchattach."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import pytest

from tests.real_clients.environment import upstream_python
from tests.real_clients.python_players import meet
from tests.real_clients.scratch.chromium import Browser, chromium
from tests.real_clients.scratch.libraries import bot, library_python
from tests.real_clients.scratch.packaged import package, packager
from tests.real_clients.scratch.player import Player
from tests.real_clients.scratch.project import CODE, ROUNDS, SCORE
from tests.support.pairs import Nodes, started
from tests.support.servers import HOST
from tests.support.visitors import Visitor, until

pytestmark = pytest.mark.timeout(300)  # environments may have to be built first


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """Two nodes, as a host starts them."""
    with started(Nodes(tmp_path_factory.mktemp("nodes"))) as pair:
        yield pair


def addresses(nodes):
    return [f"ws://{HOST}:{server.port}/" for server in nodes.servers]


def of(events, name):
    return [details for event, *details in events if event == name]


@pytest.mark.parametrize("client", ["upstream", "ours"])
def test_python_clients(nodes, client):
    python = upstream_python() if client == "upstream" else sys.executable
    first, second = addresses(nodes)
    saw = asyncio.run(meet(python, {"alice": first.rstrip("/"), "bob": second.rstrip("/")}))
    alice, bob = (
        {"id": snowflake, "username": name, "uuid": uuid}
        for [[name, snowflake, uuid]] in (of(saw[who], "username_set") for who in ("alice", "bob"))
    )
    assert of(saw["alice"], "error") == of(saw["bob"], "error") == []
    value = {"hello": ["everybody", 1.5, True]}
    assert of(saw["bob"], "gmsg") == [[{"cmd": "gmsg", "val": value, "rooms": "lobby"}]]
    assert of(saw["bob"], "gvar") == [[{"cmd": "gvar", "name": "score", "val": 2**70, "rooms": "lobby"}]]
    private = {"origin": alice, "rooms": "lobby"}
    assert of(saw["bob"], "pvar") == [[{"cmd": "pvar", "name": "hp", "val": 7, **private}]]
    assert of(saw["bob"], "pmsg") == [[{"cmd": "pmsg", "val": "hi bob", **private}]]
    private = {"origin": bob, "rooms": "lobby"}
    assert of(saw["alice"], "pvar") == [[{"cmd": "pvar", "name": "reply", "val": [1, 2], **private}]]
    assert of(saw["alice"], "direct") == [[{"cmd": "direct", "val": "direct reply", "origin": bob}]]
    assert of(saw["alice"], "pmsg") == [[{"cmd": "pmsg", "val": "hi alice", **private}]]
    lists = [(message["mode"], message["val"]) for [message] in of(saw["bob"], "ulist")]
    assert lists[-2:] == [("add", alice), ("remove", alice)]
    assert ("set", [bob]) in lists


def test_turbowarp_and_scratchattach(nodes, tmp_path):
    chromium()
    packager()
    python = library_python()

    async def main():
        async with contextlib.AsyncExitStack() as stack:
            pages = []
            for number, address in enumerate(addresses(nodes)):
                folder = tmp_path / str(number)
                folder.mkdir()
                pages.append(await asyncio.to_thread(package, folder, "104", address))
            browser = await stack.enter_async_context(Browser(tmp_path / "profile"))
            one = await Player.joins(browser, pages[0])
            other = await Player.joins(browser, pages[1])
            attach = await stack.enter_async_context(bot(python, "scratchattach", addresses(nodes)[1]))

            await one.press(" ")
            await other.reads(SCORE, "1")
            assert await attach.says() == [["set", SCORE, 1]]
            await other.press("r")
            await one.reads(SCORE, str(1 + ROUNDS))
            assert await attach.says(ROUNDS) == [
                ["set", SCORE, 1 + number] for number in range(1, ROUNDS + 1)
            ]
            await attach.obeys("set", "code", "007")
            await asyncio.gather(one.reads(CODE, "007"), other.reads(CODE, "007"))

            late = await Player.joins(browser, pages[0])
            await late.reads(SCORE, str(1 + ROUNDS))
            await late.reads(CODE, "007")
            assert [player.page.errors for player in (one, other, late)] == [[], [], []]
            await _check_newcomers(nodes)

    asyncio.run(main())


async def _check_newcomers(nodes):
    """Both nodes give the same values to a client that comes late."""
    for place in nodes.places:
        newcomer = await Visitor.of_project(place, "104", "late")
        await until(1.0, lambda newcomer=newcomer: newcomer.frames)
        assert dict(newcomer.sets()) == {SCORE: 1 + ROUNDS, CODE: "007"}
        await newcomer.leave()
