"""The rooms, and the cloud variables of projects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink import jsontext
from cloudlink.admin.actors import AdminError
from cloudlink.admin.core import Method
from cloudlink.admin.requests import Param, integer, optional, text

if TYPE_CHECKING:
    from cloudlink.admin.core import Call

_PAGE = 200
_LONGEST_ROOM = 1000
_LONGEST_PROJECT = 999
_LONGEST_VARIABLE = 1024
_LONGEST_VALUE = 50_000
_SHOWN_VALUE = 2000
"""Characters of a value that are shown; all values of a project may be long together."""
_ALL = "*"


def _list_rooms(call: Call) -> dict[str, Any]:
    """Return the rooms with the most clients first; those without clients are listed if they have rules."""
    search = call.params.get("search", "").casefold()
    rules = call.core.sanctions.policy.rooms
    rooms = {rule.name: 0 for rule in rules if rule.name != _ALL} | call.core.server.rooms()
    found = [(name, clients) for name, clients in rooms.items() if search in name.casefold()]
    found.sort(key=lambda room: (-room[1], room[0]))
    page, following = _page(call, found)
    shown = call.core.sanctions.room_rules
    return {
        "items": [{**shown(name), "clients": clients} for name, clients in page],
        "total": len(found),
        "next": following,
        "all": shown(_ALL),
    }


def _get_room(call: Call) -> dict[str, Any]:
    name = call.params["name"]
    rules = call.core.sanctions.room_rules(name)
    if name == _ALL:
        return {**rules, "clients": call.core.server.count_players()}
    clients = call.core.server.rooms().get(name)
    if clients is None and not (rules["locked"] or rules["frozen"] or rules["slow"]):
        raise AdminError("not_found", "There is nobody in this room, and it has no rules.")
    return {**rules, "clients": clients or 0}


def _list_projects(call: Call) -> dict[str, Any]:
    search = call.params.get("search", "").casefold()
    found = [one for one in call.core.server.projects() if search in one["project"].casefold()]
    found.sort(key=lambda one: (-one["clients"], one["project"]))
    page, following = _page(call, found)
    return {"items": page, "total": len(found), "next": following}


def _page(call: Call, found: list[Any]) -> tuple[list[Any], int | None]:
    after, limit = call.params.get("after", 0), call.params.get("limit", _PAGE)
    return found[after : after + limit], after + limit if len(found) > after + limit else None


def _get_project(call: Call) -> dict[str, Any]:
    project = call.params["project"]
    variables = call.core.server.variables(project)
    if not variables:
        raise AdminError("not_found", "This project has no cloud variables.")
    items = [
        {"name": name, "value": shown[:_SHOWN_VALUE], "length": len(shown)}
        for name, shown in ((name, _text(value)) for name, value in variables.items())
    ]
    return {"project": project, "items": items}


def _text(value: bytes) -> str:
    """Return a value as it is read in Scratch: texts without quotation marks."""
    decoded = jsontext.loads(value)
    return decoded if isinstance(decoded, str) else value.decode(errors="replace")


def _set_variable(call: Call) -> dict[str, Any]:
    params = call.params
    call.core.server.set_variable(params["project"], params["name"], params["value"])
    _record(call, "cloud.set")
    return {}


def _delete_variable(call: Call) -> dict[str, Any]:
    params = call.params
    call.core.server.delete_variable(params["project"], params["name"])
    _record(call, "cloud.delete")
    return {}


def _record(call: Call, method: str) -> None:
    params = call.params
    call.core.audit.record(
        call.actor, method, target=f"project:{params['project']}", params={"name": params["name"]}
    )


_LISTED = {
    "search": optional(text(_LONGEST_ROOM)),
    "after": optional(integer(0)),
    "limit": optional(integer(1, _PAGE)),
}
_PROJECT = text(_LONGEST_PROJECT, 1)
_VARIABLE = text(_LONGEST_VARIABLE, 1)
_VALUE = Param(
    f"text of at most {_LONGEST_VALUE} characters, or a number",
    lambda value: (isinstance(value, str) and len(value) <= _LONGEST_VALUE) or type(value) in (int, float),
)

METHODS = {
    "rooms.list": Method(_list_rooms, _LISTED),
    "rooms.get": Method(_get_room, {"name": text(_LONGEST_ROOM, 1)}),
    "cloud.projects": Method(_list_projects, _LISTED),
    "cloud.get": Method(_get_project, {"project": _PROJECT}),
    "cloud.set": Method(
        _set_variable, {"project": _PROJECT, "name": _VARIABLE, "value": _VALUE}, "owner", changes=True
    ),
    "cloud.delete": Method(_delete_variable, {"project": _PROJECT, "name": _VARIABLE}, "owner", changes=True),
}
"""The methods, by name."""
