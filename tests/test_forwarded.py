"""The headers in which proxies describe a request, in all their variants."""

import time

import pytest

from cloudlink.forwarded import CLIENT_HEADERS, Outside, client_header, hops, outside
from cloudlink.http import Headers

HOST = {"Host": "inside:3000"}


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Proto": "https"},
        {"X-Forwarded-Proto": "HTTPS"},
        {"X-Forwarded-Proto": "https,http"},
        {"X-Forwarded-Proto": " https , http"},
        {"X-Forwarded-Proto": "wss"},
        {"X-Forwarded-Protocol": "https"},
        {"X-Forwarded-Scheme": "https"},
        {"X-Scheme": "https"},
        {"X-Url-Scheme": "https"},
        {"X-Forwarded-Ssl": "on"},
        {"Front-End-Https": "On"},
        {"CF-Visitor": '{"scheme":"https"}'},
        {
            "CF-Visitor": '{"scheme":"https"}',
            "X-Forwarded-Proto": "http",
        },  # the proxy behind Cloudflare has no TLS
        {"Forwarded": "for=192.0.2.1;proto=https"},
        {"Forwarded": 'For="[2001:db8::1]:4711";Proto="https", for=10.0.0.1;proto=http'},
    ],
)
def test_tls_in_front_is_noticed(headers):
    assert outside(HOST | headers, secure=False) == Outside(secure=True, host="inside:3000", prefix="")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Forwarded-Proto": "http"},
        {"X-Forwarded-Proto": "http,https"},  # TLS between the proxies only
        {"X-Forwarded-Proto": "httpsx"},
        {"X-Forwarded-Proto": ""},
        {"X-Forwarded-Ssl": "off"},
        {"CF-Visitor": "https"},
        {"CF-Visitor": "[" * 15_000},
        {"CF-Visitor": '["scheme"]'},
        {"CF-Visitor": '{"scheme":["https"]}'},
        {"Forwarded": "proto=http"},
        {"Forwarded": 'proto=https;x="'},
    ],
)
def test_no_tls_in_front_is_noticed(headers):
    assert outside(HOST | headers, secure=False).secure is False
    assert outside(HOST | headers, secure=True).secure is True


@pytest.mark.parametrize(
    ("headers", "host"),
    [
        ({}, "inside:3000"),
        ({"X-Forwarded-Host": "game.example"}, "game.example"),
        ({"X-Forwarded-Host": "game.example:8443, inner"}, "game.example:8443"),
        ({"X-Forwarded-Host": "game.example", "X-Forwarded-Port": "8443"}, "game.example:8443"),
        ({"X-Forwarded-Host": "game.example", "X-Forwarded-Port": "8443,3000"}, "game.example:8443"),
        ({"X-Forwarded-Host": "game.example", "X-Forwarded-Port": "443"}, "game.example"),
        ({"X-Forwarded-Host": "game.example", "X-Forwarded-Port": "80"}, "game.example"),
        ({"X-Forwarded-Host": "game.example:1", "X-Forwarded-Port": "2"}, "game.example:1"),
        ({"X-Forwarded-Host": "game.example", "X-Forwarded-Port": "8443/"}, "game.example"),
        ({"X-Forwarded-Port": "8443"}, "inside:3000"),
        ({"Host": "game.example", "X-Forwarded-Port": "8443"}, "game.example:8443"),
        ({"Forwarded": 'host="game.example:8443";for=_x'}, "game.example:8443"),
        ({"Forwarded": "host=game.example", "X-Forwarded-Host": "other.example"}, "game.example"),
        ({"X-Forwarded-Host": "[2001:db8::1]:8443"}, "[2001:db8::1]:8443"),
        ({"X-Forwarded-Host": "<script>"}, "inside:3000"),
        ({"X-Forwarded-Host": "a/b"}, "inside:3000"),
        ({"Host": "a\udcffb"}, ""),
        ({"Host": ""}, ""),
    ],
)
def test_the_host_is_the_one_that_the_client_asked(headers, host):
    assert outside(HOST | headers, secure=False).host == host


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        ("/cloudlink", "/cloudlink"),
        ("/cloudlink/", "/cloudlink"),
        ("/a/b, /c", "/a/b"),
        ("/", ""),
        ("", ""),
        ("cloudlink", ""),
        ("//evil.example", ""),
        ("/<b>", ""),
    ],
)
def test_the_prefix_is_the_path_that_a_proxy_has_put_in_front(value, prefix):
    assert outside(HOST | {"X-Forwarded-Prefix": value}, secure=False).prefix == prefix


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ([], []),
        (["1.2.3.4"], ["1.2.3.4"]),
        (["1.2.3.4, 5.6.7.8"], ["1.2.3.4", "5.6.7.8"]),
        (["1.2.3.4", "5.6.7.8"], ["1.2.3.4", "5.6.7.8"]),
        ([" , 1.2.3.4 ,"], ["1.2.3.4"]),
    ],
)
def test_hops_are_listed_from_the_client_on(lines, named):
    headers = Headers(("x-forwarded-for", line) for line in lines)
    assert hops(headers, "X-Forwarded-For") == named


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (["for=1.2.3.4;by=x, For=5.6.7.8"], ["1.2.3.4", "5.6.7.8"]),
        (['for="[2001:db8::1]:80"'], ["[2001:db8::1]:80"]),
        (['for="a\\"b"'], ['a"b']),
        (["proto=https"], [""]),
        # An open quote of the client's must not hide what the proxy has added.
        (['for=10.0.0.1;x=", for=5.6.7.8'], [""]),
        (['for=10.0.0.1;x="\\", for="5.6.7.8"'], [""]),
        (['for=10.0.0.1;x="', "for=5.6.7.8"], ["", "5.6.7.8"]),
    ],
)
def test_hops_of_the_standard_header(lines, named):
    assert hops(Headers(("Forwarded", line) for line in lines), "forwarded") == named


@pytest.mark.parametrize("text", ['"', "a=", ";", ",", " ", "a", '"\\', 'a="', 'a="b"c', 'a="b",', "for=a;"])
def test_reading_takes_no_longer_for_hostile_headers(text):
    began = time.perf_counter()
    hops({"Forwarded": text * (16_000 // len(text))}, "Forwarded")
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize("name", CLIENT_HEADERS)
def test_headers_that_name_the_client_are_known(name):
    assert client_header(Headers([(name.lower(), "1.2.3.4")])) == name
    assert client_header(Headers([("Host", "x")])) is None
