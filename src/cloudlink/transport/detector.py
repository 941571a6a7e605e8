"""The door every connection comes through: its first bytes tell what it is.

A WebSocket or HTTP request goes on to picows, bytes and all. A TLS greeting on a port without TLS gets
one clear line in the log instead of a time-out nobody can explain.

Whoever stands at the door is counted from the moment the connection is accepted, through the TLS
handshake, until the request for a WebSocket is answered or the connection is gone.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from picows import WSAutoPingStrategy
from picows.common import WSUpgradeResponseWithListener

from cloudlink.addresses import UNKNOWN

from . import http
from .parser import Parser

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from picows import WSUpgradeRequest

    from .limiter import ConnectionLimiter
    from .picowslog import PicowsLog

    Route = Callable[[WSUpgradeRequest, tuple[str, int] | None, bool], WSUpgradeResponseWithListener]

logger = logging.getLogger("cloudlink.transport")

_TLS_HANDSHAKE = 0x16  # first byte of a ClientHello (RFC 8446, section 5.1)
_PLAIN_REQUEST = "HTTP_REQUEST"  # OpenSSL's reason where a greeting begins as HTTP does
_HEAD = b"HEAD "
_REQUEST_TIMEOUT = 10.0
"""Seconds a connection has, from the moment it is accepted, to greet by TLS and send its HTTP request."""
_FIRST_BYTES = 2048
"""Most bytes looked at here; what follows is for picows to read."""
_READ_BUFFER_SIZE = 2048
"""Bytes every connection's read buffer starts with, the least picows takes; `parser` tells how it grows."""


class ProtocolDetector(asyncio.BufferedProtocol):
    """Looks at a connection's first bytes and hands it to picows."""

    def __init__(
        self,
        route: Route,
        limiter: ConnectionLimiter,
        max_frame_size: int,
        context: ssl.SSLContext | None,
        log: PicowsLog,
    ) -> None:
        """Set up the door of one connection.

        Args:
            route: Answers the HTTP request, given it, the peer's address and whether it was a HEAD request.
            limiter: Counts those who wait here.
            max_frame_size: Largest frame taken, in bytes.
            context: TLS to speak, None for none.
            log: What picows takes for its logger.
        """
        self._route = route
        self._limiter = limiter
        self._peer: tuple[str, int] | None = None
        self._max_frame_size = max_frame_size
        self._context = context
        self._log = log
        self._transport: asyncio.Transport | None = None  # through which the request comes
        self._greeting: asyncio.Task[None] | None = None  # the event loop itself holds it only weakly
        self._timer: asyncio.TimerHandle | None = None
        self._buffer = bytearray()
        self._data = b""
        self._parser: Parser | None = None  # to which the connection was handed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection and wait for its first bytes."""
        stream = cast("asyncio.Transport", transport)  # a stream server has stream transports
        loop = asyncio.get_running_loop()
        peer = stream.get_extra_info("peername")
        self._peer = peer[:2] if isinstance(peer, tuple) else None
        self._timer = loop.call_later(_REQUEST_TIMEOUT, self._give_up, stream)
        if not self._limiter.begin(self._address()):
            stream.abort()
        elif self._context is None:
            self._transport = stream
        else:
            self._greeting = loop.create_task(self._speak_tls(stream, self._context))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """The peer left without a word."""
        self._stop_waiting()

    # Windows' event loop notices that it has another protocol only when it has dealt with all it had read.

    def get_buffer(self, sizehint: int) -> bytearray | memoryview:
        """Return where the next bytes go."""
        if self._parser is not None:
            return self._parser.get_buffer(sizehint)
        self._buffer = bytearray(_FIRST_BYTES)
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take the next bytes."""
        if self._parser is not None:
            self._parser.buffer_updated(nbytes)
        else:
            self._data += self._buffer[:nbytes]
            self._look()

    async def _speak_tls(self, stream: asyncio.Transport, context: ssl.SSLContext) -> None:
        # What is no TLS, takes too long or breaks off leaves nobody behind who could be told.
        try:
            self._transport = await asyncio.get_running_loop().start_tls(
                stream, self, context, server_side=True, ssl_handshake_timeout=_REQUEST_TIMEOUT
            )
        except OSError as error:
            if getattr(error, "reason", None) == _PLAIN_REQUEST and self._limiter.should_log(self._address()):
                logger.warning(
                    "A client spoke without TLS (ws:// or http://) to this port, which has it: "
                    "connect with wss://, or leave out tls_certificate and tls_key."
                )
        if self._transport is None:
            self._stop_waiting()
        elif self._data:  # came with the end of the handshake
            self._look()

    def _look(self) -> None:
        transport, data = self._transport, self._data
        if transport is None:
            return
        if data[0] == _TLS_HANDSHAKE and self._context is None:
            if self._limiter.should_log(self._address()):
                logger.warning(
                    "A client spoke TLS (wss:// or https://) to this port, which has none: "
                    "connect with ws://, or set tls_certificate and tls_key."
                )
            transport.abort()
        elif data.startswith(_HEAD):
            # picows parses GET only; the answer is what differs.
            self._hand_over(transport, b"GET " + data[len(_HEAD) :], is_head=True)
        elif not _HEAD.startswith(data):
            self._hand_over(transport, data, is_head=False)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._limiter.end(self._address())

    def _give_up(self, stream: asyncio.Transport) -> None:
        if self._limiter.should_log(self._address()):
            logger.info("Dropping a connection that asked for nothing within %g seconds.", _REQUEST_TIMEOUT)
        stream.abort()

    def _address(self) -> str:
        return self._peer[0] if self._peer else UNKNOWN

    def _hand_over(self, transport: asyncio.Transport, data: bytes, *, is_head: bool) -> None:
        log = self._log

        def route(request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
            answer = self._answer(request, is_head=is_head)
            if answer.listener is not None:
                log.connection = answer.listener
                self._stop_waiting()
                parser.when_lost = _do_nothing  # so that this door can go
            return answer

        parser = Parser(
            self._stop_waiting,
            None,  # host and port: a client's
            None,  # path: a client's
            False,  # is_client_side
            route,
            log,
            True,  # disconnect_on_exception
            None,  # websocket_handshake_timeout: the time at the door includes it
            False,  # enable_auto_ping: one timer serves all connections
            1.0,
            1.0,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            False,  # enable_auto_pong: pongs keep their place among all that is sent
            self._max_frame_size,
            None,  # extra_headers
            _READ_BUFFER_SIZE,
        )
        self._parser = parser
        transport.set_protocol(parser)
        parser.connection_made(transport)
        while data and not transport.is_closing():
            buffer = parser.get_buffer(-1)
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            data = data[size:]
            parser.buffer_updated(size)

    def _answer(self, request: WSUpgradeRequest, *, is_head: bool) -> WSUpgradeResponseWithListener:
        try:
            return self._route(request, self._peer, is_head)
        except Exception:  # picows would tell the peer what it is, and nobody else
            logger.exception("An HTTP request could not be answered.")
            return WSUpgradeResponseWithListener(http.failed(head=is_head), None)


def _do_nothing() -> None:
    pass
