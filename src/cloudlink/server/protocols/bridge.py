"""Lets a CloudLink 4 room and the Scratch project of the same name share variables (protocol, section 3.4).

A Scratch `set` becomes a gvar, a gvar becomes a `set`. Names stay as they are, so who writes CloudLink
blocks writes `☁ score`. Messages, private variables and user lists never cross. What crossed carries the bridge's
name, so nothing comes back: no echo, no loop.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.cloudvalues import is_value
from cloudlink.server.events import Variable

from .scratch.rules import Violation

if TYPE_CHECKING:
    from .clpv4 import Clpv4
    from .scratch import Scratch

_NAME = "cloud"
"""What `via` says of a variable that crossed."""
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
        if event.via == _NAME:
            return
        if protocol is self._clpv4:
            self._to_scratch(room, event)
        elif protocol is self._scratch.schema:
            self._hub.emit_to(room, self._clpv4, Variable(event.name, as_number(event.val), via=_NAME))

    def _to_scratch(self, room: str, event: Variable) -> None:
        if room not in self._scratch.projects.rooms:
            return  # nobody plays a project of that name: an ordinary room
        value = as_cloud_value(event.val)
        if not is_value(value, self._scratch.server.settings.cloud_value_max_length, text_allowed=True):
            return
        try:
            self._scratch.change(room, jsontext.loads(event.name), value, via=_NAME)
        except Violation as violation:
            self._scratch.projects.tell_left_out(room, violation, "its CloudLink room")


def as_number(value: bytes) -> bytes:
    """Return a text that spells a JSON number as that number, anything else as it is."""
    inner = value[1:-1]
    return inner if value.startswith(b'"') and _JSON_NUMBER.fullmatch(inner) else value


def as_cloud_value(value: bytes) -> bytes:
    """Return a value as Scratch can hold it: text and numbers as they are, all else as its JSON text."""
    return value if value[0] in _KEPT_STARTS else jsontext.dumps(value.decode())
