"""The required parts of an upgrade request."""

import pytest

from cloudlink.http import Headers, Request
from cloudlink.http.handshake import is_upgrade, subprotocol, upgrade_refusal

GOOD = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def asking(method="GET", is_http10=False, **changed):
    lines = GOOD | {name.replace("_", "-"): value for name, value in changed.items()}
    headers = Headers((name, value) for name, value in lines.items() if value is not None)
    return Request(method, "/", headers, is_http10)


@pytest.mark.parametrize(
    ("changed", "asks"),
    [
        ({}, True),
        ({"Upgrade": "WebSocket"}, True),
        ({"Upgrade": "h2c, websocket"}, True),
        ({"Upgrade": "h2c"}, False),
        ({"Upgrade": "websocketx"}, False),
        ({"Upgrade": None}, False),
        ({"method": "HEAD"}, False),
        ({"method": "POST"}, False),
    ],
)
def test_requests_for_a_websocket(changed, asks):
    assert is_upgrade(asking(**changed)) is asks


@pytest.mark.parametrize("connection", ["Upgrade", "upgrade", "keep-alive, Upgrade", "Upgrade,close"])
def test_a_good_request_is_not_refused(connection):
    assert upgrade_refusal(asking(Connection=connection)) is None


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        ({"is_http10": True}, 426, "proxy_http_version 1.1;"),
        ({"Sec_WebSocket_Version": "8"}, 426, "not 8"),
        ({"Sec_WebSocket_Version": None}, 426, "not none"),
        ({"Connection": "close"}, 400, "Connection: Upgrade"),
        ({"Connection": None}, 400, "Connection: Upgrade"),
        ({"Sec_WebSocket_Key": None}, 400, "not none"),
        ({"Sec_WebSocket_Key": "short"}, 400, "not short"),
        ({"Sec_WebSocket_Key": ""}, 400, "16 bytes in Base64"),
        ({"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ"}, 400, "16 bytes in Base64"),
        ({"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZSEh"}, 400, "16 bytes in Base64"),
        ({"Sec_WebSocket_Key": "\udcff" * 24}, 400, "16 bytes in Base64"),
        ({"Content_Length": "5"}, 400, "cannot have a body"),
        ({"Transfer_Encoding": "chunked"}, 400, "cannot have a body"),
    ],
)
def test_a_bad_request_is_explained(changed, status, words):
    refused = upgrade_refusal(asking(**changed))
    assert refused.status == status
    assert words in refused.body.decode()
    if status == 426:
        assert refused.headers["Sec-WebSocket-Version"] == "13"


def test_two_keys_are_refused():
    headers = Headers([*GOOD.items(), ("sec-websocket-key", "other")])
    assert upgrade_refusal(Request("GET", "/", headers)).status == 400


@pytest.mark.parametrize(
    ("offered", "accepted"),
    [(None, None), ("cl4", "cl4"), ("cl4, x", "cl4"), (" , x,cl4", "x"), ("", None), ("\udcff, x", None)],
)
def test_the_first_subprotocol_is_accepted(offered, accepted):
    answer = subprotocol(asking(Sec_WebSocket_Protocol=offered).headers)
    assert answer == ({"Sec-WebSocket-Protocol": accepted} if accepted else {})
