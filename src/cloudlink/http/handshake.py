"""Checks of a WebSocket upgrade request, and the responses that refuse an invalid one (RFC 6455, section 4.2)."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from hashlib import sha1
from http import HTTPStatus
from typing import TYPE_CHECKING

from .headers import Headers
from .response import Response, refusal

if TYPE_CHECKING:
    from .request import Request

_VERSION = "13"
_KEY_SIZE = 16
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Appended to the key of a request, to get the proof that the server has read it (RFC 6455, section 1.3)."""
_UPGRADE = {"Sec-WebSocket-Version": _VERSION, "Upgrade": "websocket"}


def is_upgrade(request: Request) -> bool:
    """Return whether a request asks for a WebSocket."""
    return request.method == "GET" and "websocket" in _lowered(request, "Upgrade")


def upgrade_refusal(request: Request) -> Response | None:
    """Return the answer to an upgrade request that cannot be accepted, None if it can."""
    headers = request.headers
    if request.is_http10:
        text = (
            "A WebSocket needs HTTP/1.1, but this request came as HTTP/1.0. A proxy in between may have changed it; "
            "for nginx, write: proxy_http_version 1.1;"
        )
        return refusal(HTTPStatus.UPGRADE_REQUIRED, text, _UPGRADE)
    versions = headers.getall("Sec-WebSocket-Version", ())
    if list(versions) != [_VERSION]:  # RFC 6455, section 4.4
        found = ", ".join(versions) or "none"
        text = f"This server speaks version {_VERSION} of the WebSocket protocol, not {found}."
        return refusal(HTTPStatus.UPGRADE_REQUIRED, text, _UPGRADE)
    if "upgrade" not in _lowered(request, "Connection"):
        text = "A WebSocket request must have the header `Connection: Upgrade`. A proxy in between may have removed it."
        return refusal(HTTPStatus.BAD_REQUEST, text)
    keys = headers.getall("Sec-WebSocket-Key", ())
    if len(keys) != 1 or not _is_key(keys[0]):
        found = ", ".join(keys) or "none"
        text = f"A WebSocket request must have one Sec-WebSocket-Key, 16 bytes in Base64, not {found}."
        return refusal(HTTPStatus.BAD_REQUEST, text)
    if request.has_body:  # its bytes would be read as frames
        return refusal(HTTPStatus.BAD_REQUEST, "A WebSocket request cannot have a body.")
    return None


def subprotocol(headers: Headers) -> dict[str, str]:
    """Return the header that accepts the first offered subprotocol; empty if none is offered.

    Browsers fail a connection whose server accepts none of the offered subprotocols (RFC 6455, section 4.1). The protocol
    spoken here does not depend on it.
    """
    offered = headers.tokens("Sec-WebSocket-Protocol")
    name = "Sec-WebSocket-Protocol"
    return {name: offered[0]} if offered and offered[0].isascii() and offered[0].isprintable() else {}


def response_headers(headers: Headers) -> Headers:
    """Return the headers of the response that accepted an upgrade request with these headers."""
    key = headers["Sec-WebSocket-Key"].encode()
    proof = b64encode(sha1(key + _GUID, usedforsecurity=False).digest()).decode()
    lines = {
        **subprotocol(headers),
        "Connection": "upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Accept": proof,
    }
    return Headers(lines.items())


def _is_key(key: str) -> bool:
    try:
        return len(b64decode(key, validate=True)) == _KEY_SIZE
    except (binascii.Error, ValueError):  # ValueError: the text is not ASCII
        return False


def _lowered(request: Request, header: str) -> list[str]:
    return [token.lower() for token in request.headers.tokens(header)]
