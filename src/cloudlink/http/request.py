"""A request, and the parser of its head (RFC 9112, sections 2 to 5).

Bodies are not read: a server of WebSockets and a few pages does not need them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

from .headers import Headers

MAX_HEAD = 16 * 1024
"""Most bytes of a request line and its headers."""
_MAX_HEADERS = 128

_REQUEST_LINE = re.compile(
    rb"(?P<method>[!#$%&'*+.^_`|~0-9A-Za-z-]+) (?P<target>[\x21-\x7e\x80-\xff]+) (?P<version>\S+)"
)
_VERSION = re.compile(rb"HTTP/(\d)\.(\d)")
_FIELD = re.compile(rb"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):(?P<value>[\t\x20-\x7e\x80-\xff]*)")
_ABSOLUTE = re.compile(r"(?:http|ws)s?://(?P<authority>[^/?#]*)(?P<rest>.*)", re.IGNORECASE)
_QUOTED_LENGTH = 60


class BadRequest(Exception):  # noqa: N818  # named after the status of its response
    """A request that cannot be answered as asked.

    Attributes:
        status: The status of the answer.
        text: A sentence that says what is wrong.
    """

    def __init__(self, text: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


@dataclass(frozen=True)
class Request:
    """A request without its body.

    Attributes:
        method: `GET`, `HEAD` and so on, as sent. Handlers get only GET and HEAD requests, and treat both alike.
        target: Path and query as sent, percent-encoded, such as `/scores?name=Mia%20B`; `*` in `OPTIONS *`.
        headers: The headers; look-ups ignore case.
        is_http10: Whether it is an HTTP/1.0 request.
        secure: Whether it came over TLS to this server itself.
        address: The address for limits and logs; behind trusted proxies, the client's real one.
        is_local: Whether a program on this machine sent it to this machine by name or address, and no proxy passed it
            on for somebody else. A page of a foreign site may still be behind it.
        peer: The address of the socket's peer: the client, or the proxy nearest to this server.
    """

    method: str
    target: str
    headers: Headers
    is_http10: bool = False
    secure: bool = False
    address: str = ""
    is_local: bool = False
    peer: str = ""

    @cached_property
    def path(self) -> str:
        """The path, percent-decoded; bytes that are not UTF-8 become U+FFFD."""
        return unquote(self.raw_path)

    @property
    def raw_path(self) -> str:
        """The path as sent, without the query."""
        return self.target.partition("?")[0]

    @cached_property
    def query(self) -> dict[str, str]:
        """The parameters after `?`, decoded; if a name occurs several times, the last value."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def has_body(self) -> bool:
        """Whether a body follows the head (RFC 9112, section 6.3)."""
        return "Transfer-Encoding" in self.headers or self.headers.get("Content-Length", "0").strip("0") != ""


def head_end(data: bytes | bytearray) -> int:
    """Return the length of a request's head, including its empty line; -1 if the head is incomplete.

    Line feeds without carriage returns end a head too, so that `parse` can refuse it; otherwise it would never be answered.
    """
    ends = (end + len(mark) for mark in (b"\r\n\r\n", b"\n\n") if (end := data.find(mark)) >= 0)
    return min(ends, default=-1)


def parse(head: bytes) -> Request:
    """Parse the head of a request, up to and including its empty line.

    Raises:
        BadRequest: It is not an HTTP/1.0 or HTTP/1.1 request; the text says what is wrong.
    """
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if b"\n" in lines[0] or not head.endswith(b"\r\n\r\n"):
        raise BadRequest("The lines of a request must end with CR LF (bytes 13 and 10).")
    method, target, is_http10 = _request_line(lines[0])
    if len(lines) - 1 > _MAX_HEADERS:
        raise BadRequest(
            f"A request may have at most {_MAX_HEADERS} headers.", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        )
    # Not a generator: CPython never reuses the freed tuples it keeps, up to 2000 of each length, for a tuple made from one, so
    # each request would leave one more.
    headers = Headers([_field(line) for line in lines[1:]])
    if len(headers.getall("Host", ())) > 1:
        raise BadRequest("A request must have one Host header, not several.")
    return _with_origin_form(method, target, headers, is_http10)


def _request_line(line: bytes) -> tuple[str, str, bool]:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise BadRequest("A request must begin with a line such as: GET / HTTP/1.1")
    version = _VERSION.fullmatch(match["version"])
    if version is None:
        raise BadRequest("The first line of a request must end with the version, such as HTTP/1.1.")
    if version[1] != b"1":
        raise BadRequest("This server speaks HTTP/1.1.", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    return _text(match["method"]), _text(match["target"]), version[2] == b"0"


def _field(line: bytes) -> tuple[str, str]:
    match = _FIELD.fullmatch(line)
    if match is None:
        raise BadRequest(f"This header line is malformed: {_quoted(line)}")
    name, value = match.groups()
    return _name(name), _text(value.strip(b" \t"))


def _with_origin_form(method: str, target: str, headers: Headers, is_http10: bool) -> Request:
    """Return a request in which the authority of an absolute target replaces the Host (RFC 9112, section 3.2.2)."""
    match = _ABSOLUTE.fullmatch(target)
    if match is not None:
        rest = match["rest"].partition("#")[0]
        target = rest if rest.startswith("/") else "/" + rest
        headers = headers.replaced("Host", match["authority"])
    elif not target.startswith("/") and (method, target) != ("OPTIONS", "*") and method != "CONNECT":
        raise BadRequest("The path of a request must begin with a slash.")
    return Request(method, target.partition("#")[0], headers, is_http10)


@lru_cache(maxsize=256)
def _name(data: bytes) -> str:
    """Return the name of a header; connections keep their headers, so common names are shared."""
    return data.decode("ascii")


def _text(data: bytes) -> str:
    # Non-ASCII bytes are kept as surrogates (PEP 383): their encoding is unknown, and nothing is lost.
    return data.decode("ascii", "surrogateescape")


def _quoted(line: bytes) -> str:
    shown = "".join(chr(byte) if 0x20 <= byte <= 0x7E else "?" for byte in line[:_QUOTED_LENGTH])  # noqa: PLR2004  # ASCII
    return shown if len(line) <= _QUOTED_LENGTH else shown + "…"
