"""The measures: one module for each, with a function `measures(plan)`, in the order of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.measures import (
    cloud,
    cluster,
    dashboards,
    fanout,
    joining,
    latency,
    memory,
    players,
    pmsg,
    workers,
)
from bench.measures.base import Measure, Metric, Run, Stage

if TYPE_CHECKING:
    from bench.plan import Plan

MODULES = {
    "fanout": fanout,
    "players": players,
    "cloud": cloud,
    "pmsg": pmsg,
    "joining": joining,
    "memory": memory,
    "latency": latency,
    "workers": workers,
    "cluster": cluster,
    "dashboards": dashboards,
}


def all_measures(plan: Plan, groups: list[str]) -> list[Measure]:
    """Return the measures of these groups."""
    return [measure for group in groups for measure in MODULES[group].measures(plan)]


__all__ = ["MODULES", "Measure", "Metric", "Run", "Stage", "all_measures"]
