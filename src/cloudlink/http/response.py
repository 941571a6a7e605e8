"""A response: the value that a handler returns, and the bytes of its head (RFC 9112, section 4)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO

from cloudlink import jsontext

if TYPE_CHECKING:
    from collections.abc import Mapping

HTML = "text/html; charset=utf-8"
JAVASCRIPT = "text/javascript; charset=utf-8"
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
FOR_ANY_PAGE = {"Access-Control-Allow-Origin": "*"}
"""Allows scripts of every web page to read the response (the CORS protocol of the Fetch standard)."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_STATUSES = range(200, 600)


@dataclass(frozen=True)
class File:
    """An open file as a body; the sender of the response closes it."""

    stream: BinaryIO
    size: int


@dataclass(frozen=True)
class Response:
    """The answer to a request.

    Attributes:
        body: Text, bytes, a dict or list that JSON can hold, or an open file; stored encoded.
        status: The status code, 200 to 599.
        content_type: The media type; if empty, plain text for text, JSON for a dict or list, else `application/octet-stream`.
        headers: Further headers. Length, type and connection are added when the response is sent.

    Raises:
        ValueError: The status or a header cannot be sent.
        TypeError: The body is of another type, or has a part that JSON cannot hold.
    """

    body: Any = b""
    status: int = HTTPStatus.OK
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status not in _STATUSES:
            raise ValueError(f"a status must be 200 to 599, not {self.status!r}")
        for name, value in {**self.headers, "Content-Type": self.content_type}.items():
            if not (isinstance(value, str) and _NAME.fullmatch(name) and _VALUE.fullmatch(value)):
                raise ValueError(
                    f"the header {name!r} cannot have the value {value!r}: it must be one line of ASCII"
                )
        if self.status in _WITHOUT_BODY and self.body not in ("", b""):
            raise ValueError(f"a response of status {self.status} cannot have a body")
        body, kind = _encoded(self.body)
        object.__setattr__(self, "body", body)
        object.__setattr__(self, "content_type", self.content_type or kind)

    @classmethod
    def of(cls, result: object) -> Response:
        """Return a handler's result (a `Response`, text, bytes, a dict or a list) as a response.

        Raises:
            TypeError: It is none of these, or has a part that JSON cannot hold.
        """
        return result if isinstance(result, Response) else cls(result)

    @property
    def size(self) -> int:
        """The length of the body, in bytes."""
        return self.body.size if isinstance(self.body, File) else len(self.body)

    def with_defaults(self, headers: Mapping[str, str]) -> Response:
        """Return this response with further headers, except those that it already has."""
        own = {name.lower() for name in self.headers}
        added = {name: value for name, value in headers.items() if name.lower() not in own}
        return (
            Response(self.body, self.status, self.content_type, {**self.headers, **added}) if added else self
        )

    def head(self, date: str = "") -> bytes:
        """Return the status line and the headers, up to and including the empty line.

        Args:
            date: The time in HTTP format (RFC 9110, section 5.6.7); empty omits the header.
        """
        lines = {"Content-Type": self.content_type, "Content-Length": str(self.size)}
        if self.status in _WITHOUT_BODY:
            lines = {}
        given = {name.lower(): (name, value) for name, value in lines.items()}
        given |= {name.lower(): (name, value) for name, value in self.headers.items()}
        given.setdefault("cache-control", ("Cache-Control", "no-store"))
        given.setdefault("x-content-type-options", ("X-Content-Type-Options", "nosniff"))
        if date:
            given["date"] = ("Date", date)
        given["connection"] = ("Connection", "close")
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:  # a number that a plugin chose; the phrase may be empty (RFC 9112, section 4)
            phrase = ""
        head = f"HTTP/1.1 {int(self.status)} {phrase}\r\n"
        return (head + "".join(f"{name}: {value}\r\n" for name, value in given.values()) + "\r\n").encode(
            "ascii"
        )


def refusal(status: HTTPStatus, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a plain-text response for people."""
    return Response(text + "\n", status, headers=headers or {})


def _encoded(body: object) -> tuple[bytes | File, str]:
    if isinstance(body, str):
        # Responses repeat parts of requests, whose non-ASCII bytes are surrogates (PEP 383).
        return body.encode(errors="replace"), TEXT
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body), "application/octet-stream"
    if isinstance(body, (dict, list)):
        return jsontext.dumps(body), JSON
    if isinstance(body, File):
        return body, "application/octet-stream"
    raise TypeError(
        f"a request is answered with a Response, text, bytes, a dict or a list, not {type(body).__name__}"
    )
