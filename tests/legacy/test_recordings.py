"""Recordings of the old servers, replayed against this one: it gives the same answers, except those listed here.

Rules apply to every recording; in addition, `differences` lists single answers, with their reasons. A difference that
is not listed fails, and so does one that is listed and does not occur.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from .differences import DIFFERENCES
from .replay import RECORDINGS, SETTINGS, Exchange, Replay

if TYPE_CHECKING:
    from collections.abc import Callable

LATER_VERSIONS = ("CL4 safe mode", "CL4 0.1.9", "CL4 0.2.0")
MESSAGES = ("gmsg", "<%gs>", "<%l_g>")

# Each rule changes one exchange in place, both what was heard then and what is heard now.


def waits(waiting: dict[str, list[Any]], exchange: Exchange) -> None:
    """Nobody is greeted before it has said something, as clients of today need it (protocol, section 1.4)."""
    if exchange.is_first:
        greeting = waiting.pop(exchange.conn, [])
        exchange.change("waits", greeting + exchange.recorded, exchange.ours)
    elif exchange.conn in waiting:
        waiting[exchange.conn] += exchange.recorded
        exchange.change("waits", [], exchange.ours)


def forgets_messages(exchange: Exchange) -> None:
    """The last message is not kept: whoever arrives is not told what was said before."""
    if not any(_command(data) in MESSAGES for _, data in exchange.said):
        kept = [frame for frame in exchange.recorded if _keyword(frame) not in ("gs", "gmsg")]
        exchange.change("forgets_messages", kept, exchange.ours)


def has_its_own_version(exchange: Exchange) -> None:
    """To clients of CL4 ours is of version 0.2.0, and shows an address without its port."""
    changed = []
    for frame in exchange.recorded:
        if _keyword(frame) == "server_version":
            changed.append({**frame, "val": "0.2.0"})
        elif _keyword(frame) == "client_ip":
            changed.append({**frame, "val": frame["val"].split(":")[0]})
        else:
            changed.append(frame)
    exchange.change("has_its_own_version", changed, exchange.ours)


def tells_who_one_is(exchange: Exchange) -> None:
    """The greeting of 0.2.0 holds the client's own user object."""
    ours = [frame for frame in exchange.ours if _keyword(frame) != "client_obj"]
    exchange.change("tells_who_one_is", exchange.recorded, ours)


def has_other_ids(exchange: Exchange, replay: Replay) -> None:
    """Ids are snowflakes, as texts; a user object has a uuid beside it."""

    def user(value: Any) -> Any:
        if isinstance(value, dict):
            value = {key: user(item) for key, item in value.items() if key != "uuid"}
            if set(value) >= {"id", "username"}:
                value["id"] = replay.name_of(value["id"])
            return value
        return [user(item) for item in value] if isinstance(value, list) else value

    exchange.change("has_other_ids", user(exchange.recorded), user(exchange.ours))


def explains_mistakes(exchange: Exchange) -> None:
    """A status code has `details` for people, and echoes the listener of what went wrong, too."""
    ours = []
    for frame in exchange.ours:
        is_mistake = _keyword(frame) == "statuscode" and frame.get("code", "").startswith("E")
        ours.append({key: val for key, val in frame.items() if key != "details"} if is_mistake else frame)
    exchange.change("explains_mistakes", exchange.recorded, ours)


def speaks_020_to_whom_it_cannot_tell(exchange: Exchange) -> None:
    """Safe mode: until 0.1.8 sends rooms as JSON text it gets the packets of 0.2.0, which it understands."""
    if exchange.recording.startswith("cl4_0.1.8") and exchange.dialect in LATER_VERSIONS:
        ours = [_as_018(frame) for frame in exchange.ours]
        exchange.change("speaks_020_to_whom_it_cannot_tell", exchange.recorded, ours)


