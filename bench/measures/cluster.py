"""A cluster: two nodes that NATS joins, compared with two workers and with one process; the CPU of NATS counts too.

It also shows what crossing to another process adds at low load. About half of the receivers are at the sender's process, so
the first quartile of all latencies is about the median of theirs, and the third quartile about that of the others. What the
difference is with several processes, less what it is with one, is what the way to another process takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.measures.base import P25, P75, Measure, Metric, Run, Stage, numbers
from bench.measures.latency import MESSAGES_PER_SECOND, one_sender
from bench.measures.workers import spread

if TYPE_CHECKING:
    from bench.peers import Peer
    from bench.plan import Plan

SERVERS = ("cloudlink", "workers-2", "cluster-2")
RECEIVERS = 40
HOP = Metric("hop_ms", "p75 less p25", "ms", "lower", 2, compare=False)


def _hop(stage: Stage, peer: Peer) -> Run:
    result = stage.play(peer, one_sender(stage, peer, RECEIVERS))
    values = numbers(result)
    values[HOP.key] = values[P75.key] - values[P25.key]
    return Run(values, result.generator_share, result.others_share)


def measures(plan: Plan) -> list[Measure]:
    """Return the measures with a cluster."""
    return [
        spread("cluster", "cluster", plan.spread[1], SERVERS),
        Measure(
            name="cluster-hop",
            group="cluster",
            title="Cluster: latency at low load",
            how=f"one sender, {MESSAGES_PER_SECOND:.0f} messages (gmsg) a second to {RECEIVERS} others at all processes",
            metrics=(P25, P75, HOP),
            servers=SERVERS,
            run=_hop,
            column="low load",
        ),
    ]
