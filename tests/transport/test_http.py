"""The plain HTTP answers on the WebSocket port, and what else comes to the door."""

import asyncio
import contextlib
import json
import logging
import re
import tomllib
from pathlib import Path

import pytest

import cloudlink
from cloudlink.http import Routes, scripts
from tests.support.memoryclients import turns
from tests.support.rawclients import ACCEPT, UPGRADE, ask, connect, frame, open_socket, request, running

ROOT = Path(__file__).parents[2]


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


@pytest.mark.parametrize(
    ("host", "address"), [("0.0.0.0:3000", "ws://127.0.0.1:3000/"), ("[::]:3000", "ws://[::1]:3000/")]
)
def test_a_page_opened_at_the_address_of_every_network_says_one_to_connect_to(host, address):
    body = fetch("/", {"Host": host})[1]
    assert f"<code>{address}</code>" in body
    assert "0.0.0.0" not in body


def test_a_hostile_host_header_stays_text():
    assert "<script>" not in fetch("/", {"Host": "<script>alert(1)</script>"})[1]


def test_the_start_page_opens_turbowarp_with_the_extension():
    body = fetch("/", {"X-Forwarded-Proto": "https, http"})[1]
    assert 'href="https://games.example:3000/extension.js"' in body
    address = "https://turbowarp.org/editor?extension=https%3A%2F%2Fgames.example%3A3000%2Fextension.js"
    assert f'href="{address}"' in body


SCRIPTS = {
    "/extension.js": "extension/cloudlink.js",
    "/client.mjs": "web/cloudlink.mjs",
    "/try.mjs": "web/try.mjs",
}


