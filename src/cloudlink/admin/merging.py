"""Makes one answer out of those of several processes. Each function takes the results of all processes, this one's first.

Counts are added up. A page of a list is right if each process has given the first items of its
own: no more than that can be on the page.
"""

from __future__ import annotations

import heapq
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from cloudlink import jsontext
from cloudlink.slices import sliced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cloudlink.slices import Slices

    Result = dict[str, Any]

_LONGEST_KEY = 100
"""Characters of a name that decide its place in a list."""
_ADDED = ("clients", "messages_in", "bytes_in", "frames_out", "bytes_out", "memory")
_SHOWN_NAMES = 20
_MOMENTS_AT_ONCE = 20
"""States over time that are merged in one slice."""


def place_of(sort: str, client_id: str, name: str) -> tuple[Any, ...]:
    """Return the place of a client in a list, comparable: `since` or `name`, with a hyphen before it for the reverse.

    Clients without a name come last, in reverse first.
    """
    if sort.removeprefix("-") == "since":
        return (int(client_id),)
    return (not name, name.casefold()[:_LONGEST_KEY], int(client_id))


def cursor_of(sort: str, client_id: str, name: str) -> str:
    """Return what a caller gives to get the clients after this one."""
    return client_id if sort.removeprefix("-") == "since" else f"{client_id} {name.casefold()[:_LONGEST_KEY]}"


def place_of_cursor(sort: str, cursor: str) -> tuple[Any, ...] | None:
    """Return the place that `cursor_of` describes, None if it does not come from there."""
    client_id, space, name = cursor.partition(" ")
    if not (client_id.isascii() and client_id.isdecimal()) or int(client_id) > 1 << 63:
        return None
    if sort.removeprefix("-") == "since":
        return None if space else (int(client_id),)
    return (not name, name, int(client_id)) if space else None


def clients(results: Sequence[Result], sort: str, limit: int) -> Result:
    """Merge pages of clients: `items total next`."""
    items = sorted(
        (item for result in results for item in result["items"]),
        key=lambda item: place_of(sort, item["id"], item["name"] or ""),
        reverse=sort.startswith("-"),
    )
    is_last = len(items) <= limit and all(result["next"] is None for result in results)
    page = items[:limit]
    following = None if is_last else cursor_of(sort, page[-1]["id"], page[-1]["name"] or "")
    return {"items": page, "total": sum(result["total"] for result in results), "next": following}


def counts(results: Sequence[dict[str, int]]) -> dict[str, int]:
    """Add up numbers by their keys."""
    found = dict(results[0]) if results else {}
    for result in results[1:]:
        for key, count in result.items():
            found[key] = found.get(key, 0) + count
    return found


def statistics(results: Sequence[Result]) -> Result:
    """Merge states of the server: rates, clients and memory are added up.

    Each process counts the rooms of the others, too, so the largest number of rooms is right.
    """
    first = results[0]
    merged = dict(first)
    for key in _ADDED:
        merged[key] = round(sum(result[key] for result in results), 1)
        merged[key] = int(merged[key]) if isinstance(first[key], int) else merged[key]
    for key in ("rooms", "loop_delay"):
        merged[key] = max(result[key] for result in results)
    return merged


def history(results: Sequence[list[Result]], step: int) -> Slices[list[Result]]:
    """Merge the states over time: those of the same `step` seconds become one.

    Processes do not look at the same moment, so one that has no state in a step counts with that of the step before.
    """
    if len(results) == 1:
        return results[0]
    parts = [{item["at"] // step: item for item in items} for items in results]
    merged = []
    for some in sliced(sorted(set().union(*parts)), _MOMENTS_AT_ONCE):
        for moment in some:
            found = [part.get(moment) or part.get(moment - 1) for part in parts]
            merged.append(statistics([item for item in found if item is not None]))
            merged[-1]["at"] = max(item["at"] for item in found if item is not None)
        yield
    return merged


def projects(results: Iterable[list[Result]]) -> Slices[dict[str, Result]]:
    """Merge cloud projects, to be found by their ids: each process has its own players, and all have the same variables."""
    found: dict[str, Result] = {}
    for part in sliced(chain.from_iterable(results)):
        for project in part:
            known = found.setdefault(project["project"], {**project, "clients": 0})
            known["clients"] += project["clients"]
            known["variables"] = max(known["variables"], project["variables"])
            known["bytes"] = max(known["bytes"], project["bytes"])
        yield
    return found


def preview(results: Sequence[Result]) -> Result:
    """Merge the clients that a ban would hit: `clients names`."""
    names = sorted({name for result in results for name in result["names"]})
    return {"clients": sum(result["clients"] for result in results), "names": names[:_SHOWN_NAMES]}


def lines(results: Iterable[list[Result]], most: int) -> list[Result]:
    """Merge lines of the log by their time; each is there once."""
    found = {
        (line["at"], line["logger"], line["text"], line.get("node")): line
        for result in results
        for line in result
    }
    return sorted(found.values(), key=lambda line: float(line["at"]))[-most:]


def audit(results: dict[str, Result], limit: int) -> Result:
    """Merge pages of the audits of several processes, the newest line first: `items next`.

    Args:
        results: The page of each process, by its name; that of this process has the name "".
        limit: The most lines.

    Returns:
        Lines of other processes have the key `node`. `next` is for `places_of_audit`.
    """
    lines = ([(name, row) for row in result["items"]] for name, result in results.items())
    found = list(islice(heapq.merge(*lines, key=lambda line: -line[1]["at"]), limit))
    places = {}
    for name, result in results.items():
        items, shown = result["items"], sum(1 for whose, _ in found if whose == name)
        following = items[shown]["id"] + 1 if shown < len(items) else result["next"]
        if following is not None:
            places[name] = following
    following = places.get("") if places.keys() <= {""} else jsontext.dumps(places).decode()
    return {"items": [{**row, "node": name} if name else row for name, row in found], "next": following}


def places_of_audit(cursor: int | str | None) -> dict[str, int] | None:
    """Return where the page of each process begins, by its name, from the `next` of `audit`; None for the first page.

    Raises:
        ValueError: The cursor is not one of `audit`.
    """
    if not isinstance(cursor, str):
        return None if cursor is None else {"": cursor}
    places = jsontext.loads(cursor.encode("utf-8", "surrogatepass"))
    if not isinstance(places, dict) or not all(
        type(place) is int and 0 <= place < 1 << 53 for place in places.values()
    ):
        raise ValueError(cursor)
    return places


def page(items: list[Any], after: int, limit: int) -> tuple[list[Any], int | None]:
    """Return a page of a whole list, and the number to go on after, None on the last page."""
    return items[after : after + limit], after + limit if len(items) > after + limit else None


def first(results: Iterable[Result], is_right: Callable[[Result], object]) -> Result | None:
    """Return the first result that is right, None if none is."""
    return next((result for result in results if is_right(result)), None)
