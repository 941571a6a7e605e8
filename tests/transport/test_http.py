"""The plain HTTP answers on the WebSocket port, and what else comes to the door."""

import asyncio
import contextlib
import json
import logging

import pytest

from transport.peers import UPGRADE, ask, connect, request, running


def fetch(path, headers=None, method="GET", **settings):
    async def scenario():
        async with running(**settings) as server:
            raw = request({"Host": "games.example:3000"} | (headers or {}), path)
            answer = await ask(server.port, raw.replace(b"GET", method.encode(), 1))
            head, _, body = answer.partition("\r\n\r\n")
            return head, body

    return asyncio.run(scenario())


def test_the_start_page_tells_what_this_is_and_where_to_connect():
    head, body = fetch("/")
    assert head.startswith("HTTP/1.1 200 OK")
    assert "text/html" in head
    assert "This is a CloudLink server" in body
    assert "ws://games.example:3000/" in body
    assert "Nobody is here" in body


def test_the_start_page_counts_the_clients():
    async def scenario():
        async with running() as server:
            await connect(server.port)
            one = await ask(server.port, request({}))
            await connect(server.port)
            return one, await ask(server.port, request({}))

    one, two = asyncio.run(scenario())
    assert "1 client is here" in one
    assert "2 clients are here" in two


def test_behind_a_proxy_that_speaks_tls_the_start_page_says_wss():
    assert "wss://games.example:3000/" in fetch("/", {"X-Forwarded-Proto": "https"})[1]


def test_a_hostile_host_header_stays_text():
    assert "<script>" not in fetch("/", {"Host": "<script>alert(1)</script>"})[1]


def test_health_is_json():
    head, body = fetch("/health?x=1")
    assert "application/json" in head
    health = json.loads(body)
    assert health["status"] == "ok"
    assert health["clients"] == 0
    assert health["uptime"] >= 0
    assert health["protocol_version"] == "0.2.0"


@pytest.mark.parametrize("path", ["/nothing", "/health/x", "//"])
def test_anything_else_is_not_found(path):
    head, body = fetch(path)
    assert head.startswith("HTTP/1.1 404")
    assert "CloudLink" in body


def test_head_requests_get_the_head_alone():
    head, body = fetch("/health", method="HEAD")
    assert head.startswith("HTTP/1.1 200 OK")
    assert "Content-Length:" in head
    assert body == ""


def test_other_methods_are_refused():
    assert fetch("/", method="DELETE")[0].startswith("HTTP/1.1 400")


def test_only_allowed_origins_may_connect_once_some_are_listed():
    origins = ["https://turbowarp.org"]
    head, body = fetch("/", UPGRADE | {"Origin": "https://evil.example"}, allowed_origins=origins)
    assert head.startswith("HTTP/1.1 403")
    assert "allowed_origins" in body

    async def scenario():
        async with running(allowed_origins=origins) as server:
            await connect(server.port, UPGRADE | {"Origin": "https://turbowarp.org"})

    asyncio.run(scenario())


def test_a_wrong_upgrade_is_told_what_is_wrong():
    head, body = fetch("/", UPGRADE | {"Sec-WebSocket-Version": "99"})
    assert head.startswith("HTTP/1.1 400")
    assert "99" in body


def test_a_tls_client_on_the_plain_port_gets_one_clear_log_line(caplog):
    async def scenario():
        async with running() as server:
            for _ in range(3):  # a browser tries again and again
                assert await ask(server.port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") == ""

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert len(caplog.records) == 1
    assert "TLS" in caplog.text
    assert "ws://" in caplog.text


def test_a_connection_that_asks_for_nothing_is_dropped(monkeypatch):
    monkeypatch.setattr("cloudlink.transport.door._REQUEST_TIMEOUT", 0.05)

    async def scenario():
        async with running() as server:
            # A reset and an orderly end are both fine: it must only not stay.
            for raw in (b"", b"GET / HT"):
                with contextlib.suppress(ConnectionResetError):
                    assert await asyncio.wait_for(ask(server.port, raw), 2) == ""

    asyncio.run(scenario())
