"""What a process of a server answers when another one asks it; see `cloudlink.admin.peers`.

Only processes of the same server can ask, and what an administrator may do was checked before. A question is answered for the
clients of this process alone; `cloudlink.admin.merging` puts the answers together.
"""

from __future__ import annotations

import heapq
from itertools import islice
from typing import TYPE_CHECKING, Any

from cloudlink import forwarded
from cloudlink.admin import merging
from cloudlink.admin.actors import AdminError
from cloudlink.admin.store import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.admin.host import Player
    from cloudlink.admin.process import Process

    Params = dict[str, Any]
    Result = dict[str, Any]


# Clients.


def list_clients(process: Process, params: Params) -> Result:
    """Return a page of clients: `items total next`.

    Args:
        process: This process.
        params: `search room protocol sort limit`, and `after`, the `next` of the page before, each None for none; and
            `is_owner`, whether to show addresses.
    """
    host, sort, limit = process.server, params["sort"], params["limit"]
    room, protocol, search = params["room"], params["protocol"], params["search"]
    players: Iterable[Player] = host.players(room=room, protocol=protocol)
    total = host.count_players()
    if search:
        players = _matching(players, search)
    if search or room is not None or protocol is not None:
        players = list(players)
        total = len(players)
    page, is_last = _page(players, sort, params["after"], limit)
    last = page[-1] if page and not is_last else None
    return {
        "items": [_shown(process, player, is_owner=params["is_owner"]) for player in page],
        "total": total,
        "next": None if last is None else merging.cursor_of(sort, last.snowflake, last.username or ""),
    }


def _matching(players: Iterable[Player], search: str) -> list[Player]:
    """Return the players whose name contains a text in any case, and the one whose id it is."""
    wanted = search.casefold()
    return [
        player for player in players if wanted in player.username.casefold() or player.snowflake == search
    ]


def _page(players: Iterable[Player], sort: str, after: str | None, limit: int) -> tuple[list[Player], bool]:
    """Return one page of players, and whether it is the last one."""
    last = None if after is None else merging.place_of_cursor(sort, after)
    if after is not None and last is None:
        raise AdminError("invalid", "`after` must be the `next` of the page before.", {"key": "after"})
    if sort == "since":  # they come in this order, so nothing has to be sorted
        later = (player for player in players if last is None or (int(player.snowflake),) > last)
        page = list(islice(later, limit + 1))
        return page[:limit], len(page) <= limit

    def place(player: Player) -> Any:
        return merging.place_of(sort, player.snowflake, player.username or "")

    if sort.startswith("-"):
        page = heapq.nlargest(limit + 1, (one for one in players if last is None or place(one) < last), place)
    else:
        page = heapq.nsmallest(
            limit + 1, (one for one in players if last is None or place(one) > last), place
        )
    return page[:limit], len(page) <= limit


def get_client(process: Process, params: Params) -> Result:
    """Return `client`: what is known about the client with the id `id`, None if it is not here."""
    player = process.server.player(params["id"])
    shown = None if player is None else _shown(process, player, is_owner=params["is_owner"], in_full=True)
    return {"client": shown}


def _shown(process: Process, player: Player, *, is_owner: bool, in_full: bool = False) -> Result:
    """Return what the caller may know about a client."""
    shown = process.server.describe(player, in_full=in_full)
    shown["muted"] = process.sanctions.is_muted(player)
    shown["role"] = "moderator" if process.grants.holds(player.snowflake) else ""
    shown["net"] = process.sanctions.tag(player.address)
    if is_owner:
        shown["address"] = process.sanctions.owners_view(player.address)
    return shown


def find_clients(process: Process, params: Params) -> Result:
    """Return the clients that are meant by `ids` or `name`: `exact similar`.

    Each is `id name address header is_moderator`; `header` is that of a proxy in front of it, if there is one.
    """
    found = process.sanctions.find(ids=params.get("ids"), name=params.get("name"))
    return {word: [_described(process, player) for player in players] for word, players in found.items()}


def _described(process: Process, player: Player) -> Result:
    return {
        "id": player.snowflake,
        "name": player.username,
        "address": player.address,
        "header": forwarded.client_header(player.request_headers),
        "is_moderator": process.grants.holds(player.snowflake),
    }


def _kick(process: Process, params: Params) -> Result:
    return {"kicked": process.sanctions.kick_here(params["ids"], params["reason"])}


def grant(process: Process, params: Params) -> Result:
    """Let the client `id` moderate for some `minutes`: `until`, None if it is not here."""
    is_here = process.server.player(params["id"]) is not None
    return {"until": process.grants.give(params["id"], params["minutes"]) if is_here else None}


def revoke(process: Process, params: Params) -> Result:
    """End the grant of the client `id`: `is_revoked`."""
    return {"is_revoked": process.grants.revoke(params["id"])}


