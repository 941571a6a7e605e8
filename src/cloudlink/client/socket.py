"""A WebSocket of a client: whole messages in and out, closing, keepalive, and pausing.

picows splits the byte stream into frames and masks outgoing ones; `cloudlink.rfc6455` joins fragments, and checks text
and close frames. A silent peer is pinged and, if it stays silent, dropped. While reading is paused, nothing can be
received: then the peer is still pinged, so that it does not drop this client, but it is not dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl as tls
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from picows import WSHandshakeError, WSInvalidURL, WSListener, WSMsgType, ws_connect

from cloudlink.client import diagnostics
from cloudlink.closecodes import CloseCode
from cloudlink.rfc6455 import RESERVED_BITS, Assembler, Violation, answer_to_close, fitting_reason, whole_text
from cloudlink.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from picows import WSCloseCode, WSFrame, WSTransport

    from cloudlink.client.receiver import Receiver


_MAX_MESSAGE = 16 << 20
"""Bytes. Twice the user list of a room of 50,000."""
_CLOSE_TIMEOUT = 5.0
"""Seconds a peer has to answer a close frame before its socket is dropped."""
_MOST_WHILE_CLOSING = 1 << 20
"""Bytes a peer may send between our close frame and its own, before its socket is dropped."""
_WRITE_BUFFER = 1 << 16
"""Bytes in the write buffer above which `drain` waits."""
_ROUNDS = 4

logger = logging.getLogger("cloudlink.client")
_reading: set[asyncio.Task[None]] = set()
"""Tasks of `_mark_retrieved`; an event loop itself holds only weak references."""
_quiet = logging.getLogger("cloudlink.client.picows")
_quiet.setLevel(logging.CRITICAL)  # its log lines repeat what errors and close codes say


@dataclass(frozen=True)
class Options:
    """How to open a socket.

    Attributes:
        ssl: The TLS context of a wss address; None trusts what this machine trusts.
        proxy: The address of a proxy (`http://`, `socks5://`) to go through.
        headers: Further headers of the request.
        timeout: Seconds for connecting and TLS, again for the upgrade, and for each answer the owner waits for.
        keepalive: Seconds of silence after which the peer is pinged, and again after which it is dropped.
    """

    ssl: tls.SSLContext | None = None
    proxy: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 10.0
    keepalive: float = 20.0


class Socket(WSListener):
    """An open WebSocket; made by `open_socket`."""

    def __init__(self, receiver: Receiver, keepalive: float) -> None:
        super().__init__()
        self._receiver = receiver
        self._assembler = Assembler(_MAX_MESSAGE)
        self._closed_with: tuple[int, str] = (CloseCode.ABNORMAL, "")
        self._disconnected = asyncio.get_running_loop().create_future()
        self._writable = asyncio.Event()
        self._writable.set()
        self._reading = True
        self._closing = False
        self._received_while_closing = 0
        self._received_since = True
        self._silent_rounds = 0
        self._step = keepalive / _ROUNDS
        self._timer: asyncio.TimerHandle | None = None
        self._transport: WSTransport | None = None

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._transport is not None and not self._closing

    @property
    def is_congested(self) -> bool:
        """Whether the peer reads so slowly that `drain` would wait."""
        return not self._writable.is_set()

    @property
    def peer_address(self) -> str:
        """The IP address of the peer, empty once the socket is closed."""
        if self._transport is None:
            return ""
        peer = self._transport.underlying_transport.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    def send(self, text: str) -> None:
        """Send a message, unless the socket is closing."""
        if self._transport is not None and not self._closing:
            self._transport.send(WSMsgType.TEXT, text.encode(errors="replace"))

    def ping(self) -> None:
        """Send a ping."""
        if self._transport is not None and not self._closing:
            self._transport.send_ping()

    async def drain(self) -> None:
        """Wait until the peer has received most of what was sent."""
        await self._writable.wait()

    def pause_reading(self) -> None:
        """Read nothing more from the peer for now; messages that have arrived already are still delivered."""
        if self._reading and self._transport is not None and not self._closing:
            self._reading = False
            self._transport.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        """Read messages again."""
        if not self._reading and self._transport is not None:
            self._reading = True
            self._received_since = True
            self._silent_rounds = 0
            self._transport.underlying_transport.resume_reading()

    async def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Perform the closing handshake.

        A peer that does not answer within 5 seconds is dropped, and so is one that sends more than 1 MiB instead.
        """
        if self._transport is None:
            return
        if not self._closing:
            self.resume_reading()
            self._transport.send_close(cast("WSCloseCode", code), fitting_reason(reason))
            self._closing = True
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await asyncio.shield(self._disconnected)
        except TimeoutError:
            self.abort()
            await asyncio.shield(self._disconnected)

    def abort(self) -> None:
        """Drop the connection without a close frame."""
        if self._transport is not None:
            self._closing = True
            self._transport.underlying_transport.abort()

    # Called by picows.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Note that the upgrade is complete."""
        self._transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        self._timer = asyncio.get_running_loop().call_later(self._step, self._check_liveness)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Handle one frame."""
        self._received_since = True
        kind = frame.msg_type
        if self._closing:
            self._received_while_closing += frame.payload_size
            if kind == WSMsgType.CLOSE:
                transport.disconnect()
            elif self._received_while_closing > _MOST_WHILE_CLOSING:
                self.abort()
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._fail(transport, RESERVED_BITS)
        elif kind == WSMsgType.CLOSE:
            self._answer_close(transport, frame.get_payload_as_bytes())
        elif kind == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.PONG:
            self._receiver.ponged()
        else:
            try:
                self._handle_data(frame)
            except Violation as violation:
                self._fail(transport, violation)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Note that the socket is closed, by either side."""
        self._closing = True
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._writable.set()
        if not self._disconnected.done():
            self._disconnected.set_result(None)
            _mark_retrieved(transport)
            self._receiver.connection_lost(*self._closed_with)

    def pause_writing(self) -> None:
        """Note that the write buffer is above its limit."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Note that the write buffer is below its limit again."""
        self._writable.set()

    def _answer_close(self, transport: WSTransport, payload: bytes) -> None:
        code = struct.unpack("!H", payload[:2])[0] if len(payload) > 1 else None
        self._closed_with = (
            CloseCode.NO_STATUS if code is None else code,
            payload[2:].decode(errors="replace"),
        )
        self._closing = True
        transport.send_close(cast("WSCloseCode", answer_to_close(code)))
        transport.disconnect()

    def _fail(self, transport: WSTransport, violation: Violation) -> None:
        self._closed_with = (violation.code, violation.reason)
        self._closing = True
        transport.send_close(cast("WSCloseCode", violation.code), fitting_reason(violation.reason))
        transport.disconnect()

    def _handle_data(self, frame: WSFrame) -> None:
        data = frame.get_payload_as_bytes()
        if frame.msg_type == WSMsgType.TEXT and frame.fin and not self._assembler.busy:
            self._receiver.received(whole_text(data, _MAX_MESSAGE).decode())
            return
        message = self._assembler.add(int(frame.msg_type.value), fin=bool(frame.fin), data=data)
        if message is not None:
            self._receiver.received(message[1].decode(errors="replace"))

    def _check_liveness(self) -> None:
        self._silent_rounds = 0 if self._received_since else self._silent_rounds + 1
        self._received_since = False
        if self._silent_rounds and self._silent_rounds % _ROUNDS == 0:
            if self._silent_rounds >= 2 * _ROUNDS and self._reading:
                self.abort()
                return
            self.ping()
        self._timer = asyncio.get_running_loop().call_later(self._step, self._check_liveness)


