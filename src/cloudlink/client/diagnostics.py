"""The sentences of `ConnectError`: why a server cannot be reached, and how to fix that.

The functions turn an exception or an HTTP answer into a `ConnectError`. They do not connect; `cloudlink doctor` makes
further attempts if one answer can have several causes.
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
    """The answer of a server to an upgrade request that it did not upgrade."""

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
        """Host and port, as in an address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def with_scheme(self, *, secure: bool) -> str:
        """Return the same address with or without TLS; the port stays."""
        return f"{'wss' if secure else 'ws'}://{self.place}{self.rest}"


def check_address(url: str) -> Address:
    """Return the parts of an address.

    Raises:
        ConnectError: It is not a ws or wss address.
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
    """Return the error for a text that is not a WebSocket address."""
    if not url.strip():
        return ConnectError(
            "No address was given.",
            "It has to begin with ws:// or wss://, for example ws://127.0.0.1:3000/.",
            permanent=True,
        )
    if url.lower().startswith(("ws://", "wss://")):
        return _bad_part(url)
    for wrong, right in (("http://", "ws://"), ("https://", "wss://")):
        if url.startswith(wrong):
            return ConnectError(
                f"{url} is the address of a web page.",
                f"Write {right}{url.removeprefix(wrong)}.",
                permanent=True,
            )
    hint = "" if "://" in url else f", for example ws://{url}"
    return ConnectError(
        f"{url} is not a WebSocket address.", f"It has to begin with ws:// or wss://{hint}.", permanent=True
    )


def _bad_part(url: str) -> ConnectError:
    """Return the error for an address whose scheme is right and whose rest is not."""
    problem, remedy = _problem_of_part(url)
    return ConnectError(problem, remedy, permanent=True)


def _problem_of_part(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"The host of {url} cannot be read.", "IPv6 addresses need brackets, as in ws://[::1]:3000/."
    try:
        is_port_wrong = parts.port == 0
    except ValueError:
        is_port_wrong = True
    if is_port_wrong:
        return (
            f"The port of {url} is wrong.",
            "A port is a number from 1 to 65535, as in ws://127.0.0.1:3000/.",
        )
    if not parts.hostname:
        return f"{url} names no host.", "Write its name or address, for example ws://127.0.0.1:3000/."
    if parts.fragment:
        return f"{url} has a part after #.", "WebSocket addresses have none; remove it."
    # Errors that only the WebSocket library finds come here too, and it reports wrong proxies in the same way.
    return (
        f"{url} cannot be used as an address.",
        "Check the spelling of its host; a proxy's address begins with http://, socks4:// or socks5://.",
    )


def unreachable(url: str, error: OSError) -> ConnectError:
    """Return the error for a connection or a TLS handshake that failed."""
    address = check_address(url)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(address, error)
    if isinstance(error, ssl.SSLError) or (address.secure and isinstance(error, ConnectionResetError)):
        return ConnectError(
            f"{address.place} does not speak TLS.",
            f"Connect with {address.with_scheme(secure=False)}, or give the server a certificate.",
            permanent=isinstance(error, ssl.SSLError),
        )
    if isinstance(error, socket.gaierror):
        return ConnectError(
            f"The name {address.host} is not known.",
            "Check its spelling, and whether this computer is online.",
        )
    if isinstance(error, TimeoutError):
        return ConnectError(
            f"{address.place} did not answer in time.",
            "A firewall may block the connection, or another program that waits for something else has the port.",
        )
    return _not_connected(address, error)


def proxy_failed(url: str, proxy: str, error: Exception) -> ConnectError:
    """Return the error for a connection that a forward proxy did not make."""
    if _is_refused(error):
        return ConnectError(
            f"The proxy {proxy} cannot be reached: nothing listens at its port.",
            "Start the proxy, or check its address.",
        )
    # Some libraries wrap the error they caught in one of their own.
    if isinstance(error, socket.gaierror) or isinstance(error.__cause__, socket.gaierror):
        return ConnectError(
            f"The proxy {proxy} cannot be reached: its name is not known.",
            "Check its spelling, and whether this computer is online.",
        )
    if _is_unreachable(error):
        return ConnectError(
            f"The proxy {proxy} cannot be reached: this computer has no route to it.",
            "Is it online, and in the right network?",
        )
    why = getattr(error, "strerror", None) or str(error) or "it did not answer in time"
    return ConnectError(
        f"The proxy {proxy} does not lead to {check_address(url).place}: {why}.",
        "Check the proxy's address, and whether it allows such connections.",
    )


def _not_connected(address: Address, error: OSError) -> ConnectError:
    if _is_refused(error):
        return ConnectError(
            f"Nothing listens at {address.place}.",
            "Start the server; its first log line says which port it uses.",
        )
    if isinstance(error, ConnectionResetError):
        return upgrade_failed(address.with_scheme(secure=address.secure), None)
    if _is_unreachable(error):
        return ConnectError(
            f"This computer has no route to {address.host}.",
            "Is it online, and in the right network?",
        )
    return ConnectError(f"{address.place} cannot be reached: {error.strerror or error}.")


def _is_refused(error: Exception) -> bool:
    # For a name with several addresses asyncio joins all errors in one text.
    refused = isinstance(error, ConnectionRefusedError) or getattr(error, "errno", None) == errno.ECONNREFUSED
    return refused or "Multiple exceptions" in str(error)


def _is_unreachable(error: Exception) -> bool:
    unreachable = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL)
    return getattr(error, "errno", None) in unreachable


def _untrusted(address: Address, error: ssl.SSLCertVerificationError) -> ConnectError:
    code = error.verify_code
    if code == EXPIRED:
        problem, remedy = "has expired", "Renew it, and send the server SIGHUP."
    elif code == NOT_YET_VALID:
        problem, remedy = "is not valid yet", "Check the clocks of both computers."
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
    return ConnectError(f"The TLS certificate of {address.place} {problem}.", remedy, permanent=True)


_PROGRAMS = 'A program has no origin; it can pass an allowed one with headers={"Origin": ...}.'
_NGINX = (
    "proxy_http_version 1.1;",
    "proxy_set_header Upgrade $http_upgrade;",
    'proxy_set_header Connection "upgrade";',
)
_PASS_UPGRADES = f"Let it pass WebSockets on. nginx needs three lines in its location: {' '.join(_NGINX)}"
_START_PAGE = b"this is a cloudlink server"
"""Words of the pages that a CloudLink server shows to plain HTTP requests, in small letters."""
_HTTP_WORDS = {
    400: ("as a bad request", f"If there is a proxy in front of it: {_PASS_UPGRADES}"),
    401: ("with a demand to log in", "Scratch projects cannot log in; remove the password from the path."),
    404: ("that the path does not exist", "Try the path /, and check where the proxy sends WebSockets."),
    426: ("with a demand to upgrade", f"A proxy on the way drops the header Upgrade. {_PASS_UPGRADES}"),
    429: (
        "that this address connects too often",
        "Wait a little; docs/limits.md describes the host's limits.",
    ),
    500: ("with an error of its own", "Look at the server's log."),
    502: (
        "that it cannot reach the server behind it",
        "Start the server behind the proxy; check its port.",
    ),
    503: ("that it is out of service", "Start the server behind the proxy, or wait a little."),
    504: ("that the server behind it does not answer", "Look at the server behind the proxy."),
}
_TEMPORARY = (408, 425, 429)


def upgrade_failed(url: str, answer: HttpAnswer | None) -> ConnectError:
    """Return the error for a peer that did not upgrade to a WebSocket.

    Args:
        url: The address that was tried.
        answer: The answer; None if it was not HTTP.
    """
    place = check_address(url).place
    if answer is None:
        return WrongServerError(
            f"{place} closed the connection without an HTTP answer.",
            "It may speak TLS (wss://), or not be a web server at all.",
        )
    if answer.status == 101:  # noqa: PLR2004  # Switching Protocols
        error: ConnectError = WrongServerError(
            f"{place} upgrades, but not to a WebSocket.", "A proxy may change the answer on its way."
        )
    else:
        error = _reverse_proxy(place, answer) or _http_error(place, answer)
    error.status = answer.status
    error.permanent = answer.status < 500 and answer.status not in _TEMPORARY  # noqa: PLR2004  # errors of the server
    return error


def _reverse_proxy(place: str, answer: HttpAnswer) -> ConnectError | None:
    """Return the error if the answer shows what a reverse proxy has done to the request.

    The server behind it did answer: with a page, because the request arrived without the header Upgrade, or with the
    reason for which it is not a WebSocket request.
    """
    body = answer.body.lower()
    if b"http/1.0" in body:
        cause = "speaks HTTP/1.0 to the server, which has no WebSockets"
    elif answer.status == 400 and b"connection" in body and b"upgrade" in body:  # noqa: PLR2004  # Bad Request
        cause = "drops the header Connection of the request"
    elif _START_PAGE in body:
        cause = "drops the header Upgrade of the request, so that the server answers with a page"
    else:
        return None
    return ConnectError(f"The proxy at {place} {cause} (HTTP {answer.status}).", _PASS_UPGRADES)


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
            f"It is another program, or a proxy that drops the header Upgrade. {_PASS_UPGRADES}",
        )
    words, remedy = _HTTP_WORDS.get(status, ("", "Is it a CloudLink server?"))
    return ConnectError(f"{place} answers {words or 'without a WebSocket'} (HTTP {status}).", remedy)