@pytest.mark.parametrize(("path", "file"), SCRIPTS.items())
def test_scripts_are_served_to_any_page(path, file):
    head, body = fetch(f"{path}?v=1")
    assert head.startswith("HTTP/1.1 200 OK")
    assert "Content-Type: text/javascript; charset=utf-8" in head
    assert "Access-Control-Allow-Origin: *" in head
    assert head.count("Cache-Control") == 1
    assert "Cache-Control: public, max-age=600" in head
    assert body == (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("file", SCRIPTS.values())
def test_a_wheel_has_the_scripts_where_the_server_looks_for_them(file):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    places = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    package = Path(cloudlink.__file__).parent
    assert package.parent / places[file] == Path(scripts.__file__).with_name(Path(file).name)


def test_an_installation_without_the_extension_says_not_found(monkeypatch, tmp_path):
    monkeypatch.setattr(scripts, "__file__", str(tmp_path / "a" / "b" / "c" / "scripts.py"))
    scripts.source.cache_clear()
    try:
        assert fetch("/extension.js")[0].startswith("HTTP/1.1 404")
    finally:
        scripts.source.cache_clear()


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


@pytest.mark.parametrize("cut", [1, 4, 5, 20])
def test_a_request_may_come_in_pieces(cut):
    async def scenario(raw):
        async with running() as server:
            peer = await open_socket(server.port)
            peer.writer.write(raw[:cut])
            await turns()  # so that it is read by itself
            peer.writer.write(raw[cut:])
            return (await peer.reader.read()).decode()

    assert asyncio.run(scenario(b"HEAD /health HTTP/1.1\r\n\r\n")).startswith("HTTP/1.1 200 OK")
    assert asyncio.run(scenario(b"GET /health HTTP/1.1\r\n\r\n")).endswith("}")


def test_a_head_request_opens_no_websocket():
    head, body = fetch("/", UPGRADE, method="HEAD")
    assert head.startswith("HTTP/1.1 200")
    assert body == ""


def test_other_methods_are_refused():
    assert fetch("/", method="DELETE")[0].startswith("HTTP/1.1 405")


def test_only_allowed_origins_may_connect_once_some_are_listed():
    origins = ["https://turbowarp.org"]
    head, body = fetch("/", UPGRADE | {"Origin": "https://evil.example"}, allowed_origins=origins)
    assert head.startswith("HTTP/1.1 403")
    assert "allowed_origins" in body

    async def scenario():
        async with running(allowed_origins=origins) as server:
            await connect(server.port, UPGRADE | {"Origin": "https://turbowarp.org"})
            assert server.counters.refused == {}
            assert " 403 " in await ask(server.port, request(UPGRADE | {"Origin": "https://evil.example"}))
            assert server.counters.refused == {"origin": 1}

    asyncio.run(scenario())


@pytest.mark.parametrize("version", ["8", "7", "99", "", "\xff", "13\r\nSec-WebSocket-Version: 8"])
def test_the_answer_to_another_version_of_websocket_names_the_supported_one(version):
    head, body = fetch("/", UPGRADE | {"Sec-WebSocket-Version": version})
    assert head.startswith("HTTP/1.1 426")
    assert "\r\nSec-WebSocket-Version: 13" in head
    assert "not " + version.replace("\r\nSec-WebSocket-Version:", ",").replace("\xff", "?") in body


def test_the_answer_to_a_wrong_upgrade_says_what_is_wrong():
    head, body = fetch("/", UPGRADE | {"Sec-WebSocket-Key": "short"})
    assert head.startswith("HTTP/1.1 400")
    assert "short" in body


def test_the_upgrade_header_may_list_more():
    async def scenario():
        async with running() as server:
            await connect(server.port, UPGRADE | {"Upgrade": "h2c, WebSocket"})

    asyncio.run(scenario())


def test_bytes_beyond_ascii_in_headers_are_no_trouble():
    assert fetch("/", {"Host": "games\xff.example"})[0].startswith("HTTP/1.1 200")
    head, _ = fetch("/", UPGRADE | {"Origin": "\xff"}, allowed_origins=["https://turbowarp.org"])
    assert head.startswith("HTTP/1.1 403")


def test_a_page_that_fails_is_logged_and_says_nothing_of_why(monkeypatch, caplog):
    monkeypatch.setattr(Routes, "respond", lambda *_arguments: 1 / 0)
    head, body = fetch("/")
    assert head.startswith("HTTP/1.1 500")
    assert "zero" not in body
    assert "ZeroDivisionError" in caplog.text


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


@pytest.mark.parametrize(("is_silent", "reports"), [(True, 0), (False, 1)])
def test_messages_of_the_websocket_library_are_logged_only_on_request(caplog, is_silent, reports):
    async def scenario():
        async with running(log_addresses="anonymous") as server:
            await server.stop()
            server.suppress_websocket_logs = is_silent
            await server.start("127.0.0.1", 0)
            peer = await connect(server.port)
            peer.writer.write(frame(b"", 0x83))
            assert (await peer.receive_close())[0] == 1002
            await peer.at_end()

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    messages = [record.getMessage() for record in caplog.records if record.name == "picows"]
    assert sum("New connection accepted" in message for message in messages) == reports
    assert sum("invalid opcode" in message for message in messages) == reports
    assert not any("127.0.0.1" in message for message in messages)


def test_a_connection_that_asks_for_nothing_is_dropped(monkeypatch):
    monkeypatch.setattr("cloudlink.transport.detector._REQUEST_TIMEOUT", 0.05)

    async def scenario():
        async with running() as server:
            # A reset and an orderly end are both fine: it must only not stay.
            for raw in (b"", b"GET / HT"):
                with contextlib.suppress(ConnectionResetError):
                    assert await asyncio.wait_for(ask(server.port, raw), 2) == ""

    asyncio.run(scenario())


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_an_address_is_shown_only_so_many_pages_at_a_time(method):
    settings = {
        "trusted_proxies": ["127.0.0.1"],
        "real_ip_header": "X-Forwarded-For",
        "connection_burst_per_address": 2,
        "connection_rate_per_address": 0.001,
    }

    async def scenario():
        async with running(**settings) as server:
            answers = [
                await ask(server.port, request({"X-Forwarded-For": child}).replace(b"GET", method, 1))
                for child in ("203.0.113.7",) * 5 + ("203.0.113.8",)
            ]
        codes = [int(answer.split(maxsplit=2)[1]) for answer in answers]
        assert codes[:2] == [200, 200]
        assert codes[-2:] == [429, 200]

    asyncio.run(scenario())


def head_of(raw, **settings):
    async def scenario():
        async with running(**settings) as server:
            return await ask(server.port, raw)

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /health HTTP/1.0", "200 OK"),
        ("HEAD /health HTTP/1.0", "200 OK"),
        ("GET / HTTP/1.0", "200 OK"),
        ("OPTIONS /health HTTP/1.0", "204 No Content"),
        ("OPTIONS / HTTP/1.1", "204 No Content"),
        ("OPTIONS * HTTP/1.1", "204 No Content"),
        ("OPTIONS /nothing HTTP/1.1", "404 Not Found"),
        ("POST /health HTTP/1.1", "405 Method Not Allowed"),
        ("BREW / HTTP/1.1", "405 Method Not Allowed"),
        ("CONNECT games.example:443 HTTP/1.1", "405 Method Not Allowed"),
        ("POST /nothing HTTP/1.1", "404 Not Found"),
        ("GET http://games.example/health HTTP/1.1", "200 OK"),
        ("GET http://games.example HTTP/1.1", "200 OK"),
        ("GET /health HTTP/2.0", "505 HTTP Version Not Supported"),
        ("GET /health", "400 Bad Request"),
        ("\x00\x01\x02", "400 Bad Request"),
        ("GET\t/health\tHTTP/1.1", "400 Bad Request"),
    ],
)
@pytest.mark.parametrize("host", ["Host: games.example\r\n", ""])
def test_first_lines_of_all_kinds_are_answered(line, status, host):
    head, _, body = head_of(f"{line}\r\n{host}\r\n".encode("latin-1")).partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status}\r\n")
    assert ("Allow: GET, HEAD, OPTIONS" in head) is status.startswith(("204", "405"))
    assert "\r\nConnection: close" in head
    assert re.search(r"\r\nDate: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT", head)
    if line.startswith("HEAD") or status.startswith("204"):
        assert body == ""
    else:
        assert f"Content-Length: {len(body.encode())}" in head
    for word in (" b'", "\\x", "Error", "Traceback"):
        assert word not in body


