"""TLS from certificate files, renewable while clients are connected; and the memory of ended TLS connections."""

from __future__ import annotations

import asyncio
import ssl

from cloudlink.errors import StartError


class _Ended(asyncio.BufferedProtocol):
    """The protocol of TLS connections that have ended; its methods are never called."""


_ENDED = _Ended()


def detach(transport: asyncio.Transport) -> None:
    """Break the reference cycles of a connection that has ended, so that its memory is free at once.

    asyncio's transports of sockets keep methods that are bound to themselves: each ended connection would hold 2 KB until the
    next run of the garbage collector, which is rare here. Its TLS layer keeps bound methods of its protocol, and the protocol
    keeps the transport: another 280 KB.
    """
    if transport.get_extra_info("ssl_object") is not None:
        transport.set_protocol(_ENDED)
        return
    attributes: dict[str, object] = getattr(transport, "__dict__", {})  # uvloop's have none
    for name, value in attributes.items():
        if getattr(value, "__self__", None) is transport:
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