def confirms_last(exchange: Exchange) -> None:
    """In packets of 0.2.0 a name and rooms are confirmed after the list that they change."""
    if exchange.dialect in LATER_VERSIONS:
        status = [frame for frame in exchange.recorded if _keyword(frame) == "statuscode"]
        others = [frame for frame in exchange.recorded if _keyword(frame) != "statuscode"]
        exchange.change("confirms_last", others + status, exchange.ours)


def orders_its_lists(exchange: Exchange) -> None:
    """Lists are in the order of arrival, rooms in that of their names, the message of the day comes early."""
    exchange.change("orders_its_lists", _ordered(exchange.recorded), _ordered(exchange.ours))


RULES: tuple[Callable[[Exchange], None], ...] = (
    forgets_messages,
    has_its_own_version,
    tells_who_one_is,
    explains_mistakes,
    speaks_020_to_whom_it_cannot_tell,
    confirms_last,
    orders_its_lists,
)
NAMES = {"waits", "has_other_ids", *(rule.__name__ for rule in RULES)}


def _command(data: Any) -> str:
    return data.split("\n")[0] if isinstance(data, str) else data.get("cmd", "")


def _keyword(frame: Any) -> str:
    return frame.get("cmd") or frame.get("type") or "" if isinstance(frame, dict) else ""


def _as_018(frame: Any) -> Any:
    frame = {key: value for key, value in frame.items() if key != "code_id"}
    if _keyword(frame) == "ulist" and frame.pop("mode") != "set":
        return {**frame, "a change": "which breaks the list of 0.1.8"}
    room = frame.pop("rooms", "default")
    return frame if room == "default" else {**frame, "room": room}


def _ordered(frames: list[Any]) -> list[Any]:
    ordered = []
    for frame in frames:
        if _keyword(frame) == "ulist" and isinstance(frame["val"], list):
            frame = {**frame, "val": sorted(frame["val"], key=str)}  # noqa: PLW2901
        ordered.append(frame)
    kinds = [_keyword(frame) for frame in ordered]
    ordered.sort(key=lambda frame: (_keyword(frame) != "motd", kinds.index(_keyword(frame)), _room(frame)))
    return ordered


def _room(frame: Any) -> str:
    return frame.get("room") or frame.get("rooms") or "" if _keyword(frame) in ("ulist", "gmsg") else ""


@cache
def replayed(name: str) -> list[Exchange]:
    """All exchanges of a recording, with the rules applied."""
    replay = Replay(name)
    exchanges = replay.exchanges()
    waiting: dict[str, list[Any]] = {exchange.conn: [] for exchange in exchanges}
    for exchange in exchanges:
        waits(waiting, exchange)
        for rule in RULES:
            rule(exchange)
        has_other_ids(exchange, replay)
    return exchanges


@pytest.mark.parametrize("name", SETTINGS)
def test_a_recording(name):
    listed = {(step, conn): ours for step, conn, _, ours in DIFFERENCES[name]}
    found = {(it.step, it.conn): it for it in replayed(name) if it.recorded != it.ours}
    for place, exchange in found.items():
        assert place in listed, f"{exchange} is not listed"
        assert exchange.ours == listed[place], f"{exchange} is listed otherwise"
    assert set(listed) == set(found), "a difference that is listed does not occur"
    assert len(listed) == len(DIFFERENCES[name])
    assert all(why.endswith(".") for _, _, why, _ in DIFFERENCES[name]), "each has its reason"


def test_every_recording_is_replayed():
    assert {path.stem for path in RECORDINGS.iterdir()} == set(SETTINGS) == set(DIFFERENCES)


def test_every_rule_is_needed():
    used = Counter(rule for name in SETTINGS for exchange in replayed(name) for rule in exchange.rules)
    assert set(used) == NAMES


def test_most_is_the_same():
    """The rules and the list leave something to compare."""
    heard = [it for name in SETTINGS for it in replayed(name) if it.recorded]
    same = [it for it in heard if it.recorded == it.ours]
    assert len(same) > 0.7 * len(heard) > 100