def _mark_retrieved(transport: WSTransport) -> None:
    """Read the exception that picows keeps for a violation of the protocol; otherwise asyncio would log it as lost."""

    async def read() -> None:
        with contextlib.suppress(Exception):
            await transport.wait_disconnected()

    task = asyncio.get_running_loop().create_task(read())
    _reading.add(task)
    task.add_done_callback(_reading.discard)


async def open_socket(url: str, receiver: Receiver, options: Options) -> Socket:
    """Open a WebSocket.

    Args:
        url: A ws or wss address.
        receiver: The owner, which gets the messages.
        options: How to open it.

    Raises:
        ConnectError: It cannot be opened; its sentences say why, and how to fix that.
    """
    diagnostics.check_address(url)
    try:
        # If this is cancelled during the upgrade, picows closes the socket only after its own time-out.
        async with asyncio.timeout(2 * options.timeout):
            # The listener is None if the peer closed the connection without any answer.
            _, socket = await ws_connect(
                lambda: Socket(receiver, options.keepalive),
                url,
                ssl_context=options.ssl,
                websocket_handshake_timeout=options.timeout,
                logger_name=_quiet,
                enable_auto_pong=False,  # picows would answer pings without checking their reserved bits
                max_frame_size=_MAX_MESSAGE,
                extra_headers={"User-Agent": f"cloudlink-python/{__version__}", **options.headers},
                max_redirects=0,
                proxy=options.proxy,
                read_buffer_init_size=4096,
                use_aiofastnet=False,  # its TLS logs each refused certificate with a traceback
            )
    except WSInvalidURL as error:
        raise diagnostics.bad_address(url) from error
    except WSHandshakeError as error:
        raise diagnostics.upgrade_failed(url, _answer_of(error)) from error
    except OSError as error:
        # Refusals and time-outs of a proxy raise these too; TLS errors come only from the server behind it.
        if options.proxy is not None and not isinstance(error, tls.SSLError):
            raise diagnostics.proxy_failed(url, options.proxy, error) from error
        raise diagnostics.unreachable(url, error) from error
    except Exception as error:
        if options.proxy is None:
            raise
        raise diagnostics.proxy_failed(url, options.proxy, error) from error
    if not isinstance(socket, Socket):
        raise diagnostics.upgrade_failed(url, None)
    return socket


def _answer_of(error: WSHandshakeError) -> diagnostics.HttpAnswer | None:
    """Return the HTTP answer to an upgrade request, None if it was not HTTP."""
    head = (error.raw_header or b"").decode("latin-1")
    if error.response is not None:
        status = int(error.response.status)
        return diagnostics.HttpAnswer(status, dict(error.response.headers), error.raw_body or b"")
    line = head.partition("\r\n")[0].split()
    if len(line) > 1 and line[0].startswith("HTTP/") and line[1].isascii() and line[1].isdigit():
        return diagnostics.HttpAnswer(int(line[1]), {}, error.raw_body or b"")
    return None
