"""The flags of commands that connect to a server: its address, and how to reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink.errors import StartError

if TYPE_CHECKING:
    import argparse
    import ssl

DEFAULT_URL = "ws://127.0.0.1:3000/"


def add_reach_flags(parser: argparse.ArgumentParser) -> None:
    """Add the address and the connection flags."""
    parser.add_argument(
        "url", nargs="?", default=DEFAULT_URL, help=f"the ws:// or wss:// address (default: {DEFAULT_URL})"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="how long each step may take (default: 10)",
    )
    parser.add_argument(
        "--ca", metavar="FILE", help="a certificate (PEM) to trust in addition to those of this machine"
    )
    parser.add_argument(
        "--proxy", metavar="URL", help="a proxy to go through: http://, socks4:// or socks5://"
    )


def tls_of(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    """Return the TLS context that `--ca` asks for, None without that flag.

    Raises:
        StartError: The file cannot be used.
    """
    if arguments.ca is None:
        return None
    from cloudlink.client.trust import trusting  # noqa: PLC0415  # the other commands do without it

    try:
        return trusting(arguments.ca)
    except OSError as error:
        raise StartError(
            f"The certificate {arguments.ca} cannot be used: {error.strerror or error}."
        ) from None
