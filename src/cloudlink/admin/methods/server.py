"""The server itself: its state, plugins, settings and commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink.admin import merging
from cloudlink.admin.actors import AdminError
from cloudlink.admin.core import Method
from cloudlink.admin.methods.everywhere import gathered
from cloudlink.admin.requests import integer, optional, text
from cloudlink.admin.statistics import MOST_MINUTES, STEP

if TYPE_CHECKING:
    from cloudlink.admin.core import Call, Result
    from cloudlink.slices import Slices

_LONGEST_BRIDGE = 20
_LONGEST_COMMAND = 200


def _get_stats(call: Call) -> Result:
    mode = call.core.sanctions.mode
    return gathered(call, "stats", {}, lambda results: {**merging.statistics(results), "mode": mode})


def _get_history(call: Call) -> Result:
    minutes = call.params.get("minutes", MOST_MINUTES)

    def merge(results: list[dict[str, Any]]) -> Slices[dict[str, Any]]:
        items = yield from merging.history([result["items"] for result in results], STEP)
        return {"step": STEP, "items": items[-minutes * 60 // STEP :]}

    return gathered(call, "history", {"minutes": minutes}, merge)


def _list_plugins(call: Call) -> dict[str, Any]:
    return {"items": call.core.server.plugins()}


def _get_config(call: Call) -> dict[str, Any]:
    return {"items": call.core.server.settings()}


def _reload(call: Call) -> dict[str, Any]:
    try:
        result = call.core.server.reload()
    except AdminError as error:
        call.core.audit.record(call.actor, "config.reload", outcome=error.code)
        raise
    call.core.audit.record(call.actor, "config.reload")
    return result


def _list_bridges(call: Call) -> dict[str, Any]:
    return {"items": call.core.server.bridges()}


def _pause_bridge(call: Call) -> dict[str, Any]:
    return _set_bridge(call, "bridges.pause", paused=True)


def _resume_bridge(call: Call) -> dict[str, Any]:
    return _set_bridge(call, "bridges.resume", paused=False)


def _set_bridge(call: Call, method: str, *, paused: bool) -> dict[str, Any]:
    name = call.params["name"]
    call.core.server.set_bridge(name, paused=paused)
    call.core.audit.record(call.actor, method, target=f"bridge:{name}")
    return {}


def _list_commands(call: Call) -> dict[str, Any]:
    return {"items": call.core.server.commands()}


def _disable_command(call: Call) -> Result:
    return _set_command(call, "commands.disable", disabled=True)


def _enable_command(call: Call) -> Result:
    return _set_command(call, "commands.enable", disabled=False)


def _set_command(call: Call, method: str, *, disabled: bool) -> Result:
    name = call.params["name"]

    def merge(_results: list[dict[str, Any]]) -> dict[str, Any]:
        call.core.audit.record(call.actor, method, target=f"command:{name}")
        return {}

    return gathered(call, "command", {"name": name, "disabled": disabled}, merge)


_BRIDGE = {"name": text(_LONGEST_BRIDGE, 1)}
_COMMAND = {"name": text(_LONGEST_COMMAND, 1)}

METHODS = {
    "stats.get": Method(_get_stats, {}),
    "stats.history": Method(_get_history, {"minutes": optional(integer(1, MOST_MINUTES))}),
    "plugins.list": Method(_list_plugins, {}),
    "bridges.list": Method(_list_bridges, {}),
    "bridges.pause": Method(_pause_bridge, _BRIDGE, "moderator", changes=True),
    "bridges.resume": Method(_resume_bridge, _BRIDGE, "moderator", changes=True),
    "config.get": Method(_get_config, {}, "owner"),
    "config.reload": Method(_reload, {}, "owner", changes=True),
    "commands.list": Method(_list_commands, {}, "owner"),
    "commands.disable": Method(_disable_command, _COMMAND, "owner", changes=True),
    "commands.enable": Method(_enable_command, _COMMAND, "owner", changes=True),
}
"""The methods, by name."""
