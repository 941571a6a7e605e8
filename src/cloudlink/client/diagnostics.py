"""Why a server cannot be reached, and how to mend that, in words.

From what Python and the server say to a `ConnectError` with two sentences. Nothing is tried here; `cloudlink doctor`
looks further where this can only guess.
"""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cloudlink.client.errors import ConnectError, ServerFullError, WrongServerError

if TYPE_CHECKING:
    from collections.abc import Mapping

# OpenSSL's reasons for not trusting a certificate (its X509_V_ERR_ numbers).
NOT_YET_VALID, EXPIRED = 9, 10
SELF_SIGNED, SELF_SIGNED_IN_CHAIN, NO_ISSUER, UNVERIFIED_LEAF = 18, 19, 20, 21
OTHER_NAME, OTHER_ADDRESS = 62, 64


@dataclass(frozen=True)
class HttpAnswer:
    """What a server answered to an upgrade request instead of upgrading."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Address:
    """The parts of a ws or wss address."""

    secure: bool
    host: str
    port: int
    rest: str

    @property
    def place(self) -> str:
        """Host and port, as they stand in an address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def with_scheme(self, *, secure: bool) -> str:
        """Return the same address with or without TLS; the port stays."""
        return f"{'wss' if secure else 'ws'}://{self.place}{self.rest}"


def check_address(url: str) -> Address:
    """Return the parts of an address.

    Raises:
        ConnectError: It is no ws or wss address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
        host.encode("idna")
    except ValueError:
        raise bad_address(url) from None
    if parts.scheme not in ("ws", "wss") or not host or port == 0 or parts.fragment:
        raise bad_address(url)
    rest = parts.path + (f"?{parts.query}" if parts.query else "")
    secure = parts.scheme == "wss"
    return Address(secure, host, port or (443 if secure else 80), rest or "/")


def bad_address(url: str) -> ConnectError:
    """Return the error for something that is no WebSocket address."""
    if not url.strip():
        return ConnectError(
            "No address was given.",
            "It has to begin with ws:// or wss://, for example ws://127.0.0.1:3000/.",
        )
    if url.lower().startswith(("ws://", "wss://")):
        return _bad_part(url)
    for wrong, right in (("http://", "ws://"), ("https://", "wss://")):
        if url.startswith(wrong):
            return ConnectError(
                f"{url} is the address of a web page.", f"Write {right}{url.removeprefix(wrong)}."
            )
    hint = "" if "://" in url else f", for example ws://{url}"
    return ConnectError(f"{url} is no WebSocket address.", f"It has to begin with ws:// or wss://{hint}.")


def _bad_part(url: str) -> ConnectError:
    """Return the error for an address that begins well and goes wrong later."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ConnectError(
            f"The host of {url} cannot be read.", "IPv6 addresses stand in brackets, as in ws://[::1]:3000/."
        )
    try:
        is_port_wrong = parts.port == 0
    except ValueError:
        is_port_wrong = True
    if is_port_wrong:
        return ConnectError(
            f"The port of {url} is wrong.", "A port is a number from 1 to 65535, as in ws://127.0.0.1:3000/."
        )
    if not parts.hostname:
        return ConnectError(
            f"{url} names no host.", "Write its name or address, for example ws://127.0.0.1:3000/."
        )
    if parts.fragment:
        return ConnectError(f"{url} has a part after #.", "WebSocket addresses have none; leave it away.")
    # What only the WebSocket library finds comes here too, and it complains of proxies in the same way.
    return ConnectError(
        f"{url} cannot be used as an address.",
        "Look for a slip of the pen in its host; a proxy's address begins with http://, socks4:// or socks5://.",
    )


def unreachable(url: str, error: OSError) -> ConnectError:
    """Return the error for a connection or a TLS greeting that failed."""
    address = check_address(url)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(address, error)
    if isinstance(error, ssl.SSLError) or (address.secure and isinstance(error, ConnectionResetError)):
        return ConnectError(
            f"{address.place} does not speak TLS.",
            f"Connect with {address.with_scheme(secure=False)}, or give the server a certificate.",
        )
    if isinstance(error, socket.gaierror):
        return ConnectError(
            f"The name {address.host} is not known.",
            "Look for a slip of the pen, and whether this computer is online.",
        )
    if isinstance(error, TimeoutError):
        return ConnectError(
            f"{address.place} did not answer in time.",
            "A firewall may swallow the connection, or the port belongs to a program that waits for something else.",
        )
    return _not_connected(address, error)


def no_way_through(url: str, proxy: str, error: Exception) -> ConnectError:
    """Return the error for a connection that a proxy did not make."""
    if _is_refused(error):
        return ConnectError(
            f"The proxy {proxy} is not there: nothing listens at its port.",
            "Start the proxy, or look for a slip of the pen in its address.",
        )
    # Some libraries hide what they caught behind words of their own.
    if isinstance(error, socket.gaierror) or isinstance(error.__cause__, socket.gaierror):
        return ConnectError(
            f"The proxy {proxy} is not there: its name is not known.",
            "Look for a slip of the pen, and whether this computer is online.",
        )
    if _is_no_way(error):
        return ConnectError(
            f"The proxy {proxy} is out of reach: there is no way to it from this computer.",
            "Is it online, and in the right network?",
        )
    why = getattr(error, "strerror", None) or str(error) or "it did not answer in time"
    return ConnectError(
        f"The proxy {proxy} does not lead to {check_address(url).place}: {why}.",
        "Look at the proxy's address, and whether it lets such connections pass.",
    )


