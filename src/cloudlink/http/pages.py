"""The built-in pages: start page, health check, scripts, and JSON documents such as cloud variables."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from string import Template
from typing import TYPE_CHECKING
from urllib.parse import quote

from cloudlink.forwarded import outside
from cloudlink.hosts import is_this_machine

from . import scripts
from .response import FOR_ANY_PAGE, HTML, JAVASCRIPT, JSON, Response
from .routes import Route, not_found

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .request import Request
    from .routes import Handler, Routes

READY = "/ready"
"""The path of the readiness check."""

_EDITOR = "https://turbowarp.org/editor?extension="
_CACHED = {"Cache-Control": "public, max-age=600"}
_EVERY_NETWORK = re.compile(r"(?:(?P<ipv4>0\.0\.0\.0)|\[::\])(?=:|$)")

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>CloudLink server</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
%3Cpath d='M4.5 13a3.5 3.5 0 0 1-.6-6.95 4.5 4.5 0 0 1 8.6 1.02A3 3 0 0 1 12 13z' fill='%230b6bcb'/%3E%3C/svg%3E">
<style>
:root { color-scheme: light dark; --text: #1d2733; --page: #fff; --link: #0b5cad; --code: #eef2f6 }
@media (prefers-color-scheme: dark) {
  :root { --text: #dde4ec; --page: #12181f; --link: #7fbcff; --code: #222c37 }
}
body { font: 1.1rem/1.6 system-ui, sans-serif; max-width: 36rem; margin: min(12vh, 20vw) auto; padding: 0 1rem;
       color: var(--text); background: var(--page); overflow-wrap: anywhere }
h1 { line-height: 1.25 }
a { color: var(--link) }
code { font-size: 1.05em; padding: .15em .4em; border-radius: .3em; background: var(--code);
       box-decoration-break: clone; -webkit-box-decoration-break: clone }
button, input { font: inherit; padding: .4em .8em; border: 1px solid; border-radius: .4em; color: inherit;
                background: var(--code) }
.sheet { position: relative; aspect-ratio: 2; border-radius: .5em; overflow: hidden; background: var(--code) }
.sheet canvas { width: 100%; height: 100%; touch-action: none; cursor: crosshair }
.sheet span { position: absolute; padding: 0 .4em; border-radius: 0 .6em .6em .6em; color: #fff; font-size: .8rem;
              white-space: nowrap; max-width: 12em; overflow: hidden; text-overflow: ellipsis; pointer-events: none }
.lines { max-height: 9rem; overflow: auto; padding: 0; list-style: none }
form:not([hidden]) { display: flex; gap: .5em }
form input { flex: 1; min-width: 0 }
</style>
<h1>This is a CloudLink server</h1>
<p>Scratch projects meet here: multiplayer games, chats and shared worlds.</p>
$connect
<p>$here here right now.</p>
<section id="try">
<h2>Try it</h2>
<p role="status">Open this page in two windows, and press the button in both: they see each other.</p>
<button type="button">Try it</button>
<div class="sheet" hidden><canvas width="1000" height="500" aria-label="A sheet to draw on together"></canvas></div>
<div class="names"></div>
<ul class="lines"></ul>
<form hidden><input name="line" maxlength="200" autocomplete="off" aria-label="Say something" placeholder="Say something"><button>Say</button></form>
</section>
<script type="module" src="try.mjs"></script>
</html>
""")

_CONNECT = Template("<p>To connect, use the address <code>$address</code> in the CloudLink extension.</p>\n")
_OFFER = Template("""<p>The extension itself is <a href="$extension">$extension</a>: <a href="$editor">open TurboWarp with it</a>,
or load it from that address as a custom extension in another editor.</p>""")
_BY_HAND = Template("""<p>The extension itself is <a href="$extension" download="cloudlink.js">$extension</a>. Editors on
<code>https://</code> pages, such as turbowarp.org, can neither load it from there nor connect to a <code>ws://</code>
address of another computer. Download it, load the file as a custom extension, and package your project as an HTML file
to open from the disk; or let the host set up <code>wss://</code>.</p>""")
_NAMELESS = """<p>Your browser did not say by which address it came here. To connect, use that address with
<code>ws://</code>, or <code>wss://</code> if it began with <code>https://</code>.</p>"""


