"""One client: what plugins see of it, and what it sends."""

from __future__ import annotations

import asyncio
import time

import pytest

from cloudlink.server.client import write
from tests.support.memoryclients import MemoryClient, named
from tests.support.servers import build


@pytest.fixture
def server():
    return build()


@pytest.fixture
def alice(server):
    return named(server, "alice").client


def test_a_client_knows_where_it_comes_from(server):
    before = time.monotonic()
    client = MemoryClient(server, path="/game?room=5", headers={"X-Mine": "yes"}, port=4711).client
    assert client.remote_address == ("127.0.0.1", 4711)
    assert client.address == "127.0.0.1"
    assert client.path == "/game?room=5"
    assert client.request_headers["x-mine"] == "yes"
    assert client.response_headers == {}
    assert before <= client.birth_time <= time.monotonic()
    assert client.uuid == str(client.id)
    assert client.id.version == 4
    assert client.open


def test_a_plugin_may_keep_something_on_a_client(alice):
    alice.points = 5
    assert alice.points == 5


def test_the_log_distinguishes_clients(server, alice):
    assert repr(alice) == f"Client {alice.snowflake} 'alice'"
    nameless = MemoryClient(server).client
    assert repr(nameless) == f"Client {nameless.snowflake}"
    write(alice, "log_name", "player")
    assert repr(alice) == f"Client {alice.snowflake} 'player'"


def test_text_and_bytes_are_sent_as_they_are_in_order(server):
    visitor = named(server, "alice")
    client = visitor.client

    async def say():
        await client.send("héllo")
        await client.send("world ☁".encode())
        await client.close(4001, "enough")
        await client.send("too late")
        await client.close(4002, "again")

    asyncio.run(say())
    assert visitor.heard() == ["héllo", "world ☁"]
    assert visitor.closed == (4001, "enough")
    assert not client.open
