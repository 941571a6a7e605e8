"""One WebSocket connection: turns incoming frames into messages, writes outgoing frames, and closes in order.

picows cuts the byte stream into frames and checks their headers. The other requirements of RFC 6455 are
met here and in `cloudlink.rfc6455`: reserved bits are refused (section 5.2), pongs are sent in order with all
other frames (5.5.2), and the closing handshake is followed (7).
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Protocol, cast

from picows.picows import WSListener, WSMsgType  # without what connects

from cloudlink.closecodes import CloseCode
from cloudlink.http.handshake import response_headers
from cloudlink.http.headers import PackedHeaders
from cloudlink.rfc6455 import (
    RESERVED_BITS,
    Assembler,
    Violation,
    answer_to_close,
    fitting_reason,
    whole_text,
)

from .parser import LARGE, SMALL_PORTION
from .sockets import bound_unsent
from .tls import detach

if TYPE_CHECKING:
    from collections.abc import Callable

    from picows import WSCloseCode, WSFrame, WSTransport

    from cloudlink.http import Headers, Request

    from .parser import Parser

logger = logging.getLogger("cloudlink.transport")

_TEXT = WSMsgType.TEXT
_PING = WSMsgType.PING
_PONG = WSMsgType.PONG
_CLOSE = WSMsgType.CLOSE

_MISTAKE = "The server made a mistake"
_PONG_FRAME = 0x8A
_CLOSE_TIMEOUT = 5.0
"""Seconds a peer has to answer a close frame before its socket is dropped."""
_SOON = 0.1
"""Seconds after which a peer whose memory is needed is dropped; until then, it can read the close frame."""
_NONE = -1
"""Marks a socket that must not be written to directly."""
_IPV4_PARTS = 2
"""Parts of the socket address of an IPv4 peer; that of an IPv6 peer has more."""
_REQUEST_PARTS = ("method", "path", "version", "headers")
_PAUSE = 0.1
"""Seconds for which nothing is read from a peer that sends too much."""


class Receiver(Protocol):
    """The recipient of a connection's messages: a session."""

    def receive(self, data: bytes) -> None:
        """Take one text message of valid UTF-8."""
        ...

    def receive_binary(self, data: bytes) -> None:
        """Take one binary message."""
        ...

    def admit(self, size: int) -> bool:
        """Return whether to handle a frame that is not a whole message; called when the frame arrives."""
        ...

    def send_frame(self, frame: bytes) -> None:
        """Queue a ready frame behind everything sent before."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Write what is queued and close the connection."""
        ...

    def grown(self, size: int) -> None:
        """Note that much is kept of a message whose end has not arrived. Args: size: Bytes that are new."""
        ...

    def writable(self) -> None:
        """Note that the peer has read everything that was written."""
        ...

    def connection_lost(self) -> None:
        """Note that the connection has ended."""
        ...


class _ClosedSocket(asyncio.Transport):
    """Stands in for the socket of a connection that has ended, because others may refer to the connection for seconds more."""

    def is_closing(self) -> bool:
        """Return True."""
        return True

    def get_write_buffer_size(self) -> int:
        """Return 0."""
        return 0

    def abort(self) -> None:
        """Do nothing."""


_CLOSED = _ClosedSocket()


