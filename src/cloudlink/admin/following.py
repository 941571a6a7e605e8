"""Brings what happens in one process to those who have subscribed to it in another: lines of the log, and watched traffic.

The process with the admin sockets says once a second which topics it follows, and at once when somebody subscribes. A
process that has not heard that for a while stops sending, because the other one may be gone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cloudlink.admin.topics import LOG

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.admin.peers import Peers
    from cloudlink.admin.topics import Topics

_FORGOTTEN_AFTER = 5.0
"""Seconds after which a process that says nothing follows nothing."""


class Following:
    """The side of the process with the admin sockets."""

    def __init__(self, topics: Topics, peers: Peers) -> None:
        self._topics = topics
        self._peers = peers
        self._followed: list[str] = []

    def tell(self) -> None:
        """Tell the other processes which topics are followed; to be called once a second, and after a subscription."""
        former, self._followed = self._followed, self._topics.followed()
        if self._followed or former:
            self._peers.tell("follow", {"topics": self._followed})

    def take(self, topic: str, data: dict[str, Any], process: str) -> None:
        """Take an event of another process."""
        if topic == LOG:
            self._topics.line({**data, "node": process}, is_own=False)
        elif self._topics.has(topic):
            self._topics.show(topic, data)


class Followers:
    """The side of the other processes: each one that follows something is a subscriber here."""

    def __init__(self, topics: Topics, peers: Peers, clock: Callable[[], float] = time.monotonic) -> None:
        """Set up without followers.

        Args:
            topics: The topics of this process.
            peers: The other processes.
            clock: Returns the time in seconds.
        """
        self._topics = topics
        self._peers = peers
        self._clock = clock
        self._followers: dict[str, _Follower] = {}

    def follow(self, process: str, wanted: list[str]) -> None:
        """Send a process the events of these topics from now on, and of no others."""
        follower = self._followers.get(process)
        if follower is None:
            if not wanted:
                return
            follower = self._followers[process] = _Follower(self._peers, process)
        follower.heard_at = self._clock()
        for topic in self._topics.of(follower):
            if topic not in wanted:
                self._topics.unsubscribe(follower, topic)
        for topic in wanted:
            self._topics.subscribe(follower, topic, with_kept=False)
        if not wanted:
            del self._followers[process]

    def tick(self) -> None:
        """Forget those that have said nothing for a while; to be called once a second."""
        latest = self._clock() - _FORGOTTEN_AFTER
        for process in [name for name, one in self._followers.items() if one.heard_at < latest]:
            self.follow(process, [])


class _Follower:
    """Another process, as a subscriber."""

    is_process = True

    def __init__(self, peers: Peers, process: str) -> None:
        self.heard_at = 0.0
        self._peers = peers
        self._process = process

    def send_event(self, name: str, data: dict[str, Any], *, replaces: bool = False) -> None:  # noqa: ARG002  # as sockets have it
        """Send an event to the process."""
        self._peers.tell("event", {"topic": name, "data": data}, to=self._process)
