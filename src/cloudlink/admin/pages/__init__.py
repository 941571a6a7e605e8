"""The dashboard: its files, which need no build step, and the routes that serve them.

Who may see the dashboard is decided elsewhere; where it is not available, its paths are unknown ones.
"""

from __future__ import annotations

import functools
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from cloudlink.http.response import HTML, JAVASCRIPT, Response
from cloudlink.http.routes import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.http.request import Request

PATH = "/admin"
INDEX = "index.html"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Headers of the page and of each of its files."""

_TYPES = {"css": "text/css; charset=utf-8", "html": HTML, "js": JAVASCRIPT, "svg": "image/svg+xml"}


@functools.cache
def files() -> dict[str, Response]:
    """Return the response to each file of the dashboard, by its name; `index.html` is the page itself."""
    folder = Path(__file__).parent
    return {
        file.name: Response(file.read_bytes(), content_type=_TYPES[kind], headers=HEADERS)
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if (kind := file.name.rpartition(".")[2]) in _TYPES
    }


def routes(is_available: Callable[[Request], bool]) -> list[Route]:
    """Return the routes of the page (`/admin`) and its files (`/admin/NAME`).

    Args:
        is_available: Returns whether the dashboard may be shown to whoever sends a request; if not, its paths are 404.
    """
    return [
        Route(PATH, lambda _: files()[INDEX], "the dashboard", exists=is_available),
        Route(
            f"{PATH}/*",
            lambda request: _respond(_name(request)),
            "a file of the dashboard",
            exists=lambda request: is_available(request) and _exists(_name(request)),
        ),
    ]


def _name(request: Request) -> str:
    return request.path.removeprefix(f"{PATH}/")


def _exists(name: str) -> bool:
    return not name or (name in files() and name != INDEX)


def _respond(name: str) -> Response:
    if name:
        return files()[name]
    # The links of the page lead from `/admin`; the target is relative, because a proxy may serve this server below
    # another path.
    return Response(status=HTTPStatus.PERMANENT_REDIRECT, headers={**HEADERS, "Location": f"..{PATH}"})
