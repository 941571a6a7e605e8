"""A listening port: accepts connections, opens sessions for them, stops in order."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from picows import WSUpgradeResponse
from picows.common import WSUpgradeResponseWithListener

from cloudlink.addresses import RealAddress
from cloudlink.errors import StartError

from . import http
from .connection import WebSocketConnection
from .detector import ProtocolDetector
from .keepalive import Keepalive
from .limiter import ConnectionLimiter
from .picowslog import OpenPicowsLog, PicowsLog
from .sockets import AcceptErrors
from .tls import load_certificates

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from picows import WSUpgradeRequest

    from cloudlink.settings import Settings

    from .connection import Receiver

logger = logging.getLogger("cloudlink.transport")

_BACKLOG = 256
"""Connections that may wait to be accepted; so many are accepted at a time."""
_EXCESS = 1 << 16
_PRIVILEGED = 1024


class Endpoint:
    """The port clients connect to."""

    def __init__(
        self,
        settings: Settings,
        open_session: Callable[[WebSocketConnection], Receiver],
        status: Callable[[], http.Status],
        *,
        context: ssl.SSLContext | None = None,
        on_round: Callable[[], None] = lambda: None,
        documents: Mapping[str, http.Document] | None = None,
        is_picows_silent: bool = True,
    ) -> None:
        """Set up the endpoint.

        Args:
            settings: The server's settings.
            open_session: Called for each new WebSocket; returns what gets its messages.
            status: Tells what the HTTP pages show.
            context: TLS to speak, None for none.
            on_round: Called at least once a second while the endpoint runs.
            documents: JSON documents to offer, by the beginning of their path.
            is_picows_silent: Whether picows' own reports are kept out of the log.
        """
        self.connections: set[WebSocketConnection] = set()
        self.port = 0
        self._is_stopping = False
        self._emptied = asyncio.Event()
        self._settings = settings
        self._is_picows_silent = is_picows_silent
        self._open_session = open_session
        self._context = context
        self._real_address = RealAddress(settings.real_ip_header, settings.trusted_proxies)
        self._limiter = ConnectionLimiter(settings, self._real_address)
        self._pages = http.Pages(status, documents or {}, secure=context is not None)
        self._keepalive = Keepalive(
            self.connections,
            settings.keepalive_interval,
            settings.keepalive_timeout,
            settings.stalled_timeout,
            on_round,
        )
        self._server: asyncio.Server | None = None
        self._accept_errors = AcceptErrors()

    async def start(self, host: str, port: int) -> None:
        """Start to accept connections.

        Args:
            host: Address or name to listen on, `""` for every address.
            port: Port to listen on, 0 for a free one; `self.port` tells which.

        Raises:
            StartError: The address cannot be had.
        """
        # A frame somewhat too large is taken in and refused by the message limit, so that the peer
        # can read the reason; one far too large is cut off by picows as soon as its header is read.
        max_frame_size = self._settings.max_message_size + _EXCESS
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: ProtocolDetector(
                    self._route, self._limiter, max_frame_size, self._context, self._picows_log()
                ),
                host or None,
                port,
                backlog=_BACKLOG,
            )
        except (OSError, OverflowError) as error:
            raise StartError(explain(host, port, error)) from None
        self.port = self._server.sockets[0].getsockname()[1]
        self._accept_errors.watch(asyncio.get_running_loop())
        self._keepalive.start()

    def reload_certificates(self) -> None:
        """Give new connections the certificate that the files now hold; open ones go on as they are."""
        settings = self._settings
        if self._context is not None:
            load_certificates(settings.tls_certificate, settings.tls_key, self._context)

    def apply_keepalive(self) -> None:
        """Go by the times that the settings have now."""
        settings = self._settings
        self._keepalive.set_times(
            settings.keepalive_interval, settings.keepalive_timeout, settings.stalled_timeout
        )

    def stop_accepting(self) -> None:
        """Close the port; open connections stay, and who has not asked for anything yet is turned away."""
        self._is_stopping = True
        if self._server is not None:
            self._server.close()

    async def finish(self, timeout: float) -> None:
        """Wait until every connection is closed; what is left after `timeout` seconds is dropped."""
        self._emptied.clear()
        if self.connections:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), timeout)
        for connection in tuple(self.connections):
            connection.abort()
        self._keepalive.stop()
        self._accept_errors.unwatch_later(asyncio.get_running_loop())
        await asyncio.sleep(0)

    def _route(
        self, request: WSUpgradeRequest, peer: tuple[str, int] | None, head: bool
    ) -> WSUpgradeResponseWithListener:
        if self._is_stopping:
            return WSUpgradeResponseWithListener(http.stopping(head=head), None)
        address = self._real_address.of(peer, request.headers)
        if head or not http.is_upgrade(request):
            why = self._limiter.page_refusal(address)
            page = self._pages.respond(request, head=head) if why is None else http.too_many(why, head=head)
            return WSUpgradeResponseWithListener(page, None)
        if not http.is_supported_version(request):
            return WSUpgradeResponseWithListener(http.unsupported_version(request), None)
        allowed = self._settings.allowed_origins
        origin = request.headers.get("Origin", "")
        if allowed and origin not in allowed:
            return WSUpgradeResponseWithListener(http.forbidden_origin(origin), None)
        why = self._limiter.connection_refusal(address)
        if why is not None:
            return WSUpgradeResponseWithListener(http.too_many(why), None)
        http.normalise_upgrade(request)
        connection = WebSocketConnection(
            request, address, self._settings.max_message_size, self._opened, self._closed
        )
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(), connection)

    def _picows_log(self) -> PicowsLog:
        return PicowsLog() if self._is_picows_silent else OpenPicowsLog(self._settings.log_addresses)

    def _opened(self, connection: WebSocketConnection) -> Receiver:
        self.connections.add(connection)
        self._limiter.acquire(connection.address)
        return self._open_session(connection)

    def _closed(self, connection: WebSocketConnection) -> None:
        self.connections.discard(connection)
        self._limiter.release(connection.address)
        if not self.connections:
            self._emptied.set()


def explain(host: str, port: int, error: OSError | OverflowError) -> str:
    """Say in one sentence why an address cannot be listened on."""
    code = getattr(error, "errno", None)
    if isinstance(error, socket.gaierror):
        return (
            f"There is no address called {host}: {error.strerror}; set host (flag --host, environment variable "
            "HOST) to 127.0.0.1, to 0.0.0.0 or to an address of this machine."
        )
    if code == errno.EADDRINUSE:
        return (
            f"Port {port} is already in use on {host or 'this machine'}: "
            "another server runs there; stop it or choose another port."
        )
    if code == errno.EACCES:
        hint = (
            "; ports below 1024 are reserved for the system, choose a higher one"
            if port < _PRIVILEGED
            else ""
        )
        return f"This user may not listen on port {port}{hint}."
    # asyncio reports an address that is not there without a number.
    if code == errno.EADDRNOTAVAIL or "could not bind" in str(error):
        return f"The address {host} does not belong to this machine; 127.0.0.1 or 0.0.0.0 do."
    return f"Cannot listen on {host or 'any address'}, port {port}: {error}."
