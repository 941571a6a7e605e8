"""Which rooms, or projects, two servers share: the pairs that both sides name.

Each side names what it shares, with the other side's name for it if that is another one. Both sides come to
the same result from the same two lists. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink.bridgesections import split_pair

if TYPE_CHECKING:
    from collections.abc import Iterable

Entry = tuple[str, str | None]
"""A name on the side that shares it, and the name on the other side, None if it does not say."""

MOST_ENTRIES = 1000
"""Most names that the other side may share."""


def entries_of(names: Iterable[str]) -> list[Entry]:
    """Return the entries of a setting such as `["arena", "lobby=hall"]`."""
    return [split_pair(name) for name in names]


def as_json(entries: Iterable[Entry]) -> list[list[str]]:
    """Return entries as they travel: lists of one or two names."""
    return [[name] if other is None else [name, other] for name, other in entries]


def from_json(value: Any) -> list[Entry] | None:
    """Return the entries that the other side has sent, None if they are malformed."""
    if not isinstance(value, list) or len(value) > MOST_ENTRIES:
        return None
    entries: list[Entry] = []
    for item in value:
        if not (
            isinstance(item, list) and len(item) in (1, 2) and all(isinstance(name, str) for name in item)
        ):
            return None
        entries.append((item[0], item[1] if len(item) > 1 else None))
    return entries


def matched(ours: Iterable[Entry], theirs: Iterable[Entry]) -> dict[str, str]:
    """Return what both sides share: their name by ours.

    Two entries match if each that names the other side's name names it right; entries that both name no other
    side's match by name. An entry with more names in common is matched first.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    mine, others = list(ours), list(theirs)
    by_name = dict(others)
    for wanted in (2, 1, 0):  # how many of the two entries name the other side's name
        for name, remote in mine:
            if name in found:
                continue
            candidates = [remote] if remote is not None else _namers(name, others)
            for candidate in candidates:
                if candidate in taken or candidate not in by_name:
                    continue
                back = by_name[candidate]
                explicit = (remote is not None) + (back is not None)
                if explicit == wanted and (back is None or back == name):
                    found[name] = candidate
                    taken.add(candidate)
                    break
    return found


def _namers(name: str, others: list[Entry]) -> list[str]:
    """Return the names of the other side's entries that may be this one: those that name it, and its namesake."""
    return [other for other, back in others if back == name or (back is None and other == name)]
