"""Which errors of connecting are permanent, so that waiting for the server does not help."""

import asyncio
import errno
import socket
import ssl

import pytest

from cloudlink.client import ConnectError, connect, connect_cloud
from cloudlink.client.diagnostics import (
    HttpAnswer,
    bad_address,
    proxy_failed,
    unreachable,
    upgrade_failed,
)

WS, WSS = "ws://games.example/", "wss://games.example/"


def http(status, body=b"", **headers):
    return upgrade_failed(WS, HttpAnswer(status, headers, body))


def untrusted(code):
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "why"
    return error


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        (bad_address("http://games.example"), True),
        (bad_address(""), True),
        (bad_address("ws://games.example:99999"), True),
        (bad_address("games"), True),
        (unreachable(WS, ConnectionRefusedError(errno.ECONNREFUSED, "refused")), False),
        (unreachable(WS, socket.gaierror(-2, "unknown")), False),  # a container that is not up has no name
        (unreachable(WS, TimeoutError()), False),
        (unreachable(WS, OSError(errno.EHOSTUNREACH, "no route")), False),
        (unreachable(WS, ConnectionResetError()), False),  # a container's port before its program listens
        (unreachable(WSS, ConnectionResetError()), False),
        (unreachable(WSS, ssl.SSLError(1, "wrong version number")), True),
        (unreachable(WSS, untrusted(10)), True),
        (unreachable(WSS, untrusted(18)), True),
        (proxy_failed(WS, "http://proxy:1", ConnectionRefusedError(errno.ECONNREFUSED, "refused")), False),
        (upgrade_failed(WS, None), False),
        (http(101), True),
        (http(200), True),
        (http(200, b"This is a CloudLink server"), True),
        (http(301, Location="https://elsewhere.example/"), True),
        (http(400), True),
        (http(403, b"allowed_origins"), True),
        (http(404), True),
        (http(429), False),
        (http(500), False),
        (http(502), False),
        (http(503), False),
        (http(503, b"Server is full!"), False),
        (http(504), False),
    ],
    ids=lambda value: str(value)[:50],
)
def test_permanent_errors(error, permanent):
    assert error.permanent == permanent


def test_the_status_is_kept():
    assert http(502).status == 502
    assert upgrade_failed(WS, None).status is None


@pytest.mark.parametrize("kind", [connect, lambda url, **more: connect_cloud(url, 1, "bot", **more)])
@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "ws://127.0.0.1:0/", ""])
def test_a_wrong_address_is_not_waited_for(kind, url):
    async def scenario():
        async with asyncio.timeout(20):
            with pytest.raises(ConnectError):
                await kind(url, wait=True).__aenter__()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        OSError(errno.ECONNREFUSED, "refused"),
        OSError("Multiple exceptions: refused, refused"),
    ],
)
def test_a_port_at_which_nothing_listens_is_explained_whatever_the_error(error):
    assert str(unreachable(WS, error)) == str(unreachable(WS, ConnectionRefusedError()))
    assert str(unreachable(WS, error)) != str(unreachable(WS, OSError(errno.EHOSTUNREACH, "no route")))


@pytest.mark.parametrize("status", [408, 425, 429])
def test_a_server_may_ask_to_come_again(status):
    assert not http(status).permanent
    assert http(status + 1).permanent


def test_a_time_out_is_explained():
    error = unreachable(WS, TimeoutError())
    assert error.problem == "games.example:80 did not answer in time."
    assert "firewall" in error.remedy


@pytest.mark.parametrize(("status", "is_known"), [(400, True), (401, False), (500, False)])
def test_a_proxy_that_drops_the_header_connection_is_known_by_a_bad_request(status, is_known):
    error = http(status, b"Missing header: Connection: Upgrade")
    assert ("drops the header Connection" in error.problem) == is_known


@pytest.mark.parametrize(("code", "is_other"), [(62, True), (64, True), (63, False)])
def test_a_certificate_of_another_host_is_known_by_openssls_code(code, is_other):
    same = str(unreachable(WSS, untrusted(62)))
    assert (str(unreachable(WSS, untrusted(code))) == same) == is_other
