"""The topics of the admin socket, and who has subscribed to each."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.admin.callers import Caller

STATS, NOTICES, AUDIT, LOG = "stats", "notices", "audit", "log"
WATCH_CLIENT, WATCH_ROOM = "watch:client:", "watch:room:"
MOST_WATCHED = 20
"""The most topics of clients and rooms that one socket watches."""
_KEPT_NOTICES = 50
_KEPT_LINES = 500


class Topics:
    """The subscriptions of all sockets, and the events that newcomers get first."""

    def __init__(self) -> None:
        self._subscribers: dict[str, dict[Caller, None]] = {}
        self._notices: deque[dict[str, Any]] = deque(maxlen=_KEPT_NOTICES)
        self._lines: deque[dict[str, Any]] = deque(maxlen=_KEPT_LINES)
        self._on_watch: Callable[[str, bool], None] = lambda _topic, _watched: None

    def on_watch(self, callback: Callable[[str, bool], None]) -> None:
        """Have `callback(topic, watched)` called when the first socket begins or the last one ends to watch something."""
        self._on_watch = callback

    def subscribe(self, caller: Caller, topic: str) -> None:
        """Subscribe a socket to a topic, and send it what is kept for newcomers."""
        subscribers = self._subscribers.setdefault(topic, {})
        if caller in subscribers:
            return
        subscribers[caller] = None
        if len(subscribers) == 1 and topic.startswith("watch:"):
            self._on_watch(topic, True)
        for kept in {NOTICES: self._notices, LOG: self._lines}.get(topic, ()):
            caller.send_event(topic, kept)

    def unsubscribe(self, caller: Caller, topic: str) -> None:
        """End a subscription, if there is one."""
        subscribers = self._subscribers.get(topic, {})
        if caller not in subscribers:
            return
        del subscribers[caller]
        if not subscribers:
            del self._subscribers[topic]
            if topic.startswith("watch:"):
                self._on_watch(topic, False)

    def forget(self, caller: Caller) -> None:
        """End all subscriptions of a socket."""
        for topic in self.of(caller):
            self.unsubscribe(caller, topic)

    def of(self, caller: Caller) -> list[str]:
        """Return the topics of a socket."""
        return [topic for topic, subscribers in self._subscribers.items() if caller in subscribers]

    def has(self, topic: str) -> bool:
        """Return whether anybody has subscribed to a topic."""
        return topic in self._subscribers

    def subscribers(self, topic: str) -> Iterable[Caller]:
        """Return the sockets that have subscribed to a topic."""
        return tuple(self._subscribers.get(topic, ()))

    def publish(self, topic: str, data: dict[str, Any], *, replaces: bool = False) -> None:
        """Send an event to all subscribers of a topic."""
        for caller in self.subscribers(topic):
            caller.send_event(topic, data, replaces=replaces)

    def notice(self, data: dict[str, Any]) -> None:
        """Keep and send a notice: what everybody who administers the server should know."""
        self._notices.append(data)
        self.publish(NOTICES, data)

    def line(self, data: dict[str, Any]) -> None:
        """Keep and send a line of the log."""
        self._lines.append(data)
        self.publish(LOG, data)
