"""The few plain HTTP answers on the WebSocket port: a start page, a health check, the Scratch extension, and refusals.

Pure functions from a request to a response; the server tells what the pages say.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from picows import WSUpgradeResponse

from cloudlink.transport import extension

from .urls import usable_host

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from picows import WSUpgradeRequest

    Document = Callable[[str], bytes | None]

_HTML = "text/html; charset=utf-8"
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_JAVASCRIPT = "text/javascript; charset=utf-8"
_FOR_ANY_PAGE = {"Access-Control-Allow-Origin": "*"}
_VERSION = "13"
"""The version of the WebSocket protocol (RFC 6455, section 4.1)."""
_FOR_ANY_EDITOR = _FOR_ANY_PAGE | {"Cache-Control": "public, max-age=600"}

_EDITOR = "https://turbowarp.org/editor?extension="

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>CloudLink server</title>
<style>
body {{ font: 1.1rem/1.6 system-ui, sans-serif; max-width: 36rem; margin: 12vh auto; padding: 0 1rem;
       color: #1d2733; background: #fff }}
code {{ font-size: 1.05em; padding: .15em .4em; border-radius: .3em; background: #eef2f6 }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #dde4ec; background: #12181f }}
  code {{ background: #222c37 }}
}}
</style>
<h1>This is a CloudLink server</h1>
<p>Scratch projects meet here: multiplayer games, chats and shared worlds.</p>
<p>To connect, use the address <code>{address}</code> in the CloudLink extension.</p>
<p>The extension itself is <a href="{extension}">{extension}</a>: <a href="{editor}">open TurboWarp with it</a>,
or load it from that address as a custom extension in another editor.</p>
<p>{here} here right now.</p>
</html>
"""


@dataclass(frozen=True)
class Status:
    """What the pages tell about the server.

    Attributes:
        clients: Number of connected clients.
        uptime: Seconds since the server started.
        version: Version of the CloudLink package.
        protocol_version: Version the server reports to clients.
    """

    clients: int
    uptime: float
    version: str
    protocol_version: str


class Pages:
    """Answers the HTTP requests that are no WebSocket upgrades."""

    def __init__(
        self, status: Callable[[], Status], documents: Mapping[str, Document], *, secure: bool
    ) -> None:
        """Set up the pages.

        Args:
            status: Tells what to show.
            documents: JSON documents to offer, by the beginning of their path.
            secure: Whether this port speaks TLS.
        """
        self._status = status
        self._documents = documents
        self._secure = secure

    def respond(self, request: WSUpgradeRequest, *, head: bool) -> WSUpgradeResponse:
        """Answer a GET or, with `head`, a HEAD request."""
        path = request.path.partition(b"?")[0]
        if path == b"/":
            return _response(HTTPStatus.OK, _HTML, self._start_page(request), head=head)
        if path == b"/health":
            return _response(HTTPStatus.OK, _JSON, self._health(), head=head)
        if path == b"/extension.js" and (source := extension.source()) is not None:
            return _response(HTTPStatus.OK, _JAVASCRIPT, source, head=head, headers=_FOR_ANY_EDITOR)
        document = self._find_document(unquote(path.decode("latin-1")))
        if document is not None:
            return _response(HTTPStatus.OK, _JSON, document.decode(), head=head, headers=_FOR_ANY_PAGE)
        text = "Not found. This is a CloudLink server: connect to it with a WebSocket, or see its start page at /."
        return _response(HTTPStatus.NOT_FOUND, _TEXT, text, head=head)

    def _find_document(self, path: str) -> bytes | None:
        for beginning, find in self._documents.items():
            if path.startswith(beginning):
                return find(path[len(beginning) :])
        return None

    def _start_page(self, request: WSUpgradeRequest) -> str:
        secure = self._secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
        host = usable_host(request.headers.get("Host", "this address"))
        source = f"{'https' if secure else 'http'}://{host}/extension.js"
        clients = self._status().clients
        here = "Nobody is" if clients == 0 else "1 client is" if clients == 1 else f"{clients} clients are"
        return _PAGE.format(
            address=_escape(f"{'wss' if secure else 'ws'}://{host}/"),
            extension=_escape(source),
            editor=_escape(_EDITOR + quote(source, safe="", errors="replace")),
            here=here,
        )

    def _health(self) -> str:
        status = self._status()
        return json.dumps(
            {
                "status": "ok",
                "clients": status.clients,
                "uptime": round(status.uptime, 1),
                "version": status.version,
                "protocol_version": status.protocol_version,
            }
        )


