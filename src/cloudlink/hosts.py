"""The setting `host`: one or several addresses to listen on, in the usual spellings.

Pure: this module only parses; `cloudlink.transport` listens.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address

EVERY = "*"
"""Every address of this machine, IPv4 and IPv6."""
_EVERY_SPELLINGS = ("", "*", "::")
_UNIX = "unix:"
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_NUMBERS = re.compile(r"[0-9.]+")
_THIS_MACHINE = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d*)?", re.IGNORECASE)


def parse_hosts(text: str) -> list[str]:
    """Return the entries of a comma-separated list, normalised and without duplicates.

    Returns:
        For each entry `EVERY`, an address without brackets, a name, or `unix:` and a path.
    """
    entries = (_normalised(entry.strip()) for entry in text.split(","))
    return list(dict.fromkeys(entries))


def are_hosts(text: str) -> bool:
    """Return whether a text is spelled as a list of hosts to listen on."""
    entries = [entry.strip() for entry in text.split(",")]
    return all(entry and _is_host(_normalised(entry)) for entry in entries)


def is_this_machine(host: str) -> bool:
    """Return whether a Host header, with or without a port, names the machine itself: `localhost`, `127.*` or `[::1]`."""
    return _THIS_MACHINE.fullmatch(host) is not None


def unix_path(entry: str) -> str | None:
    """Return the path of an entry that means a Unix socket, None for any other."""
    return entry[len(_UNIX) :] if entry.startswith(_UNIX) else None


def _normalised(entry: str) -> str:
    inside = entry[1:-1] if entry.startswith("[") and entry.endswith("]") else None
    if inside is not None and _is_ipv6(inside):
        entry = inside
    return EVERY if entry in _EVERY_SPELLINGS else entry


def _is_host(entry: str) -> bool:
    path = unix_path(entry)
    if path is not None:
        return path != "" and "\0" not in path
    try:
        ip_address(entry)
    except ValueError:
        return entry == EVERY or bool(_NAME.fullmatch(entry) and not _NUMBERS.fullmatch(entry))
    return True


def _is_ipv6(text: str) -> bool:
    try:
        return isinstance(ip_address(text), IPv6Address)
    except ValueError:
        return False
