"""Shows administrators what a client says, or what is said in a room, while they watch; nothing is kept.

Nobody watches most of the time; then the hub has no subscriber for this.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cloudlink.admin.topics import WATCH_CLIENT, WATCH_ROOM
from cloudlink.server.broker import VIA
from cloudlink.server.events import (
    Custom,
    Direct,
    Message,
    PrivateMessage,
    PrivateVariable,
    Variable,
)

if TYPE_CHECKING:
    from cloudlink.admin.topics import Topics
    from cloudlink.server.client import Schema
    from cloudlink.server.events import Event
    from cloudlink.server.hub import Hub

_LONGEST = 200
"""Characters of a text that are shown."""
_KINDS: dict[type[Event], str] = {
    Message: "message",
    Variable: "variable",
    PrivateMessage: "private message",
    PrivateVariable: "private variable",
    Direct: "direct",
    Custom: "command",
}


class Watching:
    """Follows the hub as long as somebody watches.

    What came from another process is not shown: that process shows it.
    """

    def __init__(self, hub: Hub, topics: Topics) -> None:
        self._hub = hub
        self._topics = topics
        self._watched: set[str] = set()
        topics.on_watch(self._change)

    def _change(self, topic: str, watched: bool) -> None:
        was_watching = bool(self._watched)
        if watched:
            self._watched.add(topic)
        else:
            self._watched.discard(topic)
        if bool(self._watched) == was_watching:
            return
        for kind in _KINDS:
            if watched:
                self._hub.subscribe(kind, self._see)
            else:
                self._hub.unsubscribe(kind, self._see)

    def _see(self, room: str, _protocol: Schema | None, event: Any, _skip: object) -> None:
        origin = event.origin
        # Private packets are shown by whom they come from only: a room has no part in them.
        if room and isinstance(event, (Message, Variable)) and not event.via.startswith(VIA):
            self._show(WATCH_ROOM + room, room, event)
        if origin is not None and not origin.node:
            self._show(WATCH_CLIENT + origin.id, room, event)

    def _show(self, topic: str, room: str, event: Any) -> None:
        if topic in self._watched and self._topics.admits(topic):
            self._topics.show_admitted(topic, _data(room, event))


def _data(room: str, event: Any) -> dict[str, Any]:
    origin = event.origin
    data: dict[str, Any] = {
        "at": round(time.time(), 3),
        "kind": _KINDS[type(event)],
        "room": room,
        "id": origin.id if origin is not None else "",
        "name": (origin.username or "") if origin is not None else "",
        "bytes": len(event.val),
    }
    if isinstance(event, (Message, Variable)):
        data["text"] = _cut(event.val)
    if isinstance(event, Variable):
        data["variable"] = _cut(event.name)
    if isinstance(event, Custom):
        data["command"] = event.cmd[:_LONGEST]
    return data


def _cut(value: bytes) -> str:
    return value[: 4 * _LONGEST].decode(errors="replace")[:_LONGEST]