def _escape(text: str) -> str:
    from html import escape  # noqa: PLC0415  # half a megabyte of entity names, for one page

    return escape(text)


def is_upgrade(request: WSUpgradeRequest) -> bool:
    """Tell whether a request asks for a WebSocket (RFC 6455, section 4.2.1)."""
    return "websocket" in _tokens(request, "Upgrade")


def normalise_upgrade(request: WSUpgradeRequest) -> None:
    """Make the headers Connection and Upgrade what picows wants.

    They are lists of tokens (RFC 9110, sections 7.6.1 and 7.8), and Firefox sends `keep-alive, Upgrade`;
    picows compares the whole header.
    """
    request.headers["Upgrade"] = "websocket"
    if "upgrade" in _tokens(request, "Connection"):
        request.headers["Connection"] = "Upgrade"


def is_supported_version(request: WSUpgradeRequest) -> bool:
    """Tell whether a request asks for the version of the WebSocket protocol that is spoken here."""
    return request.headers.getall("Sec-WebSocket-Version", []) == [_VERSION]


def unsupported_version(request: WSUpgradeRequest) -> WSUpgradeResponse:
    """Refuse another version of the WebSocket protocol, and tell which is spoken (RFC 6455, section 4.4)."""
    versions = ", ".join(request.headers.getall("Sec-WebSocket-Version", [])) or "none"
    text = f"This server speaks version {_VERSION} of the WebSocket protocol, not {versions}."
    headers = {"Sec-WebSocket-Version": _VERSION, "Upgrade": "websocket"}
    return _response(HTTPStatus.UPGRADE_REQUIRED, _TEXT, text, headers=headers)


def failed(*, head: bool) -> WSUpgradeResponse:
    """Answer a request that this server failed to answer."""
    return _response(HTTPStatus.INTERNAL_SERVER_ERROR, _TEXT, "This server made a mistake.", head=head)


def forbidden_origin(origin: str) -> WSUpgradeResponse:
    """Refuse a page whose origin the host has not allowed."""
    text = f"Pages of {origin or 'no origin'} may not connect here. The host can allow them: allowed_origins."
    return _response(HTTPStatus.FORBIDDEN, _TEXT, text)


def too_many(why: str, *, head: bool = False) -> WSUpgradeResponse:
    """Refuse a connection or a page because its address has too many or asks for them too fast."""
    text = f"Too many connections come from your address: {why}. Try again later."
    return _response(HTTPStatus.TOO_MANY_REQUESTS, _TEXT, text, head=head)


def stopping(*, head: bool) -> WSUpgradeResponse:
    """Turn away who comes while the server stops."""
    text = "This server is shutting down."
    return _response(HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, text, head=head)


def _tokens(request: WSUpgradeRequest, header: str) -> set[str]:
    values = ",".join(request.headers.getall(header, ()))
    return {token.strip().lower() for token in values.split(",")}


def _response(
    status: HTTPStatus,
    content_type: str,
    text: str,
    *,
    head: bool = False,
    headers: Mapping[str, str] | None = None,
) -> WSUpgradeResponse:
    # picows hands on bytes that are not ASCII as surrogates (PEP 383), and pages repeat some headers.
    body = text.encode(errors="replace")
    headers = {"Content-Type": content_type, "Cache-Control": "no-store", **(headers or {})}
    if head:
        headers["Content-Length"] = str(len(body))
    response: WSUpgradeResponse
    if status < HTTPStatus.BAD_REQUEST:
        response = WSUpgradeResponse.create_ok_response(None if head else body, headers)
    else:
        response = WSUpgradeResponse.create_error_response(status, None if head else body, headers)
    return response
