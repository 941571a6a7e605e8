"""The topics of the admin socket: what happens, as it happens."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from cloudlink.admin import merging
from cloudlink.admin.actors import RANKS, AdminError
from cloudlink.admin.core import Method
from cloudlink.admin.futures import and_then, at_once, done, then
from cloudlink.admin.methods.everywhere import told
from cloudlink.admin.requests import texts
from cloudlink.admin.topics import (
    AUDIT,
    KEPT_LINES,
    LOG,
    MOST_WATCHED,
    NOTICES,
    STATS,
    WATCH_CLIENT,
    WATCH_ROOM,
)

if TYPE_CHECKING:
    from cloudlink.admin.actors import Role
    from cloudlink.admin.core import Call, Result
    from cloudlink.admin.peers import Replies

_LONGEST_TOPIC = 1100
"""The most characters of a topic; a room's name has at most 1000."""
_NEEDED: dict[str, Role] = {STATS: "viewer", NOTICES: "viewer", AUDIT: "moderator", LOG: "owner"}
_TOPICS = "stats, notices, audit, log, watch:client:ID or watch:room:NAME"


def _subscribe(call: Call) -> Result:
    wanted: list[str] = call.params["topics"]
    for topic in wanted:
        _check(call, topic)
    away = [
        topic.removeprefix(WATCH_CLIENT)
        for topic in wanted
        if topic.startswith(WATCH_CLIENT)
        and call.core.server.player(topic.removeprefix(WATCH_CLIENT)) is None
    ]
    if away and not call.core.peers.exist:
        raise _not_connected()
    if not away:
        return _begin(call, wanted)

    def begin(replies: Replies) -> Future[dict[str, Any]]:
        found = {one["id"] for result in replies.results.values() for one in result["exact"]}
        if not found >= set(away):
            raise _not_connected()
        result = _begin(call, wanted)
        return result if isinstance(result, Future) else done(result)

    return and_then(call.core.peers.ask("clients.find", {"ids": away}), at_once, begin)


def _not_connected() -> AdminError:
    return AdminError("not_found", "This client is not connected any more.")


def _begin(call: Call, wanted: list[str]) -> dict[str, Any] | Future[dict[str, Any]]:
    topics = call.core.topics
    watched = {topic for topic in (*topics.of(call.caller), *wanted) if topic.startswith("watch:")}
    if len(watched) > MOST_WATCHED:
        raise AdminError(
            "too_many",
            f"One connection can watch {MOST_WATCHED} clients and rooms; unsubscribe from one first.",
        )
    for topic in wanted:
        if topic.startswith("watch:"):
            call.core.audit.record(call.actor, "subscribe", target=topic.removeprefix("watch:"))
        if topic != LOG or not call.core.peers.exist:
            topics.subscribe(call.caller, topic)
    if LOG not in wanted or not call.core.peers.exist or LOG in topics.of(call.caller):
        call.core.follow()
        return {"topics": topics.of(call.caller)}
    return _begin_log(call)


def _begin_log(call: Call) -> Future[dict[str, Any]]:
    """Subscribe to the log, and send the last lines of all processes first, in their order."""
    topics = call.core.topics
    collector = _Collector()  # so that the others send what they log meanwhile
    topics.subscribe(collector, LOG, with_kept=False)
    call.core.follow()

    def send(replies: Replies) -> dict[str, Any]:
        elsewhere = [
            [{**line, "node": name} for line in result["items"]] for name, result in replies.results.items()
        ]
        topics.unsubscribe(collector, LOG)
        if call.caller.is_open:
            topics.subscribe(call.caller, LOG, with_kept=False)
            for line in merging.lines([topics.lines, *elsewhere], KEPT_LINES):
                call.caller.send_event(LOG, line)
        return told(call, {"topics": topics.of(call.caller)}, replies)

    return then(call.core.peers.ask("lines"), at_once, send)


class _Collector:
    """A subscriber that only keeps a topic alive."""

    is_process = False

    def send_event(self, name: str, data: dict[str, Any], *, replaces: bool = False) -> None:
        """Do nothing: the topic itself keeps what is sent."""


def _unsubscribe(call: Call) -> dict[str, Any]:
    topics = call.core.topics
    for topic in call.params["topics"]:
        topics.unsubscribe(call.caller, topic)
    call.core.follow()
    return {"topics": topics.of(call.caller)}


def _check(call: Call, topic: str) -> None:
    needed = "moderator" if topic.startswith((WATCH_CLIENT, WATCH_ROOM)) else _NEEDED.get(topic)
    if needed is None:
        raise AdminError("invalid", f"`topics` must be a list of {_TOPICS}.", {"key": "topics"})
    if RANKS[call.actor.role] < RANKS[needed]:
        call.core.audit.record_often(call.actor, "subscribe", target=topic, outcome="forbidden")
        raise AdminError("forbidden", f"Only {needed}s may subscribe to this topic.")
    if topic == LOG and not call.core.may_read_log():
        raise AdminError(
            "unavailable",
            "The log shows more of addresses (log_addresses) than you may see (admin_addresses): set both to the same.",
        )
    if not topic.startswith("watch:"):
        return
    if not call.core.may_watch():
        raise AdminError("unavailable", "Nobody may watch traffic here: the setting admin_watch is off.")


_TOPIC_LIST = {"topics": texts(MOST_WATCHED + len(_NEEDED), _LONGEST_TOPIC)}

METHODS = {
    "subscribe": Method(_subscribe, _TOPIC_LIST),
    "unsubscribe": Method(_unsubscribe, _TOPIC_LIST),
}
"""The methods, by name."""
