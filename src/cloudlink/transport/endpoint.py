"""A listening port: accepts connections, opens sessions for them, and shuts down in order."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from cloudlink.addresses import RealAddress, for_log, subscriber
from cloudlink.counters import Counters
from cloudlink.errors import StartError
from cloudlink.hosts import parse_hosts, unix_path
from cloudlink.http import refusals
from cloudlink.http.folders import folder_routes
from cloudlink.http.handshake import is_upgrade, upgrade_refusal
from cloudlink.http.pages import READY
from cloudlink.logthrottle import LogThrottle
from cloudlink.origins import is_allowed

from .connection import WebSocketConnection
from .detector import ProtocolDetector
from .keepalive import Keepalive
from .limiter import ConnectionLimiter
from .listening import open_sockets
from .lobby import NoLobby, open_lobby
from .picowslog import OpenPicowsLog, PicowsLog
from .sockets import AcceptErrors
from .tls import load_certificates
from .turns import InOrder
from .unixsocket import UnixListener

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from cloudlink.http import Request, Response, Routes
    from cloudlink.http.routes import Route
    from cloudlink.settings import Settings

    from .connection import Receiver
    from .detector import Answer
    from .exchange import Exchange
    from .lobby import Lobby
    from .tallies import Tallies
    from .turns import Turns

    class Gate(Protocol):
        """Decides about the connections of clients before they are accepted."""

        @property
        def guard(self) -> tuple[int, float] | None:
            """How many connections an address may have, and open in a second; None for what the settings say."""
            ...

        def is_knocking(self, address: str) -> bool:
            """Return whether an address is banned and connects too often to get the reason once more."""
            ...


logger = logging.getLogger("cloudlink.transport")

_BACKLOG = 256
"""Most connections that may wait to be accepted."""
_AT_ONCE = 32
"""Most connections that are accepted at a time; messages of other clients are handled in between."""
_EXCESS = 1 << 16
_KEEP_FILE: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""Has asyncio leave the file of a Unix socket alone, which other processes may still use."""


