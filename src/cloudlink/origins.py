"""The setting `allowed_origins`: which web pages may connect (RFC 6454, section 6.1; Fetch standard, the Origin header).

Pure: entries and origins in, decisions out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_OPAQUE = "null"
"""The header that browsers send for pages without an origin of their own, such as sandboxed ones."""
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<wildcard>\*\.)?(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._~-]*)(?::(?P<port>[0-9]{1,5}))?"
)
_NAMES = re.compile(r"[a-z0-9_~-][a-z0-9._~-]*")
"""The text that a wildcard matches."""
_LARGEST_PORT = 65535


def is_origin_entry(text: str) -> bool:
    """Return whether an entry can match at all: an origin as browsers spell it, possibly with a wildcard."""
    match = _ORIGIN.fullmatch(text)
    if match is None:
        return text == _OPAQUE
    # Only the schemes of files and apps have origins without a host.
    has_host = (
        match["host"].strip(".") != ""
        if match["scheme"] in _DEFAULT_PORTS
        else not match["wildcard"] or match["host"]
    )
    return bool(has_host) and int(match["port"] or 0) <= _LARGEST_PORT


def is_allowed(origin: str, entries: Iterable[str]) -> bool:
    """Return whether a page may connect.

    Args:
        origin: The header `Origin`; empty if there is none.
        entries: Origins; `https://*.example.org` matches every subdomain of example.org, but not example.org itself.
    """
    asked = _without_default_port(origin)
    return any(_matches(_without_default_port(entry), asked) for entry in entries)


def _matches(entry: str, origin: str) -> bool:
    scheme, mark, rest = entry.partition("://*.")
    if not mark:
        return entry == origin
    # The dot is required: `https://evilexample.org` is not a subdomain of `example.org`.
    beginning, ending = scheme + "://", "." + rest
    if not (origin.startswith(beginning) and origin.endswith(ending)):
        return False
    return _NAMES.fullmatch(origin[len(beginning) : -len(ending)]) is not None


def _without_default_port(origin: str) -> str:
    match = _ORIGIN.fullmatch(origin)
    if match is None or match["port"] != _DEFAULT_PORTS.get(match["scheme"], ""):
        return origin
    return origin[: match.start("port") - 1]
