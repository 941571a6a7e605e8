"""Lets a CloudLink 4 room and the Scratch project of the same name share variables (protocol, section 3.4).

A Scratch `set` becomes a gvar, and a gvar becomes a `set`. Names are unchanged, so CloudLink projects use
names such as `☁ score`. Messages, private variables and user lists do not cross. Bridged events carry the
bridge's name, so they are not bridged back: there are no echoes and no loops.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.cloudvalues import is_value
from cloudlink.server.broker import VIA
from cloudlink.server.events import Variable

from .scratch.rules import Violation

if TYPE_CHECKING:
    from .clpv4 import Clpv4
    from .scratch import Scratch

_NAME = "cloud"
"""The value of `via` for bridged variables."""
_JSON_NUMBER = re.compile(rb"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_KEPT_STARTS = b'"-0123456789'


class Bridge:
    """Connects the two protocols of one server."""

    def __init__(self, clpv4: Clpv4, scratch: Scratch) -> None:
        self._hub = clpv4.server.hub
        self._clpv4 = clpv4.schema
        self._scratch = scratch
        self._hub.subscribe(Variable, self._cross)

    def _cross(self, room: str, protocol: object, event: Variable, _skip: object) -> None:
        if event.via == _NAME or event.via.startswith(VIA):
            return  # it has been bridged, here or on the node that it comes from
        if protocol is self._clpv4:
            self._to_scratch(room, event)
        elif protocol is self._scratch.schema:
            self._hub.emit_to(room, self._clpv4, Variable(event.name, as_number(event.val), via=_NAME))

    def _to_scratch(self, room: str, event: Variable) -> None:
        if not self._scratch.is_played(room):
            return  # an ordinary room
        value = as_cloud_value(event.val)
        if not is_value(value, self._scratch.server.settings.cloud_value_max_length, text_allowed=True):
            return
        try:
            self._scratch.change(room, jsontext.loads(event.name), value, via=_NAME)
        except Violation as violation:
            self._scratch.projects.log_left_out(room, violation, "its CloudLink room")


def as_number(value: bytes) -> bytes:
    """Convert a JSON string that holds a JSON number to that number; return other values unchanged."""
    inner = value[1:-1]
    return inner if value.startswith(b'"') and _JSON_NUMBER.fullmatch(inner) else value


def as_cloud_value(value: bytes) -> bytes:
    """Convert a value for Scratch: text and numbers stay unchanged, other values become their JSON text."""
    return value if value[0] in _KEPT_STARTS else jsontext.dumps(value.decode())