class Endpoint:
    """The port clients connect to."""

    def __init__(
        self,
        settings: Settings,
        open_session: Callable[[WebSocketConnection], Receiver],
        routes: Routes,
        *,
        context: ssl.SSLContext | None = None,
        on_round: Callable[[], None] = lambda: None,
        is_picows_silent: bool = True,
        counters: Counters | None = None,
        tallies: Tallies | None = None,
        gate: Gate | None = None,
        turns: Turns | None = None,
    ) -> None:
        """Set up the endpoint.

        Args:
            settings: The server's settings.
            open_session: Called for each new WebSocket; returns the receiver of its messages.
            routes: The routes of HTTP requests, and of WebSockets that are not sessions.
            context: The TLS context, None for no TLS.
            on_round: Called at least once a second while the endpoint runs.
            is_picows_silent: Whether to keep picows' own reports out of the log.
            counters: Counts refused connections, None for nobody.
            tallies: Counts the connections of addresses, None for this process alone.
            gate: Knows who is banned, and whether newcomers are limited; None for nobody and never.
            turns: Shares the time for new connections among addresses; None for the order in which they come.
        """
        self.port = 0
        self._open_count = 0  # WebSockets that have not ended
        self._is_stopping = False
        self._emptied = asyncio.Event()
        self._settings = settings
        self._is_picows_silent = is_picows_silent
        self._open_session = open_session
        self._gate = gate
        self._turns = turns or InOrder()
        self._context = context
        self._real_address = RealAddress(settings.real_ip_header, settings.trusted_proxies)
        self._refused = (counters or Counters()).refused
        self._limiter = ConnectionLimiter(
            settings, self._real_address, refused=self._refused, tallies=tallies
        )
        self._routes = routes
        routes.pages = _pages_route(settings)
        self._keepalive = Keepalive(
            settings.keepalive_interval,
            settings.keepalive_timeout,
            settings.stalled_timeout,
            on_round,
        )
        self._lobby: Lobby = NoLobby()
        self._waiting: set[asyncio.Transport] = set()
        self._exchanges: set[Exchange] = set()
        self._servers: list[asyncio.Server] = []
        self._unix_listeners: list[UnixListener] = []
        self._accept_errors = AcceptErrors()
        violations = LogThrottle()
        # One object of each for all connections.
        self._when_closed = self._closed
        self._should_log_violation = lambda address: violations.should_log(subscriber(address))

    @property
    def connections(self) -> list[WebSocketConnection]:
        """The WebSockets that have not ended. Checks each of them."""
        return self._keepalive.connections()

    async def start(self, hosts: str, port: int) -> None:
        """Start to accept connections.

        Args:
            hosts: The addresses to listen on, spelled as in the setting `host`.
            port: Port to listen on; 0 picks a free one, which `self.port` then holds.

        Raises:
            StartError: The server cannot listen on an address.
        """
        entries = parse_hosts(hosts)
        paths = [path for entry in entries if (path := unix_path(entry)) is not None]
        try:
            for path in paths:
                self._unix_listeners.append(UnixListener(path))
            opened = await open_sockets([entry for entry in entries if unix_path(entry) is None], port)
        except StartError:
            self._close_unix_sockets()
            raise
        await self.accept([*(listener.socket for listener in self._unix_listeners), *opened])

    async def accept(self, opened: list[socket.socket]) -> None:
        """Start to accept connections at bound sockets, which belong to the endpoint from now on."""
        loop = asyncio.get_running_loop()
        self._lobby = open_lobby()
        for listening in opened:
            if listening.family not in (socket.AF_INET, socket.AF_INET6):
                # The proxy that connects here has handled TLS itself.
                server = await loop.create_unix_server(
                    lambda: self._detector(None), sock=listening, backlog=_AT_ONCE, **_KEEP_FILE
                )
            else:
                self.port = listening.getsockname()[1]
                server = await loop.create_server(
                    lambda: self._detector(self._context), sock=listening, backlog=_AT_ONCE
                )
            listening.listen(_BACKLOG)
            self._servers.append(server)
        self._accept_errors.watch(loop)
        self._keepalive.start()

    def reload_certificates(self) -> None:
        """Reload the certificate files for new connections; open connections keep theirs."""
        settings = self._settings
        if self._context is not None:
            load_certificates(settings.tls_certificate, settings.tls_key, self._context)

    def apply_proxies(self) -> None:
        """Apply the current settings of proxies to new connections."""
        settings = self._settings
        self._real_address.change(settings.real_ip_header, settings.trusted_proxies)

    def apply_keepalive(self) -> None:
        """Apply the current keepalive settings."""
        settings = self._settings
        self._keepalive.set_times(
            settings.keepalive_interval, settings.keepalive_timeout, settings.stalled_timeout
        )

    def stop_accepting(self) -> None:
        """Close the port; open connections stay, and requests that still come on them are refused."""
        self._is_stopping = True
        for server in self._servers:
            server.close()
        self._close_unix_sockets()

    async def finish(self, timeout: float) -> None:
        """Wait until every connection is closed; drop those that are left after `timeout` seconds, or ask for nothing."""
        self._emptied.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                if self._open_count:
                    await self._emptied.wait()
                for exchange in tuple(self._exchanges):
                    await exchange.ended.wait()
        for connection in self.connections:
            connection.abort()
        for exchange in tuple(self._exchanges):
            exchange.abort()
        for stream in tuple(self._waiting):
            stream.abort()
        self._lobby.close()
        self._keepalive.stop()
        self._accept_errors.unwatch_later(asyncio.get_running_loop())
        await asyncio.sleep(0)

    def _detector(self, context: ssl.SSLContext | None) -> ProtocolDetector:
        # A frame slightly above the message limit is read and refused by that limit, so that the peer
        # can read the reason. picows refuses a much larger one as soon as it has read its header.
        max_frame_size = self._settings.max_message_size + _EXCESS
        return ProtocolDetector(
            self._locate,
            self._route,
            self._limiter,
            self._lobby,
            self._waiting,
            self._exchanges,
            max_frame_size,
            context,
            self._picows_log(),
            self._turns,
        )

    def _locate(self, request: Request, peer: str, *, secure: bool) -> Request:
        address = self._real_address.of(peer, request.headers)
        is_local = self._real_address.is_local(peer, address, request.headers)
        return replace(request, secure=secure, address=address, peer=peer, is_local=is_local)

    def _route(self, request: Request) -> Answer:
        if self._is_stopping and request.path != READY:
            return refusals.stopping()
        address = request.address
        if not is_upgrade(request):
            why = self._limiter.page_refusal(address)
            return partial(self._routes.respond, request) if why is None else refusals.too_many(why)
        route = self._routes.websocket(request.path)
        refused = upgrade_refusal(request) or (
            self._origin_refusal(request) if route is None else route.refuse(request)
        )
        if refused is not None:
            return refused
        guard = None
        if self._gate is not None and route is None:
            if self._gate.is_knocking(address):
                return self._banned(address)
            guard = self._gate.guard
        why = self._limiter.connection_refusal(address, guard)
        if why is not None:
            return refusals.too_many(why)
        open_receiver: Callable[[WebSocketConnection], Receiver] = self._open_session
        most = self._settings.max_message_size
        if route is not None:
            open_other, most = route.open, route.max_message_size or most

            def open_receiver(connection: WebSocketConnection) -> Receiver:
                receiver: Receiver = open_other(connection, request)
                return receiver

        return WebSocketConnection(
            request,
            most,
            partial(self._opened, open_receiver),
            self._when_closed,
            self._should_log_violation,
        )

    def _origin_refusal(self, request: Request) -> Response | None:
        allowed, origin = self._settings.allowed_origins, request.headers.get("Origin", "")
        if not allowed or is_allowed(origin, allowed):
            return None
        self._refused["origin"] += 1
        return refusals.forbidden_origin(origin)

    def _banned(self, address: str) -> Response:
        if self._limiter.should_log(address):
            shown = for_log(address, self._settings.log_addresses)
            logger.info("Refusing connections from %s, which is banned and connects again and again.", shown)
        return refusals.banned()

    def _close_unix_sockets(self) -> None:
        for listener in self._unix_listeners:
            listener.close()
        self._unix_listeners.clear()

    def _picows_log(self) -> PicowsLog:
        return PicowsLog() if self._is_picows_silent else OpenPicowsLog(self._settings.log_addresses)

    def _opened(
        self, open_receiver: Callable[[WebSocketConnection], Receiver], connection: WebSocketConnection
    ) -> Receiver:
        self._open_count += 1
        self._keepalive.add(connection)
        self._limiter.acquire(connection.address)
        return open_receiver(connection)

    def _closed(self, connection: WebSocketConnection) -> None:
        self._open_count -= 1
        self._limiter.release(connection.address)
        if not self._open_count:
            self._emptied.set()


def _pages_route(settings: Settings) -> Route | None:
    if not settings.pages_folder:
        return None
    try:
        (route,) = folder_routes("/", settings.pages_folder, "the setting pages_folder")
    except ValueError as error:
        raise StartError(
            f"The setting pages_folder ({settings.origins['pages_folder']}) is wrong: {error}."
        ) from None
    return route
