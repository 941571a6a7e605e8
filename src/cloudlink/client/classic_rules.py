"""The packets that the client of CloudLink 0.2.0 accepts, and the names of its errors (protocol, section 2.6).

Pure: a packet in, its validation errors out.
"""

from __future__ import annotations

from typing import Any

COMMANDS = (
    "ping",
    "gmsg",
    "gvar",
    "pmsg",
    "pvar",
    "direct",
    "statuscode",
    "ulist",
    "client_obj",
    "client_ip",
    "server_version",
    "motd",
)
"""The commands that are known without a handler of the script."""


class ClientExceptions:
    """The errors that `on_exception` handles, and the one that `wait_for_listener` raises."""

    class EmptyMessage(Exception):  # noqa: N818  # the names are those of CloudLink 0.2.0
        """A message was empty."""

    class UnknownCommand(Exception):  # noqa: N818
        """A packet had a command without a handler."""

    class JSONError(Exception):
        """A message was not JSON."""

    class ValidationError(Exception):
        """A packet had a value of a wrong type."""

    class InternalError(Exception):
        """A handler raised."""

    class ListenerExists(Exception):  # noqa: N818
        """Another call waits for that listener already."""


_TEXT = ("string", str)
_SCALAR = ("['string', 'integer', 'float', 'boolean', 'number']", (str, int, float))
_TYPES: dict[str, tuple[str, Any]] = {
    "cmd": _TEXT,
    "mode": _TEXT,
    "code": _TEXT,
    "name": _TEXT,
    "code_id": ("integer", int),
    "listener": _SCALAR,
    "rooms": ("['string', 'integer', 'float', 'boolean', 'number', 'list']", (str, int, float, list)),
}


def validation_errors(packet: object) -> dict[str, list[str]]:
    """Return the errors of a packet: for each wrong key a list of texts; empty if it is valid."""
    if not isinstance(packet, dict) or "cmd" not in packet:
        return {"cmd": ["required field"]}
    found = {}
    for key, (words, types) in _TYPES.items():
        value = packet.get(key)
        if value is not None and not isinstance(value, types):
            found[key] = [f"must be of {words} type"]
    for key in (*_TYPES, "val"):
        if key in packet and packet[key] is None:
            found[key] = ["null value not allowed"]
    return found
