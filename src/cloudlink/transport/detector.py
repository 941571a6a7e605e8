"""The first stage of every connection: TLS, then the head of one HTTP request.

A checked upgrade request is passed on to picows; every other request is answered as HTTP. A TLS greeting on a port without
TLS is logged in one clear line, instead of ending in an unexplained time-out.

A connection counts as waiting from the moment it is accepted, through the TLS handshake, until its upgrade is answered or
it ends.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from picows.common import WSUpgradeResponse, WSUpgradeResponseWithListener
from picows.picows import WSAutoPingStrategy

from cloudlink.addresses import UNIX, UNKNOWN
from cloudlink.http import Response
from cloudlink.http.handshake import is_upgrade, subprotocol
from cloudlink.http.refusals import failed, too_large
from cloudlink.http.request import MAX_HEAD, BadRequest, head_end, parse
from cloudlink.http.response import refusal

from .connection import WebSocketConnection
from .exchange import Exchange
from .parser import Parser
from .sockets import has_hung_up
from .tls import Handshake, detach
from .unixsocket import for_picows

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from cloudlink.http import Request

    from .limiter import ConnectionLimiter
    from .lobby import Lobby
    from .picowslog import PicowsLog
    from .turns import Turns

    Answer = Response | WebSocketConnection | Callable[[], Awaitable[Response]]

    class Locate(Protocol):
        """Finds out where a request comes from."""

        def __call__(self, request: Request, peer: str, *, secure: bool) -> Request:
            """Return the request with its origin.

            Args:
                request: The request as parsed.
                peer: The address of the socket's peer.
                secure: Whether it came over TLS.
            """
            ...


logger = logging.getLogger("cloudlink.transport")

_TLS_HANDSHAKE = 0x16  # first byte of a ClientHello (RFC 8446, section 5.1)
_TLS_TIME = 1e-3
"""Seconds of processor time that the first message of a TLS handshake takes."""
_PLAIN_REQUEST = "HTTP_REQUEST"  # OpenSSL's reason if the peer sends HTTP instead of a ClientHello
_EMPTY_LINE = b"\r\n"
_REQUEST_TIMEOUT = 10.0
"""Seconds from accepting a connection to the end of its TLS handshake and the head of its HTTP request."""
_FIRST_BYTES = 2048
"""Most bytes read at a time."""
_READ_BUFFER_SIZE = 2048
"""Initial read buffer of a connection in bytes, picows' minimum; see `parser` for how it grows."""
_UPGRADE = (
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: %b\r\n\r\n"
)
"""The request passed to picows: the real one has been checked, and only its key matters for the answer."""


