"""The rooms, and the cloud variables of projects."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from cloudlink import jsontext
from cloudlink.admin import merging
from cloudlink.admin.actors import AdminError
from cloudlink.admin.core import Method
from cloudlink.admin.futures import and_then, at_once, done, then
from cloudlink.admin.methods.everywhere import gathered, told
from cloudlink.admin.questions import delete_variable, get_project, set_variable
from cloudlink.admin.requests import Param, integer, optional, text
from cloudlink.slices import sliced

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from cloudlink.admin.core import Call, Core, Result
    from cloudlink.admin.peers import Replies
    from cloudlink.slices import Slices

_PAGE = 200
_LONGEST_ROOM = 1000
_LONGEST_PROJECT = 999
_LONGEST_VARIABLE = 1024
_LONGEST_VALUE = 50_000
_SHOWN_VALUE = 2000
"""Characters of a value that are shown; all values of a project may be long together."""
_ALL = "*"


def _list_rooms(call: Call) -> Result:
    """Return the rooms with the most clients first; those without clients are listed if they have rules."""
    search = call.params.get("search", "").casefold()

    def merge(results: list[dict[str, Any]]) -> Slices[dict[str, Any]]:
        rooms: dict[str, int] = results[0]["clients"]
        for part in sliced(chain.from_iterable(result["clients"].items() for result in results[1:])):
            for name, clients in part:
                rooms[name] = rooms.get(name, 0) + clients
            yield
        for rule in call.core.sanctions.policy.rooms:
            if rule.name != _ALL and search in rule.name.casefold():
                rooms.setdefault(rule.name, 0)
        page, following = yield from _page(call, rooms)
        shown = call.core.sanctions.room_rules
        return {
            "items": [{**shown(name), "clients": rooms[name]} for name in page],
            "total": len(rooms),
            "next": following,
            "all": shown(_ALL),
        }

    return gathered(call, "rooms.list", {"search": search}, merge)


def _get_room(call: Call) -> Result:
    name = call.params["name"]

    def merge(results: list[dict[str, Any]]) -> dict[str, Any]:
        rules, total = call.core.sanctions.room_rules(name), merging.counts(results)
        if name == _ALL:
            return {**rules, "clients": total["everybody"]}
        if not total["rooms"] and not (rules["locked"] or rules["frozen"] or rules["slow"]):
            raise AdminError("not_found", "There is nobody in this room, and it has no rules.")
        return {**rules, "clients": total["clients"]}

    return gathered(call, "rooms.get", {"name": name}, merge)


def _list_projects(call: Call) -> Result:
    search = call.params.get("search", "").casefold()

    def merge(results: list[dict[str, Any]]) -> Slices[dict[str, Any]]:
        found = yield from merging.projects(result["items"] for result in results)
        clients = {name: project["clients"] for name, project in found.items()}
        page, following = yield from _page(call, clients)
        return {"items": [found[name] for name in page], "total": len(found), "next": following}

    return gathered(call, "cloud.projects", {"search": search}, merge)


def _page(call: Call, clients: dict[str, int]) -> Slices[tuple[list[str], int | None]]:
    """Return a page of names, given the number of clients of each, those with the most clients first, and `next`."""
    after, limit = call.params.get("after", 0), call.params.get("limit", _PAGE)
    most = after + limit + 1  # one more than is shown says whether others follow
    found: list[tuple[int, str]] = []
    for part in sliced(clients.items()):
        placed = [(-count, name) for name, count in part]
        if len(found) == most:
            placed = [one for one in placed if one < found[-1]]
        found = sorted(found + placed)[:most]
        yield
    return merging.page([name for _, name in found], after, limit)


def _get_project(call: Call) -> Result:
    return _where_open(call, "cloud.get", get_project, _shown_project)


def _shown_project(call: Call, found: dict[str, Any]) -> dict[str, Any]:
    if not found["variables"]:
        raise AdminError("not_found", "This project has no cloud variables.")
    items = [
        {"name": name, "value": shown[:_SHOWN_VALUE], "length": len(shown)}
        for name, shown in ((name, _text(value)) for name, value in found["variables"])
    ]
    return {"project": call.params["project"], "items": items}


def _where_open(
    call: Call,
    question: str,
    answer: Callable[[Core, dict[str, Any]], dict[str, Any]],
    end: Callable[[Call, dict[str, Any]], dict[str, Any]],
) -> Result:
    """Ask the process that has a cloud project in memory, because it knows the latest values; this one if none has.

    Args:
        call: The call of a method.
        question: The question.
        answer: Answers it here.
        end: Makes the result out of the answer.
    """
    core, params = call.core, call.params
    if not core.peers.exist or core.server.is_open(params["project"]):
        return end(call, answer(core, params))

    def ask(replies: Replies) -> Future[dict[str, Any]]:
        names = [name for name, found in replies.results.items() if found["is_open"]]
        if not names:
            return done(told(call, end(call, answer(core, params)), replies))
        asked = core.peers.ask(question, params, to=names[:1])
        return then(asked, at_once, lambda found: end(call, _only(found)))

    finding = core.peers.ask("cloud.find", {"project": params["project"]})
    return and_then(finding, at_once, ask)


def _only(replies: Replies) -> dict[str, Any]:
    """Return the answer of the only process that was asked. Raises `AdminError`."""
    for error in replies.errors.values():
        raise error
    for found in replies.results.values():
        return found
    raise AdminError("unavailable", f"{', '.join(replies.missing)} did not answer; try again in a moment.")


def _text(value: str) -> str:
    """Return a value as it is read in Scratch: texts without quotation marks."""
    decoded = jsontext.loads(value.encode("utf-8", "surrogatepass"))
    return decoded if isinstance(decoded, str) else value


def _set_variable(call: Call) -> Result:
    return _where_open(call, "cloud.set", set_variable, lambda call, _: _recorded(call, "cloud.set"))


def _delete_variable(call: Call) -> Result:
    return _where_open(call, "cloud.delete", delete_variable, lambda call, _: _recorded(call, "cloud.delete"))


def _recorded(call: Call, method: str) -> dict[str, Any]:
    params = call.params
    call.core.audit.record(
        call.actor, method, target=f"project:{params['project']}", params={"name": params["name"]}
    )
    return {}


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
