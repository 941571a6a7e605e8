"""The lines in which `cloudlink admin` shows answers to people.

They may hold any characters that strangers have chosen; the caller escapes control characters.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from cloudlink.cli.durations import in_words
from cloudlink.options import HIDDEN
from cloudlink.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_NAME = 40
_NOT_SAVED = "It holds, but could not be saved: it will be gone after a restart."


def lines_of(action: str, result: dict[str, Any]) -> list[str]:
    """Return the lines for the answer to an action."""
    lines = _LINES[action](result)
    return [*lines, _NOT_SAVED] if result.get("saved") is False else lines


def _link(result: dict[str, Any]) -> list[str]:
    return [result["link"], f"It is good once, for {in_words(result['seconds'])}."]


def _account(result: dict[str, Any]) -> list[str]:
    return [f"{result['account']['name']} has a new password; whoever was logged in has to log in again."]


def _accounts(result: dict[str, Any]) -> list[str]:
    return [
        f"{one['name']:<32}  {one['role']:<9}  {'from the settings' if one['fixed'] else 'since ' + _date(one['at'])}"
        for one in result["items"]
    ] or ["There is no account yet; `cloudlink admin link` prints a link to make the first one."]


def _status(result: dict[str, Any]) -> list[str]:
    return [
        f"mode      {result['mode']}",
        f"clients   {result['clients']}",
        f"rooms     {result['rooms']}",
        f"received  {result['messages_in']:g} messages, {_bytes(result['bytes_in'])} a second",
        f"sent      {result['frames_out']:g} messages, {_bytes(result['bytes_out'])} a second",
        f"memory    {_bytes(result['memory'])}",
        f"lateness  {result['loop_delay'] * 1000:.1f} ms",
    ]


def _clients(result: dict[str, Any]) -> list[str]:
    return [
        f"{one['id']:<20}  {_short(one['name'] or '(no name)'):<{_LONGEST_NAME}}  {one['protocol']:<12}  "
        f"{one['address']:<39}  {', '.join(map(_short, one['rooms']))}"
        for one in result["items"]
    ] or ["Nobody is connected."]


def _rooms(result: dict[str, Any]) -> list[str]:
    return [
        f"{_short(one['name']):<{_LONGEST_NAME}}  {counted(one['clients'], 'client'):<12}  {_rules(one)}"
        for one in result["items"]
    ] or ["There are no rooms."]


def _rules(room: dict[str, Any]) -> str:
    rules = [word for word in ("locked", "frozen") if room[word]]
    return ", ".join([*rules, f"slow {room['slow']} s"] if room["slow"] else rules)


def _ban(result: dict[str, Any]) -> list[str]:
    ban = result["ban"]
    return [f"Ban {ban['id']}: {ban['kind']} {ban['value']}, {_until(ban['until'])}. {_hit(result['hit'])}"]


def _bans(result: dict[str, Any]) -> list[str]:
    return [
        f"{one['id']:>6}  {one['kind']:<7}  {_short(one['value']):<{_LONGEST_NAME}}  {_until(one['until']):<28}  "
        f"by {one['by']}{': ' + one['reason'] if one['reason'] else ''}"
        for one in result["items"]
    ] or ["There are no bans."]


def _mute(result: dict[str, Any]) -> list[str]:
    mute = result["mute"]
    return [
        f"Mute {mute['id']}: {mute['kind']} {mute['value']}, {_until(mute['until'])}. {_hit(result['hit'])}"
    ]


def _mutes(result: dict[str, Any]) -> list[str]:
    return [line.replace("bans", "mutes") for line in _bans(result)]


def _hit(count: int) -> str:
    return f"It hits {counted(count, 'client')} now."


def _audit(result: dict[str, Any]) -> list[str]:
    return [
        f"{_date(row['at'])}  {row['actor'] or '-'} ({row['via']}{' on ' + row['node'] if 'node' in row else ''})  {row['method']}  {row['target']}  "
        f"{row['outcome']}{'  ' + json.dumps(row['params']) if row['params'] else ''}"
        f"{': ' + row['reason'] if row['reason'] else ''}"
        for row in result["items"]
    ] or ["Nothing has been done yet."]


def _change(old: object, new: object) -> str:
    """Return what has become of a setting, or of a section, whose values are hidden."""
    if HIDDEN not in (old, new):
        return f"{json.dumps(old)} is now {json.dumps(new)}"
    return "added" if old is None else "removed" if new is None else "changed"


def _reload(result: dict[str, Any]) -> list[str]:
    lines = [f"{name}: {_change(old, new)}" for name, (old, new) in result["changed"].items()]
    if result["needs_restart"]:
        lines.append(f"Only a restart changes {', '.join(result['needs_restart'])}.")
    return lines or ["Nothing has changed."]


def _export(result: dict[str, Any]) -> list[str]:
    if "file" in result:
        return [f"Wrote {counted(result['count'], 'ban')} to {result['file']}."]
    return [json.dumps(result)]


def _import(result: dict[str, Any]) -> list[str]:
    refused = [f"Number {one['index'] + 1} is left out: {one['message']}" for one in result["refused"]]
    return [*refused, f"Added {counted(result['added'], 'ban')}."]


def _date(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def _until(at: float | None) -> str:
    return "for ever" if at is None else f"until {_date(at)}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


def _bytes(size: float) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:g} B"


_LINES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "link": _link,
    "password": _account,
    "accounts": _accounts,
    "add": lambda result: [f"Added {result['account']['name']} as {result['account']['role']}."],
    "remove": lambda result: [f"Removed {result['account']['name']}."],
    "unlock": lambda _: ["It can log in again."],
    "status": _status,
    "clients": _clients,
    "rooms": _rooms,
    "kick": lambda result: [f"Disconnected {counted(result['kicked'], 'client')}."],
    "ban": _ban,
    "unban": lambda result: [f"Removed {counted(result['removed'], 'ban')}."],
    "bans": _bans,
    "mute": _mute,
    "unmute": lambda _: ["Removed the mute."],
    "mutes": _mutes,
    "say": lambda result: [f"Sent to {counted(result['sent'], 'client')}."],
    "mode": lambda result: [f"The server is {result['mode']} now."],
    "drain": lambda result: [f"Everybody is disconnected from {_date(result['until'])} on."],
    "reload": _reload,
    "audit": _audit,
    "export": _export,
    "import": _import,
}
