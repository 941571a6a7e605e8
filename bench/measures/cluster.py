"""A cluster: two nodes that NATS joins, compared with two workers and with one process; the CPU of NATS counts too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bench.measures import latency
from bench.measures.workers import spread

if TYPE_CHECKING:
    from bench.measures.base import Measure
    from bench.plan import Plan

SERVERS = ("cloudlink", "workers-2", "cluster-2")


def measures(plan: Plan) -> list[Measure]:
    """Return the measures with a cluster."""
    (low_load,) = latency.measures(plan)
    return [
        spread("cluster", "cluster", min(1000, max(plan.crowds)), SERVERS),
        replace(
            low_load,
            name="cluster-latency",
            group="cluster",
            title="Cluster: latency at low load",
            servers=SERVERS,
        ),
    ]
