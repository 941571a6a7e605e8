"""The topics of the admin socket, and who has subscribed to each."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from cloudlink.buckets import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

STATS, NOTICES, AUDIT, LOG = "stats", "notices", "audit", "log"
WATCH = "watch:"
WATCH_CLIENT, WATCH_ROOM = "watch:client:", "watch:room:"
MOST_WATCHED = 20
"""The most topics of clients and rooms that one socket watches."""
_KEPT_NOTICES = 50
KEPT_LINES = 500
_RATE = 20
"""Events of a watched topic that are shown in a second."""


class Subscriber(Protocol):
    """An admin socket, or another process that has some.

    Attributes:
        is_process: Whether it is another process, which gets only events of this one.
    """

    is_process: bool

    def send_event(self, name: str, data: dict[str, Any], *, replaces: bool = False) -> None:
        """Send an event; if it replaces one of the same name that still waits to be sent, that one is dropped."""
        ...


class Topics:
    """The subscriptions of all sockets, and the events that newcomers get first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: clock: Returns the time in seconds."""
        self._clock = clock
        self._subscribers: dict[str, dict[Subscriber, None]] = {}
        self._notices: deque[dict[str, Any]] = deque(maxlen=_KEPT_NOTICES)
        self._lines: deque[dict[str, Any]] = deque(maxlen=KEPT_LINES)
        self._watched: dict[str, _Watched] = {}
        self._on_watch: Callable[[str, bool], None] = lambda _topic, _watched: None

    def on_watch(self, callback: Callable[[str, bool], None]) -> None:
        """Have `callback(topic, watched)` called when the first socket begins or the last one ends to watch something."""
        self._on_watch = callback

    def subscribe(self, caller: Subscriber, topic: str, *, with_kept: bool = True) -> None:
        """Subscribe a socket to a topic.

        Args:
            caller: The socket.
            topic: The topic.
            with_kept: Whether to send it what is kept for newcomers.
        """
        subscribers = self._subscribers.setdefault(topic, {})
        if caller in subscribers:
            return
        subscribers[caller] = None
        if len(subscribers) == 1 and topic.startswith(WATCH):
            self._watched[topic] = _Watched(self._clock)
            self._on_watch(topic, True)
        if with_kept:
            for kept in {NOTICES: self._notices, LOG: self._lines}.get(topic, ()):
                caller.send_event(topic, kept)

    def unsubscribe(self, caller: Subscriber, topic: str) -> None:
        """End a subscription, if there is one."""
        subscribers = self._subscribers.get(topic, {})
        if caller not in subscribers:
            return
        del subscribers[caller]
        if not subscribers:
            del self._subscribers[topic]
            if topic.startswith(WATCH):
                del self._watched[topic]
                self._on_watch(topic, False)

    def forget(self, caller: Subscriber) -> None:
        """End all subscriptions of a socket."""
        for topic in self.of(caller):
            self.unsubscribe(caller, topic)

    def of(self, caller: Subscriber) -> list[str]:
        """Return the topics of a socket."""
        return [topic for topic, subscribers in self._subscribers.items() if caller in subscribers]

    def has(self, topic: str) -> bool:
        """Return whether anybody has subscribed to a topic."""
        return topic in self._subscribers

    def followed(self) -> list[str]:
        """Return the topics that somebody has subscribed to and whose events come from each process alone."""
        return [
            topic
            for topic, subscribers in self._subscribers.items()
            if (topic == LOG or topic.startswith(WATCH)) and not all(one.is_process for one in subscribers)
        ]

    def subscribers(self, topic: str) -> Iterable[Subscriber]:
        """Return the sockets that have subscribed to a topic."""
        return tuple(self._subscribers.get(topic, ()))

    def publish(
        self, topic: str, data: dict[str, Any], *, replaces: bool = False, is_own: bool = True
    ) -> None:
        """Send an event to all subscribers of a topic, or, if it comes from another process, to the sockets of this one."""
        for caller in self.subscribers(topic):
            if is_own or not caller.is_process:
                caller.send_event(topic, data, replaces=replaces)

    def notice(self, data: dict[str, Any]) -> None:
        """Keep and send a notice: what everybody who administers the server should know."""
        self._notices.append(data)
        self.publish(NOTICES, data)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The last lines of the log."""
        return list(self._lines)

    def line(self, data: dict[str, Any], *, is_own: bool = True) -> None:
        """Keep and send a line of the log, which may come from another process."""
        self._lines.append(data)
        self.publish(LOG, data, is_own=is_own)

    def admits(self, topic: str) -> bool:
        """Return whether an event of a watched topic may be shown now; those that may not are counted."""
        watched = self._watched.get(topic)
        return watched is not None and watched.admits()

    def show(self, topic: str, data: dict[str, Any]) -> None:
        """Send an event of a watched topic that comes from another process, unless there are too many."""
        if self.admits(topic):
            self.show_admitted(topic, data, is_own=False)
        elif topic in self._watched:
            self._watched[topic].left_out += data.get("left_out", 0)

    def show_admitted(self, topic: str, data: dict[str, Any], *, is_own: bool = True) -> None:
        """Send an event that `admits` has let through, and how many were left out before."""
        watched = self._watched[topic]
        left_out, watched.left_out = watched.left_out + data.get("left_out", 0), 0
        self.publish(topic, {**data, "left_out": left_out}, is_own=is_own)


class _Watched:
    """Limits the events of one watched topic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.left_out = 0
        self._bucket = Bucket(_RATE, _RATE, clock)

    def admits(self) -> bool:
        """Return whether an event may be shown now."""
        if self._bucket.take():
            return True
        self.left_out += 1
        return False
