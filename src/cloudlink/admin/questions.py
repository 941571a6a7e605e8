"""The questions that a process of a server answers for the others; see `cloudlink.admin.peers`.

Only processes of the same server can ask, and what an administrator may do was checked before. A question is answered for the
clients of this process alone; `cloudlink.admin.merging` puts the answers together.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import islice
from typing import TYPE_CHECKING, Any

from cloudlink import forwarded
from cloudlink.admin import merging
from cloudlink.admin.actors import AdminError
from cloudlink.admin.store import Change
from cloudlink.slices import sliced

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from cloudlink.admin.host import Player
    from cloudlink.admin.process import Process
    from cloudlink.slices import Slices

    Params = dict[str, Any]
    Result = dict[str, Any]

_SHOWN_AT_ONCE = 10
"""Clients that are described in one slice."""


# Clients.


def list_clients(process: Process, params: Params) -> Slices[Result]:
    """Return a page of clients: `items total next`.

    Args:
        process: This process.
        params: `search room protocol sort limit`, and `after`, the `next` of the page before, each None for none; and
            `is_owner`, whether to show addresses.
    """
    host, sort, limit = process.server, params["sort"], params["limit"]
    page, total = yield from _page(process, params, limit + 1)
    last = page[limit - 1] if len(page) > limit else None
    items = []
    for part in sliced(page[:limit], _SHOWN_AT_ONCE):
        here = (player for player in part if host.player(player.snowflake) is not None)
        items += [_shown(process, player, is_owner=params["is_owner"]) for player in here]
        yield
    following = None if last is None else merging.cursor_of(sort, last.snowflake, last.username or "")
    return {"items": items, "total": total, "next": following}


def _filter(process: Process, params: Params) -> Callable[[Player], bool] | None:
    """Return a function that says whether a client belongs in a list, None if all do."""
    host, room, protocol, search = process.server, params["room"], params["protocol"], params["search"]
    if not search and room is None and protocol is None:
        return None
    wanted = (search or "").casefold()

    def is_wanted(player: Player) -> bool:
        return (
            (room is None or room in player.joined)
            and (protocol is None or host.label(player) == protocol)
            and (wanted in player.username.casefold() or player.snowflake == search)
        )

    return is_wanted


def _page(process: Process, params: Params, size: int) -> Slices[tuple[list[Player], int]]:
    """Return the first `size` clients of a page, and how many all pages have; `params` are those of `list_clients`."""
    host, sort, after = process.server, params["sort"], params["after"]
    last = None if after is None else merging.place_of_cursor(sort, after)
    if after is not None and last is None:
        raise AdminError("invalid", "`after` must be the `next` of the page before.", {"key": "after"})
    is_wanted, is_reversed = _filter(process, params), sort.startswith("-")
    if is_wanted is None and sort.removeprefix("-") == "since":  # the order in which the server has them
        players = host.players(after=None if last is None else last[0], reverse=is_reversed)
        return list(islice(players, size)), host.count_players()
    total = 0
    found: list[tuple[Any, Player]] = []
    for part in sliced(host.players()):
        wanted = part if is_wanted is None else list(filter(is_wanted, part))
        total += len(wanted)
        placed = [
            (merging.place_of(sort, player.snowflake, player.username or ""), player) for player in wanted
        ]
        if last is not None:
            placed = [one for one in placed if (one[0] < last if is_reversed else one[0] > last)]
        if len(found) == size:
            worst = found[-1][0]
            placed = [one for one in placed if (one[0] > worst if is_reversed else one[0] < worst)]
        if placed:
            found += placed
            found.sort(key=_place, reverse=is_reversed)
            del found[size:]
        yield
    return [player for _, player in found], total


def _place(placed: tuple[Any, Player]) -> Any:
    return placed[0]


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


def count_rooms(process: Process, params: Params) -> Slices[Result]:
    """Return `clients`: the number of clients of each room whose name contains `search`, in lower case."""
    host, search = process.server, params["search"]
    found: dict[str, int] = {}
    for part in sliced(host.rooms()):
        names = [name for name in part if search in name.casefold()] if search else part
        found |= {name: count for name in names if (count := host.count_in(name)) is not None}
        yield
    return {"clients": found}


def count_room(process: Process, params: Params) -> Result:
    """Return `rooms clients`: whether there is a room `name`, and the number of its clients; and `everybody`."""
    count = process.server.count_in(params["name"])
    return {
        "rooms": int(count is not None),
        "clients": count or 0,
        "everybody": process.server.count_players(),
    }


def list_projects(process: Process, params: Params) -> Slices[Result]:
    """Return `items`: the cloud projects in memory whose id contains `search`, in lower case."""
    host, search = process.server, params["search"]
    items: list[Result] = []
    for part in sliced(host.projects()):
        found = [host.describe_project(name) for name in part if search in name.casefold()]
        items += [one for one in found if one is not None]
        yield
    return {"items": items}


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


def _take_over(process: Process, params: Params) -> Slices[Result]:
    changes, stamped = [Change(*change) for change in params["changes"]], params.get("stamped")
    if stamped is None:
        return {"hit": (yield from process.sanctions.taking_over(changes))}
    from cloudlink.admin.replica import unpacked  # noqa: PLC0415  # only nodes of a cluster load it

    is_to_save = params.get("is_to_save", False)
    taking_over = process.sanctions.taking_over(changes, unpacked(stamped), is_to_save=is_to_save)
    return {"hit": (yield from taking_over)}


def preview_ban(process: Process, params: Params) -> Slices[Result]:
    """Return the clients that a ban of `target` would hit: `clients names`."""
    return process.sanctions.preview(params["target"])


def _note_flood(process: Process, params: Params) -> Result:
    process.sanctions.flooded_elsewhere(params["subscriber"], is_enough=params["is_enough"])
    return {}


def _add_hits(process: Process, params: Params) -> Result:
    process.sanctions.add_hits(params["hits"], params["at"])
    return {}


def _announce(process: Process, params: Params) -> Slices[Result]:
    announcing = process.sanctions.announcing(params["text"], params["rooms"], params["kind"])
    return {"sent": (yield from announcing)}


def _take_notice(process: Process, params: Params) -> Result:
    process.sanctions.take_notice(params)
    return {}


# The server.


def get_statistics(process: Process, params: Params) -> Slices[Result]:  # noqa: ARG001  # as all questions
    """Return the state of this process now; see `Statistics.now`."""
    state = yield from process.statistics.now()
    # The rates are those of the last second, but clients that have come since then count.
    return {**state, "clients": process.server.count_players()}


def get_history(process: Process, params: Params) -> Result:
    """Return `items`: the state of this process in the last `minutes`."""
    return {"items": process.statistics.history(params["minutes"])}


def get_lines(process: Process, params: Params) -> Result:  # noqa: ARG001
    """Return `items`: the last lines of the log of this process."""
    return {"items": [line for line in process.topics.lines if "node" not in line]}


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


def answer(process: Process, question: str, params: Params) -> Result | Future[Result]:
    """Answer a question, now or in the next turns of the server. Raises `AdminError`."""
    found = QUESTIONS[question](process, params)
    return process.sanctions.slices.run(found) if isinstance(found, Generator) else found


QUESTIONS: dict[str, Callable[[Process, Params], Result | Slices[Result]]] = {
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
    "hits": _add_hits,
    "announce": _announce,
    "notice": _take_notice,
    "stats": get_statistics,
    "history": get_history,
    "lines": get_lines,
    "command": set_command,
    "state": get_state,
}
"""The questions that need nothing but the process; `cloudlink.server.administration` adds some."""
