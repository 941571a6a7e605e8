"""Fan-out: 100 clients in one room, 10 of them sending as fast as their own copies come back (a closed loop).

Measured with 4 and with 2 messages in flight per sender, because the two show different things: uWebSockets
joins at most 32 messages into one write and falls back to one write per copy when more arrive in one turn of its
loop, as 10 x 4 do. It says nothing about latency at a load the server can carry; `latency` and `players` do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.clients import in_rooms
from bench.load.job import Job
from bench.measures.base import COPIES, CPU_PER_COPY, ECHO_P50, ECHO_P99, Measure, Run, Stage, simple_run

if TYPE_CHECKING:
    from bench.peers import Peer
    from bench.plan import Plan

CLIENTS, SENDERS = 100, 10


def _measure(name: str, window: int) -> Measure:
    def run(stage: Stage, peer: Peer) -> Run:
        clients = in_rooms(peer, CLIENTS, lambda _: "arena", "message")
        plan = stage.plan
        job = Job(
            clients, "closed", SENDERS, window, warmup=plan.warmup, measure=plan.measure, drain=plan.drain
        )
        return simple_run(stage, peer, job)

    return Measure(
        name=name,
        group="fanout",
        title=f"Fan-out, {window} messages in flight per sender",
        how=f"{CLIENTS} clients in one room, {SENDERS} senders (gmsg), closed loop",
        metrics=(COPIES, ECHO_P50, ECHO_P99, CPU_PER_COPY),
        servers=("cloudlink", "upstream", "socketio", "colyseus", "ws", "uws"),
        run=run,
        column=f"{window} in flight per sender",
    )


def measures(plan: Plan) -> list[Measure]:  # noqa: ARG001  # the same in every plan
    """Return the fan-out measures."""
    return [_measure("fanout", 4), _measure("fanout-2", 2)]