def _not_connected(address: Address, error: OSError) -> ConnectError:
    if _is_refused(error):
        return ConnectError(
            f"Nothing listens at {address.place}.",
            "Start the server, and look at its first log line for the port it uses.",
        )
    if isinstance(error, ConnectionResetError):
        return no_upgrade(address.with_scheme(secure=address.secure), None)
    if _is_no_way(error):
        return ConnectError(
            f"There is no way from this computer to {address.host}.",
            "Is it online, and in the right network?",
        )
    return ConnectError(f"{address.place} cannot be reached: {error.strerror or error}.")


def _is_refused(error: Exception) -> bool:
    # Of a name with several addresses asyncio tells all errors in one text.
    refused = isinstance(error, ConnectionRefusedError) or getattr(error, "errno", None) == errno.ECONNREFUSED
    return refused or "Multiple exceptions" in str(error)


def _is_no_way(error: Exception) -> bool:
    unreachable = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL)
    return getattr(error, "errno", None) in unreachable


def _untrusted(address: Address, error: ssl.SSLCertVerificationError) -> ConnectError:
    code = error.verify_code
    if code == EXPIRED:
        problem, remedy = "has expired", "Renew it, and send the server SIGHUP."
    elif code == NOT_YET_VALID:
        problem, remedy = "is not valid yet", "Look at the clocks of both computers."
    elif code in (OTHER_NAME, OTHER_ADDRESS):
        problem = f"is for another name than {address.host}"
        remedy = "Connect by the name it was made for, or get one for this name."
    elif code in (SELF_SIGNED, SELF_SIGNED_IN_CHAIN):
        problem, remedy = "is self-signed", "Browsers refuse it; get one from a public authority."
    elif code in (NO_ISSUER, UNVERIFIED_LEAF):
        problem = "comes from an authority this computer does not know"
        remedy = "Serve the whole chain (fullchain.pem), and get it from a public authority."
    else:
        problem, remedy = f"is not trusted ({error.verify_message})", "Get one from a public authority."
    return ConnectError(f"The TLS certificate of {address.place} {problem}.", remedy)


_PROGRAMS = 'A program has no origin; it can pass an allowed one with headers={"Origin": ...}.'
_HTTP_WORDS = {
    400: (
        "as a bad request",
        "If a proxy stands before it, let it pass the headers Upgrade and Connection on.",
    ),
    401: ("with a demand to log in", "Scratch projects cannot log in; take the password off the path."),
    404: ("that the path does not exist", "Try the path / and look where the proxy sends WebSockets."),
    426: ("with a demand to upgrade", "A proxy on the way drops the header Upgrade; let it pass WebSockets."),
    429: (
        "that this address connects too often",
        "Wait a little; the host's limits stand in docs/limits.md.",
    ),
    500: ("with an error of its own", "Look at the server's log."),
    502: (
        "that it does not get through to the server",
        "Start the server behind the proxy; look at its port.",
    ),
    503: ("that it is out of service", "Start the server behind the proxy, or wait a little."),
    504: ("that the server behind it does not answer", "Look at the server behind the proxy."),
}


def no_upgrade(url: str, answer: HttpAnswer | None) -> ConnectError:
    """Return the error for a peer that did not become a WebSocket.

    Args:
        url: Where it was tried.
        answer: What it answered; None for no HTTP at all.
    """
    place = check_address(url).place
    if answer is None:
        return WrongServerError(
            f"{place} closed the connection without an answer that a WebSocket has.",
            "It may speak TLS (wss://), or be no web server at all.",
        )
    if answer.status == 101:  # noqa: PLR2004  # Switching Protocols
        error: ConnectError = WrongServerError(
            f"{place} upgrades, but not to a WebSocket.", "A proxy may change the answer on its way."
        )
    else:
        error = _http_error(place, answer)
    error.status = answer.status
    return error


def _http_error(place: str, answer: HttpAnswer) -> ConnectError:
    status = answer.status
    location = next((value for key, value in answer.headers.items() if key.lower() == "location"), "")
    if location:
        return ConnectError(
            f"{place} redirects to {location} (HTTP {status}), which browsers do not follow for WebSockets.",
            "Connect to the address it redirects to, with ws for http and wss for https.",
        )
    if status == 403 and b"allowed_origins" in answer.body:  # noqa: PLR2004
        return ConnectError(
            f"{place} refuses pages of this origin (HTTP 403).",
            f"Let the host add the origin to the setting allowed_origins. {_PROGRAMS}",
        )
    if status == 403:  # noqa: PLR2004
        return ConnectError(
            f"{place} refuses this origin or address (HTTP 403).",
            f"Let the host add the page's origin to the setting allowed_origins. {_PROGRAMS}",
        )
    if status == 503 and b"full" in answer.body.lower():  # noqa: PLR2004
        return ServerFullError("The server is full (HTTP 503).", "Try again later.")
    if 200 <= status < 300:  # noqa: PLR2004
        return WrongServerError(
            f"{place} answers with a web page (HTTP {status}) instead of a WebSocket.",
            "A proxy on the way drops the headers Upgrade and Connection, or it is another program.",
        )
    words, remedy = _HTTP_WORDS.get(status, ("", "Is it a CloudLink server?"))
    return ConnectError(f"{place} answers {words or 'without a WebSocket'} (HTTP {status}).", remedy)
