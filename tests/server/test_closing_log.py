"""The log names the plugin that disconnects a client."""

from __future__ import annotations

import asyncio
import logging
from functools import partial, wraps

import pytest

from cloudlink.server.handlers import log_closing
from cloudlink.server.protocols.clpv4 import Clpv4
from tests.support.memoryclients import MemoryClient, named, turns
from tests.support.servers import build, listening

CL4 = Clpv4.schema


@pytest.fixture
def server():
    return build({"implicit_greeting": False})


@pytest.fixture(autouse=True)
def info(caplog):
    caplog.set_level(logging.INFO)


def told(caplog):
    return [record.getMessage() for record in caplog.records if "disconnected by" in record.getMessage()]


def library(function):
    """Wrap a function in code of another file, as decorators of libraries do."""
    namespace = {"function": function}
    exec(compile("def wrapper(*arguments): return function(*arguments)", "library.py", "exec"), namespace)
    return wraps(function)(namespace["wrapper"])


def plain(server, client, message):
    server.close_connection(client, 4002, "You were kicked")


async def late(server, client, message):
    await asyncio.sleep(0)
    server.close_connection([client], 4002, "You were kicked")


async def nested(server, client, message):
    await asyncio.create_task(late(server, client, message))


class Method:
    def __init__(self, server):
        self.server = server

    async def __call__(self, client, message):
        await late(self.server, client, message)


@pytest.mark.parametrize(
    "handler",
    [
        lambda server: partial(plain, server),
        lambda server: partial(late, server),
        lambda server: partial(nested, server),
        lambda server: library(lambda client, message: plain(server, client, message)),
        Method,
    ],
)
def test_the_file_of_the_handler_is_named(server, caplog, handler):
    server.bind_callback("leave", CL4, handler(server))

    async def scenario():
        visitor = named(server, "bob")
        visitor.say({"cmd": "leave"})
        await turns()
        assert visitor.closed == (4002, "You were kicked")
        assert told(caplog) == [
            f"{visitor.client!r} was disconnected by the plugin test_closing_log.py: 4002 You were kicked"
        ]

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["every", "create_task", "on_start"])
def test_code_that_runs_for_no_client_is_named_too(server, caplog, how):
    def close_all():
        for client in tuple(server.clients_manager):
            server.close_connection(client, 4000, "Over")

    async def work():
        close_all()

    async def scenario():
        visitor, gone = MemoryClient(server), asyncio.Event()
        server.on_disconnect(lambda client: gone.set())
        if how == "every":
            server.every(0.001)(close_all)
        elif how == "on_start":
            server.on_start(work)
        async with listening(server):
            if how == "create_task":
                server.create_task(work())
            await asyncio.wait_for(gone.wait(), 10)
        assert visitor.closed == (4000, "Over")

    asyncio.run(scenario())
    assert len(told(caplog)) == 1
    assert told(caplog)[0].endswith("was disconnected by the plugin test_closing_log.py: 4000 Over")


def test_only_what_a_plugin_closes_is_named(server, caplog):
    visitor, gone = MemoryClient(server), MemoryClient(server)
    server.close_connection(visitor.client)  # a script, outside of any handler
    server.on_connect(lambda client: log_closing(gone.client, 1000, ""))
    gone.leave()
    MemoryClient(server)
    MemoryClient(server, headers={"Cookie": "scratchsessionsid=1"})  # closed by a handler of the server's own
    assert told(caplog) == []
