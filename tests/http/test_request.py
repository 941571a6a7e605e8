"""Reading the head of a request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink.http import Headers
from cloudlink.http.headers import PackedHeaders
from cloudlink.http.request import BadRequest, head_end, parse

LINE = b"GET / HTTP/1.1\r\n"


def read(*lines):
    return parse(b"".join(line + b"\r\n" for line in lines) + b"\r\n")


def test_a_request_as_browsers_send_it():
    request = read(
        b"GET /a%20b/%C3%A9?x=1&y=%20z&x=2&empty= HTTP/1.1", b"Host: games.example", b"X-Odd:  a b \t"
    )
    assert request.method == "GET"
    assert request.target == "/a%20b/%C3%A9?x=1&y=%20z&x=2&empty="
    assert request.raw_path == "/a%20b/%C3%A9"
    assert request.path == "/a b/é"
    assert request.query == {"x": "2", "y": " z", "empty": ""}
    assert dict(request.headers) == {"Host": "games.example", "X-Odd": "a b"}
    assert not request.is_http10
    assert not request.has_body


@pytest.mark.parametrize(
    ("line", "target", "host"),
    [
        (b"GET http://games.example/health?x HTTP/1.1", "/health?x", "games.example"),
        (b"GET HTTP://games.example:3000/health HTTP/1.1", "/health", "games.example:3000"),
        (b"GET https://games.example HTTP/1.1", "/", "games.example"),
        (b"GET ws://games.example?x HTTP/1.1", "/?x", "games.example"),
        (b"GET /health#part HTTP/1.1", "/health", "other"),
        (b"OPTIONS * HTTP/1.1", "*", "other"),
        (b"CONNECT games.example:443 HTTP/1.1", "games.example:443", "other"),
        (b"GET //x HTTP/1.1", "//x", "other"),
    ],
)
def test_the_forms_of_a_target(line, target, host):
    request = read(line, b"Host: other")
    assert (request.target, request.headers["Host"]) == (target, host)


@pytest.mark.parametrize(
    ("head", "status", "words"),
    [
        (b"GET /\r\n\r\n", 400, "must begin with a line such as"),
        (b"junk\r\n\r\n", 400, "must begin with a line such as"),
        (b"GET  / HTTP/1.1\r\n\r\n", 400, "must begin with a line such as"),
        (b"GET / a HTTP/1.1\r\n\r\n", 400, "must begin with a line such as"),
        (b"G(T / HTTP/1.1\r\n\r\n", 400, "must begin with a line such as"),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", 400, "must begin with a line such as"),
        (b"GET x HTTP/1.1\r\n\r\n", 400, "must begin with a slash"),
        (b"GET * HTTP/1.1\r\n\r\n", 400, "must begin with a slash"),
        (b"GET ftp://host/x HTTP/1.1\r\n\r\n", 400, "must begin with a slash"),
        (b"GET / http/1.1\r\n\r\n", 400, "must end with the version"),
        (b"GET / HTTP/1.10\r\n\r\n", 400, "must end with the version"),
        (b"PRI * HTTP/2.0\r\n\r\n", 505, "speaks HTTP/1.1"),
        (b"GET / HTTP/0.9\r\n\r\n", 505, "speaks HTTP/1.1"),
        (b"GET / HTTP/1.1\n\n", 400, "CR LF"),
        (b"GET / HTTP/1.1\nHost: x\r\n\r\n", 400, "CR LF"),
        (LINE + b"Host: x\n\n", 400, "CR LF"),
        (LINE + b"Host: x\nA: b\r\n\r\n", 400, "malformed: Host: x?A: b"),
        (LINE + b"nocolon\r\n\r\n", 400, "malformed: nocolon"),
        (LINE + b"Name : x\r\n\r\n", 400, "malformed: Name : x"),
        (LINE + b": x\r\n\r\n", 400, "malformed: : x"),
        (LINE + b"A: b\r\n folded\r\n\r\n", 400, "malformed:  folded"),
        (LINE + b"A: b\x00\r\n\r\n", 400, "malformed: A: b?"),
        (LINE + b"A\xff: b\r\n\r\n", 400, "malformed: A?: b"),
        (LINE + b"A" * 100 + b"\r\n\r\n", 400, "A…"),
        (LINE + b"Host: a\r\nhost: b\r\n\r\n", 400, "one Host"),
        (LINE + b"A: b\r\n" * 200 + b"\r\n", 431, "at most 128 headers"),
    ],
)
def test_an_invalid_request_is_refused_in_plain_words(head, status, words):
    assert head_end(head) == len(head)
    with pytest.raises(BadRequest) as refused:
        parse(head)
    assert refused.value.status == status
    assert words in refused.value.text
    assert "b'" not in refused.value.text


@pytest.mark.parametrize(
    ("data", "end"), [(b"", -1), (LINE, -1), (LINE + b"\r\nrest", len(LINE) + 2), (b"a\n\nb\r\n\r\n", 3)]
)
def test_a_head_ends_with_an_empty_line(data, end):
    assert head_end(bytearray(data)) == end


def test_http10_is_noticed():
    assert read(b"GET / HTTP/1.0").is_http10
    assert not read(b"GET / HTTP/1.9").is_http10  # a minor version yet to come


@pytest.mark.parametrize(
    ("header", "has_body"),
    [(b"Content-Length: 5", True), (b"Content-Length: 00", False), (b"Transfer-Encoding: chunked", True)],
)
def test_a_body_is_announced(header, has_body):
    assert read(b"GET / HTTP/1.1", header).has_body == has_body


def test_bytes_that_are_not_ascii_stay_as_they_are():
    assert read(b"GET / HTTP/1.1", b"A: \xff").headers["A"] == "\udcff"
    assert read(b"GET /%ff HTTP/1.1").path == "/\ufffd"


@pytest.mark.parametrize("packed", [False, True])
def test_headers_are_a_mapping_that_ignores_case(packed):
    headers = Headers([("Accept", "a"), ("X-Hop", "1, ,2"), ("x-hop", "3")])
    if packed:
        headers = PackedHeaders(headers.packed())
    assert headers["accept"] == headers.get("ACCEPT") == "a"
    assert headers["X-HOP"] == "1, ,2"
    assert list(headers) == ["Accept", "X-Hop"]
    assert len(headers) == 2
    assert "x-HOP" in headers
    assert "Host" not in headers
    assert headers.getall("x-hop") == ["1, ,2", "3"]
    assert headers.getall("Host", ()) == ()
    assert headers.tokens("X-Hop") == ["1", "2", "3"]
    assert headers.tokens("Host") == []
    with pytest.raises(KeyError):
        headers.getall("Host")
    assert repr(headers) == "Headers([('Accept', 'a'), ('X-Hop', '1, ,2'), ('x-hop', '3')])"


BROWSER = (
    b"Host: game.example.org",
    b"User-Agent: Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    b"Accept: */*",
    b"Accept-Language: en-US,en;q=0.5",
    b"Accept-Encoding: gzip, deflate, br, zstd",
    b"Sec-WebSocket-Version: 13",
    b"Origin: https://turbowarp.org",
    b"Sec-WebSocket-Extensions: permessage-deflate",
    b"Sec-WebSocket-Key: bFJ3hlIHNhbXBsZSBub25jZQ==",
    b"Connection: keep-alive, Upgrade",
    b"Sec-Fetch-Dest: empty",
    b"Sec-Fetch-Mode: websocket",
    b"Sec-Fetch-Site: cross-site",
    b"Pragma: no-cache",
    b"Cache-Control: no-cache",
    b"Upgrade: websocket",
)


def test_the_headers_of_a_browser_are_packed_to_less_than_half():
    headers = read(LINE.rstrip(), *BROWSER).headers
    assert len(headers.packed()) < sum(map(len, BROWSER)) / 2


def test_long_headers_that_repeat_nothing_survive_being_packed():
    headers = read(
        LINE.rstrip(), b"A: " + bytes(range(33, 127)) * 20, b"B: " + bytes(range(160, 256)) * 40
    ).headers
    assert tuple(PackedHeaders(headers.packed()).lines()) == headers.lines()


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", LINE, b"GET http://a/b HTTP/1.1\r\nHost: x\r\n", b"OPTIONS * HTTP/1.0\r\n"]),
)
def test_any_bytes_are_a_request_or_explained(data, beginning):
    head = beginning + data + b"\r\n\r\n"
    head = head[: head_end(head)]
    try:
        request, refused = parse(head), None
    except BadRequest as error:
        request, refused = None, error
    if request is None:
        assert refused.status in (400, 431, 505)
        assert refused.text.isascii()
        assert refused.text.isprintable()
    else:
        assert request.target == "*" or request.target.startswith("/") or request.method == "CONNECT"
        assert isinstance(request.path, str)
        assert isinstance(request.query, dict)
        assert "\n" not in "".join(map("".join, request.headers.lines()))
        assert tuple(PackedHeaders(request.headers.packed()).lines()) == request.headers.lines()
