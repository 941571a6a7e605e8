"""The built-in pages."""

import re

import pytest

from cloudlink.http import Headers, Request
from cloudlink.http.pages import documents, start_page, usable_host


def shown(secure=False, **headers):
    lines = Headers((name.replace("_", "-"), value) for name, value in headers.items())
    return start_page(Request("GET", "/", lines, secure=secure), 0).body.decode()


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({"Host": "game.example"}, "ws://game.example/"),
        ({"Host": "game.example:3000", "secure": True}, "wss://game.example:3000/"),
        ({"Host": "x", "X_Forwarded_Proto": "https,http"}, "wss://x/"),
        (
            {"Host": "x", "X_Forwarded_Host": "game.example", "X_Forwarded_Port": "8443"},
            "ws://game.example:8443/",
        ),
        ({"Host": "x", "X_Forwarded_Prefix": "/cloudlink/", "X_Forwarded_Ssl": "on"}, "wss://x/cloudlink/"),
        ({"Host": "0.0.0.0:3000"}, "ws://127.0.0.1:3000/"),
    ],
)
def test_the_address_is_the_one_that_the_browser_came_by(headers, address):
    body = shown(**headers)
    assert f"<code>{address}</code>" in body
    assert f'href="{address.replace("ws", "http", 1)}extension.js"' in body


@pytest.mark.parametrize(
    ("headers", "is_offered"),
    [
        ({"Host": "game.example", "X_Forwarded_Proto": "https"}, True),
        ({"Host": "192.168.1.20:3000", "secure": True}, True),
        ({"Host": "127.0.0.1:3000"}, True),
        ({"Host": "localhost:3000"}, True),
        ({"Host": "[::1]:3000"}, True),
        ({"Host": "0.0.0.0:3000"}, True),
        ({"Host": "192.168.1.20:3000"}, False),
        ({"Host": "game.example"}, False),
        ({"Host": "localhost.example"}, False),
        ({"Host": "127.0.0.1.example"}, False),
    ],
)
def test_turbowarp_is_offered_where_browsers_let_it_load_the_extension(headers, is_offered):
    body = shown(**headers)
    assert ("https://turbowarp.org/editor?extension=" in body) is is_offered
    assert ("Download it" in body) is not is_offered


@pytest.mark.parametrize("host", [None, "", "<script>alert(1)</script>", "a b", "\udcff", "a/b", '"'])
def test_without_a_usable_host_no_address_is_made_up(host):
    body = shown(**({} if host is None else {"Host": host}))
    assert "by which address it came here" in body
    assert "extension.js" not in body
    assert "alert" not in body


def luminance(colour):
    channels = [int(digits * (2 if len(digits) == 1 else 1), 16) / 255 for digits in colour]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """The contrast of two colours (WCAG 2.2, relative luminance)."""
    split = [re.findall("..?" if len(text) > 3 else ".", text) for text in (one, other)]
    dark, light = sorted(map(luminance, split))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_links_and_text_can_be_read_in_both_colour_schemes(scheme):
    colours = re.findall(r":root \{(.*?)\}", shown(Host="x"))[scheme]
    named = dict(re.findall(r"--(\w+): #([0-9a-f]+)", colours))
    assert contrast(named["link"], named["page"]) >= 4.5
    assert contrast(named["text"], named["page"]) >= 7
    assert contrast(named["text"], named["code"]) >= 4.5


@pytest.mark.parametrize(
    ("host", "usable"),
    [
        ("0.0.0.0:3000", "127.0.0.1:3000"),
        ("0.0.0.0", "127.0.0.1"),
        ("[::]:3000", "[::1]:3000"),
        ("[::1]:3000", "[::1]:3000"),
        ("10.0.0.0.0:3000", "10.0.0.0.0:3000"),
        ("0.0.0.0.example", "0.0.0.0.example"),
        ("games.example:3000", "games.example:3000"),
    ],
)
def test_the_address_of_every_network_becomes_this_machine(host, usable):
    assert usable_host(host) == usable


def test_documents_are_for_any_page():
    handler = documents("/cloud/", {"a/b": b"{}"}.get)
    found = handler(Request("GET", "/cloud/a%2Fb", Headers()))
    assert (found.status, found.body, found.headers["Access-Control-Allow-Origin"]) == (200, b"{}", "*")
    assert handler(Request("GET", "/cloud/c", Headers())).status == 404
