"""The topics of the admin socket: what happens, as it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink.admin.actors import RANKS, AdminError
from cloudlink.admin.core import Method
from cloudlink.admin.requests import texts
from cloudlink.admin.topics import AUDIT, LOG, MOST_WATCHED, NOTICES, STATS, WATCH_CLIENT, WATCH_ROOM

if TYPE_CHECKING:
    from cloudlink.admin.actors import Role
    from cloudlink.admin.core import Call

_LONGEST_TOPIC = 1100
"""The most characters of a topic; a room's name has at most 1000."""
_NEEDED: dict[str, Role] = {STATS: "viewer", NOTICES: "viewer", AUDIT: "moderator", LOG: "owner"}
_TOPICS = "stats, notices, audit, log, watch:client:ID or watch:room:NAME"


def _subscribe(call: Call) -> dict[str, Any]:
    wanted: list[str] = call.params["topics"]
    for topic in wanted:
        _check(call, topic)
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
        topics.subscribe(call.caller, topic)
    return {"topics": topics.of(call.caller)}


def _unsubscribe(call: Call) -> dict[str, Any]:
    topics = call.core.topics
    for topic in call.params["topics"]:
        topics.unsubscribe(call.caller, topic)
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
    if topic.startswith(WATCH_CLIENT) and call.core.server.player(topic.removeprefix(WATCH_CLIENT)) is None:
        raise AdminError("not_found", "This client is not connected any more.")


_TOPIC_LIST = {"topics": texts(MOST_WATCHED + len(_NEEDED), _LONGEST_TOPIC)}

METHODS = {
    "subscribe": Method(_subscribe, _TOPIC_LIST),
    "unsubscribe": Method(_unsubscribe, _TOPIC_LIST),
}
"""The methods, by name."""
