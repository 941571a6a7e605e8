"""The server itself: its state, plugins, settings and commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink.admin.actors import AdminError
from cloudlink.admin.core import Method
from cloudlink.admin.requests import integer, optional, text
from cloudlink.admin.statistics import MOST_MINUTES, STEP

if TYPE_CHECKING:
    from cloudlink.admin.core import Call

_LONGEST_BRIDGE = 20
_LONGEST_COMMAND = 200


def _get_stats(call: Call) -> dict[str, Any]:
    core = call.core
    # The rates are those of the last second; who has come meanwhile counts.
    return {**core.statistics.now(), "clients": core.server.count_players(), "mode": core.sanctions.mode}


def _get_history(call: Call) -> dict[str, Any]:
    minutes = call.params.get("minutes", MOST_MINUTES)
    return {"step": STEP, "items": call.core.statistics.history(minutes)}


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


def _disable_command(call: Call) -> dict[str, Any]:
    return _set_command(call, "commands.disable", disabled=True)


def _enable_command(call: Call) -> dict[str, Any]:
    return _set_command(call, "commands.enable", disabled=False)


def _set_command(call: Call, method: str, *, disabled: bool) -> dict[str, Any]:
    name = call.params["name"]
    call.core.server.set_command(name, disabled=disabled)
    call.core.audit.record(call.actor, method, target=f"command:{name}")
    return {}


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
