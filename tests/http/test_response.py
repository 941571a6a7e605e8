"""The values that handlers return, and the bytes of the response head."""

import io

import pytest

from cloudlink.http import File, Response


@pytest.mark.parametrize(
    ("result", "body", "content_type"),
    [
        ("héllo", "héllo".encode(), "text/plain; charset=utf-8"),
        (b"\x00\x01", b"\x00\x01", "application/octet-stream"),
        (bytearray(b"x"), b"x", "application/octet-stream"),
        ({"score": 1}, b'{"score":1}', "application/json"),
        ([1, "é"], '[1,"é"]'.encode(), "application/json"),
        (Response("<p>", content_type="text/html"), b"<p>", "text/html"),
        ("half \ud800", b"half ?", "text/plain; charset=utf-8"),
    ],
)
def test_values_that_a_handler_may_return(result, body, content_type):
    response = Response.of(result)
    assert (response.status, response.body, response.content_type) == (200, body, content_type)
    assert response.size == len(body)


@pytest.mark.parametrize("result", [None, 1, object(), {"a": object()}, {1, 2}])
def test_values_that_a_handler_may_not_return(result):
    with pytest.raises(TypeError):
        Response.of(result)


@pytest.mark.parametrize("status", [100, 101, 199, 600, -1, "200", None])
def test_a_status_that_cannot_be_sent(status):
    with pytest.raises(ValueError, match="a status must be 200 to 599"):
        Response("x", status)


@pytest.mark.parametrize(
    "headers",
    [{"A": "b\r\nC: d"}, {"A\r\n": "b"}, {"A": "é"}, {"A b": "c"}, {"": "c"}, {"A": 5}, {"A": "b\x00"}],
)
def test_a_header_that_cannot_be_sent(headers):
    with pytest.raises(ValueError, match="must be one line of ASCII"):
        Response("x", headers=headers)


def test_a_type_that_cannot_be_sent():
    with pytest.raises(ValueError, match="Content-Type"):
        Response("x", content_type="text/html\r\nSet-Cookie: a=b")


def test_the_head():
    assert Response("abc", 404, headers={"X-Odd": "1"}).head() == (
        b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\nX-Odd: 1\r\n"
        b"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )


def test_the_head_may_have_a_date():
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert f"\r\nDate: {date}\r\n".encode() in Response("x").head(date)


def test_headers_of_the_handler_win_over_the_usual_ones():
    head = Response("", headers={"cache-control": "max-age=5", "CONTENT-TYPE": "text/css"}).head().decode()
    assert head.lower().count("cache-control") == head.lower().count("content-type:") == 1
    assert "max-age=5" in head
    assert "text/css" in head


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_without_body_has_no_length(status):
    head = Response(status=status).head()
    assert b"Content-Length" not in head
    assert b"Content-Type:" not in head
    with pytest.raises(ValueError, match="cannot have a body"):
        Response("x", status)


def test_a_plugins_own_status():
    assert Response("", 299).head().startswith(b"HTTP/1.1 299 \r\n")


def test_defaults_fill_gaps_only():
    response = Response("x", headers={"a": "1"})
    assert response.with_defaults({"A": "2"}) is response
    assert response.with_defaults({"A": "2", "B": "3"}).headers == {"a": "1", "B": "3"}


def test_a_file_is_as_long_as_it_says():
    file = File(io.BytesIO(b"abc"), 3)
    response = Response.of(file).with_defaults({"A": "2"})
    assert response.body is file
    assert response.size == 3
