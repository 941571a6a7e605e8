"""The Cerberus rules of Scratch cloud-variable packets, for plugins (protocol, section 3.1)."""

from __future__ import annotations

from typing import Any, ClassVar

Rules = dict[str, Any]

_NAME = {"type": "string", "required": True}
_VALUE = {"type": ["string", "integer", "float", "number"], "required": True}
_METHOD = {"type": "string", "required": True}
_CHANGE = {"method": _METHOD, "name": _NAME, "value": _VALUE}


class Schema:
    """The rules per method; `default` holds the root rules of every packet."""

    command_key = "method"

    default: ClassVar[Rules] = {"method": _METHOD}
    handshake: ClassVar[Rules] = {
        "method": _METHOD,
        "project_id": {"type": ["string", "integer", "float", "number"], "required": True},
        "user": {"type": "string", "required": True, "minlength": 1, "maxlength": 20},
    }
    set: ClassVar[Rules] = _CHANGE
    create: ClassVar[Rules] = _CHANGE
    rename: ClassVar[Rules] = {"method": _METHOD, "name": _NAME, "new_name": _NAME}
    delete: ClassVar[Rules] = {"method": _METHOD, "name": _NAME}
