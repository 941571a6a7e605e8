"""TLS from certificate files, renewable while clients are connected; handshakes that take turns; and the memory of connections."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from functools import partial
from typing import TYPE_CHECKING, cast

from cloudlink.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .turns import Worker

    TakeTurn = Callable[[Worker, Callable[[], None]], None]

_BUFFER_SIZE = 1 << 15
"""Bytes that a TLS connection reads at a time: a record has at most 16 KB (RFC 8446, section 5.1)."""
_STREAM = "cloudlink_stream"
"""The name under which a TLS connection's `get_extra_info` returns the connection below."""


class Handshake(asyncio.BufferedProtocol):
    """Passes the messages of a handshake from a connection to asyncio's TLS layer when it is their turn.

    Otherwise, clients that continue many handshakes at the same time would keep the event loop busy until it has computed
    all of them.

    Attributes:
        layer: The TLS layer.
    """

    def __init__(
        self, stream: asyncio.Transport, layer: asyncio.BufferedProtocol, take_turn: TakeTurn
    ) -> None:
        self._stream = stream
        self.layer = layer
        self._take_turn = take_turn

    @classmethod
    def begin(cls, stream: asyncio.Transport, first: bytes, take_turn: TakeTurn) -> None:
        """Take the place of the TLS layer, which `loop.start_tls` has set up in this turn of the event loop.

        Args:
            stream: The connection below TLS.
            first: The bytes that have been read from it before.
            take_turn: Calls a function now or, while the connection is held, later.
        """
        if not stream.is_closing():
            layer = cast("asyncio.BufferedProtocol", stream.get_protocol())
            _adapt(layer, stream)
            handshake = cls(stream, layer, take_turn)
            stream.set_protocol(handshake)
            asyncio.get_running_loop().call_soon(handshake._feed, first)

    @staticmethod
    def end(stream: asyncio.Transport) -> None:
        """Put the TLS layer back in its place, and free a connection whose handshake failed."""
        handshake = stream.get_protocol()
        if isinstance(handshake, Handshake):
            stream.set_protocol(handshake.layer)
        if stream.is_closing():
            _unbind(stream)

    def _feed(self, data: bytes) -> None:
        while data:
            buffer = self.get_buffer(len(data))
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            self.layer.buffer_updated(size)
            data = data[size:]

    # While a message waits for its turn.

    def hold(self) -> None:
        """Read nothing more from the connection."""
        self._stream.pause_reading()

    def release(self) -> None:
        """Resume reading from the connection."""
        self._stream.resume_reading()

    # The protocol of the connection.

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next bytes."""
        return cast("memoryview", self.layer.get_buffer(sizehint))

    def buffer_updated(self, nbytes: int) -> None:
        """Pass the next bytes on when the connection has its turn."""
        self._take_turn(self, partial(self.layer.buffer_updated, nbytes))

    def eof_received(self) -> bool | None:
        """Pass on that the peer sends nothing more."""
        return self.layer.eof_received()

    def pause_writing(self) -> None:
        """Pass on that the peer reads slowly."""
        self.layer.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the peer has read most of what was sent."""
        self.layer.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on the end of the connection."""
        self.layer.connection_lost(exc)


def _adapt(layer: asyncio.BaseProtocol, stream: asyncio.Transport) -> None:
    """Have a TLS layer of asyncio take little memory, and know the connection below it until that is detached.

    Its buffer gets 32 KB instead of 256 KB, which are most of what a connection takes.
    """
    if isinstance(layer, sslproto.SSLProtocol) and hasattr(layer, "_ssl_buffer"):
        buffer = bytearray(_BUFFER_SIZE)
        vars(layer).update(max_size=_BUFFER_SIZE, _ssl_buffer=buffer, _ssl_buffer_view=memoryview(buffer))
    extra = getattr(layer, "_extra", None)  # what the transport's `get_extra_info` looks into
    if isinstance(extra, dict):
        extra[_STREAM] = stream


class _Ended(asyncio.BufferedProtocol):
    """The protocol of TLS connections that have ended; its methods are never called."""


_ENDED = _Ended()


def detach(transport: asyncio.Transport) -> None:
    """Break the reference cycles of a connection that has ended, so that its memory is free at once.

    A TLS layer keeps bound methods of its protocol, and the protocol keeps the transport, so the buffers of TLS would stay.
    """
    if transport.get_extra_info("ssl_object") is None:
        _unbind(transport)
        return
    transport.set_protocol(_ENDED)
    stream = transport.get_extra_info(_STREAM)
    if stream is not None:
        _unbind(stream)


def _unbind(stream: asyncio.Transport) -> None:
    """Remove the methods bound to itself that asyncio's transport of a socket keeps.

    With them, each ended connection would hold 2 KB until the next run of the garbage collector, which is rare here.
    """
    attributes: dict[str, object] = getattr(stream, "__dict__", {})  # uvloop's have none
    for name, value in attributes.items():
        if getattr(value, "__self__", None) is stream:
            attributes[name] = None


def load_certificates(certificate: str, key: str, context: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """Load a certificate chain and its key.

    Args:
        certificate: Path of the PEM file with the certificate and its chain.
        key: Path of the PEM file with the private key, without a passphrase.
        context: The context in use, whose new connections get the new certificate; None creates one.

    Raises:
        StartError: A file cannot be read or is not a certificate or key, or the two do not belong together.
    """
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path, what in ((certificate, "certificate"), (key, "key")):
        _require_readable(path, what)
    try:
        # An empty password keeps OpenSSL from asking for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise StartError(_explain(certificate, key, error)) from None
    return context


def _require_readable(path: str, what: str) -> None:
    try:
        with open(path, "rb"):  # noqa: PTH123  # only whether it opens matters
            pass
    except OSError as error:
        raise StartError(
            f"Cannot read the TLS {what} file {path}: {error.strerror}; "
            f"check the path in the setting tls_{what}, and that this user may read the file."
        ) from None


def _explain(certificate: str, key: str, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"The TLS key {key} does not belong to the certificate {certificate}."
    if "PASSWORD" in (error.reason or "") or "DECRYPT" in (error.reason or ""):
        return f"The TLS key {key} is protected by a passphrase; give a key without one."
    return (
        f"The TLS certificate {certificate} or key {key} is not a PEM file that OpenSSL understands "
        f"({error.reason or error})."
    )
