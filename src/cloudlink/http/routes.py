"""The table of routes: which handler answers a path, and the response to paths without one.

A path is looked up as it is, among the server's own defaults, then below the longest route that ends in `/*`, then in the
folder of pages. The start page comes last, so that a plugin or a folder can replace it.
"""

from __future__ import annotations

import inspect
import logging
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .response import Response, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .request import Request

    Handler = Callable[[Request], Any]

logger = logging.getLogger("cloudlink.server")

T = TypeVar("T", "Route", "WebSocketRoute")

METHODS = ("GET", "HEAD", "OPTIONS")
_ALLOW = {"Allow": ", ".join(METHODS)}
_BELOW = "/*"
_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[^/?#*%\\\x00-\x1f\x7f]+"
_PATH = re.compile(rf"(?:/{_SEGMENT})*(?:/\*?)?(?<=.)", re.DOTALL)
_NOT_FOUND = (
    "Not found. This is a CloudLink server: connect to it with a WebSocket, or see its start page at /."
)


@dataclass(frozen=True)
class Route:
    """One line of the table.

    Attributes:
        path: The path, percent-decoded; one that ends in `/*` matches everything below it.
        handler: Called with a GET or HEAD request; returns a value that `Response.of` accepts, or an awaitable of one.
        name: The handler's name in the log and in error messages.
        headers: Added to each response that lacks them.
        exists: Returns whether this route can answer a request; if not, the next route is tried.
    """

    path: str
    handler: Handler
    name: str
    headers: Mapping[str, str] = field(default_factory=dict)
    exists: Callable[[Request], bool] = lambda _: True


@dataclass(frozen=True)
class WebSocketRoute:
    """A path whose WebSockets are not clients.

    Attributes:
        path: As for `Route`.
        open: Called with the connection, once messages can be sent, and the upgrade request; returns the
            `Receiver` of its messages (see `cloudlink.transport.connection`).
        refuse: Called with the upgrade request; returns a response to refuse it, None to accept it.
        max_message_size: The most bytes of a message, None for those of the setting `max_message_size`.
    """

    path: str
    open: Callable[[Any, Request], Any]
    refuse: Callable[[Request], Response | None] = lambda _: None
    max_message_size: int | None = None

    @property
    def name(self) -> str:
        """The name in error messages."""
        return name_of(self.open)


class _Table(Generic[T]):
    """Routes by path."""

    def __init__(self) -> None:
        self._routes: dict[str, T] = {}

    def add(self, route: T) -> None:
        path = route.path
        if not (isinstance(path, str) and _PATH.fullmatch(path)):
            raise ValueError(
                f"{path!r} is not a path: write it as it is read in an address, such as /scores, "
                f"or /scores/* for everything below /scores/"
            )
        if path in self._routes:
            raise ValueError(f"the path {path} is taken by {self._routes[path].name}; choose another")
        self._routes[path] = route

    def find(self, path: str) -> T | None:
        """Return the route of a path, else the longest `/*` route above it."""
        return self.exact(path) or self.above(path)

    def exact(self, path: str) -> T | None:
        """Return the route of exactly this path."""
        return None if path.endswith(_BELOW) else self._routes.get(path)

    def above(self, path: str) -> T | None:
        """Return the longest `/*` route above a path."""
        above = [known for known in self._routes if known.endswith(_BELOW) and path.startswith(known[:-1])]
        return self._routes[max(above, key=len)] if above else None


class Routes:
    """All routes of a server.

    Attributes:
        home: The start page: the route of `/` if no other one answers.
        pages: The folder of the setting `pages_folder`, None without one.
        failures: Number of requests whose handler has raised.
    """

    def __init__(self) -> None:
        self.home: Route | None = None
        self.pages: Route | None = None
        self.failures = 0
        self._defaults: dict[str, Route] = {}
        self._routes: _Table[Route] = _Table()
        self._websockets: _Table[WebSocketRoute] = _Table()

    def add(self, path: str, handler: Handler, headers: Mapping[str, str] | None = None) -> None:
        """Let a handler answer GET and HEAD requests for a path; see `Route`.

        Raises:
            ValueError: The path is invalid, or another route has it.
        """
        self.add_route(Route(path, handler, name_of(handler), headers or {}))

    def add_route(self, route: Route) -> None:
        """Add a route. Raises `ValueError` as `add` does."""
        self._routes.add(route)

    def add_default(self, route: Route) -> None:
        """Add a route of the server itself; another one for exactly its path replaces it."""
        self._defaults[route.path] = route

    def add_websocket(self, route: WebSocketRoute) -> None:
        """Add a path whose WebSockets are not clients.

        Raises:
            ValueError: The path is invalid, or another WebSocket route has it.
        """
        self._websockets.add(route)

    def websocket(self, path: str) -> WebSocketRoute | None:
        """Return the WebSocket route of a decoded path, None if its WebSockets are clients."""
        return self._websockets.find(path)

    async def respond(self, request: Request) -> Response:
        """Answer a request: with its handler's response, or with 204, 404, 405 or 500."""
        if request.target == "*":  # OPTIONS only: see `request.parse`
            return _options()
        if not request.target.startswith("/"):  # CONNECT only
            return _not_allowed(request.method)
        route = self._route(request)
        if route is None:
            return not_found()
        if request.method == "OPTIONS":
            return _options()
        if request.method not in METHODS:
            return _not_allowed(request.method)
        return await self._call(route, request)

    def _route(self, request: Request) -> Route | None:
        path = request.path
        home = self.home if path == "/" else None
        exact, above = self._routes.exact(path), self._routes.above(path)
        candidates = (exact, self._defaults.get(path), above, self.pages, home)
        return next((route for route in candidates if route is not None and route.exists(request)), None)

    async def _call(self, route: Route, request: Request) -> Response:
        try:
            result = route.handler(request)
            if inspect.isawaitable(result):
                result = await result
            return Response.of(result).with_defaults(route.headers)
        except Exception as error:
            self.failures += 1
            logger.exception(
                "Handler %s raised %s; the request is answered with 500.", route.name, type(error).__name__
            )
            return refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "This server made a mistake.")


def not_found() -> Response:
    """Return the response for a path without a route."""
    return refusal(HTTPStatus.NOT_FOUND, _NOT_FOUND)


def name_of(handler: object) -> str:
    """Return the name of a handler for the log and error messages."""
    return str(getattr(handler, "__qualname__", repr(handler)))


def _options() -> Response:
    return Response(status=HTTPStatus.NO_CONTENT, headers=_ALLOW)


def _not_allowed(method: str) -> Response:
    text = f"The method {method} cannot be used here: this server answers GET and HEAD."
    return refusal(HTTPStatus.METHOD_NOT_ALLOWED, text, _ALLOW)
