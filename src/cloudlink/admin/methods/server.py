"""The server itself: its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink.admin.core import Method
from cloudlink.admin.requests import integer, optional
from cloudlink.admin.statistics import MOST_MINUTES, STEP

if TYPE_CHECKING:
    from cloudlink.admin.core import Call


def _get_stats(call: Call) -> dict[str, Any]:
    return call.core.statistics.now()


def _get_history(call: Call) -> dict[str, Any]:
    minutes = call.params.get("minutes", MOST_MINUTES)
    return {"step": STEP, "items": call.core.statistics.history(minutes)}


METHODS = {
    "stats.get": Method(_get_stats, {}),
    "stats.history": Method(_get_history, {"minutes": optional(integer(1, MOST_MINUTES))}),
}
"""The methods, by name."""
