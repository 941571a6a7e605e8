"""The headers in which proxies describe a request, in all their dialects: its clients and its original address.

Anybody can forge these headers. Their values may be *shown*; `cloudlink.addresses` decides whether they *count*.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CLIENT_HEADERS = (
    "X-Forwarded-For",
    "Forwarded",
    "CF-Connecting-IP",
    "True-Client-IP",
    "Fly-Client-IP",
    "X-Real-IP",
    "X-Client-IP",
)
"""The headers in which proxies name the client, the most common first."""
_FORWARDED = "Forwarded"
_PROXY_HEADERS = (*CLIENT_HEADERS, "Via", "X-Forwarded-Host", "X-Forwarded-Proto")
"""The headers that show that a proxy passed a request on."""

_TOKEN = re.compile(
    r"(?P<pair>(?P<name>[A-Za-z0-9_-]+)=(?:\"(?P<quoted>(?:[^\"\\]|\\.)*+)\"|(?P<word>[^\s,;=\"]*))(?=[\s,;]))"
    r"|(?P<comma>,)|[\s;]|(?P<junk>.)"
)
_ESCAPED = re.compile(r"\\(.)")

_SCHEME_HEADERS = (
    "X-Forwarded-Proto",
    "X-Forwarded-Protocol",
    "X-Forwarded-Scheme",
    "X-Scheme",
    "X-Url-Scheme",
)
_TLS_FLAGS = ("X-Forwarded-Ssl", "Front-End-Https")
_TLS_SCHEMES = ("https", "wss")
_HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~%-]+)*/?")
_DEFAULT_PORTS = ("80", "443")


@dataclass(frozen=True, slots=True)
class Outside:
    """The address of this server as a client sees it.

    Attributes:
        secure: Whether clients reach it by `https://` and `wss://`.
        host: Name or address, with the port unless it is the default; empty if the request names none.
        prefix: The path below which a proxy serves this server, such as `/cloudlink`; empty for none.
    """

    secure: bool
    host: str
    prefix: str


def outside(headers: Mapping[str, str], *, secure: bool) -> Outside:
    """Return the address of this server as the sender of a request sees it.

    Args:
        headers: The headers of the request. In a list with a value for each proxy, the first is nearest to the client.
        secure: Whether the request itself came over TLS.
    """
    # A proxy nearer to the server that got the request without TLS may have overwritten a header of an outer one, and
    # no proxy has a reason to claim TLS falsely, so one header is enough.
    secure = secure or _is_tls(headers)
    host = _first_match(
        _HOST, _forwarded(headers, "host"), _first(headers, "X-Forwarded-Host"), headers.get("Host", "")
    )
    port = _first(headers, "X-Forwarded-Port")
    match = _HOST.fullmatch(host)
    if match and not match["port"] and port not in _DEFAULT_PORTS and _HOST.fullmatch(f"x:{port}"):
        host = f"{host}:{port}"
    prefix = _first_match(_PREFIX, _first(headers, "X-Forwarded-Prefix"))
    return Outside(secure, host, prefix.rstrip("/"))


def hops(headers: Mapping[str, str], header: str) -> list[str]:
    """Return the hops in a header, from the client to the last proxy, as the proxies wrote them.

    Args:
        headers: The headers of the request.
        header: The name of a header with comma-separated addresses, or `Forwarded` (RFC 7239, section 5.2).
    """
    if header.lower() == _FORWARDED.lower():
        return [pairs.get("for", "") for pairs in _elements(headers)]
    return [hop for element in ",".join(values(headers, header)).split(",") if (hop := element.strip())]


def client_header(headers: Mapping[str, str]) -> str | None:
    """Return the name of a header in which a proxy names the client, None if the request has none."""
    return next((name for name in CLIENT_HEADERS if name in headers), None)


def is_forwarded(headers: Mapping[str, str]) -> bool:
    """Return whether a proxy has passed a request on, as far as its headers show."""
    return any(name in headers for name in _PROXY_HEADERS)


def values(headers: Mapping[str, str], name: str) -> list[str]:
    """Return the values of all lines of a header, because each proxy may add one."""
    get_all = getattr(headers, "getall", None)
    return list(get_all(name, ())) if get_all is not None else [headers.get(name, "")]


def _is_tls(headers: Mapping[str, str]) -> bool:
    schemes = [_forwarded(headers, "proto"), *(_first(headers, name) for name in _SCHEME_HEADERS)]
    return (
        any(scheme.lower() in _TLS_SCHEMES for scheme in schemes)
        or any(_first(headers, name).lower() in ("on", "1", "true") for name in _TLS_FLAGS)
        or _cloudflare_scheme(headers.get("CF-Visitor", "")) in _TLS_SCHEMES
    )


def _cloudflare_scheme(text: str) -> object:
    try:
        visitor = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return visitor.get("scheme") if isinstance(visitor, dict) else None


def _forwarded(headers: Mapping[str, str], parameter: str) -> str:
    return next((pairs[parameter] for pairs in _elements(headers) if parameter in pairs), "")


def _elements(headers: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the parameters of each element of `Forwarded`, by name in lower case (RFC 7239, section 4)."""
    return [element for line in values(headers, _FORWARDED) for element in _elements_of(line)]


def _elements_of(line: str) -> list[dict[str, str]]:
    elements: list[dict[str, str]] = []
    pairs: dict[str, str] = {}
    for token in _TOKEN.finditer(line + ","):
        if token["pair"]:
            value = token["word"] if token["quoted"] is None else _ESCAPED.sub(r"\1", token["quoted"])
            pairs.setdefault(token["name"].lower(), value)
        elif token["comma"]:
            if pairs:
                elements.append(pairs)
            pairs = {}
        elif token["junk"]:
            # A quote left open by the client could swallow the proxy's own element, so nothing here is reliable.
            return [{}]
    return elements


def _first(headers: Mapping[str, str], name: str) -> str:
    return next(iter(",".join(values(headers, name)).split(","))).strip()


def _first_match(pattern: re.Pattern[str], *candidates: str) -> str:
    return next((text for text in candidates if text and pattern.fullmatch(text)), "")