@dataclass(frozen=True)
class Status:
    """State of the server, as its pages show it.

    Attributes:
        clients: Number of connected clients.
        uptime: Seconds since the start of the server.
        version: Version of the CloudLink package.
        protocol_version: Version the server reports to clients.
        not_ready: Why the server takes no newcomers, such as `draining`; empty if it takes them.
        parts: Further keys of the health check, such as `bridges`.
    """

    clients: int
    uptime: float
    version: str
    protocol_version: str
    not_ready: str = ""
    parts: Mapping[str, object] = field(default_factory=dict)


def add_pages(routes: Routes, status: Callable[[], Status]) -> None:
    """Add the pages that every server has. `status` returns the state that they show."""
    routes.home = Route("/", lambda request: start_page(request, status().clients), "the start page")
    routes.add_route(Route("/health", lambda _: health(status()), "the health check"))
    routes.add_default(Route(READY, lambda _: readiness(status()), "the readiness check"))
    for path, name, what in (
        ("/extension.js", scripts.EXTENSION, "the extension"),
        ("/client.mjs", scripts.CLIENT, "the client for web pages"),
        ("/try.mjs", scripts.TRY, "the script of the start page"),
    ):
        routes.add_route(Route(path, _script(name), what))


def start_page(request: Request, clients: int) -> Response:
    """Return the start page: what this server is and how to connect to it, at the address that the browser used."""
    here = "Nobody is" if clients == 0 else "1 client is" if clients == 1 else f"{clients} clients are"
    return Response(_PAGE.substitute(connect=_how_to_connect(request), here=here), content_type=HTML)


def health(status: Status) -> Response:
    """Return the state of the server for monitors."""
    text = json.dumps(
        {
            "status": "ok",
            "clients": status.clients,
            "uptime": round(status.uptime, 1),
            "version": status.version,
            "protocol_version": status.protocol_version,
            **status.parts,
        }
    )
    return Response(text, content_type=JSON, headers=FOR_ANY_PAGE)


def readiness(status: Status) -> Response:
    """Return whether the server takes newcomers, for load balancers: 200, or 503 with the reason."""
    if status.not_ready:
        return Response({"status": status.not_ready}, HTTPStatus.SERVICE_UNAVAILABLE, headers=FOR_ANY_PAGE)
    return Response({"status": "ready"}, headers=FOR_ANY_PAGE)


def documents(beginning: str, find: Callable[[str], bytes | None]) -> Handler:
    """Return a handler that serves JSON documents to any web page.

    Args:
        beginning: The common beginning of their paths, such as `/cloud/`.
        find: Returns the JSON text for the rest of a path, None if there is none.
    """

    def respond(request: Request) -> Response:
        document = find(request.path[len(beginning) :])
        if document is None:
            return not_found()
        return Response(document, content_type=JSON, headers=FOR_ANY_PAGE)

    return respond


def usable_host(host: str) -> str:
    """Return a Host header in which this machine's own address replaces the wildcard address.

    Browsers on Linux and macOS open `http://0.0.0.0:3000/`, but pages of editors cannot connect there.
    """
    match = _EVERY_NETWORK.match(host)
    if match is None:
        return host
    return ("127.0.0.1" if match["ipv4"] else "[::1]") + host[match.end() :]


def _script(name: str) -> Handler:
    def respond(_: Request) -> Response:
        source = scripts.source(name)
        if source is None:
            return not_found()
        return Response(source, content_type=JAVASCRIPT, headers=FOR_ANY_PAGE | _CACHED)

    return respond


def _how_to_connect(request: Request) -> str:
    seen = outside(request.headers, secure=request.secure)
    if not seen.host:
        return _NAMELESS
    host = usable_host(seen.host)
    rest = f"{host}{seen.prefix}/"
    source = f"{'https' if seen.secure else 'http'}://{rest}extension.js"
    # Browsers allow https:// pages to load from http:// and to connect to ws:// on this computer only.
    is_reachable = seen.secure or is_this_machine(host)
    return _CONNECT.substitute(address=_escape(f"{'wss' if seen.secure else 'ws'}://{rest}")) + (
        _OFFER if is_reachable else _BY_HAND
    ).substitute(extension=_escape(source), editor=_escape(_EDITOR + quote(source, safe="")))


def _escape(text: str) -> str:
    from html import escape  # noqa: PLC0415  # half a megabyte of entity names, for one page

    return escape(text)
