"""Access to the administration over HTTP: from which machine, by which name, from which page, with which key.

Where it is not available, its paths are unknown paths, so that nobody can see that there is one.
"""

from __future__ import annotations

import hmac
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from cloudlink import addresses, forwarded
from cloudlink.addresses import RealAddress
from cloudlink.admin.callers import Peer
from cloudlink.http.response import Response, refusal
from cloudlink.http.routes import not_found
from cloudlink.origins import is_allowed

if TYPE_CHECKING:
    from collections.abc import Collection

    from cloudlink.http.request import Request
    from cloudlink.settings import Settings

SOCKET = "/admin/ws"
"""The path of the admin socket."""
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#@]+)", re.IGNORECASE)
_PORTS = {"http": ":80", "https": ":443"}
_BEARER = "bearer "


class Access:
    """Decides for each request; the settings may change while the server runs.

    Attributes:
        key: The key of the key file, empty for none.
        own_addresses: The addresses that the server listens on, apart from wildcards.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.key = ""
        self.own_addresses: Collection[str] = ()

    def is_available(self, request: Request) -> bool:
        """Return whether a request may see the administration."""
        mode = self._settings.admin
        return mode == "everywhere" or (mode == "local" and request.is_local)

    def refuse(self, request: Request) -> Response | None:
        """Return the answer to an upgrade request below `/admin`, None if it opens an admin socket."""
        if request.path == SOCKET and self._is_console(request):
            return None
        if request.path != SOCKET or not self.is_available(request):
            return not_found()
        origins = request.headers.getall("Origin", ())
        if not all(self._is_own(origin, request) for origin in origins):
            shown = origins[0]
            return refusal(
                HTTPStatus.FORBIDDEN,
                f"Pages of {shown} may not administer this server. The host can allow them: admin_origins.",
            )
        if "Authorization" in request.headers:
            return refusal(
                HTTPStatus.UNAUTHORIZED,
                "This key is wrong: each start of the server makes a new one.",
                {"WWW-Authenticate": "Bearer"},
            )
        return None

    def peer_of(self, request: Request) -> Peer:
        """Return who has sent a request."""
        address = request.address
        is_secure = request.secure
        if not is_secure and self._real_address().is_trusted(request.peer):
            is_secure = forwarded.outside(request.headers, secure=False).secure
        return Peer(
            address,
            addresses.subscriber(address),
            is_loopback=addresses.is_loopback(address),
            is_private=addresses.is_private(address) and address != addresses.UNIX,
            is_secure=is_secure,
            is_console=self._is_console(request),
        )

    def _is_console(self, request: Request) -> bool:
        given = request.headers.get("Authorization", "")
        if not self.key or not given.lower().startswith(_BEARER):
            return False
        if not (addresses.is_loopback(request.peer) or request.peer in self.own_addresses):
            return False
        is_right = hmac.compare_digest(
            given[len(_BEARER) :].strip().encode("utf-8", "surrogateescape"), self.key.encode()
        )
        return is_right and not forwarded.is_forwarded(request.headers)

    def _is_own(self, origin: str, request: Request) -> bool:
        """Return whether a page is one of this server itself, or one that the host allows."""
        if is_allowed(origin, self._settings.admin_origins):
            return True
        match = _ORIGIN.fullmatch(origin)
        host = request.headers.get("Host", "").lower()
        if match is None or not host:
            return False
        port = _PORTS[match["scheme"].lower()]
        return match["host"].lower().removesuffix(port) == host.removesuffix(port)

    def _real_address(self) -> RealAddress:
        return RealAddress(self._settings.real_ip_header, self._settings.trusted_proxies)
