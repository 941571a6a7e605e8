"""The Cerberus rules of CloudLink 4 packets, for plugins (protocol, section 1.2).

The server itself checks packets while it parses them. Plugins pass these rules to `clpv4.valid`. The
class identifies CloudLink 4 in every call that takes a `schema`.
"""

from __future__ import annotations

from typing import Any, ClassVar

Rules = dict[str, Any]

_VALUE = ["string", "integer", "float", "number", "boolean", "dict", "list", "set"]
_SCALAR = ["string", "integer", "float", "boolean", "number"]
_RECIPIENT = ["string", "dict", "list", "set"]
_ROOMS = [*_SCALAR, "list", "set"]


def _rules(**required: Any) -> Rules:
    rules: Rules = {"cmd": {"type": "string", "required": True}}
    rules |= {key: {"type": types, "required": True} for key, types in required.items()}
    rules["listener"] = {"type": _SCALAR, "required": False}
    return rules


_IN_ROOMS: Rules = {"rooms": {"type": _ROOMS, "required": False}}


class Schema:
    """The rules per command; `default` holds the root rules of every packet."""

    command_key = "cmd"

    default: ClassVar[Rules] = {
        "cmd": {"type": "string", "required": True},
        "val": {"type": _VALUE, "required": False},
        "name": {"type": "string", "required": False},
        "id": {"type": _RECIPIENT, "required": False},
        "listener": {"type": _SCALAR, "required": False},
        **_IN_ROOMS,
    }
    linking: ClassVar[Rules] = _rules(val=_VALUE)
    setid: ClassVar[Rules] = _rules(val="string")
    gmsg: ClassVar[Rules] = _rules(val=_VALUE) | _IN_ROOMS
    gvar: ClassVar[Rules] = _rules(name="string", val=_VALUE) | _IN_ROOMS
    pmsg: ClassVar[Rules] = _rules(id=_RECIPIENT, val=_VALUE) | _IN_ROOMS
    pvar: ClassVar[Rules] = _rules(name="string", id=_RECIPIENT, val=_VALUE) | _IN_ROOMS
    direct: ClassVar[Rules] = _rules(id=_RECIPIENT, val=_VALUE)
