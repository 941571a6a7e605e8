"""Latency at low load: one sender, 20 messages a second, 100 others in its room. From the sender to every receiver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.clients import in_rooms
from bench.load.job import Job
from bench.measures.base import P50, P99, Measure, Run, Stage, simple_run

if TYPE_CHECKING:
    from bench.peers import Peer
    from bench.plan import Plan

RECEIVERS = 100
MESSAGES_PER_SECOND = 20.0


def one_sender(stage: Stage, peer: Peer, receivers: int) -> Job:
    """One client that sends to others in its room, at a steady rate that costs little."""
    plan = stage.plan
    return Job(
        in_rooms(peer, receivers + 1, lambda _: "arena", "message"),
        "open",
        senders=1,
        rate=MESSAGES_PER_SECOND,
        warmup=plan.warmup,
        measure=plan.measure,
        drain=plan.drain,
    )


def _run(stage: Stage, peer: Peer) -> Run:
    return simple_run(stage, peer, one_sender(stage, peer, RECEIVERS))


def measures(plan: Plan) -> list[Measure]:  # noqa: ARG001  # the same in every plan
    """Return the measure of latency."""
    return [
        Measure(
            name="latency",
            group="latency",
            title="Latency at low load",
            how=f"one sender, {MESSAGES_PER_SECOND:.0f} messages (gmsg) a second to {RECEIVERS} others",
            metrics=(P50, P99),
            servers=("cloudlink", "upstream", "ws", "uws"),
            run=_run,
        )
    ]
