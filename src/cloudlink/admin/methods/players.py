"""The connected clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink.admin import merging
from cloudlink.admin.actors import AdminError
from cloudlink.admin.core import Method
from cloudlink.admin.grants import LONGEST_MINUTES
from cloudlink.admin.methods.everywhere import gathered
from cloudlink.admin.questions import get_client
from cloudlink.admin.requests import choice, flag, integer, number, optional, text, texts

if TYPE_CHECKING:
    from cloudlink.admin.core import Call, Result

_PAGE = 200
_LONGEST_SEARCH = 200
_LONGEST_ROOM = 1000
_LONGEST_ID = 32
_LONGEST_CURSOR = 200
_LONGEST_NAME = 1000
_LONGEST_REASON = 200
_MOST_KICKED = 1000

_SORTS = ("since", "name", "-since", "-name")
"""The orders of a list; a hyphen before the word reverses it."""


def _list(call: Call) -> Result:
    params = call.params
    sort, limit = params.get("sort", "since"), params.get("limit", _PAGE)
    wanted = {key: params.get(key) for key in ("search", "room", "protocol", "after")}
    return gathered(
        call,
        "clients.list",
        {**wanted, "sort": sort, "limit": limit, "is_owner": call.actor.is_owner},
        lambda results: merging.clients(results, sort, limit),
    )


def _get(call: Call) -> Result:
    params = {"id": call.params["id"], "is_owner": call.actor.is_owner}
    if call.core.server.player(params["id"]) is not None:
        shown: dict[str, Any] = get_client(call.core, params)["client"]
        return shown
    return gathered(call, "clients.get", params, lambda results: _required(results, "client")["client"])


def _required(results: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """Return the result of the process that has the client. Raises `AdminError`: `not_found`."""
    found = merging.first(results, lambda result: result[key])
    if found is None:
        raise AdminError("not_found", "This client is not connected any more.")
    return found


def _kick(call: Call) -> Result:
    return call.core.sanctions.kick(call.actor, **call.params)


def _grant(call: Call) -> Result:
    client_id, minutes = call.params["id"], call.params["minutes"]

    def record(results: list[dict[str, Any]]) -> dict[str, Any]:
        until = _required(results, "until")["until"]
        call.core.audit.record(
            call.actor, "clients.grant", target=f"client:{client_id}", params={"minutes": minutes}
        )
        return {"id": client_id, "until": until}

    return gathered(call, "clients.grant", {"id": client_id, "minutes": minutes}, record)


def _revoke(call: Call) -> Result:
    client_id = call.params["id"]

    def record(results: list[dict[str, Any]]) -> dict[str, Any]:
        if merging.first(results, lambda result: result["is_revoked"]) is None:
            raise AdminError("not_found", "This client may not moderate, or is not connected any more.")
        call.core.audit.record(call.actor, "clients.revoke", target=f"client:{client_id}")
        return {}

    return gathered(call, "clients.revoke", {"id": client_id}, record)


METHODS = {
    "clients.list": Method(
        _list,
        {
            "search": optional(text(_LONGEST_SEARCH)),
            "room": optional(text(_LONGEST_ROOM)),
            "protocol": optional(choice("cl4", "scratch", "other", "unidentified")),
            "sort": optional(choice(*_SORTS)),
            "after": optional(text(_LONGEST_CURSOR)),
            "limit": optional(integer(1, _PAGE)),
        },
    ),
    "clients.get": Method(_get, {"id": text(_LONGEST_ID, 1)}),
    "clients.kick": Method(
        _kick,
        {
            "id": optional(text(_LONGEST_ID, 1)),
            "ids": optional(texts(_MOST_KICKED, _LONGEST_ID)),
            "name": optional(text(_LONGEST_NAME, 1)),
            "all": optional(flag()),
            "reason": optional(text(_LONGEST_REASON)),
        },
        "moderator",
        changes=True,
    ),
    "clients.grant": Method(
        _grant, {"id": text(_LONGEST_ID, 1), "minutes": number(1, LONGEST_MINUTES)}, "owner", changes=True
    ),
    "clients.revoke": Method(_revoke, {"id": text(_LONGEST_ID, 1)}, "owner", changes=True),
}
"""The methods, by name."""