class WebSocketConnection(WSListener):
    """A connection, driven by picows and used by the rest of the server.

    Attributes:
        patience: Factor by which the peer may be silent longer than others; set by its protocol.
        cause: Why the connection ends; see `cloudlink.delivery.outbox.Connection`.
        has_ended: Whether the socket is closed, by either side.
        quiet_since: When the peer was last heard or pinged, in seconds of the keepalive's rounds.
    """

    __slots__ = (
        "_assembler",
        "_close_timer",
        "_closed",
        "_descriptor",
        "_headers",
        "_is_held",
        "_max_message_size",
        "_opened",
        "_parser",
        "_pause_timer",
        "_receiver",
        "_should_log",
        "_socket",
        "_transport",
        "address",
        "cause",
        "closing",
        "congested",
        "has_ended",
        "left_unsent",
        "path",
        "patience",
        "pinged",
        "quiet_since",
        "remote_address",
        "stalled_for",
    )

    def __init__(
        self,
        request: Request,
        max_message_size: int,
        opened: Callable[[WebSocketConnection], Receiver],
        closed: Callable[[WebSocketConnection], None],
        should_log: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """Set up the connection of an accepted upgrade request.

        Args:
            request: The request.
            max_message_size: Largest message accepted, in bytes.
            opened: Called when messages can be sent; returns the receiver of the messages.
            closed: Called once when the connection has ended.
            should_log: Says whether to log that a connection of an address breaks the protocol.
        """
        super().__init__()
        self.address = request.address
        self._headers: Headers | bytes = request.headers  # packed when the session is open
        self.path = request.target
        self.remote_address: tuple[str, int] | None = None
        self.patience = 1
        self.cause = "client"
        self.quiet_since = 0.0
        self.pinged = False
        self.closing = False
        self.has_ended = False
        self.congested = False
        self._is_held = False
        self.left_unsent = 0
        self.stalled_for = 0.0
        self._descriptor = _NONE
        self._max_message_size = max_message_size
        self._assembler: Assembler | None = None
        self._opened = opened
        self._closed = closed
        self._should_log = should_log
        self._close_timer: asyncio.TimerHandle | None = None
        self._pause_timer: asyncio.TimerHandle | None = None

    # Called by picows.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Store the transport and open the session."""
        self._transport = transport
        self._socket = transport.underlying_transport
        # Not asked for later: asyncio's TLS transport forgets it before it reports that the connection has ended.
        self._parser = cast("Parser", self._socket.get_protocol())
        self._descriptor = _number_of(self._socket)
        bound_unsent(self._socket.get_extra_info("socket"))
        # The transport reports congestion as soon as it buffers one byte. With a limit of 0, asyncio's TLS
        # transport would report congestion even with an empty buffer.
        self._socket.set_write_buffer_limits(high=1 if self._descriptor == _NONE else 0, low=0)
        peer = self._socket.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.remote_address = peer if len(peer) == _IPV4_PARTS else (peer[0], peer[1])
        _forget_handshake(transport)
        try:
            self._receiver = self._opened(self)
            del self._opened  # needed once, and thousands are kept
            self._headers = self.headers.packed()  # most are never looked up again
        except Exception:
            logger.exception("Opening a session failed; its connection is closed.")
            self.close(CloseCode.INTERNAL_ERROR, _MISTAKE)
            return

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002  # picows' signature
        """Handle one frame; the common case, a whole text message, comes first."""
        kind = frame.msg_type
        if self.closing:
            if kind == _CLOSE:
                self._drop()
            else:
                self.slow_down()
            return
        try:
            if frame.rsv1 or frame.rsv2 or frame.rsv3:
                self._fail(RESERVED_BITS)
            elif kind == _TEXT and frame.fin and self._assembler is None:
                self._receiver.receive(whole_text(frame.get_payload_as_bytes(), self._max_message_size))
            else:
                self._take_other(kind, frame)
        except Violation as violation:
            self._fail(violation)
        except Exception:
            logger.exception("Handling a message failed; its connection is closed.")
            self._end(CloseCode.INTERNAL_ERROR, _MISTAKE)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002  # picows' signature
        """Note that the socket is closed, by either side."""
        self._stop_sending()  # from now on, another socket may have the same descriptor
        self.has_ended = True
        for timer in (self._close_timer, self._pause_timer):
            if timer is not None:
                timer.cancel()
        self._closed(self)
        if hasattr(self, "_receiver"):
            self._receiver.connection_lost()
            del self._receiver  # so that all are freed without the garbage collector
        del self._transport, self._parser
        detach(self._socket)
        self._socket = _CLOSED  # the buffers of TLS are free now

    def on_protocol_error(self) -> None:
        """Note that picows found a bad frame header; it closes the connection itself.

        picows reads one frame ahead. If that frame is bad and the one before was a close frame, this is the
        only chance to answer the close frame.
        """
        handshake = self._transport.close_handshake
        if handshake is not None and handshake.recv is not None and not self.closing:
            self._answer_close(handshake.recv.code)
        else:
            self.cause = "protocol"
        self._stop_sending()

    def pause_writing(self) -> None:
        """Note that the socket accepts no more: the peer reads more slowly than we write."""
        self.congested = True
        self.left_unsent = 0
        self.stalled_for = 0.0
        self._descriptor = _NONE  # further writes must go behind the transport's buffer

    def resume_writing(self) -> None:
        """Note that the peer has read everything that was written."""
        self.congested = False
        if not self.closing:
            self._descriptor = _number_of(self._socket)
            self._receiver.writable()

    def take_heard(self) -> bool:
        """Return whether the peer has sent anything, even part of a frame, since the last call."""
        heard, self._parser.heard = self._parser.heard, False
        return heard

    def grown(self, size: int) -> None:
        """Note that the read buffer has become larger. Args: size: Bytes that are new."""
        if self.closing:
            self.drop_soon()  # a large message instead of an answer, and nobody accounts for its memory any more
        else:
            self._receiver.grown(size)

    @property
    def kept(self) -> int:
        """Bytes of received parts of messages, and of a read buffer if it has become large."""
        if not hasattr(self, "_transport"):  # it has ended, but packets of it wait
            return 0
        fragments = self._assembler.size if self._assembler is not None else 0
        kept: int = self._parser.kept
        return kept + fragments

    @property
    def unsent(self) -> int:
        """Bytes that were written but that the socket has not accepted yet."""
        return self._socket.get_write_buffer_size()

    @property
    def headers(self) -> Headers:
        """Headers of the upgrade request; look-ups ignore case."""
        return PackedHeaders(self._headers) if isinstance(self._headers, bytes) else self._headers

    @property
    def response_headers(self) -> Headers:
        """Headers of the response to the upgrade request."""
        return response_headers(self.headers)

    # Called by the rest of the server.

    def write(self, frames: list[bytes]) -> None:
        """Write ready frames in order."""
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        written = 0
        # While the transport buffers nothing, writing to the socket directly is faster. Bytes that the
        # socket does not accept go to the transport, which then calls `pause_writing`.
        if self._descriptor != _NONE:
            try:
                written = os.write(self._descriptor, data)
            except BlockingIOError:
                pass
            except OSError:
                # The peer has gone, and reading will report that, unless nothing is read at present.
                if self._is_held:
                    self._socket.abort()
                return
        if written < len(data) and not self.closing:
            self._socket.write(data[written:])

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake; the peer has 5 seconds to answer, and less in the middle of a large message."""
        if self.closing:
            return
        text = fitting_reason(reason)
        self._stop_sending()
        self._assembler = None
        self._transport.send_close(cast("WSCloseCode", code), text)
        timeout = _SOON if self._parser.unparsed > LARGE else _CLOSE_TIMEOUT
        self._close_timer = asyncio.get_running_loop().call_later(timeout, self.abort)

    def drop_soon(self) -> None:
        """Read nothing more, and drop the socket in a moment instead of waiting for the answer to the close frame."""
        self.hold()
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._close_timer = asyncio.get_running_loop().call_later(_SOON, self.abort)

    def slow_down(self) -> None:
        """Read nothing for 100 ms, and in small portions from then on, because the peer sends too much.

        Further data fills the peer's own buffers, so refusing it does not delay other clients.
        """
        if self._pause_timer is None and not self._socket.is_closing():
            self._socket.pause_reading()
            self._parser.portion = SMALL_PORTION
            self._pause_timer = asyncio.get_running_loop().call_later(_PAUSE, self._resume_reading)

    def hold(self) -> None:
        """Read nothing until `release`."""
        self._is_held = True
        if not self._socket.is_closing():
            self._socket.pause_reading()

    def release(self) -> None:
        """Resume reading, unless the peer has been slowed down."""
        self._is_held = False
        self._resume_unless_paused()

    def _resume_reading(self) -> None:
        self._pause_timer = None
        self._resume_unless_paused()

    def _resume_unless_paused(self) -> None:
        if not (self._is_held or self._pause_timer or self._socket.is_closing()):
            self._socket.resume_reading()

    def ping(self) -> None:
        """Send a ping (RFC 6455, section 5.5.2)."""
        if not self.closing:
            self._transport.send_ping()

    def abort(self) -> None:
        """Drop the socket without a close frame."""
        self._socket.abort()

    # Frames other than whole text messages.

    def _take_other(self, kind: WSMsgType, frame: WSFrame) -> None:
        if kind == _CLOSE:
            self._answer_close(frame.get_close_code() if frame.payload_size else None)
        elif kind in (_PING, _PONG):
            if self._receiver.admit(frame.payload_size) and kind == _PING:
                payload = frame.get_payload_as_bytes()
                self._receiver.send_frame(bytes((_PONG_FRAME, len(payload))) + payload)
        else:
            # A fragmented message is counted, and refused if necessary, when it is complete, with all its bytes.
            # Until then its fragments count as frames: too many slow down reading, and finally end the connection.
            if not frame.fin and not self._receiver.admit(0) and self.closing:
                return
            if self._assembler is None:
                self._assembler = Assembler(self._max_message_size)
            message = self._assembler.add(
                int(kind.value), fin=bool(frame.fin), data=frame.get_payload_as_bytes()
            )
            if message is None:
                if self._assembler.size > LARGE:
                    self._receiver.grown(frame.payload_size)
            else:
                self._assembler = None
                is_text, data = message
                receive = self._receiver.receive if is_text else self._receiver.receive_binary
                receive(data)

    def _answer_close(self, code: WSCloseCode | None) -> None:
        self._stop_sending()
        self._receiver.connection_lost()
        answer = answer_to_close(cast("int | None", code))
        self._transport.send_close(cast("WSCloseCode", answer))
        self._drop()

    def _fail(self, violation: Violation) -> None:
        if self._should_log(self.address):
            logger.info("Closing a connection: %s.", violation.reason)
        self._end(violation.code, violation.reason)

    def _end(self, code: int, reason: str) -> None:
        """Have the session close the connection; without a session, close it directly."""
        try:
            self._receiver.close(code, reason)
        except Exception:
            logger.exception("Closing a session failed; its connection is closed anyway.")
            self.close(code, reason)

    def _stop_sending(self) -> None:
        self.closing = True
        self._descriptor = _NONE

    def _drop(self) -> None:
        self._transport.disconnect()


def _forget_handshake(transport: WSTransport) -> None:
    """Free what nobody reads once the response is sent: picows' request and response, and the address of our end."""
    extra = getattr(transport.underlying_transport, "_extra", None)  # of asyncio's transport of a socket
    if isinstance(extra, dict):
        extra.pop("sockname", None)
    for kept, names in ((transport.request, _REQUEST_PARTS), (transport.response, ("headers",))):
        for name in names:
            setattr(kept, name, None)


def _number_of(transport: asyncio.Transport) -> int:
    """Return the descriptor for writing to a transport's socket directly, `_NONE` if that is impossible."""
    if os.name != "posix" or transport.get_extra_info("ssl_object") is not None:
        return _NONE
    # Not a socket object of our own: it would close the socket again when it is garbage-collected.
    number: int = transport.get_extra_info("socket").fileno()
    return number
