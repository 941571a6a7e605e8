"""Closing connections from the inside: by which codes, and while a handler runs."""

from __future__ import annotations

import asyncio

import pytest

from cloudlink.server.client import State
from cloudlink.server.protocols.clpv4 import Clpv4
from tests.support.memoryclients import MemoryClient, named
from tests.support.servers import build


@pytest.fixture
def server():
    return build({"implicit_greeting": False})


@pytest.mark.parametrize(
    "code", [0, 999, 1004, 1005, 1006, 1015, 2000, 2999, 5000, 65536, -1, None, "1000", 1000.5]
)
@pytest.mark.parametrize("is_of_the_server", [False, True])
def test_a_code_that_nobody_may_send_is_refused_and_nobody_disconnected(server, code, is_of_the_server):
    visitor = named(server, "alice")
    close = (
        server.close_connection if is_of_the_server else lambda client, code: asyncio.run(client.close(code))
    )
    with pytest.raises(ValueError, match=r"cannot be closed with the code .*: use 1000 to 1003"):
        close(visitor.client, code)
    assert visitor.client.open
    assert visitor.closed is None


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_codes_that_may_be_sent_close_a_connection(server, code):
    visitor = named(server, "alice")
    asyncio.run(visitor.client.close(code, "enough"))
    assert visitor.closed == (code, "enough")


# Closing inside a handler.


def closing(server):
    return lambda client, *_details: server.close_connection(client, 4001, "no")


@pytest.mark.parametrize("register", ["on_connect", "on_message", "on_error", "on_disconnect"])
def test_a_handler_may_close_the_connection(server, register):
    getattr(server, register)(closing(server))
    bystander = MemoryClient(server) if register != "on_connect" else None
    visitor = MemoryClient(server)
    if register == "on_disconnect":
        visitor.leave()
        assert visitor.closed is None
    else:
        visitor.say({"cmd": "ping"} if register == "on_message" else "hello")
        assert visitor.closed == (4001, "no")
    assert visitor.session.state is State.CLOSED
    assert list(server.clients_manager) == ([bystander.client] if bystander else [])
    assert server.rooms_manager.rooms == {}


def test_a_commands_handler_that_closes_the_connection_sends_what_came_before(server):
    server.bind_callback("ping", Clpv4.schema, closing(server))
    after = []
    server.on_message(lambda client, message: after.append(client.open))
    visitor = MemoryClient(server, {"cmd": "ping", "listener": "last"})
    assert visitor.closed == (4001, "no")
    assert after == [False]
    visitor.say({"cmd": "ping"})
    assert visitor.heard() == []


def test_a_client_that_is_closed_when_it_is_identified_says_nothing_any_more(server, caplog):
    other = named(server, "other")
    server.on_protocol_identified(Clpv4.schema)(closing(server))
    visitor = MemoryClient(server, {"cmd": "gmsg", "val": "from somebody who was turned away"})
    assert visitor.closed == (4001, "no")
    assert other.heard() == []
    assert caplog.text == ""


def test_a_client_that_is_closed_when_it_is_identified_brings_no_error_into_the_log(server, caplog):
    server.on_protocol_identified(Clpv4.schema)(closing(server))
    MemoryClient(server, {"cmd": "setid", "val": "nobody"})
    assert caplog.text == ""


def test_one_client_may_close_another_whose_message_is_next(server):
    victim = named(server, "victim")

    @server.on_message
    def kick(client, message):
        if message["cmd"] == "kick":
            server.close_connection(victim.client, 4001, "no")

    server.bind_callback("kick", Clpv4.schema, lambda client, message: None)
    kicker = named(server, "kicker")
    kicker.heard()
    assert kicker.ask({"cmd": "kick"}) == [
        {
            "cmd": "ulist",
            "mode": "remove",
            "val": {"id": victim.client.snowflake, "username": "victim", "uuid": victim.client.uuid},
            "rooms": "default",
        }
    ]
    victim.session.receive(b'{"cmd":"gmsg","val":1}')
    assert kicker.heard() == []


def test_a_silent_client_does_not_keep_those_that_have_come_and_gone():
    server = build({})
    silent = MemoryClient(server)
    for _ in range(150):
        MemoryClient(server, {"cmd": "ping"}).leave()
    server._tick()
    assert list(server._unidentified) == [silent.session]
    assert silent.closed is None