# Rooms and cloud variables.


def count_rooms(process: Process, params: Params) -> Result:
    """Return `clients`: the number of clients of each room whose name contains `search`, in lower case."""
    found = process.server.rooms()
    search = params["search"]
    return {"clients": {name: count for name, count in found.items() if search in name.casefold()}}


def count_room(process: Process, params: Params) -> Result:
    """Return `rooms clients`: whether there is a room `name`, and the number of its clients; and `everybody`."""
    rooms = process.server.rooms()
    return {
        "rooms": int(params["name"] in rooms),
        "clients": rooms.get(params["name"], 0),
        "everybody": process.server.count_players(),
    }


def list_projects(process: Process, params: Params) -> Result:
    """Return `items`: the cloud projects in memory whose id contains `search`."""
    found = process.server.projects()
    return {"items": [one for one in found if params["search"] in one["project"].casefold()]}


def find_project(process: Process, params: Params) -> Result:
    """Return whether the cloud project `project` is in memory: `is_open`."""
    return {"is_open": process.server.is_open(params["project"])}


def get_project(process: Process, params: Params) -> Result:
    """Return `variables`: pairs of a name and the JSON text of its value."""
    found = process.server.variables(params["project"])
    return {"variables": [[name, value.decode("utf-8", "surrogatepass")] for name, value in found.items()]}


def set_variable(process: Process, params: Params) -> Result:
    """Set a cloud variable: `project name value`."""
    process.server.set_variable(params["project"], params["name"], params["value"])
    return {}


def delete_variable(process: Process, params: Params) -> Result:
    """Delete a cloud variable: `project name`."""
    process.server.delete_variable(params["project"], params["name"])
    return {}


# Sanctions.


def _take_over(process: Process, params: Params) -> Result:
    changes, stamped = [Change(*change) for change in params["changes"]], params.get("stamped")
    if stamped is None:
        return {"hit": process.sanctions.take_over(changes)}
    from cloudlink.admin.replica import unpacked  # noqa: PLC0415  # only nodes of a cluster load it

    is_to_save = params.get("is_to_save", False)
    return {"hit": process.sanctions.take_over(changes, unpacked(stamped), is_to_save=is_to_save)}


def preview_ban(process: Process, params: Params) -> Result:
    """Return whom a ban of `target` would hit: `clients names`."""
    return process.sanctions.preview(params["target"])


def _note_flood(process: Process, params: Params) -> Result:
    process.sanctions.flooded_elsewhere(params["subscriber"], is_enough=params["is_enough"])
    return {}


def _announce(process: Process, params: Params) -> Result:
    return {"sent": process.sanctions.announce_here(params["text"], params["rooms"], params["kind"])}


def _take_notice(process: Process, params: Params) -> Result:
    process.sanctions.take_notice(params)
    return {}


# The server.


def get_statistics(process: Process, params: Params) -> Result:  # noqa: ARG001  # as all questions
    """Return the state of this process now; see `Statistics.now`."""
    # The rates are those of the last second; who has come meanwhile counts.
    return {**process.statistics.now(), "clients": process.server.count_players()}


def get_history(process: Process, params: Params) -> Result:
    """Return `items`: the state of this process in the last `minutes`."""
    return {"items": process.statistics.history(params["minutes"])}


def get_lines(process: Process, params: Params) -> Result:  # noqa: ARG001
    """Return `items`: the last lines of the log."""
    return {"items": process.topics.lines}


def set_command(process: Process, params: Params) -> Result:
    """Disable or enable the command `name`: `disabled`."""
    process.server.set_command(params["name"], disabled=params["disabled"])
    return {}


def get_state(process: Process, params: Params) -> Result:  # noqa: ARG001
    """Return what a process that has just been started does not find in the file: `mode commands records`."""
    return {
        "mode": process.sanctions.shared_mode,
        "commands": process.server.switched_commands(),
        "records": process.sanctions.unsaved(),
    }


QUESTIONS: dict[str, Callable[[Process, Params], Result]] = {
    "clients.list": list_clients,
    "clients.get": get_client,
    "clients.find": find_clients,
    "clients.kick": _kick,
    "clients.grant": grant,
    "clients.revoke": revoke,
    "rooms.list": count_rooms,
    "rooms.get": count_room,
    "cloud.projects": list_projects,
    "cloud.find": find_project,
    "cloud.get": get_project,
    "cloud.set": set_variable,
    "cloud.delete": delete_variable,
    "changes": _take_over,
    "bans.preview": preview_ban,
    "flood": _note_flood,
    "announce": _announce,
    "notice": _take_notice,
    "stats": get_statistics,
    "history": get_history,
    "lines": get_lines,
    "command": set_command,
    "state": get_state,
}
"""The questions that need nothing but the process; `cloudlink.server.administration` adds some."""
