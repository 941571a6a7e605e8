"""Packets that plugins send, and connections they close: to whom, and as what."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.memoryclients import named
from tests.support.servers import build


@pytest.fixture
def server():
    return build({"implicit_greeting": False})


def test_sending_to_a_client_that_is_gone_does_nothing(server):
    visitor, other = named(server, "alice"), named(server, "bob")
    visitor.heard()
    visitor.heard()
    visitor.leave()
    server.send_packet(visitor.client, {"cmd": "direct", "val": 1})
    server.send_packet([visitor.client, other.client], {"cmd": "direct", "val": 2})
    server.close_connection(visitor.client)
    server.close_connection({visitor.client}, 4000, "why")
    assert visitor.heard() == []
    assert visitor.closed is None
    assert other.heard()[-1] == {"cmd": "direct", "val": 2}


@pytest.mark.parametrize(
    "collected", [list, set, tuple, iter, lambda clients: dict(enumerate(clients)).values()]
)
def test_any_iterable_of_clients_can_be_sent_to_and_closed(server, collected):
    visitors = [named(server, "alice"), named(server, "bob")]
    for visitor in visitors:
        visitor.heard()
    server.send_packet(collected([visitor.client for visitor in visitors]), {"cmd": "direct", "val": 1})
    assert [visitor.heard()[-1] for visitor in visitors] == [{"cmd": "direct", "val": 1}] * 2
    server.close_connection(collected([visitor.client for visitor in visitors]), 4001, "no")
    assert [visitor.closed for visitor in visitors] == [(4001, "no")] * 2


def test_the_managers_own_collections_can_be_closed_while_they_shrink(server):
    for name in ("alice", "bob"):
        named(server, name)
    server.close_connection(server.clients_manager)
    assert not server.clients_manager.clients


@pytest.mark.parametrize("obj", ["alice", b"alice", None, 5])
def test_an_object_that_is_not_a_client_is_named(server, obj):
    for call in (lambda: server.send_packet(obj, "hello"), lambda: server.close_connection(obj)):
        with pytest.raises(TypeError, match=f"not {type(obj).__name__}"):
            call()


def test_half_a_surrogate_pair_is_sent_as_its_escape(server):
    visitor = named(server, "alice")
    visitor.heard()
    server.send_packet(visitor.client, '{"val":"\ud83d"}')
    asyncio.run(visitor.client.send('{"val":"\ud83d\ude00é"}'))
    assert visitor.heard() == [{"val": "\ud83d"}, {"val": "😀é"}]
