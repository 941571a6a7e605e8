"""The connected clients."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from cloudlink.admin.actors import AdminError
from cloudlink.admin.core import Method
from cloudlink.admin.grants import LONGEST_MINUTES
from cloudlink.admin.requests import choice, flag, integer, number, optional, text, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.admin.base import Outcome
    from cloudlink.admin.core import Call
    from cloudlink.admin.host import Player

_PAGE = 200
_LONGEST_SEARCH = 200
_LONGEST_ROOM = 1000
_LONGEST_ID = 32
_LARGEST_ID = 1 << 63
_LONGEST_NAME = 1000
_LONGEST_REASON = 200
_MOST_KICKED = 1000

_SORTS: dict[str, Callable[[Player], Any]] = {
    "since": lambda player: int(player.snowflake),
    "name": lambda player: (not player.username, player.username.casefold(), int(player.snowflake)),
}
"""The orders of a list; a hyphen before the word reverses it."""


def _list(call: Call) -> dict[str, Any]:
    params, host = call.params, call.core.server
    sort, limit = params.get("sort", "since"), params.get("limit", _PAGE)
    room, protocol, search = params.get("room"), params.get("protocol"), params.get("search")
    players: Iterable[Player] = host.players(room=room, protocol=protocol)
    if search:
        players = _matching(players, search)
    elif room is None and protocol is None:
        total = host.count_players()
    if search or room is not None or protocol is not None:
        players = list(players)
        total = len(players)
    page, following = _page(players, sort, params.get("after"), limit)
    return {"items": [_shown(call, player) for player in page], "total": total, "next": following}


def _matching(players: Iterable[Player], search: str) -> list[Player]:
    """Return the players whose name contains a text in any case, and the one whose id it is."""
    wanted = search.casefold()
    return [
        player for player in players if wanted in player.username.casefold() or player.snowflake == search
    ]


def _page(
    players: Iterable[Player], sort: str, after: str | None, limit: int
) -> tuple[list[Player], str | None]:
    """Return one page of players, and what to give as `after` for the next one, None on the last page."""
    key = _SORTS[sort.removeprefix("-")]
    if sort == "since":  # they come in this order, so nothing has to be sorted, and none is seen twice
        last = _number(after)
        page = []
        for player in players:
            if last is None or int(player.snowflake) > last:
                page.append(player)
                if len(page) > limit:
                    break
        return page[:limit], page[limit - 1].snowflake if len(page) > limit else None
    skipped = _number(after) or 0
    choose = heapq.nlargest if sort.startswith("-") else heapq.nsmallest
    chosen = choose(skipped + limit + 1, players, key)
    return chosen[skipped : skipped + limit], str(skipped + limit) if len(chosen) > skipped + limit else None


def _number(after: str | None) -> int | None:
    if after is None:
        return None
    if not (after.isascii() and after.isdecimal()) or int(after) > _LARGEST_ID:
        raise AdminError("invalid", "`after` must be the `next` of the page before.", {"key": "after"})
    return int(after)


def _get(call: Call) -> dict[str, Any]:
    return _shown(call, require_player(call, call.params["id"]), in_full=True)


def _kick(call: Call) -> Outcome:
    return call.core.sanctions.kick(call.actor, **call.params)


def _grant(call: Call) -> dict[str, Any]:
    params = call.params
    player = require_player(call, params["id"])
    until = call.core.grants.give(player.snowflake, params["minutes"])
    call.core.audit.record(
        call.actor,
        "clients.grant",
        target=f"client:{player.snowflake}",
        params={"minutes": params["minutes"]},
    )
    return {"id": player.snowflake, "until": until}


def _revoke(call: Call) -> dict[str, Any]:
    client_id = call.params["id"]
    if not call.core.grants.revoke(client_id):
        raise AdminError("not_found", "This client may not moderate, or is not connected any more.")
    call.core.audit.record(call.actor, "clients.revoke", target=f"client:{client_id}")
    return {}


def require_player(call: Call, client_id: str) -> Player:
    """Return the client of an id. Raises `AdminError`: `not_found`."""
    player = call.core.server.player(client_id)
    if player is None:
        raise AdminError("not_found", "This client is not connected any more.")
    return player


def _shown(call: Call, player: Player, *, in_full: bool = False) -> dict[str, Any]:
    """Return what the caller may know about a client."""
    core = call.core
    shown = core.server.describe(player, in_full=in_full)
    shown["muted"] = core.sanctions.is_muted(player)
    shown["role"] = "moderator" if core.grants.holds(player.snowflake) else ""
    shown["net"] = core.sanctions.tag(player.address)
    if call.actor.is_owner:
        shown["address"] = core.sanctions.shown_address(call.actor, player.address)
    return shown


METHODS = {
    "clients.list": Method(
        _list,
        {
            "search": optional(text(_LONGEST_SEARCH)),
            "room": optional(text(_LONGEST_ROOM)),
            "protocol": optional(choice("cl4", "scratch", "other", "unidentified")),
            "sort": optional(choice(*_SORTS, *(f"-{name}" for name in _SORTS))),
            "after": optional(text(_LONGEST_ID)),
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
