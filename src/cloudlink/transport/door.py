"""The door every connection comes through: its first bytes tell what it is.

A WebSocket or HTTP request goes on to picows, bytes and all. A TLS greeting on a port without TLS gets
one clear line in the log instead of a time-out nobody can explain.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, cast

from picows import WSAutoPingStrategy

from cloudlink.addresses import UNKNOWN

from .parser import Parser

if TYPE_CHECKING:
    from collections.abc import Callable

    from picows import WSUpgradeRequest
    from picows.common import WSUpgradeResponseWithListener

    from .connection import WebSocketConnection
    from .gate import Gate

    Route = Callable[[WSUpgradeRequest, tuple[str, int] | None, bool], WSUpgradeResponseWithListener]

logger = logging.getLogger("cloudlink.transport")

_TLS_HANDSHAKE = 0x16  # first byte of a ClientHello (RFC 8446, section 5.1)
_HEAD = b"HEAD "
_REQUEST_TIMEOUT = 10.0
"""Seconds a connection has to send its HTTP request."""
_READ_BUFFER_SIZE = 2048
"""Bytes every connection's read buffer starts with, the least picows takes; `parser` tells how it grows."""


class PicowsLog:
    """Stands in for picows' logger, which tells more than the log may hold and is told more than it logs.

    Every connection is reported with its address: dropped. A protocol error is reported nowhere else:
    passed on to the connection. What goes wrong inside picows is logged.
    """

    connection: WebSocketConnection | None = None

    def isEnabledFor(self, level: int) -> bool:  # noqa: ARG002, N802  # logging's signature
        """Tell picows to spare itself the work."""
        return False

    def ignore(self, *_arguments: object) -> None:
        """Drop a report."""

    log = debug = info = warning = ignore

    def error(self, *_arguments: object) -> None:
        """Pass on that the peer broke the protocol."""
        if self.connection is not None:
            self.connection.on_protocol_error()

    def exception(self, message: str, *arguments: object) -> None:  # logging's signature
        """Log what nobody expected."""
        logger.error(message, *arguments, exc_info=sys.exception())


class Door(asyncio.Protocol):
    """Looks at a connection's first bytes and hands it to picows."""

    def __init__(self, route: Route, gate: Gate, max_frame_size: int) -> None:
        """Set up the door of one connection.

        Args:
            route: Answers the HTTP request, given it, the peer's address and whether it was a HEAD request.
            gate: Counts those who wait here.
            max_frame_size: Largest frame taken, in bytes.
        """
        self._route = route
        self._gate = gate
        self._peer: tuple[str, int] | None = None
        self._max_frame_size = max_frame_size
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes."""
        self._transport = cast("asyncio.Transport", transport)  # a stream server has stream transports
        self._timer = asyncio.get_running_loop().call_later(_REQUEST_TIMEOUT, self._transport.abort)
        peer = transport.get_extra_info("peername")
        self._peer = peer[:2] if isinstance(peer, tuple) else None
        if not self._gate.knock(self._address()):
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """The peer left without a word."""
        self._stop_waiting()

    def data_received(self, data: bytes) -> None:
        """Look at the first bytes and hand the connection on."""
        transport = self._transport
        if transport is None or not data:
            return
        self._stop_waiting()
        if data[0] == _TLS_HANDSHAKE:
            if self._gate.is_news(self._address()):
                logger.warning(
                    "A client spoke TLS (wss:// or https://) to this port, which has none: "
                    "connect with ws://, or set tls_certificate and tls_key."
                )
            transport.abort()
            return
        is_head = data.startswith(_HEAD)
        if is_head:
            data = b"GET " + data[len(_HEAD) :]  # picows parses GET only; the answer is what differs
        self._hand_over(transport, data, is_head=is_head)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._gate.answered(self._address())

    def _address(self) -> str:
        return self._peer[0] if self._peer else UNKNOWN

    def _hand_over(self, transport: asyncio.Transport, data: bytes, *, is_head: bool) -> None:
        log = PicowsLog()

        def route(request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
            answer = self._route(request, self._peer, is_head)
            log.connection = answer.listener
            return answer

        protocol = Parser(
            None,  # host and port: a client's
            None,  # path: a client's
            False,  # is_client_side
            route,
            log,
            True,  # disconnect_on_exception
            _REQUEST_TIMEOUT,
            False,  # enable_auto_ping: one timer serves all connections
            1.0,
            1.0,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            False,  # enable_auto_pong: pongs keep their place among all that is sent
            self._max_frame_size,
            None,  # extra_headers
            _READ_BUFFER_SIZE,
        )
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        while data and not transport.is_closing():
            buffer = protocol.get_buffer(-1)
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            data = data[size:]
            protocol.buffer_updated(size)