@pytest.mark.parametrize("raw", [b"GET / HTTP/1.1\nHost: x\n\n", b"GET / HTTP/1.1\r\nHost x\r\n\r\n"])
def test_malformed_requests_are_explained(raw):
    answer = head_of(raw)
    assert answer.startswith("HTTP/1.1 400 Bad Request")
    assert "b'" not in answer


def test_empty_lines_before_a_request_are_skipped():
    assert head_of(b"\r\n\r\nGET /health HTTP/1.1\r\n\r\n").startswith("HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nCookie: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nCookie: " + b"x" * 20_000,
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"x" * 50_000,
    ],
)
def test_headers_that_are_too_long_are_refused_and_logged_once(raw, caplog):
    async def scenario():
        async with running() as server:
            for _ in range(3):
                assert (await ask(server.port, raw)).startswith("HTTP/1.1 431 ")

    asyncio.run(scenario())
    lines = [record for record in caplog.records if "headers are longer than 16384 bytes" in record.message]
    assert len(lines) == 1


def test_a_refused_body_does_not_cost_the_client_the_answer():
    body = b"x" * 300_000
    raw = b"POST /health HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    assert head_of(raw).startswith("HTTP/1.1 405 ")


def test_a_client_that_has_said_all_it_will_say_gets_its_answer():
    async def scenario():
        async with running() as server:
            peer = await open_socket(server.port)
            peer.writer.write(b"GET /health HTTP/1.1\r\n\r\n")
            peer.writer.write_eof()
            return (await peer.reader.read()).decode()

    assert asyncio.run(scenario()).startswith("HTTP/1.1 200 OK")


@pytest.mark.parametrize(("offered", "accepted"), [("cl4, x", "cl4"), ("x,cl4", "x"), (None, None)])
def test_a_subprotocol_is_accepted_because_browsers_insist(offered, accepted):
    async def scenario():
        async with running() as server:
            peer = await open_socket(server.port)
            headers = UPGRADE | ({"Sec-WebSocket-Protocol": offered} if offered else {})
            peer.writer.write(request(headers))
            return (await peer.reader.readuntil(b"\r\n\r\n")).decode()

    head = asyncio.run(scenario())
    assert head.startswith("HTTP/1.1 101 ")
    assert ("Sec-WebSocket-Protocol" in head) is bool(accepted)
    if accepted:
        assert f"\r\nSec-WebSocket-Protocol: {accepted}\r\n" in head


@pytest.mark.parametrize("offered", [{}, {"Sec-WebSocket-Protocol": "cl4, x"}])
def test_plugins_see_the_headers_of_the_response_that_was_sent(offered):
    async def scenario():
        async with running() as server:
            seen = asyncio.get_running_loop().create_future()
            server.on_connect(seen.set_result)
            peer = await open_socket(server.port)
            peer.writer.write(request(UPGRADE | offered))
            head = (await peer.reader.readuntil(b"\r\n\r\n")).decode()
            client = await asyncio.wait_for(seen, 5)
            return head.split("\r\n")[1:-2], client.response_headers

    lines, headers = asyncio.run(scenario())
    assert lines == [f"{name}: {value}" for name, value in headers.items()]
    assert headers["sec-websocket-accept"] == ACCEPT


def test_a_websocket_may_be_asked_for_by_an_absolute_target():
    async def scenario():
        async with running() as server:
            seen = asyncio.get_running_loop().create_future()
            server.on_connect(lambda client: seen.set_result((client.path, client.request_headers["host"])))
            await connect(server.port, path="http://games.example/?room=5")
            return await asyncio.wait_for(seen, 5)

    assert asyncio.run(scenario()) == ("/?room=5", "games.example")


def test_health_may_be_read_by_any_page():
    assert "Access-Control-Allow-Origin: *" in fetch("/health")[0]


@pytest.mark.parametrize(("origin", "status"), [("https://a.itch.zone", 101), ("https://itch.zone", 403)])
def test_allowed_origins_may_have_wildcards(origin, status):
    async def scenario():
        async with running(allowed_origins=["https://*.itch.zone"]) as server:
            peer = await open_socket(server.port)
            peer.writer.write(request(UPGRADE | {"Origin": origin}))
            return await peer.reader.readuntil(b"\r\n\r\n")

    assert asyncio.run(scenario()).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(("size", "status"), [(16_384, "200 OK"), (16_385, "431 ")])
def test_a_head_may_have_16_kilobytes(size, status):
    head = request({"Host": "x", "A": ""}, "/health")
    padding = b"A: " + b"x" * (size - len(head))

    async def scenario():
        async with running() as server:
            return await ask(server.port, head.replace(b"A: ", padding))

    assert asyncio.run(scenario()).startswith(f"HTTP/1.1 {status}")
