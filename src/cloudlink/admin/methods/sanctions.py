"""Bans, mutes, rules of rooms, word filters, modes, announcements and the audit: what `Sanctions` does, as methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink.admin import merging
from cloudlink.admin.actors import AdminError
from cloudlink.admin.core import Method
from cloudlink.admin.futures import and_then, at_once, done, then
from cloudlink.admin.host import Away
from cloudlink.admin.methods.everywhere import gathered, told
from cloudlink.admin.requests import (
    Param,
    choice,
    flag,
    integer,
    nullable,
    number,
    objects,
    optional,
    target,
    text,
    texts,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

    from cloudlink.admin.base import Outcome
    from cloudlink.admin.core import Call, Result
    from cloudlink.admin.peers import Replies
    from cloudlink.slices import Slices

_PAGE = 200
_LONGEST_NAME = 1000
_LONGEST_REASON = 200
_LONGEST_TEXT = 1000
_LONGEST_BAN = 100 * 365 * 86_400
_LONGEST_MUTE = 604_800
_LONGEST_RULE = 365 * 86_400
_LONGEST_SLOW = 21_600
_LONGEST_DRAIN = 86_400
_MOST_ENTRIES, _LONGEST_ENTRY = 5000, 256
_MOST_IMPORTED = 1000
_MOST_ROOMS = 1000
_LONGEST_PLACES = 20_000
"""Most characters of an `after` that says where the pages of all nodes begin."""
_LATEST = 1 << 40
"""The latest Unix time that makes sense, in about 30,000 years."""


def _preview_ban(call: Call) -> Result:
    return _knowing_client(call, _previewing_ban(call))


def _previewing_ban(call: Call) -> Slices[Result]:
    yield from ()
    target = call.core.sanctions.target_of(call.actor, call.params["target"])
    return gathered(call, "bans.preview", {"target": target}, merging.preview)


def _add_ban(call: Call) -> Result:
    return _knowing_client(call, call.core.sanctions.adding_ban(call.actor, **call.params))


def _knowing_client(call: Call, act: Slices[Any]) -> Result:
    """Do something to a target; if that is a client of another process, find out its address first."""
    core, client_id = call.core, call.params["target"].get("client")
    if client_id is None or not core.peers.exist or core.server.player(client_id) is not None:
        return call.in_slices(act)

    def go_on(replies: Replies) -> Any:
        found = [one for result in replies.results.values() for one in result["exact"]]
        # If no process has the client, this refuses the request and records that.
        return call.in_slices(core.sanctions.knowing(Away.of(found[0]), act) if found else act)

    return then(core.peers.ask("clients.find", {"ids": [client_id]}), at_once, go_on)


def _list_bans(call: Call) -> Result:
    found = call.core.sanctions.look_for_bans(call.actor, **call.params)
    return call.in_slices(found)


def _remove_bans(call: Call) -> Result:
    params = call.params
    if ("id" in params) == ("by" in params) or ("by" in params) != ("since" in params):
        raise AdminError(
            "invalid", "Say which ban by its `id`, or which bans by `by` and `since` together.", {"key": "id"}
        )
    return call.in_slices(call.core.sanctions.removing_bans(call.actor, **params))


def _export_bans(call: Call) -> Result:
    return call.in_slices(call.core.sanctions.exporting_bans(call.actor, **call.params))


def _import_bans(call: Call) -> Result:
    importing = call.core.sanctions.importing_bans(
        call.actor, call.params["items"], dry_run=call.params.get("dry_run", False)
    )
    return call.in_slices(importing)


def _add_mute(call: Call) -> Result:
    return call.in_slices(call.core.sanctions.adding_mute(call.actor, **call.params))


def _list_mutes(call: Call) -> Result:
    return call.in_slices(_listing_mutes(call))


def _listing_mutes(call: Call) -> Slices[Result]:
    result = yield from call.core.sanctions.listing_mutes(call.actor, **call.params)
    away = [one["value"] for one in result["items"] if one["kind"] == "client" and "name" not in one]
    if not away or not call.core.peers.exist:
        return result

    def name(replies: Replies) -> dict[str, Any]:
        names = {one["id"]: one["name"] for found in replies.results.values() for one in found["exact"]}
        for one in result["items"]:
            if one["kind"] == "client" and one["value"] in names:
                one["name"] = names[one["value"]]
        return told(call, result, replies)

    return then(call.core.peers.ask("clients.find", {"ids": away}), at_once, name)


def _remove_mute(call: Call) -> Outcome:
    return call.core.sanctions.remove_mute(call.actor, call.params["id"])


def _set_room(call: Call) -> Outcome:
    return call.core.sanctions.set_room(call.actor, **call.params)


def _add_filter(call: Call) -> Result:
    return call.in_slices(call.core.sanctions.adding_filter(call.actor, **call.params))


def _list_filters(call: Call) -> dict[str, Any]:
    return call.core.sanctions.list_filters(call.actor)


def _remove_filter(call: Call) -> Outcome:
    return call.core.sanctions.remove_filter(call.actor, call.params["id"])


def _test_filters(call: Call) -> dict[str, Any]:
    return call.core.sanctions.test_filters(call.actor, call.params["text"])


def _broadcast(call: Call) -> Result:
    params = call.params
    broadcasting = call.core.sanctions.broadcasting(
        call.actor, params["text"], rooms=params.get("rooms"), kind=params.get("as", "motd")
    )
    return call.in_slices(broadcasting)


def _set_mode(call: Call) -> Outcome:
    return call.core.sanctions.set_mode(call.actor, **call.params)


def _drain(call: Call) -> Outcome:
    return call.core.sanctions.drain(call.actor, **call.params)


def _list_audit(call: Call) -> Future[dict[str, Any]]:
    """Return a page of the audit, merged from the audits of all nodes."""
    core, limit = call.core, call.params.get("limit", _PAGE)
    try:
        places = merging.places_of_audit(call.params.get("after"))
    except ValueError:
        raise AdminError(
            "invalid", "`after` must be the `next` of the page before.", {"key": "after"}
        ) from None
    name = core.audit.whose(call.actor)
    own = (
        core.audit.page(name, after=None if places is None else places[""], limit=limit)
        if places is None or "" in places
        else done({"items": [], "next": None})
    )
    if not core.peers.exist or (places is not None and places.keys() == {""}):
        return own
    elsewhere = None if places is None else [node for node in places if node]
    asked = core.peers.ask("audit.list", {"name": name, "places": places, "limit": limit}, to=elsewhere)

    def merge(here: dict[str, Any]) -> Future[dict[str, Any]]:
        return then(asked, at_once, lambda replies: merged(here, replies))

    def merged(here: dict[str, Any], replies: Replies) -> dict[str, Any]:
        result = merging.audit({"": here, **replies.results}, limit)
        missing = sorted({*replies.missing, *replies.errors})
        return {**result, "missing": missing} if missing else result

    return and_then(own, core.server.call_soon, merge)


_REASON = text(_LONGEST_REASON)
_AFTER = optional(integer(0))
_LIMIT = optional(integer(1, _PAGE))
_ID = integer(0)
_PLACES = Param(
    "the `next` of the page before",
    lambda value: integer(0).check(value) or (isinstance(value, str) and len(value) <= _LONGEST_PLACES),
)

METHODS = {
    "bans.preview": Method(_preview_ban, {"target": target()}, "moderator"),
    "bans.add": Method(
        _add_ban,
        {
            "target": target(),
            "seconds": nullable(number(1, _LONGEST_BAN)),
            "reason": _REASON,
            "force": optional(flag()),
        },
        "moderator",
        changes=True,
    ),
    "bans.list": Method(
        _list_bans, {"search": optional(text(_LONGEST_NAME)), "after": _AFTER, "limit": _LIMIT}, "moderator"
    ),
    "bans.remove": Method(
        _remove_bans,
        {
            "id": optional(_ID),
            "by": optional(text(_LONGEST_NAME, 1)),
            "since": optional(number(0, _LATEST)),
        },
        "moderator",
        changes=True,
    ),
    "bans.export": Method(_export_bans, {"after": _AFTER}, "owner"),
    "bans.import": Method(
        _import_bans, {"items": objects(_MOST_IMPORTED), "dry_run": optional(flag())}, "owner", changes=True
    ),
    "mutes.add": Method(
        _add_mute,
        {
            "target": target(),
            "seconds": number(1, _LONGEST_MUTE),
            "reason": _REASON,
            "hidden": optional(flag()),
        },
        "moderator",
        changes=True,
    ),
    "mutes.list": Method(_list_mutes, {"after": _AFTER, "limit": _LIMIT}, "moderator"),
    "mutes.remove": Method(_remove_mute, {"id": _ID}, "moderator", changes=True),
    "rooms.set": Method(
        _set_room,
        {
            "name": text(_LONGEST_NAME, 1),
            "locked": optional(flag()),
            "frozen": optional(flag()),
            "slow": optional(number(0, _LONGEST_SLOW)),
            "seconds": optional(number(1, _LONGEST_RULE)),
        },
        "moderator",
        changes=True,
    ),
    "filters.list": Method(_list_filters, {}, "moderator"),
    "filters.test": Method(_test_filters, {"text": text(4 * _LONGEST_TEXT)}, "moderator"),
    "filters.add": Method(
        _add_filter,
        {
            "kind": choice("words", "regex"),
            "entries": texts(_MOST_ENTRIES, _LONGEST_ENTRY),
            "action": choice("block", "mask", "mute", "kick", "notice"),
            "scope": optional(texts(4, 20)),
            "seconds": optional(number(1, _LONGEST_MUTE)),
        },
        "owner",
        changes=True,
    ),
    "filters.remove": Method(_remove_filter, {"id": _ID}, "owner", changes=True),
    "broadcast": Method(
        _broadcast,
        {
            "text": text(_LONGEST_TEXT, 1),
            "rooms": optional(texts(_MOST_ROOMS, _LONGEST_NAME)),
            "as": optional(choice("motd", "gmsg")),
        },
        "moderator",
        changes=True,
    ),
    "server.mode": Method(
        _set_mode,
        {"mode": choice("open", "guarded", "closed"), "message": optional(text(_LONGEST_TEXT))},
        "moderator",
        changes=True,
    ),
    "server.drain": Method(
        _drain,
        {
            "seconds": number(0, _LONGEST_DRAIN),
            "message": optional(text(_LONGEST_TEXT)),
            "stop": optional(flag()),
        },
        "owner",
        changes=True,
    ),
    "audit.list": Method(_list_audit, {"after": optional(_PLACES), "limit": _LIMIT}, "moderator"),
}
"""The methods, by name."""