class ProtocolDetector(asyncio.BufferedProtocol):
    """Reads the head of a connection's request and passes the connection on to picows or an `Exchange`."""

    def __init__(
        self,
        locate: Locate,
        route: Callable[[Request], Answer],
        limiter: ConnectionLimiter,
        lobby: Lobby,
        waiting: set[asyncio.Transport],
        exchanges: set[Exchange],
        max_frame_size: int,
        context: ssl.SSLContext | None,
        log: PicowsLog,
        turns: Turns,
    ) -> None:
        """Set up the detector of one connection.

        Args:
            locate: Finds out where a request comes from.
            route: Returns the answer to a request: a response, a function that finds one, or a WebSocket.
            limiter: Counts the connections that wait here.
            lobby: Says when the first bytes are read.
            waiting: Holds the connections that wait here.
            exchanges: Holds the HTTP exchanges that are open.
            max_frame_size: Largest frame accepted, in bytes.
            context: The TLS context, None for no TLS.
            log: The logger for picows.
            turns: Says when the request is answered, or a TLS handshake begins.
        """
        self._locate = locate
        self._route = route
        self._turns = turns
        self._limiter = limiter
        self._lobby = lobby
        self._waiting = waiting
        self._exchanges = exchanges
        self._peer = UNKNOWN
        self._max_frame_size = max_frame_size
        self._context = context
        self._log = log
        self._stream: asyncio.Transport | None = None  # the accepted connection, below TLS, while it waits
        self._transport: asyncio.Transport | None = None  # the transport of the request
        self._greeting: asyncio.Task[None] | None = None  # the event loop itself holds only a weak reference
        self._timer: asyncio.TimerHandle | None = None
        self._buffer = bytearray()
        self._data = bytearray()
        self._is_counted = self._is_greeted = self._is_taken = self._has_waited = False
        self._next: asyncio.BufferedProtocol | None = None  # the protocol that took over the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection and wait for its first bytes."""
        stream = cast("asyncio.Transport", transport)  # a stream server has stream transports
        loop = asyncio.get_running_loop()
        peer = stream.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._peer = peer[0]
        elif peer is not None:  # Unix sockets are named by paths, mostly empty ones
            self._peer = UNIX
        self._timer = loop.call_later(_REQUEST_TIMEOUT, self._give_up, stream)
        self._stream = stream
        self._waiting.add(stream)
        self._is_counted = True
        is_refused = not self._limiter.begin(self._peer) or (
            self._context is not None and self._limiter.handshake_refusal(self._peer) is not None
        )
        if is_refused:
            stream.abort()
            return
        if self._context is None:
            self._transport = stream
        self._lobby.wait(stream)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Note that the peer has left without a request."""
        transport = self._transport or self._stream
        self._stop_waiting()
        if transport is not None:
            detach(transport)
        self._transport = None

    # Windows' event loop switches to the next protocol only after it has processed everything it had read.

    def get_buffer(self, sizehint: int) -> bytearray | memoryview:
        """Return where the next bytes go."""
        if self._next is not None:
            return cast("memoryview", self._next.get_buffer(sizehint))
        self._buffer = bytearray(_FIRST_BYTES)
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Handle the next bytes."""
        if self._next is not None:
            self._next.buffer_updated(nbytes)
        else:
            self._data += self._buffer[:nbytes]
            if self._context is not None and not self._is_greeted:
                self._is_greeted = True
                self.hold()  # the TLS layer reads on
                self._turns.do(self._peer, self, partial(self._greet, self._context), _TLS_TIME)
            elif not self._is_taken:
                self._look()

    # While a TLS handshake or an answer waits for its turn.

    def hold(self) -> None:
        """Read nothing more from the connection."""
        self._has_waited = True
        if self._stream is not None:
            self._lobby.leave(self._stream)  # uvloop has read before the lobby let it in
        transport = self._transport or self._stream
        if transport is not None:
            transport.pause_reading()

    def release(self) -> None:
        """Do nothing: whoever takes over the connection reads on."""

    def _greet(self, context: ssl.SSLContext) -> None:
        stream = self._stream
        if stream is None:  # it has ended meanwhile
            return
        if self._has_waited and has_hung_up(stream.get_extra_info("socket")):
            stream.abort()
        else:
            self._greeting = asyncio.get_running_loop().create_task(self._speak_tls(stream, context))

    async def _speak_tls(self, stream: asyncio.Transport, context: ssl.SSLContext) -> None:
        # If a handshake is not TLS, times out or breaks off, there is no one left to answer.
        loop = asyncio.get_running_loop()
        loop.call_soon(Handshake.begin, stream, bytes(self._data), partial(self._turns.do, self._peer))
        self._data.clear()
        try:
            self._transport = await loop.start_tls(
                stream, self, context, server_side=True, ssl_handshake_timeout=_REQUEST_TIMEOUT
            )
        except OSError as error:
            error.__traceback__ = (
                None  # its frames refer to what holds the error, and to the connection's buffers
            )
            if getattr(error, "reason", None) == _PLAIN_REQUEST and self._limiter.should_log(self._peer):
                logger.warning(
                    "A client spoke without TLS (ws:// or http://) to this port, which has it: "
                    "connect with wss://, or leave out tls_certificate and tls_key."
                )
        Handshake.end(stream)
        if self._transport is None:
            self._stop_waiting()
        elif self._data:  # arrived together with the end of the handshake
            self._look()

    def _look(self) -> None:
        transport, data = self._transport, self._data
        if transport is None:
            return
        if data[0] == _TLS_HANDSHAKE and self._context is None:
            if self._limiter.should_log(self._peer):
                logger.warning(
                    "A client spoke TLS (wss:// or https://) to this port, which has none: "
                    "connect with ws://, or set tls_certificate and tls_key."
                )
            transport.abort()
            return
        while data.startswith(_EMPTY_LINE):  # RFC 9112, section 2.2
            del data[: len(_EMPTY_LINE)]
        end = head_end(data)
        if end > MAX_HEAD or (end < 0 and len(data) > MAX_HEAD):
            if self._limiter.should_log(self._peer):
                logger.warning("Refusing a request whose headers are longer than %d bytes.", MAX_HEAD)
            self._exchange(transport, lingers=True).send(too_large())
        elif end >= 0:
            self._take(transport, end)

    def _take(self, transport: asyncio.Transport, end: int) -> None:
        """Have a request answered, now or later.

        Args:
            transport: The connection that it came over.
            end: The length of its head.
        """
        try:
            request = parse(bytes(self._data[:end]))
        except BadRequest as error:
            self._exchange(transport, lingers=True).send(refusal(error.status, error.text))
            return
        self._is_taken = True
        request = self._locate(request, self._peer, secure=self._context is not None)
        self._turns.do(request.address, self, partial(self._answer, request, end))

    def _answer(self, request: Request, end: int) -> None:
        """Answer a request or open its WebSocket. The bytes after its head may be messages."""
        transport, rest = self._transport, bytes(self._data[end:])
        if transport is None or transport.is_closing():  # the peer has gone meanwhile
            return
        # When thousands come at once, work for clients that have given up would delay the others even more.
        if self._has_waited and is_upgrade(request) and has_hung_up(transport.get_extra_info("socket")):
            transport.abort()
            return
        transport.resume_reading()
        try:
            answer = self._route(request)
        except Exception:
            logger.exception("Answering an HTTP request failed.")
            answer = failed()
        if isinstance(answer, WebSocketConnection):
            self._open_websocket(transport, request, answer, rest)
            return
        # A client that wants a WebSocket may have sent messages already.
        exchange = self._exchange(transport, lingers=request.has_body or is_upgrade(request))
        if isinstance(answer, Response):
            exchange.send(answer, head_only=request.method == "HEAD")
        else:
            exchange.send_result(answer, head_only=request.method == "HEAD")

    def _exchange(self, transport: asyncio.Transport, *, lingers: bool) -> Exchange:
        self._stop_timer()
        exchange = Exchange(transport, self._end_exchange, lingers=lingers)
        self._exchanges.add(exchange)
        self._next = exchange
        transport.set_protocol(exchange)
        return exchange

    def _end_exchange(self, exchange: Exchange) -> None:
        self._exchanges.discard(exchange)
        self._stop_waiting()
        self._next = self._transport = None  # so that all are freed without the garbage collector

    def _stop_waiting(self) -> None:
        self._stop_timer()
        if self._is_counted:
            self._is_counted = False
            self._limiter.end(self._peer)
        if self._stream is not None:
            self._lobby.leave(self._stream)
            self._waiting.discard(self._stream)
            self._stream = None  # so that it is freed without the garbage collector

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self, stream: asyncio.Transport) -> None:
        if self._limiter.should_log(self._peer):
            logger.info("Dropping a connection that asked for nothing within %g seconds.", _REQUEST_TIMEOUT)
        stream.abort()

    def _open_websocket(
        self, transport: asyncio.Transport, request: Request, connection: WebSocketConnection, rest: bytes
    ) -> None:
        """Pass a connection on to picows, which answers the upgrade and reads frames."""
        log = self._log
        accepted = WSUpgradeResponse.create_101_response(subprotocol(request.headers))
        parser = Parser(
            None,  # host and port: a client's
            None,  # path: a client's
            False,  # is_client_side
            lambda _: WSUpgradeResponseWithListener(accepted, connection),
            log,
            True,  # disconnect_on_exception
            None,  # websocket_handshake_timeout: included in the time for the request
            False,  # enable_auto_ping: one timer serves all connections
            1.0,
            1.0,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            False,  # enable_auto_pong: pongs are sent in order with all other frames
            self._max_frame_size,
            None,  # extra_headers
            _READ_BUFFER_SIZE,
        )
        self._next = parser
        log.connection = connection
        self._stop_waiting()
        transport.set_protocol(parser)
        parser.connection_made(for_picows(transport))
        data = _UPGRADE % request.headers["Sec-WebSocket-Key"].encode() + rest
        while data and not transport.is_closing():
            buffer = parser.get_buffer(-1)
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            data = data[size:]
            parser.buffer_updated(size)
