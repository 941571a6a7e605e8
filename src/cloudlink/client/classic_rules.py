"""What the client of CloudLink 0.2.0 accepts from a server, and the names of what can be wrong (protocol, section 2.6).

Pure: a packet in, the complaints about it out.
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
"""The commands that are known without a handler of the script's own."""


class ClientExceptions:
    """What `on_exception` can be asked about, and what `wait_for_listener` raises."""

    class EmptyMessage(Exception):  # noqa: N818  # the names are those of CloudLink 0.2.0
        """A message without content came."""

    class UnknownCommand(Exception):  # noqa: N818
        """A packet came whose command nobody handles."""

    class JSONError(Exception):
        """A message came that is no JSON."""

    class ValidationError(Exception):
        """A packet came with something of a wrong type."""

    class InternalError(Exception):
        """A handler raised."""

    class ListenerExists(Exception):  # noqa: N818
        """That listener is waited for already."""


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


def complaints(packet: object) -> dict[str, list[str]]:
    """Return what is wrong with a packet: for each offending key a list of texts; empty if nothing is."""
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
